"""Record ids: the checksum, and what is refused."""

from __future__ import annotations

import pytest

from engine.model.ids import is_id, to18

# Printed as 18-character ids in Salesforce's own guides.
DOCUMENTED = [
    ("001D000000IRFma", "IAH"),
    ("001xx000003DGb2", "AAG"),
    ("003RO0000035WQg", "YAM"),
    ("a00D0000008pQRA", "IA2"),
    ("a02D0000006YL7X", "IAW"),
    ("001D000000K0fXO", "IAZ"),
    ("750R0000000zlh9", "IAA"),
    ("01g5e00001AH2dO", "AAT"),
]


@pytest.mark.parametrize(("core", "suffix"), DOCUMENTED)
def test_a_short_id_gains_the_documented_checksum(core: str, suffix: str) -> None:
    assert to18(core) == core + suffix


@pytest.mark.parametrize(("core", "suffix"), DOCUMENTED)
def test_a_long_id_with_a_fitting_checksum_is_kept(core: str, suffix: str) -> None:
    assert to18(core + suffix) == core + suffix


@pytest.mark.parametrize(
    "text",
    ["", "001", "001D000000IRFm", "001D000000IRFmaI", "001D000000IRFmaIAHx", "001D000000IRF-a", "001D000000IRFmä"],
)
def test_text_of_another_shape_is_refused(text: str) -> None:
    assert not is_id(text)
    with pytest.raises(ValueError, match="not a Salesforce id"):
        to18(text)


def test_a_long_id_whose_case_was_lost_is_refused() -> None:
    assert is_id("001D000000IRFmaIAH")
    assert not is_id("001d000000irfmaIAH")
    with pytest.raises(ValueError, match="changed case"):
        to18("001d000000irfmaIAH")
