import numpy as np
import pytest

from snnconvert.calibration.layout import find_layout
from snnconvert.convert.errors import DataError
from snnconvert.convert.linear import Shape


@pytest.mark.parametrize(
    ("rows", "needed", "found"),
    [
        ((32, 32, 3), (3, 32, 32), "channels last"),
        ((3, 32, 32), (32, 32, 3), "channels first"),
        ((28, 28, 1), (1, 28, 28), "channels last"),
        ((28, 28), (1, 28, 28), "a missing channel axis"),
        ((28, 28), (28, 28, 1), "a missing channel axis"),
        ((1, 28, 28), (28, 28), "an extra axis of extent 1"),
        ((50, 6), (6, 50), "channels last"),
    ],
)
def test_a_mismatch_that_the_shapes_decide_is_fixed_and_said(
    rows: Shape, needed: Shape, found: str
) -> None:
    layout = find_layout(rows, needed, "image", "calibration")
    assert layout.note == (
        f"rows for input 'image' had shape {rows}: taken as {found} and changed to {needed}"
    )
    assert layout.move(np.zeros((2, *rows))).shape == (2, *needed)


def test_channels_keep_their_content(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 5, 6, 3))
    moved = find_layout((5, 6, 3), (3, 5, 6), "x", "calibration").move(x)
    np.testing.assert_array_equal(moved, x.transpose(0, 3, 1, 2))
    back = find_layout((3, 5, 6), (5, 6, 3), "x", "calibration").move(moved)
    np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize("shape", [(3, 3, 3), (3, 8, 8), (8,), (28, 28)])
def test_rows_that_fit_are_not_touched(shape: Shape) -> None:
    layout = find_layout(shape, shape, "x", "calibration")
    x = np.zeros((2, *shape))
    assert layout.move(x) is x
    assert layout.note == ""


@pytest.mark.parametrize(
    ("rows", "needed", "hint"),
    [
        ((3, 28, 28), (1, 28, 28), "the first axis counts the rows"),
        ((32, 32), (3, 32, 32), "one row was given without its batch axis? use x[None]"),
        ((28, 28), (784,), "the sizes agree: reshape the rows with x.reshape(len(x), 784)"),
        ((), (10,), "one row was given without its batch axis? use x[None]"),
    ],
)
def test_shapes_that_do_not_go_together(rows: Shape, needed: Shape, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        find_layout(rows, needed, "image", "evaluation")
    assert (
        caught.value.message == f"evaluation rows have shape {rows}, input 'image' needs {needed}"
    )
    assert caught.value.hint.startswith(hint)
