"""Contents follow from their seed."""

from __future__ import annotations

import pytest

from engine.rehearsal.content import BLOCK, content_blocks, content_of

SIZES = [0, 1, 39, 40, 41, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17]


@pytest.mark.parametrize("size", SIZES)
def test_a_content_has_its_size_and_can_be_made_again(size: int) -> None:
    assert len(content_of("a", size)) == size
    assert b"".join(content_blocks("a", size)) == content_of("a", size)


def test_a_short_content_begins_a_longer_one_of_the_same_seed() -> None:
    assert content_of("a", 3 * BLOCK)[:1000] == content_of("a", 1000)


def test_other_seeds_give_other_contents_in_every_block() -> None:
    ours, others = (list(content_blocks(seed, 4 * BLOCK)) for seed in "ab")

    assert len({*ours, *others}) == 8


def test_a_size_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 bytes"):
        content_of("a", -1)
