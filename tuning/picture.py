"""The Pareto front as pictures, and the page that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from snnconvert.reports.svg import Axis, element, line_path, picture
from snnconvert.reports.text import interval, joules, percent, points, quantity
from snnconvert.tuning.figures import Figures
from snnconvert.tuning.result import shown
from snnconvert.tuning.search import Trial

if TYPE_CHECKING:
    from snnconvert.tuning.result import TuningResult

TEMPLATES = Path(__file__).parent.parent / "reports" / "templates"

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 54, 16, 16, 44

STYLE = """
svg { background: #fff; font: 11.5px system-ui, sans-serif; }
text { fill: #586474; } .note { fill: #1b2430; } .name { font-style: italic; }
.grid { stroke: #dde2e8; } .axis { stroke: #586474; }
.snn { fill: none; stroke: #1c6bab; stroke-width: 2.2; } .rung { fill: #1c6bab; }
.tried { fill: #586474; opacity: .35; } .ann { stroke: #b8500c; stroke-dasharray: 7 4; }
.chosen { fill: none; stroke: #b8500c; stroke-width: 2.5; }
"""


def front_picture(result: TuningResult) -> str:
    """Return accuracy against latency as an SVG file that stands by itself."""
    drawn = front_chart(result, "latency")
    style = element("style", Markup(STYLE))
    opening, _, rest = str(drawn).partition(">")
    opening = opening.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{opening}>{style}{rest}\n"


def front_chart(result: TuningResult, cost: str) -> Markup:
    """Return accuracy against a cost: trials as dots, the front as a line, the choice ringed."""
    final = [t for t in result.trials if t.rung == result.chosen.rung]
    known = [(t, t.figures) for t in final if t.figures is not None]
    values = [float(getattr(f, cost)) for _, f in known]
    shares = [f.accuracy for _, f in known] + [known[0][1].ann_accuracy]
    low, high = max(min(min(values), 1e30), 1e-30), max(values)
    x = Axis(low / 1.15, high * 1.15, LEFT, WIDTH - RIGHT, log=True)
    room = max(0.1 * (max(shares) - min(shares)), 0.005)
    y = Axis(max(min(shares) - room, 0.0), min(max(shares) + room, 1.0), HEIGHT - BOTTOM, TOP)
    parts = [*_grid(x, y, cost, result.accuracy_title), *_ann(x, y, known[0][1])]
    front = _stairs(result.front, cost)
    parts.append(element("path", d=line_path((x(a), y(b)) for a, b in front), class_="snn"))
    parts += [_dot(x, y, t, f, cost, t in result.front) for t, f in known]
    parts += _ring(x, y, result, cost)
    return picture(
        WIDTH,
        HEIGHT,
        f"{result.accuracy_title} against {cost}",
        *parts,
        description=f"The front has {len(result.front)} of {len(known)} configurations.",
    )


def _stairs(front: Sequence[Trial], cost: str) -> list[tuple[float, float]]:
    """Return the line of what is the best accuracy up to each cost."""
    ends = sorted((float(getattr(t.figures, cost)), t.figures.accuracy) for t in front if t.figures)
    line: list[tuple[float, float]] = []
    for here, accuracy in ends:
        if line and accuracy <= line[-1][1]:
            continue  # on the front for another cost
        if line:
            line.append((here, line[-1][1]))
        line.append((here, accuracy))
    return line


def _grid(x: Axis, y: Axis, cost: str, title: str) -> list[Markup]:
    parts = []
    span = y.high - y.low
    for value in y.ticks(5):
        here = y(value)
        parts.append(element("line", x1=x.start, x2=x.end, y1=here, y2=here, class_="grid"))
        label = percent(value, 0 if span > 0.1 else 1)
        parts.append(element("text", label, x=x.start - 6, y=here + 4, text_anchor="end"))
    for value in x.ticks(6):
        here = x(value)
        label = joules(value) if cost == "energy" else quantity(value, 2)
        parts.append(element("line", x1=here, x2=here, y1=y.start, y2=y.start + 4, class_="axis"))
        parts.append(element("text", label, x=here, y=y.start + 17, text_anchor="middle"))
    parts.append(element("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, class_="axis"))
    name = {"latency": "latency in steps", "synops": "synaptic operations a sample"}.get(cost, cost)
    told = f"{name} (logarithmic)"
    parts.append(element("text", told, x=x.end, y=y.start + 34, text_anchor="end", class_="name"))
    parts.append(element("text", title, x=x.start + 4, y=y.end - 4, class_="name"))
    return parts


def _ann(x: Axis, y: Axis, figures: Figures) -> list[Markup]:
    here = y(figures.ann_accuracy)
    return [
        element(
            "line",
            element("title", f"ANN: {percent(figures.ann_accuracy, 2)}"),
            x1=x.start,
            x2=x.end,
            y1=here,
            y2=here,
            class_="ann",
        )
    ]


def _dot(x: Axis, y: Axis, trial: Trial, figures: Figures, cost: str, front: bool) -> Markup:
    return element(
        "circle",
        element("title", _tip(trial, figures)),
        cx=x(float(getattr(figures, cost)) or x.low),
        cy=y(figures.accuracy),
        r=4.0 if front else 3.0,
        class_="rung" if front else "tried",
    )


def _ring(x: Axis, y: Axis, result: TuningResult, cost: str) -> list[Markup]:
    figures = result.chosen.figures
    assert figures is not None
    at = x(float(getattr(figures, cost)) or x.low)
    side = at > (x.start + x.end) / 2
    below = y(figures.accuracy) + 22
    return [
        element("circle", cx=at, cy=y(figures.accuracy), r=8.0, class_="chosen"),
        element(
            "text",
            f"chosen: T = {result.chosen.configuration.timesteps}",
            x=at + (-8 if side else 8),
            y=min(below, y.start - 6),
            text_anchor="end" if side else "start",
            class_="note",
        ),
    ]


def _tip(trial: Trial, figures: Figures) -> str:
    return (
        f"{trial.configuration}: {percent(figures.accuracy, 2)}, {figures.latency:,} steps, "
        f"{quantity(figures.synops)} synops, {joules(figures.energy)}"
    )


def render_page(result: TuningResult) -> str:
    """Return tuning.html: one self-contained page."""
    costs = ["latency", "synops"]
    if result.goal.minimise not in (None, *costs):
        costs.append(str(result.goal.minimise))
    rows = [(t, t.figures) for t in result.front if t.figures is not None]
    tried = [t for t in result.trials if t.figures is not None]
    page: str = _template().render(
        result=result,
        name=result.model.network.name,
        tiles=_tiles(result),
        charts=[(cost, front_chart(result, cost)) for cost in costs],
        rows=sorted(rows, key=lambda pair: pair[1].latency),
        tried=tried,
        refused=[t for t in result.trials if t.figures is None],
        search=result.chosen.figures,
        bounds=[
            (
                str(bound),
                shown(bound.name, bound.wanted(result.final)),
                shown(bound.name, getattr(result.final, bound.name)),
                not bound.shortfall(result.final),
            )
            for bound in result.goal.bounds
        ],
    )
    return page


def _tiles(result: TuningResult) -> list[tuple[str, str, str]]:
    """Return the final figures: label, value, remark."""
    final, ann = result.final, result.evaluation.measurement.ann
    labelled = ann.accuracy is not None
    told = f"95 % {interval(result.ci95)}"
    tiles = [("Accuracy" if labelled else "Agreement", percent(final.accuracy, 2), told)]
    if labelled:
        difference = f"{points(ann.difference, 2)} points"
        tiles.append(("ANN", percent(ann.accuracy, 2), f"the spiking network: {difference}"))
    return [
        *tiles,
        ("Latency", f"{final.latency:,}", "steps from input to answer"),
        ("Synaptic operations", quantity(final.synops), "a sample"),
        ("Energy", joules(final.energy), f"an estimate: {result.energy}"),
        ("Neurons", f"{final.neurons:,}", str(result.chosen.configuration)),
    ]


@cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for formatter in (percent, points, interval, quantity, joules):
        environment.filters[formatter.__name__] = formatter
    return environment.get_template("tuning.html.j2")
