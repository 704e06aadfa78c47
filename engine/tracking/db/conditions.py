"""Conditions on rows, as SQL: the sets of states of ``model/outcome.py``, and what queries ask an index for."""

from __future__ import annotations

from collections.abc import Iterable

from engine.model.change import LinkState
from engine.model.outcome import COPIED_STATES, SWITCHABLE_STATES, TO_DO_STATES


def among(column: str, words: Iterable[str]) -> str:
    """The column holds one of these words.

    Spelt out, because SQLite builds a temporary table for an IN list of three or more, anew for each row of an
    ``executemany``: as IN lists these checks take half the time of an upsert.
    """
    return "(" + " OR ".join(f"{column} = '{word}'" for word in words) + ")"


#: The row claims a proved copy.
COPIED = among("status", COPIED_STATES)
#: The same, in the words that ``files_by_source`` is asked in.
PROVED = f"({COPIED} AND proof IS NOT NULL)"
#: A switch may take the link, once the copy's proof is accepted.
SWITCHABLE = among("status", SWITCHABLE_STATES)
#: An incremental run looks at the row again.
TO_DO = among("status", TO_DO_STATES)
#: The link is ours, but what it points at is to be proved anew.
UNPROVED = "status = 'switched' AND verified_at IS NULL"
_FIRST_WORD = "substr(detail, 1, instr(detail || ':', ':') - 1)"
#: Where a link stands, by a row of the journal; earlier versions began its ``detail`` with that.
LINK_STATE = f"coalesce(link_state, CASE WHEN {among(_FIRST_WORD, LinkState)} THEN {_FIRST_WORD} END)"
#: Whose record ``f`` is. Where no scan has told yet, it might be anybody's: those count as of one account, so that no
#: two of them are written at once.
ACCOUNT = (
    "CASE WHEN f.id IS NULL OR (f.account_id = '' AND f.last_modified_sf IS NULL) THEN 'unknown' ELSE f.account_id END"
)
#: Ids of the records that are waived now: the latest row of each says so.
WAIVED = """
SELECT doclist_entry_id FROM waivers w WHERE event = 'waived'
    AND id = (SELECT max(id) FROM waivers x WHERE x.doclist_entry_id = w.doclist_entry_id)
"""
