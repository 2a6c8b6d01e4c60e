"""Bar charts of the report: what each layer loses, and when samples stop."""

from __future__ import annotations

from markupsafe import Markup

from snnconvert.reports.anytime import AnytimeResult
from snnconvert.reports.diagnosis import Diagnosis, LayerDiagnosis
from snnconvert.reports.svg import Axis, element, picture
from snnconvert.reports.text import count, percent

WIDTH, LEFT, RIGHT = 560, 8, 8
BAR, BETWEEN, TOP, BOTTOM = 13, 17, 6, 30
MOST_LAYERS = 40
"""Bars that are drawn, of the layers that lose most."""

LONGEST_NAME = 60
STOPS_HEIGHT = 190


def diagnosis_chart(diagnosis: Diagnosis) -> Markup:
    """Return the error of the output that each layer costs, layers in the network's order."""
    chosen = {layer.name for layer in diagnosis.worst[:MOST_LAYERS]}
    layers = [layer for layer in diagnosis.layers if layer.name in chosen]
    if not layers:
        return Markup("")
    ends = [layer.error_lost for layer in layers]
    low, high = min(0.0, *ends), max(0.0, *ends)
    if low == high:
        high = 0.01
    bottom = TOP + len(layers) * (BAR + BETWEEN)
    x = Axis(low, high, LEFT + 4.0, WIDTH - RIGHT - 40.0)
    parts = []
    for value in x.ticks(5):
        here = x(value)
        parts.append(element("line", x1=here, x2=here, y1=TOP, y2=bottom, class_="grid"))
        told = percent(value, 0 if abs(100 * value - round(100 * value)) < 1e-6 else 1)
        told = told.replace("-", "−")
        parts.append(element("text", told, x=here, y=bottom + 15, text_anchor="middle"))
    for row, layer in enumerate(layers):
        parts += _bar(layer, x, TOP + row * (BAR + BETWEEN))
    zero = x(0.0)
    parts.append(element("line", x1=zero, x2=zero, y1=TOP, y2=bottom, class_="axis"))
    worst = diagnosis.worst[0]
    return picture(
        WIDTH,
        bottom + BOTTOM,
        "Error of the output by layer",
        *parts,
        description=f"{worst.name} costs most: {percent(worst.error_lost)}.",
    )


def _bar(layer: LayerDiagnosis, x: Axis, top: int) -> list[Markup]:
    zero, end = x(0.0), x(layer.error_lost)
    text = percent(layer.error_lost).replace("-", "−")
    name = layer.name if len(layer.name) <= LONGEST_NAME else f"…{layer.name[1 - LONGEST_NAME :]}"
    bar = element(
        "rect",
        element("title", f"{layer.name}: {text}, {layer.cause.replace('_', ' ')}"),
        x=min(zero, end),
        y=float(top + 12),
        width=max(abs(end - zero), 0.5),
        height=float(BAR),
        class_="bars",
    )
    return [
        element("text", name, x=x.start, y=top + 9),
        bar,
        element("text", text, x=max(zero, end) + 4, y=top + 23, class_="note"),
    ]


def stops_chart(result: AnytimeResult) -> Markup:
    """Return how many samples stop after each timestep, with the mean."""
    stops = result.histogram
    steps, most = len(stops), max(stops)
    x = Axis(0.5, steps + 0.5, LEFT + 36.0, WIDTH - RIGHT)
    y = Axis(0.0, float(most), float(STOPS_HEIGHT - 34), 16.0)
    parts = []
    for value in y.ticks(4):
        here = y(value)
        parts.append(element("line", x1=x.start, x2=x.end, y1=here, y2=here, class_="grid"))
        if value == int(value):
            told = f"{int(value):,}"
            parts.append(element("text", told, x=x.start - 6, y=here + 4, text_anchor="end"))
    width = max((x.end - x.start) / steps * 0.8, 0.5)
    for step, samples in enumerate(stops, start=1):
        if samples:
            tip = element("title", f"{count(step, 'timestep')}: {count(samples, 'sample')}")
            left, top = x(step) - width / 2, y(samples)
            parts.append(
                element(
                    "rect", tip, x=left, y=top, width=width, height=y.start - top, class_="bars"
                )
            )
    parts += _time_axis(x, y, steps)
    mean = x(result.mean_timesteps)
    right = mean > (x.start + x.end) / 2
    parts.append(element("line", x1=mean, x2=mean, y1=y.start, y2=6, class_="mark"))
    parts.append(
        element(
            "text",
            f"mean {result.mean_timesteps:.1f}",
            x=mean + (-6 if right else 6),
            y=12,
            text_anchor="end" if right else None,
            class_="note",
        )
    )
    return picture(
        WIDTH,
        STOPS_HEIGHT,
        "Samples by the timestep after which they stop",
        *parts,
        description=f"{result.mean_timesteps:.1f} timesteps on average, of {steps}.",
    )


def _time_axis(x: Axis, y: Axis, steps: int) -> list[Markup]:
    marks = sorted({1, *(int(v) for v in x.ticks(8) if v == int(v) and 1 <= v <= steps)})
    labels = [
        element("text", str(step), x=x(step), y=y.start + 15, text_anchor="middle")
        for step in marks
        if step == 1 or x(step) - x(1) > 20
    ]
    name = element("text", "timesteps", x=x.end, y=y.start + 30, text_anchor="end", class_="name")
    return [
        *labels,
        element("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, class_="axis"),
        name,
    ]
