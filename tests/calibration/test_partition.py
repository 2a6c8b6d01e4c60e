"""Rows are divided by what they hold."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.calibration.data import open_samples, row_digests
from snnconvert.calibration.partition import digests_of, held_out, shared_with

digests = st.lists(st.integers(0, 2**256 - 1), max_size=30)


@given(digests, st.integers(1, 5))
def test_one_distinct_row_in_so_many_is_held_out(rows: list[int], share: int) -> None:
    out = held_out(rows, share)
    assert len(out) == len(rows)
    assert len({d for d, o in zip(rows, out, strict=True) if o}) == len(set(rows)) // share


@given(digests, st.randoms())
def test_equal_rows_fall_on_one_side_in_any_order(rows: list[int], random: object) -> None:
    rows = rows + rows[:5]
    sides = dict(zip(rows, held_out(rows), strict=True))
    random.shuffle(rows)  # type: ignore[attr-defined]
    assert dict(zip(rows, held_out(rows), strict=True)) == sides
    assert all(
        len({bool(o) for d, o in zip(rows, held_out(rows), strict=True) if d == digest}) == 1
        for digest, count in Counter(rows).items()
        if count > 1
    )


def test_the_digests_of_a_source_are_those_of_its_rows(rng: np.random.Generator) -> None:
    x = rng.random((7, 3), np.float32)
    source = open_samples(x, {"x": (3,)}, batch_size=2)
    assert digests_of(source) == row_digests({"x": x})


def test_shared_rows() -> None:
    assert shared_with([1, 2, 3, 2], [2, 9]).tolist() == [False, True, False, True]
    assert shared_with([], [1]).tolist() == []
