"""How far a run may reach: flags and the settings' test switches, where the narrower always wins."""

from __future__ import annotations

from dataclasses import dataclass

from engine.model.errors import Usage
from engine.model.ids import to18
from engine.settings import RestrictionSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFlags:
    """What each ``engine run …`` takes; None: not given."""

    account: str | None = None
    limit: int | None = None
    dry_run: bool | None = None
    max_duration_s: float | None = None
    repeated: str = ""
    """As ``command.as_flags`` has them: what the command that goes on must repeat."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a run is restricted to."""

    account_id: str | None = None
    limit: int | None = None
    dry_run: bool = False

    @property
    def whole(self) -> bool:
        """Nothing restricts the scan: its end may move the watermark and tell which records are gone."""
        return self.account_id is None and self.limit is None and not self.dry_run


def bounds_of(
    restrictions: RestrictionSettings,
    *,
    account: str | None = None,
    limit: int | None = None,
    dry_run: bool | None = None,
    writing: str = "--no-dry-run",
) -> Bounds:
    """The bounds of a run. ``None``: flag not given. ``writing``: the flag that stands for ``dry_run=False``.

    Raises Usage where a flag would widen the test settings.
    """
    account_id = _account(account, "--account") if account is not None else None
    if restrictions.test_single_account:
        test_account = _account(restrictions.test_account_id or "", "migration.test_account_id")
        if account_id is not None and account_id != test_account:
            msg = f"--account {account} reaches beyond migration.test_account_id ({restrictions.test_account_id})"
            raise Usage(msg, hint="Leave the flag out, or turn migration.test_single_account off.")
        account_id = test_account
    most = restrictions.max_test_files
    if most is not None:
        if limit is not None and limit > most:
            msg = f"--limit {limit} reaches beyond migration.max_test_files ({most})"
            raise Usage(msg, hint="Use a smaller --limit, or clear migration.max_test_files.")
        limit = limit if limit is not None else most
    if restrictions.dry_run and dry_run is False:
        raise Usage(
            f"{writing} would override migration.dry_run: true",
            hint="Set migration.dry_run to false to let runs write.",
        )
    return Bounds(account_id, limit, bool(dry_run) or restrictions.dry_run)


def _account(text: str, name: str) -> str:
    try:
        return to18(text)
    except ValueError as error:
        msg = f"{name} {text!r} is not a Salesforce Id: {error}"
        raise Usage(msg, hint="An Id has 15 or 18 letters and digits, such as 0013D00000AbcDeQAF.") from error
