"""What a search found: trials, front, choice, and the figures of rows that it never saw."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnconvert.convert.errors import OutputError
from snnconvert.reports.text import interval, joules, percent, points, quantity
from snnconvert.tuning.figures import SHARES, Figures
from snnconvert.tuning.goal import Bound, Goal
from snnconvert.tuning.search import Trial
from snnconvert.tuning.space import Space

if TYPE_CHECKING:
    from snnconvert.convert.spiking_model import SpikingModel
    from snnconvert.reports.evaluation import Evaluation

SCHEMA = "snnconvert-tuning-1"


@dataclass(frozen=True, eq=False)
class TuningResult:
    """What :func:`snnconvert.tune_model` returns.

    Attributes
    ----------
    goal : Goal
    space : Space
    trials : tuple of Trial
        All of them, in order.
    front : tuple of Trial
        Those judged on all judging rows that no other beats in accuracy, latency and operations.
    chosen : Trial
    config : dict
        Options of the command line that make the chosen network; what ``--config`` takes.
    final : Figures
        Of the chosen configuration, on rows that the search never saw.
    evaluation : Evaluation
        The whole evaluation that they are from.
    model : SpikingModel
        The network that was evaluated.
    labelled : bool
        Whether calibration rows had labels; else agreement with the ANN stood for the accuracy.
    rows : dict
        How many rows were for what.
    energy : str
        Name of the energy model.
    warnings : tuple of str
    """

    goal: Goal
    space: Space
    trials: tuple[Trial, ...]
    front: tuple[Trial, ...]
    chosen: Trial
    config: dict[str, Any]
    final: Figures
    evaluation: Evaluation
    model: SpikingModel
    labelled: bool
    rows: dict[str, Any]
    energy: str
    warnings: tuple[str, ...] = ()

    @property
    def met(self) -> bool:
        """Whether the final figures meet the goal."""
        return self.goal.met(self.final)

    @property
    def met_in_search(self) -> bool:
        """Whether the search found a configuration that met the goal on its own rows."""
        return self.chosen.figures is not None and self.goal.met(self.chosen.figures)

    @property
    def verdict(self) -> str:
        """One sentence: whether the goal is met on rows that the search never saw."""
        if self.met:
            return f"goal met on {self.rows['final']:,} rows that the search never saw"
        missing = "; ".join(self.missed())
        where = "" if self.met_in_search else ", and by every configuration on the judging rows"
        return f"goal missed on rows that the search never saw{where}: {missing}"

    def missed(self) -> Iterator[str]:
        """Say which bounds the final figures miss, with both numbers."""
        for bound in self.goal.bounds:
            if bound.shortfall(self.final):
                have, wanted = getattr(self.final, bound.name), bound.wanted(self.final)
                yield f"{bound.name} {shown(bound.name, have)}, wanted {_wanted(bound, wanted)}"

    @property
    def ci95(self) -> tuple[float, float] | None:
        """95 % interval of the final accuracy."""
        return self.evaluation.final.ci95

    def to_json(self) -> dict[str, Any]:
        """Return everything but the networks, ready for JSON."""
        ann = self.evaluation.measurement.ann
        final = self.final.to_json() | {
            "samples": self.rows["final"],
            "ci95": None if self.ci95 is None else list(self.ci95),
            "difference": ann.difference,
            "difference_ci95": None if ann.difference_ci95 is None else list(ann.difference_ci95),
            "accuracy_is": "accuracy" if ann.accuracy is not None else "agreement",
        }
        return {
            "schema": SCHEMA,
            "goal": self.goal.text,
            "minimise": self.goal.minimise,
            "met": self.met,
            "met_in_search": self.met_in_search,
            "verdict": self.verdict,
            "accuracy_is": "accuracy" if self.labelled else "agreement",
            "rows": self.rows,
            "energy_model": self.energy,
            "space": self.space.to_json(),
            "chosen": self.chosen.to_json(),
            "config": self.config,
            "final": final,
            "front": [trial.to_json() for trial in self.front],
            "trials": [trial.to_json() for trial in self.trials],
            "warnings": list(self.warnings),
        }

    def render(self) -> str:
        """Return the table of the front, the choice and the final figures, for a terminal."""
        lines = [*_table(self.front, self.chosen, self.accuracy_title), ""]
        lines += [f"{label:<16}{text}" for label, text in self.summary()]
        return "\n".join([*lines, self.verdict])

    @property
    def accuracy_title(self) -> str:
        """What the search's first figure is."""
        return "accuracy" if self.labelled else "agreement"

    def summary(self) -> list[tuple[str, str]]:
        """Return label and text of what was asked for, chosen and measured."""
        final, ann = self.final, self.evaluation.measurement.ann
        title = "accuracy" if ann.accuracy is not None else "agreement"
        origin = (
            "calibration rows kept apart"
            if self.rows["final_from"] == "calibration"
            else ("evaluation rows")
        )
        told = f"{percent(final.accuracy, 2)}, 95 % {interval(self.ci95)}"
        if ann.accuracy is not None:
            told += f"; the ANN {percent(ann.accuracy, 2)} ({points(ann.difference, 2)} points)"
        return [
            ("goal", str(self.goal)),
            ("chosen", str(self.chosen.configuration)),
            (f"final {title}", f"{told}; {self.rows['final']:,} {origin}"),
            ("latency", f"{final.latency:,} steps"),
            ("synops", quantity(final.synops)),
            ("energy", f"{joules(final.energy)} ({self.energy}; an estimate)"),
            ("neurons", f"{final.neurons:,}"),
            ("trials", f"{len(self.trials)}, in a space of {self.space.size:,} configurations"),
        ]

    def to_toml(self) -> str:
        """Return the configuration as a file that ``--config`` takes."""
        comments = [f"# {line}" for line in (f"snnconvert tune: {self.goal}", self.verdict)]
        return "\n".join([*comments, *map(_assignment, self.config.items())]) + "\n"

    def to_html(self) -> str:
        """Return the page with the pictures of the front."""
        from snnconvert.tuning.picture import render_page

        return render_page(self)

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write tuning.html, tuning.json, tuned.toml, front.svg, and the choice's own report.

        Raises
        ------
        OutputError
            If they cannot be written.
        """
        from snnconvert.tuning.picture import front_picture

        files = {
            "tuning.html": self.to_html(),
            "tuning.json": json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n",
            "tuned.toml": self.to_toml(),
            "front.svg": front_picture(self),
        }
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (Path(folder) / name).write_text(content, encoding="utf-8", newline="\n")
        except OSError as error:
            raise OutputError(f"cannot write {folder}", why=str(error)) from error
        self.evaluation.write(folder)
        self.model.save(Path(folder) / "network.snn")


def shown(name: str, value: float) -> str:
    """Return a figure as a reader wants it."""
    if name in SHARES:
        return percent(value, 2)
    return joules(value) if name == "energy" else quantity(value, 4)


def _wanted(bound: Bound, wanted: float) -> str:
    side = "at least" if bound.name in SHARES else "at most"
    return f"{side} {shown(bound.name, wanted)}" + (f" ({bound})" if bound.relative else "")


def _table(front: tuple[Trial, ...], chosen: Trial, title: str) -> Iterator[str]:
    """Yield the lines of the front, the cheapest first."""
    head = ("", "T", "latency", title, "synops", "energy", "neurons", "configuration")
    rows = [head]
    for trial in sorted((t for t in front if t.figures), key=lambda t: t.figures.latency):  # type: ignore[union-attr]
        figures = trial.figures
        assert figures is not None
        rows.append(
            (
                "*" if trial is chosen else "",
                str(trial.configuration.timesteps),
                f"{figures.latency:,}",
                percent(figures.accuracy, 2),
                quantity(figures.synops),
                joules(figures.energy),
                f"{figures.neurons:,}",
                str(trial.configuration).partition(" ")[2],
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)]
    for row in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]])


def _assignment(item: tuple[str, Any]) -> str:
    """Return a line of TOML; JSON's strings, numbers, booleans and lists are TOML's too."""
    name, value = item
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"


def plain_config(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options without those that are not set, as values of TOML."""
    config: dict[str, Any] = {}
    for name, value in options.items():
        if value is not None:
            config[name] = list(value) if isinstance(value, tuple) else value
    return config
