"""What labels mean for an output, and what is refused."""

from typing import Any

import numpy as np
import pytest

from snnconvert.convert.errors import DataError, SnnConvertError, UsageError
from snnconvert.reports.metrics import find_metric
from snnconvert.reports.readings import OutputLayout
from snnconvert.reports.targets import decides, read_targets

N = 6
NUMBERS = np.linspace(-1.5, 2, N)


def read(labels: Any, shape: tuple[int, ...], metric: Any = None, **layout: Any) -> Any:
    made = OutputLayout("out", shape, layout.pop("given", shape), **layout)
    return read_targets(np.asarray(labels), made, find_metric(metric), N)


@pytest.mark.parametrize(
    ("labels", "shape", "layout", "names"),
    [
        (np.arange(N), (10,), {}, ["accuracy"]),
        (np.arange(N)[:, None], (10, 1, 1), {}, ["accuracy"]),
        (np.arange(N, dtype=float), (10,), {}, ["accuracy"]),
        (np.eye(N), (N,), {}, ["accuracy"]),
        (np.arange(N) % 2, (1,), {}, ["accuracy"]),
        (np.arange(N) % 2 == 1, (), {}, ["accuracy"]),
        ((np.arange(N) % 2.0)[:, None], (1,), {"probability": True}, ["accuracy"]),
        (NUMBERS, (1,), {}, ["mae", "r2"]),
        (NUMBERS[:, None], (), {}, ["mae", "r2"]),
        (np.ones((N, 3)) * 0.5, (3,), {}, ["mae", "r2"]),
        (np.full((N, 1, 4, 4), 200, np.uint8), (1, 4, 4), {}, ["mae", "r2"]),
        (np.zeros((N, 4, 4), int), (3, 4, 4), {}, ["miou", "pixel_accuracy"]),
        (np.zeros((N, 4, 4), int), (3, 4, 4), {"given": (4, 4)}, ["miou", "pixel_accuracy"]),
        (np.zeros((N, 4), int), (4, 3), {}, ["miou", "pixel_accuracy"]),
        (np.zeros((N, 2, 3, 4), int), (5, 2, 3, 4), {}, ["miou", "pixel_accuracy"]),
        (np.zeros((N, 4, 4), int), (1, 4, 4), {}, ["miou", "pixel_accuracy"]),
        (np.ones((N, 7), int), (7,), {"probability": True}, ["binary_accuracy"]),
    ],
)
def test_the_metric_is_chosen_by_the_labels(
    labels: Any, shape: tuple[int, ...], layout: dict[str, Any], names: list[str]
) -> None:
    assert [m.name for m in read(labels, shape, **layout).metrics] == names


def test_the_axis_of_a_softmax_decides_where_two_fit() -> None:
    labels = np.zeros((N, 3), int)
    assert read(labels, (3, 3)).axis == 0
    assert read(labels, (3, 3), class_axis=1).axis == 1


@pytest.mark.parametrize(
    ("shape", "layout", "decisions"),
    [
        ((10,), {}, True),
        ((10, 1, 1), {}, True),
        ((1,), {}, False),
        ((1,), {"probability": True}, True),
        ((3, 8, 8), {}, False),
        ((3, 8, 8), {"class_axis": 0}, True),
    ],
)
def test_outputs_without_labels(
    shape: tuple[int, ...], layout: dict[str, Any], decisions: bool
) -> None:
    assert decides(OutputLayout("out", shape, shape, **layout)) is decisions


NAN = np.where(np.arange(N) % 4 == 3, np.nan, NUMBERS)


@pytest.mark.parametrize(
    ("labels", "shape", "metric", "message"),
    [
        (np.arange(5), (10,), None, "output 'out': 5 labels for 6 rows"),
        (np.arange(7), (10,), None, "output 'out': 7 labels for 6 rows"),
        (3, (10,), None, "output 'out': 1 labels for 6 rows"),
        (["cat"] * N, (10,), None, "labels of output 'out' have dtype <U3, which is no number"),
        (
            NAN,
            (1,),
            None,
            "labels of output 'out' hold NaN or infinite values (1 of 6 rows; the first is row 3)",
        ),
        (
            np.arange(N),
            (4,),
            None,
            "label 4 is out of range: output 'out' has 4 classes (2 of 6 rows have such a label)",
        ),
        (
            np.arange(N) - 1,
            (10,),
            None,
            "label -1 is out of range: output 'out' has 10 classes (1 of 6 rows have such a label)",
        ),
        (
            np.arange(N),
            (1,),
            None,
            "label 2 is out of range: output 'out' has 2 classes (4 of 6 rows have such a label)",
        ),
        (
            NUMBERS,
            (10,),
            None,
            "labels of output 'out' must be whole class numbers, not float64 with values such as "
            "-1.5",
        ),
        (
            np.zeros((N, 7)),
            (10,),
            None,
            "labels of shape (6, 7) do not fit output 'out' of shape (6, 10) (metric mae)",
        ),
        (
            np.zeros(N, int),
            (3, 4, 4),
            "accuracy",
            "labels of shape (6,) do not fit output 'out' of shape (6, 3, 4, 4) (metric accuracy)",
        ),
        (
            np.zeros((N, 4, 4), int),
            (3, 4, 4),
            "top2",
            "metric top2 takes one label a row, output 'out' has labels of shape (6, 4, 4): 16 a "
            "row",
        ),
        (
            np.zeros(N, int),
            (10,),
            "mse",
            "labels of shape (6,) do not fit output 'out' of shape (6, 10) (metric mse)",
        ),
        (
            np.full((N, 4, 4), 255),
            (3, 4, 4),
            None,
            "no label of output 'out' counts: all are 255",
        ),
        (
            np.full((N, 4, 4), 7),
            (3, 4, 4),
            "miou:0",
            "label 7 is out of range: output 'out' has 3 classes (6 of 6 rows have such a label)",
        ),
        (
            np.arange(N),
            (10,),
            "top10",
            "metric top10 is always 1: output 'out' has 10 classes",
        ),
    ],
)
def test_labels_that_do_not_fit(
    labels: Any, shape: tuple[int, ...], metric: str | None, message: str
) -> None:
    with pytest.raises(SnnConvertError) as caught:
        read(labels, shape, metric)
    assert isinstance(caught.value, DataError | UsageError)
    assert caught.value.message == message


def test_class_numbers_are_not_advised_where_they_were_given() -> None:
    with pytest.raises(DataError) as caught:
        read(np.zeros(N, int), (10,), "mse")
    assert caught.value.hint == (
        "give values (6, 10), or class numbers a metric of their own: accuracy, topK, miou"
    )


def test_the_hint_names_the_shapes_that_fit() -> None:
    with pytest.raises(DataError) as caught:
        read(np.zeros((N, 7)), (10,))
    assert caught.value.hint == "give values (6, 10) or class numbers (6,)"
    with pytest.raises(DataError) as caught:
        read(np.zeros((N, 7, 7), int), (3, 4, 4), "miou")
    assert caught.value.hint == "give class numbers (6, 4, 4)"
    with pytest.raises(DataError) as caught:
        read(np.arange(N), (1,))
    assert "for outputs that are numbers, not classes: metric mae, mse or r2" in caught.value.hint
