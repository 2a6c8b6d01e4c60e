import json
from typing import Any

import numpy as np
import pytest

from snnconvert.calibration.data import Preprocessing
from snnconvert.convert.errors import UsageError


def test_scale_mean_and_std_along_the_channel_axis(rng: np.random.Generator) -> None:
    raw = rng.integers(0, 256, (4, 3, 5, 6), np.uint8)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    expected = np.stack([(raw[:, c] / 255 - mean[c]) / std[c] for c in range(3)], axis=1)
    preprocessing = Preprocessing(1 / 255, mean, std)
    first = preprocessing.apply(raw, channel_axis=0)
    last = preprocessing.apply(raw.transpose(0, 2, 3, 1), channel_axis=2)
    assert first.dtype == np.float32
    np.testing.assert_allclose(first, expected, rtol=1e-6)
    np.testing.assert_array_equal(last, first.transpose(0, 2, 3, 1))


def test_one_entry_serves_every_channel() -> None:
    x = np.arange(6, dtype=np.float32).reshape(1, 3, 2)
    assert Preprocessing(mean=(1,), std=(2,)).apply(x, 0).ravel().tolist() == [
        (v - 1) / 2 for v in range(6)
    ]


def test_nothing_to_do_only_casts() -> None:
    raw = np.arange(4, dtype=np.uint8).reshape(1, 4)
    result = Preprocessing().apply(raw, 0)
    assert result.dtype == np.float32
    assert result.tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("shape", "axis"), [((3, 8, 8), 0), ((8, 8, 3), 2), ((3, 8, 3), 0), ((3,), 0)]
)
def test_channel_axis_is_the_one_with_as_many_entries(shape: tuple[int, ...], axis: int) -> None:
    assert Preprocessing(mean=(1, 2, 3)).channel_axis(shape, "x") == axis
    assert Preprocessing(std=(1, 2, 3)).channel_axis(shape, "x") == axis


def test_wrong_number_of_entries_is_refused_with_both_numbers() -> None:
    with pytest.raises(UsageError) as caught:
        Preprocessing(mean=(1, 2, 3)).channel_axis((1, 28, 28), "image")
    assert caught.value.message == "mean has 3 entries, input 'image' has shape (1, 28, 28)"
    assert caught.value.hint == "give one mean, or one for each channel"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": 0.0}, "scale must not be zero"),
        ({"scale": np.inf}, "scale must be finite, not inf"),
        ({"scale": "a"}, "scale must be a number: could not convert string to float: 'a'"),
        ({"mean": ()}, "mean is empty"),
        ({"std": "a"}, "std must be a sequence of numbers: could not convert string to float: 'a'"),
        ({"mean": (np.nan,)}, "mean must be finite: (nan,)"),
        ({"std": (1.0, 0.0)}, "std must not hold a zero: (1.0, 0.0)"),
    ],
)
def test_numbers_that_cannot_be_used(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Preprocessing(**fields)  # type: ignore[arg-type]
    assert caught.value.message == f"preprocessing: {message}"


def test_one_entry_may_be_a_number() -> None:
    two: Any = np.array(2.0)
    given = Preprocessing.of(None, 0.5, two)
    assert given == Preprocessing(mean=(0.5,), std=(2.0,))
    assert Preprocessing.of(2, None, [1, 2]) == Preprocessing(2.0, None, (1.0, 2.0))
    letter: Any = "a"
    with pytest.raises(UsageError, match="mean must be a sequence of numbers"):
        Preprocessing.of(None, letter, None)


@pytest.mark.parametrize(
    "preprocessing", [Preprocessing(), Preprocessing(1 / 255, (0.1, 0.2), (0.3,))]
)
def test_json_round_trip(preprocessing: Preprocessing) -> None:
    text = json.dumps(preprocessing.to_json())
    assert Preprocessing.from_json(json.loads(text)) == preprocessing
