"""What users and others do to org and store, and what an operator does to the box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.bucket import OURS, VENDOR, Held
from tests.simulation.story import Item
from tests.simulation.world import SimWorld, vendor


def arrange(world: SimWorld, item: Item) -> None:
    """What is so from the beginning of an act on."""
    match item.kind:
        case "lock":
            name = sorted(world.org.accounts)[item.pick % len(world.org.accounts)]
            world.org.locks[name] = world.timeline.now + item.seconds
        case "rule":
            names = sorted(world.org.entries)
            world.org.rejected.add(names[item.pick % len(names)])
        case "archive":
            keys = sorted(key for key in world.store.objects[OURS] if not key.startswith(".engine/"))
            if keys:
                key = keys[item.pick % len(keys)]
                held = world.store.objects[OURS][key]
                world.store.objects[OURS][key] = Held(held.body, held.at, "GLACIER")
                world.spoilt[key] = world.timeline.now
        case "vanish":
            lose_object(world, item)
        case "revise":
            key = sorted(world.store.objects[VENDOR])[item.pick % len(world.store.objects[VENDOR])]
            world.versions.setdefault(key, []).append(world.store.objects[VENDOR][key].body)
            body = f"content of {key}, changed {item.pick}\n".encode()
            world.store.objects[VENDOR][key] = Held(body, world.timeline.now)
        case "damage":
            world.store.damaged = range(item.at, item.at + item.pick)
        case "squat":
            world.squatted = True
            entry = world.org.entries[sorted(world.org.entries)[item.pick]]
            name = entry.url.rpartition("/")[2]
            key = f"uploads/{entry.account or 'no-account'}/{entry.id}/{name}"
            world.store.objects[OURS][key] = Held(b"somebody else's\n", world.timeline.now)
        case "flow":
            world.org.flow = flow(item.what, sorted(world.org.accounts)[item.pick % len(world.org.accounts)])


def lose_object(world: SimWorld, item: Item) -> None:
    """Somebody deletes a copy, or writes over it."""
    objects = world.store.objects[OURS]
    keys = sorted(key for key in objects if not key.startswith(".engine/"))
    if not keys:
        return
    key = keys[item.pick % len(keys)]
    world.spoilt[key] = world.timeline.now
    if item.what == "gone":
        del objects[key]
    else:
        objects[key] = Held(b"somebody else's\n", world.timeline.now)


def edit(world: SimWorld, item: Item) -> None:
    """What a user does."""
    pick = item.pick
    names = sorted(world.org.entries)
    entry = world.org.entries[names[pick % len(names)]]
    values = [change.value for change in entry.history if change.value]
    ours = [change.value for change in entry.history if change.who == "api" and change.value]
    world.trace(f"user {item.what} {entry.id}")
    match item.what:
        case "delete":
            world.org.delete(entry.id)
        case "hide":
            world.org.delete(entry.id, hide=True)
        case "back":
            world.org.delete(entry.id, back=True)
            world.org.delete(entry.id, back=True, hide=True)
        case _ if not entry.seen:
            return
        case "clear":
            world.org.edit(entry.id, "")
        case "original":
            world.org.edit(entry.id, values[0])
        case "ours" if ours:
            world.org.edit(entry.id, ours[pick % len(ours)])
        case "earlier":
            world.org.edit(entry.id, values[pick % len(values)])
        case "swap":
            world.org.edit(entry.id, world.org.entries[names[(pick // 7) % len(names)]].url)
        case "file":
            key = f"docs/edit-{pick}.pdf"
            world.store.objects[VENDOR][key] = Held(f"content of {key}\n".encode(), world.timeline.now)
            world.org.edit(entry.id, vendor(key))
        case _:
            world.org.edit(entry.id, f"https://elsewhere.example/{pick}.pdf")


def flow(what: str, account: str) -> Callable[[Any, str, str], str]:
    makes: dict[str, Callable[[str, str], str]] = {
        "append": lambda written, _before: f"{written}?by=flow",
        "lower": lambda written, _before: written.lower(),
        "revert": lambda _written, before: before,
        "trim": lambda written, _before: written[:-4],
    }
    make = makes[what]
    return lambda entry, written, before: make(written, before) if entry.account == account else written
