"""Links on the move: nothing is written that was not announced, nothing is guessed, nobody's edit is overwritten."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from engine.model.change import Change, LinkState, Open, Said, Sent
from engine.model.errors import Fatal, Paused, Transient
from engine.model.failures import FailureClass
from engine.pipeline.changing import Changing, settle
from engine.pipeline.link_slices import ChangePolicy, Slices
from engine.pipeline.stop import Stop
from engine.pipeline.switching import Counts, DriftLimits
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.links import LOST, FakeJournal, FakeOrg


def change(number: int, account: str = "acc") -> Change:
    return Change(f"r{number}", account, f"old{number}", f"new{number}", 1)


class Scene:
    def __init__(
        self,
        count: int = 3,
        *,
        undo: bool = False,
        attempts: int = 5,
        strict: bool = False,
        limits: DriftLimits | None = None,
    ) -> None:
        start = "new" if undo else "old"
        self.org = FakeOrg({f"r{n}": f"{start}{n}" for n in range(count)})
        self.journal = FakeJournal(self.org)
        self.stop = Stop()
        self.clock = ManualClock()
        policy = ChangePolicy(undo=undo, attempts=attempts, strict=strict)
        self.limits = limits
        self.slices = Slices(self.org, self.journal, self.clock, policy, self.judge)
        self.changing = Changing(self.slices, self.stop)
        self.changes = [change(n) for n in range(count)]

    def judge(self, counts: Counts) -> None:
        if self.limits and (verdict := self.limits.verdict(counts, over=False, waiting=self.slices.stubborn)):
            self.stop.request(*verdict)

    async def run(self, *windows: Sequence[Change]) -> None:
        async def feed() -> AsyncIterator[Sequence[Change]]:
            for window in windows or (self.changes,):
                yield window

        async with self.clock.running():
            await self.changing.run(feed())
        assert {record for write in self.org.writes for record in write} <= self.journal.announced


async def test_every_link_moves_and_every_step_is_in_the_journal() -> None:
    scene = Scene()
    await scene.run()
    assert scene.org.links == {"r0": "new0", "r1": "new1", "r2": "new2"}
    assert scene.journal.of("r1") == ["intended", "applied"]
    assert scene.slices.counts.done == 3
    assert len(scene.org.writes) == 1


async def test_an_undo_puts_back_the_original() -> None:
    scene = Scene(undo=True)
    await scene.run()
    assert scene.org.links == {"r0": "old0", "r1": "old1", "r2": "old2"}
    assert scene.journal.of("r1") == ["undo_intended", "undone"]
    assert scene.journal.last("r1").undo
    assert (scene.journal.last("r1").old, scene.journal.last("r1").new) == ("old1", "new1")


@pytest.mark.parametrize("undo", [False, True])
async def test_what_others_changed_is_left_and_what_is_right_is_not_written_again(undo: bool) -> None:
    scene = Scene(5, undo=undo)
    scene.org.links |= {"r1": "theirs", "r2": None, "r3": "old3" if undo else "new3"}
    await scene.run()
    assert scene.org.writes == [["r0", "r4"]]
    assert scene.org.links["r1"] == "theirs"
    assert [scene.journal.of(f"r{n}")[-1] for n in (1, 2, 3)] == ["kept", "kept", "settled"]
    assert [scene.journal.last(f"r{n}").link_state for n in (1, 2)] == [LinkState.EDITED, LinkState.GONE]
    assert scene.journal.last("r1").found == "theirs"
    counts = scene.slices.counts
    assert (counts.done, counts.already, counts.edited, counts.gone) == (2, 1, 1, 1)


@pytest.mark.parametrize("carried_out", [True, False])
async def test_a_lost_answer_is_settled_by_reading(carried_out: bool) -> None:
    scene = Scene()

    def lose(number: int, _changes: object, carry_out: Callable[[], list[Said]]) -> list[Said]:
        if number == 1:
            if carried_out:
                carry_out()
            raise LOST
        return carry_out()

    scene.org.on_write = lose
    await scene.run()
    assert scene.org.links["r0"] == "new0"
    assert scene.slices.counts.done + scene.slices.counts.already == 3
    assert len(scene.org.writes) == (1 if carried_out else 2)
    expected = ["intended", "settled"] if carried_out else ["intended", "settled", "intended", "applied"]
    assert scene.journal.of("r0") == expected


async def test_an_edit_that_falls_into_a_lost_answer_stays() -> None:
    scene = Scene()

    def lose(number: int, _changes: object, carry_out: Callable[[], list[Said]]) -> list[Said]:
        carry_out()
        scene.org.links["r1"] = "theirs"
        scene.org.others = {"r1"}
        raise LOST

    scene.org.on_write = lose
    await scene.run()
    assert scene.org.links == {"r0": "new0", "r1": "theirs", "r2": "new2"}
    assert scene.journal.last("r1").link_state is LinkState.EDITED


async def test_locked_rows_come_back_later_and_are_read_anew() -> None:
    scene = Scene()
    locked = Said(Sent.AGAIN, FailureClass.THROTTLED, "UNABLE_TO_LOCK_ROW")

    def lock(number: int, changes: Sequence[tuple[str, str]], carry_out: Callable[[], list[Said]]) -> list[Said]:
        if number > 1:
            return carry_out()
        scene.org.links["r0"] = "new0"
        scene.org.links["r2"] = "theirs"  # while it was locked, its holder edited it
        return [Said(Sent.DONE), locked, locked]

    scene.org.on_write = lock
    await scene.run()
    assert scene.org.links == {"r0": "new0", "r1": "new1", "r2": "theirs"}
    assert scene.journal.of("r1") == ["intended", "refused", "intended", "applied"]
    assert scene.clock.slept, "a pause came before"
    assert scene.slices.counts.failed == 0


async def test_rows_that_stay_locked_fail_with_their_class() -> None:
    scene = Scene(attempts=3)

    def lock(_number: int, changes: Sequence[tuple[str, str]], _carry: object) -> list[Said]:
        return [Said(Sent.AGAIN, FailureClass.THROTTLED, "UNABLE_TO_LOCK_ROW")] * len(changes)

    scene.org.on_write = lock
    await scene.run()
    assert scene.slices.counts.failed == 3
    assert scene.journal.last("r0").failure is FailureClass.THROTTLED
    assert scene.journal.of("r0") == ["intended", "refused"] * 3


LOCKED = Said(Sent.AGAIN, FailureClass.THROTTLED, "UNABLE_TO_LOCK_ROW")


def lock_all(_number: int, changes: Sequence[tuple[str, str]], _carry_out: object) -> list[Said]:
    return [LOCKED] * len(changes)


@pytest.mark.parametrize("accounts", [1, 40])
@pytest.mark.parametrize("budget", [True, False])
async def test_locks_on_all_of_three_hundred_links_do_not_multiply_the_calls(accounts: int, budget: bool) -> None:
    calls: list[int] = []
    for locked in (False, True):
        scene = Scene(300, limits=DriftLimits(0.02, 0.2) if budget else None)
        scene.changes = [change(n, f"acc{n % accounts}") for n in range(300)]
        scene.org.on_write = lock_all if locked else None
        await scene.run()
        calls.append(len(scene.org.reads) + len(scene.org.writes))
        assert scene.slices.counts.done == (0 if locked else 300)
        assert scene.stop.requested is (locked and budget)
    without, with_locks = calls
    assert with_locks <= (3 if budget else 4) * without, calls


async def test_a_lock_is_tried_again_at_the_end_of_its_window() -> None:
    scene = Scene(6)

    def lock(number: int, changes: Sequence[tuple[str, str]], carry_out: Callable[[], list[Said]]) -> list[Said]:
        return [LOCKED] * len(changes) if number == 1 else carry_out()

    scene.org.on_write = lock
    await scene.run(scene.changes[:3], scene.changes[3:])
    assert scene.org.writes == [["r0", "r1", "r2"], ["r0", "r1", "r2"], ["r3", "r4", "r5"]]


async def test_rows_of_one_account_are_never_written_in_two_calls_at_once_not_even_behind_a_lock() -> None:
    scene = Scene(1_600)
    scene.changes = [change(n, f"acc{n % 7}") for n in range(1_600)]
    accounts = {each.id: each.account for each in scene.changes}
    tries: Counter[str] = Counter()
    under_way: list[set[str]] = []
    write = scene.org.write

    async def slowly(changes: Sequence[tuple[str, str]]) -> list[Said]:
        mine = {accounts[record] for record, _ in changes}
        assert not any(mine & other for other in under_way)
        under_way.append(mine)
        await asyncio.sleep(0)
        try:
            return await write(changes)
        finally:
            under_way.remove(mine)

    def lock(_number: int, changes: Sequence[tuple[str, str]], carry_out: Callable[[], list[Said]]) -> list[Said]:
        tries.update(record for record, _ in changes)
        before = {record: scene.org.links[record] for record, _ in changes}
        said = carry_out()
        for place, (record, _) in enumerate(changes):
            if tries[record] < 3:
                scene.org.links[record], said[place] = before[record], LOCKED
        return said

    scene.org.on_write = lock
    scene.org.write = slowly  # type: ignore[method-assign]
    await scene.run()
    assert scene.slices.counts.done == 1_600


async def test_an_account_in_doubt_is_left_alone_until_salesforce_has_let_go_of_it() -> None:
    scene = Scene(650)
    scene.changes = [change(n, "one" if n < 500 else "two" if n < 600 else "") for n in range(650)]
    began, times = scene.clock.monotonic(), dict[str, float]()

    def lose(_number: int, changes: Sequence[tuple[str, str]], carry_out: Callable[[], list[Said]]) -> list[Said]:
        now = scene.clock.monotonic() - began
        said = carry_out()
        for record, _ in changes:
            times[record] = now
        if "r0" in dict(changes):
            scene.org.links |= {record: f"old{record[1:]}" for record, _ in changes}
            if now < 1:
                raise LOST
            return carry_out()
        return said

    scene.org.on_write = lose
    await scene.run(scene.changes[:400], scene.changes[400:])
    assert scene.slices.counts.done == 650
    assert min(times[f"r{n}"] for n in range(500)) >= 600
    assert max(times[f"r{n}"] for n in range(500, 650)) < 60


@pytest.mark.parametrize("late", [True, False])
async def test_where_no_write_gets_a_clear_answer_few_links_are_in_doubt_at_a_time(late: bool) -> None:
    """Reads are answered, so nothing else tells that something is wrong."""
    scene = Scene(10_000, limits=DriftLimits(0.02, 0.2))
    scene.changes = [change(n, f"acc{n}") for n in range(10_000)]
    most, due = 0, list[tuple[float, Callable[[], list[Said]]]]()

    def lose(_number: int, _changes: object, carry_out: Callable[[], list[Said]]) -> list[Said]:
        nonlocal most
        due.append((scene.clock.monotonic() + 25, carry_out))
        most = max(most, len(scene.slices.doubts))
        raise LOST

    def come(_number: int) -> None:
        while late and due and due[0][0] <= scene.clock.monotonic():
            due.pop(0)[1]()

    scene.org.on_write, scene.org.on_read = lose, come
    await scene.run(scene.changes[:4_000], scene.changes[4_000:8_000], scene.changes[8_000:])
    assert most <= 2_400
    if late:
        assert scene.slices.counts.done == 10_000
        assert not scene.stop.requested
        return
    assert scene.stop.exit_code == 5
    assert "in doubt again" in scene.stop.reason
    assert len({record for write in scene.org.writes for record in write}) <= 2_400
    assert scene.clock.monotonic() - 1_000 < 700, "one wait told enough"


@pytest.mark.parametrize(
    ("by_us", "changed", "made"),
    [
        (True, "2026-11-22T10:00:05.000+0000", True),
        (True, "2026-11-22T10:00:06.000+0000", True),
        (True, "2026-11-22T10:00:04.000+0000", False),
        (True, "", False),
        (False, "2026-11-22T10:00:06.000+0000", False),
    ],
)
@pytest.mark.parametrize("undo", [False, True])
async def test_after_a_kill_the_last_change_tells_what_the_org_has_made(
    by_us: bool, changed: str, made: bool, undo: bool
) -> None:
    """Only what our own user has changed since the intent, which has microseconds; Salesforce has whole seconds."""
    scene = Scene(1, undo=undo)
    scene.org.links["r0"], scene.org.changed = "new0?flow", changed
    scene.org.others = set() if by_us else {"r0"}
    intent = Open("r0", "old0", "new0", 1, 1, undo, at="2026-11-22T10:00:05.900000Z")
    found, doubtful = await settle(scene.org, scene.journal, [intent])
    step = scene.journal.last("r0")
    assert (dict(found), doubtful) == ({LinkState.OURS if made else LinkState.EDITED: 1}, [])
    assert (step.event.value, step.old, step.new) == (
        ("rewritten", "old0", "new0?flow") if made else ("settled", "old0", "new0")
    )
    assert step.found == ("" if made else "new0?flow")


async def test_a_lock_and_then_a_cut_are_not_twice_in_doubt() -> None:
    scene = Scene(200, limits=DriftLimits(0.02, 0.02))

    def both(number: int, changes: Sequence[tuple[str, str]], carry_out: Callable[[], list[Said]]) -> list[Said]:
        if number == 1:
            return [LOCKED] * len(changes)
        if number == 2:
            raise LOST
        return carry_out()

    scene.org.on_write = both
    await scene.run()
    assert not scene.stop.requested
    assert scene.slices.counts.done == 200


async def test_one_cut_of_all_lanes_holds_nobody_up() -> None:
    scene = Scene(4_000)
    scene.changes = [change(n, f"acc{n}") for n in range(4_000)]
    begun, times = scene.clock.monotonic(), list[float]()

    def cut(number: int, _changes: object, carry_out: Callable[[], list[Said]]) -> list[Said]:
        times.append(scene.clock.monotonic() - begun)
        if number <= 4:
            raise LOST
        return carry_out()

    scene.org.on_write = cut
    await scene.run()
    assert scene.slices.counts.done == 4_000
    assert sum(each < 60 for each in times) >= 20


async def test_a_row_that_is_refused_fails_alone() -> None:
    scene = Scene()

    def refuse(_number: int, changes: Sequence[tuple[str, str]], carry_out: Callable[[], list[Said]]) -> list[Said]:
        said = carry_out()
        scene.org.links["r1"] = "old1"
        return [said[0], Said(Sent.REFUSED, FailureClass.REJECTED, "a rule"), said[2]]

    scene.org.on_write = refuse
    await scene.run()
    last = scene.journal.last("r1")
    assert (last.event.value, last.link_state, last.failure) == ("refused", LinkState.ORIGINAL, FailureClass.REJECTED)
    assert (scene.slices.counts.done, scene.slices.counts.failed) == (2, 1)


async def test_batches_shrink_until_the_bad_row_is_alone() -> None:
    """A trigger that fails on one row fails on its whole chunk."""
    scene = Scene(120)

    def trigger(_number: int, changes: Sequence[tuple[str, str]], carry_out: Callable[[], list[Said]]) -> list[Said]:
        if any(record == "r77" for record, _ in changes):
            sent = Sent.APART if len(changes) > 1 else Sent.REFUSED
            return [Said(sent, FailureClass.REJECTED, "trigger")] * len(changes)
        return carry_out()

    scene.org.on_write = trigger
    await scene.run()
    assert (scene.slices.counts.done, scene.slices.counts.failed) == (119, 1)
    assert scene.journal.last("r77").failure is FailureClass.REJECTED
    assert min(len(write) for write in scene.org.writes) == 1


async def test_one_record_that_locks_out_an_automation_takes_few_others_with_it() -> None:
    """A lock that a trigger meets fails on its whole chunk. It is waited for first, and then the chunk shrinks."""
    scene = Scene(120)

    def trigger(_number: int, changes: Sequence[tuple[str, str]], carry_out: Callable[[], list[Said]]) -> list[Said]:
        if any(record == "r77" for record, _ in changes):
            sent = Sent.APART if len(changes) > 1 else Sent.AGAIN
            return [Said(sent, FailureClass.THROTTLED, "trigger: UNABLE_TO_LOCK_ROW")] * len(changes)
        return carry_out()

    scene.org.on_write = trigger
    await scene.run()
    assert [len(write) for write in scene.org.writes[:3]] == [120, 120, 120]
    assert scene.slices.counts.done >= 110
    assert scene.journal.last("r77").failure is FailureClass.THROTTLED


async def test_quota_stops_the_run_and_leaves_nothing_open() -> None:
    scene = Scene(600)
    scene.changes = [change(n, f"acc{n}") for n in range(600)]

    def quota(number: int, changes: Sequence[tuple[str, str]], carry_out: Callable[[], list[Said]]) -> list[Said]:
        if number > 2:
            raise Paused("the org has used its calls")
        return carry_out()

    scene.org.on_write = quota
    with pytest.raises(Paused, match="used its calls"):
        await scene.run()
    last = {step.id: step for step in scene.journal.steps}
    assert all(step.link_state is not None for step in last.values()), "a change stayed open"
    moved = sum(link is not None and link.startswith("new") for link in scene.org.links.values())
    assert moved == scene.slices.counts.done > 0
    assert all(step.failure is None for step in last.values()), "a record was failed for a quota"


async def test_lanes_that_are_stopped_together_leave_one_error_and_no_traces() -> None:
    scene = Scene(600)
    scene.changes = [change(n, f"acc{n}") for n in range(600)]
    loud: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: loud.append(context))

    asked: list[int] = []

    def quota(number: int, _changes: Sequence[tuple[str, str]], _carry_out: Callable[[], list[Said]]) -> list[Said]:
        asked.append(number)
        raise Paused("the org has used its calls")

    scene.org.on_write = quota
    with pytest.raises(Paused, match="used its calls"):
        await scene.run()
    assert len(asked) > 1, "only one lane got there"
    gc.collect()  # what nobody asked a task for, it tells when it goes
    assert loud == []


@pytest.mark.parametrize("error", [Paused("the org has used its calls"), Transient(FailureClass.NETWORK, "no answer")])
async def test_what_could_not_even_be_read_was_not_sent_and_is_not_left_open(error: Exception) -> None:
    scene = Scene()

    def fail(_number: int) -> None:
        raise error

    scene.org.on_read = fail
    with pytest.raises(Paused):
        await scene.run()
    assert scene.org.writes == []
    assert scene.journal.of("r0") == ["intended", "refused"]
    assert scene.journal.last("r0").failure is None
    assert "not sent" in scene.journal.last("r0").message


async def test_a_user_without_rights_stops_the_run() -> None:
    scene = Scene()
    scene.org.on_write = lambda _n, changes, _c: [Said(Sent.STOP, FailureClass.REJECTED, "field-level security")] * 3
    with pytest.raises(Paused, match="lets nobody through"):
        await scene.run()
    assert all(step.failure is None for step in scene.journal.steps)
    assert scene.journal.of("r0") == ["intended", "refused"]


async def test_when_not_even_reading_works_what_is_sure_is_kept_and_the_rest_stays_open() -> None:
    scene = Scene(3)
    silent = Transient(FailureClass.NETWORK, "no answer")

    def half(_number: int, changes: Sequence[tuple[str, str]], carry_out: Callable[[], list[Said]]) -> list[Said]:
        carry_out()

        def fail(_number: int) -> None:
            raise silent

        scene.org.on_read = fail
        return [Said(Sent.DONE), Said(Sent.UNKNOWN), Said(Sent.DONE)]

    scene.org.on_write = half
    with pytest.raises(Paused, match="does not answer any more"):
        await scene.run()
    assert [scene.journal.of(f"r{n}") for n in range(3)] == [
        ["intended", "applied"],
        ["intended"],
        ["intended", "applied"],
    ]


async def test_what_a_trigger_puts_in_place_of_our_link_is_noticed() -> None:
    scene = Scene()
    scene.org.after_write = lambda: scene.org.links.update({"r1": "https://trigger.test/rewritten"})
    await scene.run()
    assert scene.journal.of("r1") == ["intended", "applied", "rewritten"]
    last = scene.journal.last("r1")
    assert (last.old, last.new, last.link_state) == ("old1", "https://trigger.test/rewritten", LinkState.OURS)
    assert (scene.slices.counts.done, scene.slices.counts.rewritten) == (2, 1)
    assert scene.slices.endings.rewritten == ("r1", "new1", "https://trigger.test/rewritten", "005us")


async def test_an_original_that_is_back_right_after_the_switch_was_put_back_by_the_org() -> None:
    scene = Scene()
    scene.org.after_write = lambda: scene.org.links.update({"r1": "old1"})
    await scene.run()
    last = scene.journal.last("r1")
    assert (last.event.value, last.link_state, last.failure) == ("settled", LinkState.ORIGINAL, "rejected")
    assert (scene.slices.counts.done, scene.slices.counts.rewritten) == (2, 1)


@pytest.mark.parametrize("undo", [False, True])
@pytest.mark.parametrize("put", ["https://users.test/later.pdf", "before", None])
async def test_what_another_user_changes_right_behind_our_write_is_an_edit(undo: bool, put: str | None) -> None:
    """Within the round trip: it is nobody's to undo, and no reason to end a switch."""
    scene = Scene(250, undo=undo)
    before, there = ("new1" if undo else "old1"), LinkState.OURS if undo else LinkState.ORIGINAL
    value = before if put == "before" else put

    def edit() -> None:
        if "r1" in scene.org.writes[-1]:
            scene.org.links["r1"] = value
            scene.org.others = {"r1"}

    scene.org.after_write = edit
    await scene.run()
    last, counts = scene.journal.last("r1"), scene.slices.counts
    assert scene.org.links["r1"] == value
    assert (last.old, last.new, last.failure) == ("old1", "new1", None)
    assert last.link_state is (there if put == "before" else LinkState.GONE if put is None else LinkState.EDITED)
    assert last.found == (value if last.link_state is LinkState.EDITED else "")
    assert (counts.done, counts.rewritten, counts.edited + counts.gone) == (249, 0, 1)
    if put is not None:
        assert "last modified by 005other" in last.message
        assert scene.slices.endings.edited_behind == ("r1", "old1" if undo else "new1", value, "005other")


@pytest.mark.parametrize("by_us", [True, False])
async def test_what_the_org_made_of_a_link_whose_answer_was_lost_is_told_from_an_edit(by_us: bool) -> None:
    scene = Scene()

    def lose(_number: int, _changes: object, carry_out: Callable[[], list[Said]]) -> list[Said]:
        carry_out()
        scene.org.links["r1"] = "new1?flow"
        scene.org.others = set() if by_us else {"r1"}
        raise LOST

    scene.org.on_write = lose
    await scene.run()
    last = scene.journal.last("r1")
    assert (last.event.value, last.link_state) == (("rewritten", "ours") if by_us else ("kept", "edited"))
    assert (scene.slices.counts.rewritten, scene.slices.counts.edited) == ((1, 0) if by_us else (0, 1))
    assert scene.slices.unseen_s >= (600 if by_us else 0)


@pytest.mark.parametrize("sent", [Sent.NOT_DONE, Sent.MOVED])
async def test_what_our_own_login_put_where_we_have_certainly_written_nothing_is_an_edit(sent: Sent) -> None:
    scene = Scene()

    def refuse(_number: int, changes: Sequence[tuple[str, str]], _carry: object) -> list[Said]:
        scene.org.links["r1"] = "https://etl.test/later"
        return [Said(sent)] * len(changes)

    scene.org.on_write = refuse
    await scene.run()
    assert scene.journal.last("r1").link_state is LinkState.EDITED


@pytest.mark.parametrize("undo", [False, True])
async def test_a_switch_sends_nothing_behind_what_the_org_has_changed_and_an_undo_goes_on(undo: bool) -> None:
    scene = Scene(250, undo=undo)

    def rewrite() -> None:
        scene.org.links |= {each: f"{scene.org.links[each]}?flow" for each in scene.org.writes[-1]}

    scene.org.after_write = rewrite
    await scene.run()
    assert [len(write) for write in scene.org.writes] == ([200, 50] if undo else [200])
    assert scene.slices.counts.rewritten == (250 if undo else 200)
    if not undo:
        assert scene.journal.of("r249") == ["intended", "refused"]


async def test_a_journal_that_cannot_be_written_stops_everything_before_the_org_hears_of_it() -> None:
    scene = Scene()
    scene.journal.error = Fatal("the disk is full")
    with pytest.raises(Fatal, match="disk is full"):
        await scene.run()
    assert scene.org.writes == []
    assert scene.org.reads == []


async def test_a_stop_ends_between_slices() -> None:
    scene = Scene(1000)
    scene.org.after_write = lambda: scene.stop.request("asked", 143)
    await scene.run()
    assert len(scene.org.writes) == 1
    assert scene.slices.counts.done == 200
    assert len(scene.journal.announced) == 200


async def test_an_outcome_is_committed_with_what_comes_next_and_never_waits_for_the_org() -> None:
    scene = Scene(450)
    seen: list[tuple[int, int]] = []

    def look(_number: int) -> None:
        outcomes = [step for step in scene.journal.steps if step.event.value == "applied"]
        seen.append((len(scene.journal.announced), len(outcomes)))

    scene.org.on_read = look
    await scene.run()
    assert seen == [(200, 0), (400, 200), (450, 400), (450, 450)]
    assert scene.journal.batches == [200, 400, 250, 50]


async def test_how_long_an_edit_could_have_gone_unseen_is_measured() -> None:
    """From the request that reads to the answer of the write; the longest of all."""
    scene = Scene(2)
    scene.changes = [change(0, "one"), change(1, "two")]
    scene.org.on_read = lambda number: scene.clock.advance(0.2 if number == 1 else 0.0)

    def slow(number: int, _changes: object, carry_out: Callable[[], list[Said]]) -> list[Said]:
        scene.clock.advance(0.3 if number == 1 else 0.1)
        return carry_out()

    scene.org.on_write = slow
    assert scene.slices.unseen_s == 0
    await scene.run([scene.changes[0]], [scene.changes[1]])
    assert scene.slices.unseen_s == pytest.approx(0.5)


async def test_strict_writes_go_by_twenty_five() -> None:
    scene = Scene(60, strict=True)
    await scene.run()
    assert [len(write) for write in scene.org.writes] == [25, 25, 10]
    assert scene.slices.counts.done == 60


async def test_a_strict_write_that_meets_an_edit_leaves_it() -> None:
    scene = Scene(3, strict=True)

    def moved(_number: int, changes: Sequence[tuple[str, str]], carry_out: Callable[[], list[Said]]) -> list[Said]:
        said = carry_out()
        scene.org.links["r1"] = "theirs"
        return [said[0], Said(Sent.MOVED), said[2]]

    scene.org.on_write = moved
    await scene.run()
    assert scene.org.links["r1"] == "theirs"
    assert scene.journal.last("r1").link_state is LinkState.EDITED


@pytest.mark.parametrize(
    ("undo", "holds", "link_state"),
    [
        (False, "new0", LinkState.OURS),
        (False, "old0", LinkState.ORIGINAL),
        (False, "theirs", LinkState.EDITED),
        (False, None, LinkState.GONE),
        (True, "new0", LinkState.OURS),
        (True, "old0", LinkState.ORIGINAL),
        (True, "theirs", LinkState.EDITED),
    ],
)
async def test_what_a_killed_run_left_open_is_settled_by_reading(
    undo: bool, holds: str | None, link_state: LinkState
) -> None:
    org = FakeOrg({"r0": holds})
    journal = FakeJournal(org)
    opened = Open("r0", "old0", "new0", wave=1, run=1, undo=undo)
    assert await settle(org, journal, [opened]) == ({link_state: 1}, [])
    assert org.writes == []
    step = journal.last("r0")
    assert (step.event.value, step.link_state, step.undo) == ("settled", link_state, undo)
    assert step.found == ("theirs" if holds == "theirs" else "")
