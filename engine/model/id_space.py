"""Arithmetic on Salesforce ids, to guess where records may lie. Pure.

Here an id is a number of fifteen base-62 digits. How Salesforce orders ids is not documented, so only speed may depend
on these numbers: where records lie, the server says.
"""

from __future__ import annotations

from engine.model.ids import to18

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUE = {digit: value for value, digit in enumerate(_DIGITS)}
_PLACES = 15


def position(record_id: str) -> int:
    """The number of an id of 15 or 18 characters."""
    number = 0
    for digit in record_id[:_PLACES]:
        number = number * 62 + _VALUE[digit]
    return number


def id_at(number: int) -> str:
    """The 18-character id with this number, whether a record has it or not. Numbers out of range are clamped."""
    number = min(max(number, 0), 62**_PLACES - 1)
    digits = ""
    for _ in range(_PLACES):
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    return to18(digits)
