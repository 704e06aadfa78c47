"""The form of every JSON answer: its keys, their types and their meaning.

These are types alone; no command needs them to run. ``docs/json.md`` and ``docs/schemas/`` are made of them, and the
tests hold real answers against those. A key is described by the text below it. ``Old name of`` marks one that another
has replaced, and that goes with the next version.
"""

from __future__ import annotations

from engine.model.answers.analysis import Analysis
from engine.model.answers.checks import Audit, Diagnosis, Policies, Sweep, Verdict
from engine.model.answers.legacy import Imported
from engine.model.answers.others import Accounts, Exported, Rebuilt, Snapshot, Tuned, Waived
from engine.model.answers.runs import Backup, LinkChange, Verify
from engine.model.answers.status import Status

ANSWERS: dict[str, tuple[type, ...]] = {
    "doctor": (Diagnosis, Policies),
    "accounts": (Accounts,),
    "analyze": (Analysis,),
    "import-legacy": (Imported,),
    "run backup": (Backup,),
    "run switch": (LinkChange,),
    "run rollback": (LinkChange,),
    "status": (Status,),
    "report": (Verdict,),
    "export": (Exported,),
    "verify": (Verify,),
    "audit": (Audit,),
    "sweep": (Sweep,),
    "waive": (Waived,),
    "db snapshot": (Snapshot,),
    "db rebuild": (Rebuilt,),
    "tune": (Tuned,),
}
"""By command, in the order of use; ``Failure`` may stand in for each."""

WORDS = {
    "record_id": "The record's Salesforce Id.",
    "example_record_id": "The Salesforce Id of one of them.",
    "run_id": "The run's number in the tracking DB.",
    "account_name": "The account's name.",
    "wave": "The wave's number, from 1; 0: none.",
    "failure_class": "See [failure classes](failures.md#failure-classes).",
    "records": "How many records.",
    "files": "How many files.",
    "bytes": "Bytes of all of them. `null`: not known.",
    "to_copy": "What a backup would copy.",
    "done": "What is copied already.",
    "host": "The name of the host.",
    "file": "The file that was written.",
    "retries": "Tries beyond the first.",
    "refusals": "Requests that a store refused for now.",
    "pending": "To be copied.",
    "backed_up": "Copied and proved.",
    "failed": "Could not be done.",
    "skipped": "Left out.",
    "switched": "Their links lead to our copies.",
    "rolled_back": "Their links were put back.",
    "gone": "Deleted in Salesforce, or hidden from this login.",
    "already": "They were so before.",
    "edited": "Edited by others, and left alone.",
    "missing": "Left alone: their copy is not there.",
    "archived": "Left alone: their copy cannot be opened.",
    "stale": "Changed since the plan.",
    "rewritten": "Written, but the org changed the value.",
}
"""What a key of this name means wherever no text stands below it."""
