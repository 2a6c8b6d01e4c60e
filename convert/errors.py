"""Errors: what happened, where, why, and what to do next.

One root, :class:`SnnConvertError`. Each error is also the builtin that it is, carries a stable
``code`` for machines and the command line's exit status. The texts are rendered by cli.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Problem:
    """One reason why a model cannot be converted for a target.

    Attributes
    ----------
    code : str
        Stable machine-readable kind, for example ``"unsupported-operator"``.
    message : str
        What cannot be done.
    node : str
        The ONNX node's name ("" when the problem is not one node's).
    place : str
        Where the node stands: its position in the file and its operator.
    why, hint : str
        The reason, and what to do about it.
    """

    code: str
    message: str
    node: str = ""
    place: str = ""
    why: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the fields as a JSON-ready dictionary."""
        return asdict(self)

    def render(self) -> str:
        """Return the problem as the lines a terminal shows."""
        return render_lines(f"{self.message}  [{self.code}]", self.place, self.why, self.hint)


def render_lines(message: str, where: str, why: str, hint: str) -> str:
    """Join the parts of a message in the form that every error of ours has."""
    lines = [f"error: {message}"]
    lines += [
        f"  {label:<6} {text}"
        for label, text in (("where:", where), ("why:", why), ("hint:", hint))
        if text
    ]
    return "\n".join(lines)


def render_problems(problems: Iterable[Problem]) -> list[str]:
    """Return the lines of several problems; those that differ in their place only are one."""
    groups: dict[tuple[str, str, str, str], list[Problem]] = {}
    for problem in problems:
        key = (problem.code, problem.message, problem.why, problem.hint)
        groups.setdefault(key, []).append(problem)
    lines: list[str] = []
    for (code, message, why, hint), found in groups.items():
        places = "\n         ".join(problem.place for problem in found if problem.place)
        times = f", {len(found)} times" if len(found) > 1 else ""
        lines += render_lines(f"{message}  [{code}]{times}", places, why, hint).splitlines()
    return lines


class SnnConvertError(Exception):
    """Root of all errors that snnconvert raises on purpose."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, where: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        parts = [self.message, *(p for p in (self.where, self.why, self.hint) if p)]
        return "; ".join(parts)

    def render(self) -> str:
        """Return the error as the lines a terminal shows."""
        return render_lines(f"{self.message}  [{self.code}]", self.where, self.why, self.hint)

    def to_json(self) -> dict[str, object]:
        """Return the error as a JSON-ready dictionary."""
        return {
            "code": self.code,
            "message": self.message,
            "where": self.where,
            "why": self.why,
            "hint": self.hint,
        }


class UsageError(SnnConvertError, ValueError):
    """An option or argument is wrong, or does not go with another."""

    code = "usage"
    exit_code = 2


class ModelFileError(SnnConvertError, ValueError):
    """The model file cannot be read or is not a valid ONNX model."""

    code = "invalid-model"
    exit_code = 2


class OpenShapeError(ModelFileError):
    """The model leaves shapes open that only the caller can state."""

    code = "open-shape"


class DataError(SnnConvertError, ValueError):
    """Calibration or evaluation data cannot be used."""

    code = "invalid-data"
    exit_code = 2


class ArtifactError(SnnConvertError, ValueError):
    """A .snn file cannot be read."""

    code = "invalid-artifact"
    exit_code = 2


class ResumeError(SnnConvertError, ValueError):
    """A resume file is damaged, or belongs to another evaluation or conversion."""

    code = "resume"
    exit_code = 2


class MissingExtraError(SnnConvertError, ImportError):
    """A target needs packages that are not installed."""

    code = "missing-extra"
    exit_code = 2


class OutputError(SnnConvertError, OSError):
    """The output folder cannot be written or holds foreign files."""

    code = "output"
    exit_code = 2


class CalibrationError(SnnConvertError, ValueError):
    """The statistics do not allow a threshold to be chosen."""

    code = "calibration"
    exit_code = 1


class ParityError(SnnConvertError, RuntimeError):
    """Two engines that must agree spike for spike do not."""

    code = "parity"
    exit_code = 1


class UnsupportedModelError(SnnConvertError, NotImplementedError):
    """The model cannot be converted for the target: every reason is listed.

    Attributes
    ----------
    problems : tuple of Problem
        All of them, in the order of the file.
    """

    code = "unsupported-model"
    exit_code = 3

    def __init__(
        self, problems: Iterable[Problem], *, model: str = "the model", hint: str = ""
    ) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        noun = "problem" if count == 1 else "problems"
        super().__init__(f"{model} cannot be converted: {count} {noun}", hint=hint)

    def __str__(self) -> str:
        listed = "; ".join(
            f"{p.message}" + (f" ({p.place})" if p.place else "") for p in self.problems
        )
        return f"{self.message}: {listed}"

    def render(self) -> str:
        """Return every problem as the lines a terminal shows."""
        hint = [f"  hint:  {self.hint}"] if self.hint else []
        return "\n".join([*render_problems(self.problems), self.message, *hint])

    def to_json(self) -> dict[str, object]:
        """Return the error and all its problems as a JSON-ready dictionary."""
        return super().to_json() | {"problems": [p.to_json() for p in self.problems]}


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return a hint that names the nearest known name, or lists them all."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(sorted(known)) if known else "none is known"
