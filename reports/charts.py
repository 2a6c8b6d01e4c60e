"""The charts of the report, as inline SVG that takes its colours from the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from snnconvert.reports.scores import MetricText, ScoreRow
from snnconvert.reports.svg import Axis, dots_path, element, line_path, number, picture, thin
from snnconvert.reports.text import count, measure, measures, percent, plain
from snnconvert.reports.verdict import first_near, near_text

if TYPE_CHECKING:
    from snnconvert.reports.evaluation import Evaluation
    from snnconvert.reports.layers import LayerStatistics

WIDTH, HEIGHT = 460, 290
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 40
PLOT_HEIGHT = HEIGHT - TOP - BOTTOM + 4
LOG_FROM = 16
"""Runs of at least so many timesteps get a logarithmic time axis."""

ENLARGED = 0.6
"""A close-up that covers more of the whole chart's height than this shows no more than it."""

HOVER_POINTS = 40
PAGE_POINTS = 5000
"""Dots of all scatter charts together: more would make the page heavy and show no more."""

SMALL_WIDTH, SMALL_HEIGHT = 168, 128
LEAST_SHARE = 1e-4
"""Lower end of the histograms' logarithmic axis."""

Bounds = tuple[float, float]


def accuracy_chart(evaluation: Evaluation) -> Markup:
    """Return the metric against timesteps, over its whole range; empty where it has no value."""
    curve = _Curve(evaluation)
    if not curve.steps:
        return Markup("")
    return curve.draw(
        f"{capitalised(curve.metric.title)} against timesteps", curve.whole, curve.steps[0], "whole"
    )


def close_up_chart(evaluation: Evaluation) -> Markup | None:
    """Return the same curve near the ANN's line; None where the whole range shows as much."""
    curve = _Curve(evaluation)
    if not curve.steps:
        return None
    low, high = curve.close
    if high - low >= ENLARGED * (curve.whole[1] - curve.whole[0]):
        return None
    inside = next((i for i, v in enumerate(curve.values) if low <= v <= high), None)
    if inside is None or inside > len(curve.steps) - 3:
        return None
    first = curve.steps[max(inside - 1, 0)]
    return curve.draw(f"The same near the ANN's {curve.metric.title}", (low, high), first, "close")


class _Curve:
    """What both charts draw."""

    def __init__(self, evaluation: Evaluation) -> None:
        known = [(r, r.value) for r in evaluation.measurement.accuracy if r.value is not None]
        self.metric = evaluation.metric
        self.rows = [row for row, _ in known]
        self.steps = [row.timesteps for row in self.rows]
        self.labelled = self.metric.against == "labels"
        self.values = [value for _, value in known]
        self.bands = [row.ci95 or (value, value) for row, value in known]
        self.ann = evaluation.ann_value
        self.ann_band = evaluation.measurement.ann.ci95
        self.near = first_near(evaluation)

    @property
    def best(self) -> float:
        """The end of the axis: a perfect value, or the best that is drawn."""
        if self.metric.share:
            return 1.0
        ends = [*self.values, *(end for band in self.bands for end in band)]
        ends += [] if self.ann is None else [self.ann, *(self.ann_band or ())]
        return max(ends) if self.metric.direction == "higher" else min(ends)

    @property
    def whole(self) -> Bounds:
        """The range of everything drawn."""
        if self.metric.share:
            lowest = min([*self.values, *(bounds[0] for bounds in self.bands)])
            return max(0.0, int(10 * lowest) / 10), 1.0
        ends = [*self.values, *self.bands[-1], self.best]
        return _widened(min(ends), max(ends), self.metric)

    @property
    def close(self) -> Bounds:
        """The range of the last value and the ANN's, with their intervals."""
        ends = [*self.bands[-1]]
        if self.metric.share:
            ends += self.ann_band or (1.0, 1.0)
            low, high = max(min(ends) - 0.01, 0.0), min(max(ends) + 0.01, 1.0)
            return (max(high - 0.05, 0.0) if high - low < 0.05 else low), high
        ends += [self.best] if self.ann is None else [self.ann, *(self.ann_band or ())]
        low, high = min(ends), max(ends)
        return _widened(low - (high - low) / 2, high + (high - low) / 2, self.metric)

    def draw(self, title: str, values: Bounds, first: int, name: str) -> Markup:
        x = Axis(
            first, self.steps[-1], LEFT, WIDTH - RIGHT, log=self.steps[-1] >= max(LOG_FROM, first)
        )
        y = Axis(*values, HEIGHT - BOTTOM, TOP)
        at = range(self.steps.index(first), len(self.steps))
        drawn = thin(list(at), 400)
        clip = element(
            "clipPath",
            element("rect", x=LEFT, y=TOP - 4, width=WIDTH - LEFT - RIGHT + 4, height=PLOT_HEIGHT),
            id=f"clip-{name}",
        )
        parts = [*self._ann(x, y), self._band(x, y, drawn)]
        if self.labelled and self.metric.share:
            parts += self._agreement(x, y, drawn)
        curve = [(x(self.steps[i]), y(self.values[i])) for i in drawn]
        parts.append(element("path", d=line_path(curve), class_="snn"))
        parts += self._last(x, y)
        parts += self._mark(x, y)
        parts += self._hover(x, y, list(at))
        return picture(
            WIDTH,
            HEIGHT,
            title,
            clip,
            *_axes(x, y, self.metric),
            element("g", *parts, clip_path=f"url(#clip-{name})"),
            description=self._description(),
        )

    def _description(self) -> str:
        last = self.rows[-1]
        ann = "" if self.ann is None else f"; the ANN has {measure(self.ann, self.metric)}"
        here = f"{measure(last.value, self.metric)} at T = {last.timesteps}"
        return f"{capitalised(self.metric.title)} is {here}{ann}."

    def _agreement(self, x: Axis, y: Axis, drawn: Sequence[int]) -> list[Markup]:
        known = [(self.steps[i], self.rows[i].agreement) for i in drawn]
        line = [(x(step), y(share)) for step, share in known if share is not None]
        return [element("path", d=line_path(line), class_="agreement")] if line else []

    def _ann(self, x: Axis, y: Axis) -> list[Markup]:
        if self.ann is None:
            return []
        line = element("line", x1=x.start, x2=x.end, y1=y(self.ann), y2=y(self.ann), class_="ann")
        if self.ann_band is None:
            return [line]
        top, bottom = y(self.ann_band[1]), y(self.ann_band[0])
        told = f"ANN: {measure(self.ann, self.metric)}, 95 % {measures(self.ann_band, self.metric)}"
        return [
            element(
                "rect",
                element("title", told),
                x=x.start,
                y=top,
                width=x.end - x.start,
                height=bottom - top,
                class_="ann-band",
            ),
            line,
        ]

    def _band(self, x: Axis, y: Axis, drawn: Sequence[int]) -> Markup:
        upper = [(x(self.steps[i]), y(self.bands[i][1])) for i in drawn]
        lower = [(x(self.steps[i]), y(self.bands[i][0])) for i in reversed(drawn)]
        return element("path", d=line_path([*upper, *lower]) + "z", class_="snn-band")

    def _last(self, x: Axis, y: Axis) -> list[Markup]:
        """Mark the answer at T; a run of one step has no band, so its interval is a bar."""
        here, (low, high) = x(self.steps[-1]), self.bands[-1]
        dot = element("circle", cx=here, cy=y(self.values[-1]), r=3.5, class_="rung")
        if len(self.steps) > 1:
            return [dot]
        return [element("line", x1=here, x2=here, y1=y(low), y2=y(high), class_="range"), dot]

    def _mark(self, x: Axis, y: Axis) -> list[Markup]:
        if self.near is None or self.near.timesteps < x.low:
            return []
        here = x(self.near.timesteps)
        side = here > (x.start + x.end) / 2
        return [
            element("line", x1=here, x2=here, y1=y.start, y2=y.end, class_="mark"),
            element(
                "text",
                f"T = {self.near.timesteps}: {self._mark_text()}",
                x=here + (-6 if side else 6),
                y=y.start - 8.0 if self.metric.direction == "higher" else y.end + 18.0,
                text_anchor="end" if side else None,
                class_="note",
            ),
        ]

    def _mark_text(self) -> str:
        return near_text(self.metric).partition(" of the ANN")[0]

    def _hover(self, x: Axis, y: Axis, at: Sequence[int]) -> list[Markup]:
        if x.log:
            near = {round(x.low * (x.high / x.low) ** (k / HOVER_POINTS)) for k in range(41)}
            at = [i for i in at if self.steps[i] in near]
        return [
            element(
                "circle",
                element("title", self._tip(self.rows[i], self.bands[i])),
                cx=x(self.steps[i]),
                cy=y(self.values[i]),
                r=5,
                class_="hit",
            )
            for i in thin(list(at), HOVER_POINTS)
        ]

    def _tip(self, row: ScoreRow, band: Bounds) -> str:
        told = "" if row.ci95 is None else f", 95 % {measures(band, self.metric)}"
        lines = [f"T = {row.timesteps}: {measure(row.value, self.metric)}{told}"]
        if self.labelled and row.agreement is not None:
            lines.append(f"agreement with the ANN {percent(row.agreement)}")
        return "\n".join(lines)


def capitalised(title: str) -> str:
    """Return a title with a capital letter in front."""
    return title[:1].upper() + title[1:]


def _widened(low: float, high: float, metric: MetricText) -> Bounds:
    """Return a range with some room, within the metric's; never empty."""
    room = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    low, high = max(low - room, metric.low), min(high + room, metric.high)
    return (low, high) if low < high else (low, low + 1.0)


def _axes(x: Axis, y: Axis, metric: MetricText) -> list[Markup]:
    parts = []
    for value in y.ticks(5):
        here = y(value)
        digits = 0 if abs(100 * value - round(100 * value)) < 1e-6 else 1
        parts.append(element("line", x1=x.start, x2=x.end, y1=here, y2=here, class_="grid"))
        parts.append(
            element(
                "text",
                percent(value, digits) if metric.share else plain(value),
                x=x.start - 6,
                y=here + 4,
                text_anchor="end",
            )
        )
    for value in x.ticks(8):
        if value != int(value):
            continue
        here = x(value)
        parts.append(element("line", x1=here, x2=here, y1=y.start, y2=y.start + 4, class_="axis"))
        parts.append(element("text", str(int(value)), x=here, y=y.start + 17, text_anchor="middle"))
    parts.append(element("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, class_="axis"))
    parts.append(
        element(
            "text",
            f"timesteps{' (logarithmic)' if x.log else ''}",
            x=x.end,
            y=y.start + 34,
            text_anchor="end",
            class_="name",
        )
    )
    parts.append(_axis_title(x, y, metric))
    return parts


def _axis_title(x: Axis, y: Axis, metric: MetricText) -> Markup:
    """Name the axis where the curve does not begin: on the right where it falls."""
    if metric.direction == "lower":
        place: dict[str, Any] = {"x": x.end, "text_anchor": "end"}
    else:
        place = {"x": x.start + 4}
    return element("text", metric.title, y=y.end + 2, class_="name", **place)


def histogram_chart(layer: LayerStatistics) -> Markup:
    """Return the histogram of firing rates, its shares on a logarithmic axis."""
    x = Axis(0, 1, 36, SMALL_WIDTH - 6)
    y = Axis(LEAST_SHARE, 1.0, SMALL_HEIGHT - 26, 10, log=True)
    width = (x.end - x.start) / len(layer.histogram)
    bars = "".join(
        f"M{number(x.start + i * width)} {number(y.start)}"
        f"v{number(y(max(share, LEAST_SHARE)) - y.start)}h{number(width - 1)}V{number(y.start)}z"
        for i, share in enumerate(layer.histogram)
        if share > LEAST_SHARE
    )
    parts = []
    for share, text in ((1.0, "100 %"), (0.01, "1 %"), (LEAST_SHARE, "0.01 %")):
        parts.append(element("line", x1=x.start, x2=x.end, y1=y(share), y2=y(share), class_="grid"))
        parts.append(
            element("text", text, x=x.start - 3, y=y(share) + 3, text_anchor="end", class_="tiny")
        )
    return picture(
        SMALL_WIDTH,
        SMALL_HEIGHT,
        f"Firing rates of {layer.name}",
        element("title", _rate_tip(layer)),
        *parts,
        element("path", d=bars, class_="bars"),
        *_small_axis(x, y, "0", "1", "rate"),
        description=f"{percent(layer.silent)} silent, {percent(layer.saturated)} saturated.",
    )


def _rate_tip(layer: LayerStatistics) -> str:
    return (
        f"{layer.name}: mean rate {plain(layer.rate)}, {percent(layer.silent)} silent, "
        f"{percent(layer.saturated)} saturated"
    )


def scatter_chart(layer: LayerStatistics, most: int) -> Markup | None:
    """Return the ANN's activation against the spike rate's estimate; None without pairs."""
    points = layer.scatter[:most]
    if not points:
        return None
    end = max(max(x for x, _ in points), max(y for _, y in points))
    low = min(0.0, min(x for x, _ in points), min(y for _, y in points))
    x = Axis(low, end, 24, SMALL_WIDTH - 6)
    y = Axis(low, end, SMALL_HEIGHT - 26, 10)
    correlation = "unknown" if layer.correlation is None else f"{layer.correlation:.3f}"
    return picture(
        SMALL_WIDTH,
        SMALL_HEIGHT,
        f"ANN activation against spike rate of {layer.name}",
        element("title", f"{layer.name}: {count(len(points), 'pair')}, correlation {correlation}"),
        element("line", x1=x.start, y1=y.start, x2=x.end, y2=y.end, class_="identity"),
        element("path", d=dots_path((x(a), y(b)) for a, b in points), class_="dots"),
        element("line", x1=x.start, x2=x.start, y1=y.start, y2=y.end, class_="axis"),
        element("text", "SNN", x=x.start + 4, y=y.end + 5, class_="tiny"),
        *_small_axis(x, y, plain(low), plain(end), "ANN"),
        description=f"Correlation {correlation}.",
    )


def _small_axis(x: Axis, y: Axis, low: str, high: str, name: str) -> list[Markup]:
    below = y.start + 12
    return [
        element("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, class_="axis"),
        element("text", low, x=x.start, y=below, text_anchor="middle", class_="tiny"),
        element("text", high, x=x.end, y=below, text_anchor="end", class_="tiny"),
        element(
            "text", name, x=(x.start + x.end) / 2, y=below, text_anchor="middle", class_="tiny name"
        ),
    ]


def ladder_chart(position: float, low: float, high: float, band: Bounds | None) -> Markup:
    """Return one rung's place on the axis that all rungs share."""
    x = Axis(low, high, 6, 154)
    parts = [element("line", x1=x.start, x2=x.end, y1=9, y2=9, class_="grid")]
    if band is not None:
        start, end = x(max(band[0], low)), x(min(band[1], high))
        parts.append(element("line", x1=start, x2=end, y1=9, y2=9, class_="range"))
    parts.append(element("circle", cx=x(position), cy=9, r=4.5, class_="rung"))
    return element("svg", *parts, viewBox="0 0 160 18", aria_hidden="true", class_="track")
