"""Fingerprints tell apart what differs, and nothing else."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from snnconvert.convert.fingerprint import fingerprint


@dataclass
class Named:
    name: str
    weights: Any = None


@dataclass
class Other:
    name: str
    weights: Any = None


def matrix(entry: float, column: int = 1) -> sp.csr_array:
    return sp.csr_array(([entry], ([0], [column])), shape=(2, 3))


VALUES: dict[str, Any] = {
    "nothing": None,
    "zero": 0,
    "no": False,
    "a float": 0.0,
    "a minus": -0.0,
    "a text": "0",
    "bytes": b"0",
    "float64": np.float64(0),
    "a list": [0],
    "lists": [[0]],
    "two": [0, 0],
    "two lists": [[0], [0]],
    "a mapping": {"a": 0},
    "another key": {"b": 0},
    "an array": np.zeros(2),
    "single": np.zeros(2, np.float32),
    "a row": np.zeros((1, 2)),
    "negative zeros": np.array([0.0, -0.0]),
    "not a number": np.array([0.0, np.nan]),
    "a matrix": matrix(1.0),
    "another place": matrix(1.0, 2),
    "an object": Named("a"),
    "of another type": Other("a"),
    "with weights": Named("a", np.zeros(2)),
    "a function": len,
    "another function": max,
}


def test_whatever_differs_has_another_fingerprint() -> None:
    found = {name: fingerprint(value) for name, value in VALUES.items()}
    assert len(set(found.values())) == len(VALUES)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3))),
        ([1, 2], (1, 2)),
        (matrix(1.0), matrix(1.0)),
        (Named("a", [np.ones(3)]), Named("a", [np.ones(3)])),
        (np.array([np.nan]), np.array([np.nan])),
    ],
)
def test_the_same_content_has_the_same_fingerprint(one: Any, other: Any) -> None:
    assert fingerprint(one) == fingerprint(other)
    assert len(fingerprint(one)) == 64
