"""Errors: what builtin each one is, its code and exit status, and the lines that a person reads."""

import json

import pytest

from snnconvert.convert import errors
from snnconvert.convert.errors import (
    ArtifactError,
    CalibrationError,
    DataError,
    MissingExtraError,
    ModelFileError,
    OpenShapeError,
    OutputError,
    ParityError,
    Problem,
    ResumeError,
    SnnConvertError,
    UnsupportedModelError,
    UsageError,
    did_you_mean,
)

KINDS = [
    (SnnConvertError, Exception, "error", 1),
    (UsageError, ValueError, "usage", 2),
    (ModelFileError, ValueError, "invalid-model", 2),
    (OpenShapeError, ValueError, "open-shape", 2),
    (DataError, ValueError, "invalid-data", 2),
    (ArtifactError, ValueError, "invalid-artifact", 2),
    (ResumeError, ValueError, "resume", 2),
    (MissingExtraError, ImportError, "missing-extra", 2),
    (OutputError, OSError, "output", 2),
    (CalibrationError, ValueError, "calibration", 1),
    (ParityError, RuntimeError, "parity", 1),
    (UnsupportedModelError, NotImplementedError, "unsupported-model", 3),
]


@pytest.mark.parametrize(("kind", "builtin", "code", "exit_code"), KINDS)
def test_each_error_is_ours_and_a_builtin(
    kind: type[SnnConvertError], builtin: type[Exception], code: str, exit_code: int
) -> None:
    assert issubclass(kind, SnnConvertError)
    assert issubclass(kind, builtin)
    assert (kind.code, kind.exit_code) == (code, exit_code)


def test_every_error_is_in_the_table() -> None:
    found = {e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)}
    assert found == {kind for kind, *_ in KINDS}
    codes = [code for _, _, code, _ in KINDS]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", [kind for kind, *_ in KINDS if kind is not UnsupportedModelError])
def test_all_parts_are_rendered(kind: type[SnnConvertError]) -> None:
    error = kind("it failed", where="here", why="because", hint="try that")
    assert error.render() == "\n".join(
        [
            f"error: it failed  [{kind.code}]",
            "  where: here",
            "  why:   because",
            "  hint:  try that",
        ]
    )
    assert str(error) == "it failed; here; because; try that"
    assert error.to_json() == {
        "code": kind.code,
        "message": "it failed",
        "where": "here",
        "why": "because",
        "hint": "try that",
    }


def test_empty_parts_leave_no_line() -> None:
    assert UsageError("it failed").render() == "error: it failed  [usage]"
    assert str(UsageError("it failed")) == "it failed"
    assert UsageError("it failed", hint="x").render().splitlines()[1:] == ["  hint:  x"]


def test_an_error_keeps_its_arguments() -> None:
    error = OutputError("cannot write", why="disk full")
    assert error.args == ("cannot write",)
    assert (error.message, error.why, error.where, error.hint) == (
        "cannot write",
        "disk full",
        "",
        "",
    )


PROBLEMS = (
    Problem("unsupported-operator", "LSTM cannot be converted", "lstm", "node 3 of 9", "w", "h"),
    Problem("target-limit", "too large"),
)


def test_all_problems_are_listed() -> None:
    error = UnsupportedModelError(iter(PROBLEMS), model="net.onnx")
    assert error.problems == PROBLEMS
    assert error.render() == "\n".join(
        [
            "error: LSTM cannot be converted  [unsupported-operator]",
            "  where: node 3 of 9",
            "  why:   w",
            "  hint:  h",
            "error: too large  [target-limit]",
            "net.onnx cannot be converted: 2 problems",
        ]
    )
    assert str(error) == (
        "net.onnx cannot be converted: 2 problems: LSTM cannot be converted (node 3 of 9); "
        "too large"
    )


def test_one_problem_is_no_plural() -> None:
    error = UnsupportedModelError(PROBLEMS[:1])
    assert error.message == "the model cannot be converted: 1 problem"


def test_problems_are_json() -> None:
    stored = json.loads(json.dumps(UnsupportedModelError(PROBLEMS).to_json()))
    assert stored["code"] == "unsupported-model"
    assert stored["problems"] == [
        {
            "code": "unsupported-operator",
            "message": "LSTM cannot be converted",
            "node": "lstm",
            "place": "node 3 of 9",
            "why": "w",
            "hint": "h",
        },
        {
            "code": "target-limit",
            "message": "too large",
            "node": "",
            "place": "",
            "why": "",
            "hint": "",
        },
    ]


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("loih", ["cpu", "loihi"], "did you mean 'loihi'?"),
        ("percentil", ["max", "percentile"], "did you mean 'percentile'?"),
        ("tpu", ["nengo", "loihi"], "known: loihi, nengo"),
        ("", ["b", "a"], "known: a, b"),
        ("anything", [], "none is known"),
    ],
)
def test_the_nearest_name_is_suggested(name: str, known: list[str], hint: str) -> None:
    assert did_you_mean(name, known) == hint
