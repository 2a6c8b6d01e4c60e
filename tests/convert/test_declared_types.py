"""Values against annotations."""

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from snnconvert.convert.declared_types import check_fields, conforms
from snnconvert.convert.linear import Chain, Reshape, Shape


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (3, int),
        (3, float),
        (3.5, float),
        ("a", str),
        (True, bool),
        (None, int | None),
        ("a", Literal["a", "b"]),
        ((), tuple[int, ...]),
        ((1, 2), Shape),
        ((1, "a"), tuple[int, str]),
        (((1, 2), (3, 4)), tuple[tuple[int, int], ...]),
        ({"a": (1,)}, dict[str, Shape]),
        ({"a": object()}, dict[str, Any]),
        (np.zeros(3, np.float32), npt.NDArray[np.floating[Any]]),
        (np.zeros(3, np.int64), npt.NDArray[np.floating[Any]]),
        ((Reshape((1,), (1,)),), Chain),
    ],
)
def test_what_conforms(value: Any, hint: Any) -> None:
    assert conforms(value, hint)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (True, int),
        (True, float),
        (3.0, int),
        ("3", int),
        (3, str),
        (3, bool),
        ("a", int | None),
        ("c", Literal["a", "b"]),
        (["a"], Literal["a", "b"]),
        ([1, 2], Shape),
        ((1, "a"), Shape),
        ((1,), tuple[int, str]),
        ((1, 2), tuple[int, str]),
        ({1: (1,)}, dict[str, Shape]),
        ({"a": 1}, dict[str, Shape]),
        (0.5, npt.NDArray[np.floating[Any]]),
        (np.array(["a"]), npt.NDArray[np.floating[Any]]),
        ((3,), Chain),
    ],
)
def test_what_does_not(value: Any, hint: Any) -> None:
    assert not conforms(value, hint)


@dataclass
class Example:
    size: int
    label: "str | None" = None


def test_the_field_and_the_value_are_named() -> None:
    check_fields(Example, {"size": 3, "unknown": object()})
    with pytest.raises(TypeError, match=re.escape("Example.size cannot be 'big'")):
        check_fields(Example, {"size": "big"})
    with pytest.raises(TypeError, match=r"Example\.label cannot be a list"):
        check_fields(Example, {"size": 3, "label": [0] * 99})
    with pytest.raises(TypeError, match=r"Example\.size cannot be an array of float64"):
        check_fields(Example, {"size": np.zeros(9)})
