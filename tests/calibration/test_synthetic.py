"""Random rows that every input can take."""

import numpy as np
import pytest

from snnconvert.calibration.synthetic import SYNTHETIC_ROWS, synthetic_rows


@pytest.mark.parametrize(
    ("dtype", "highest"), [("uint8", 255), ("int8", 127), ("int64", 255), ("bool", 1)]
)
def test_whole_numbers_for_inputs_of_whole_numbers(dtype: str, highest: int) -> None:
    rows, text = synthetic_rows({"x": (50,)}, {"x": dtype}, 0)
    assert text == f"of whole numbers from 0 to {highest}"
    assert rows["x"].dtype == np.float32 and rows["x"].shape == (SYNTHETIC_ROWS, 50)
    np.testing.assert_array_equal(rows["x"], rows["x"].astype(dtype).astype(np.float32))
    assert (rows["x"].min(), rows["x"].max()) == (0, highest)


def test_floats_lie_below_one_and_follow_the_seed() -> None:
    rows, text = synthetic_rows({"x": (3,)}, {"x": "float32"}, 7)
    assert text == "in [0, 1)" and 0 <= rows["x"].min() < rows["x"].max() < 1
    again, _ = synthetic_rows({"x": (3,)}, {"x": "float32"}, 7)
    other, _ = synthetic_rows({"x": (3,)}, {"x": "float32"}, 8)
    np.testing.assert_array_equal(rows["x"], again["x"])
    assert (rows["x"] != other["x"]).any()


def test_several_kinds_are_told_apart() -> None:
    _, text = synthetic_rows({"a": (1,), "b": (1,)}, {"a": "float16", "b": "uint8"}, 0)
    assert text == "in [0, 1) for 'a', of whole numbers from 0 to 255 for 'b'"
