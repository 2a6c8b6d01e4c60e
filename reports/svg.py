"""SVG elements and axes: just what the charts of a report need, escaped and light."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape


def element(tag: str, *children: str, **attributes: object) -> Markup:
    """Return an SVG element.

    Parameters
    ----------
    tag : str
    *children : str or Markup
        Plain strings are escaped.
    **attributes
        ``class_`` is written class, other underscores become hyphens; numbers are rounded to a
        tenth; None leaves the attribute out.

    Examples
    --------
    >>> print(element("text", "a < b", x=1.25, text_anchor="end"))
    <text x="1.2" text-anchor="end">a &lt; b</text>
    """
    pairs = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = "".join(escape(child) for child in children)
    if not inner:
        return Markup(f"<{tag}{pairs}/>")
    return Markup(f"<{tag}{pairs}>{inner}</{tag}>")


def _attribute(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)


def number(x: float) -> str:
    """Return a coordinate to a tenth, without a trailing zero."""
    text = f"{x:.1f}"
    return text[:-2] if text.endswith(".0") else text


def picture(
    width: int, height: int, title: str, *children: Markup, description: str = "", class_: str = ""
) -> Markup:
    """Return an <svg> that scales with its box, named and described for screen readers."""
    label = f"{title}. {description}" if description else title
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=label,
        class_=class_ or None,
    )


def line_path(points: Iterable[tuple[float, float]]) -> str:
    """Return path data of a polyline, in relative steps of a tenth to keep it short."""
    data: list[str] = []
    at = (0, 0)
    for x, y in points:
        here = (round(10 * x), round(10 * y))
        step = (here[0] - at[0], here[1] - at[1])
        data.append(f"{'l' if data else 'm'}{number(step[0] / 10)} {number(step[1] / 10)}")
        at = here
    return "".join(data)


def dots_path(points: Iterable[tuple[float, float]]) -> str:
    """Return path data that draws each point as a dot when stroked with round caps."""
    return "".join(f"M{number(x)} {number(y)}h0" for x, y in points)


@dataclass(frozen=True)
class Axis:
    """Maps values to coordinates, linearly or in octaves.

    Attributes
    ----------
    low, high : float
        Values at the two ends.
    start, end : float
        Their coordinates.
    log : bool
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        if high == low:
            return (self.start + self.end) / 2
        share = (self._scaled(value) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def _scaled(self, value: float) -> float:
        return math.log2(value) if self.log else value

    def ticks(self, wanted: int) -> list[float]:
        """Return about so many round values between the ends; powers of two on a log axis."""
        if self.log:
            return _octaves(self.low, self.high, wanted)
        return _round_values(self.low, self.high, wanted)


def _octaves(low: float, high: float, wanted: int) -> list[float]:
    first, last = math.ceil(math.log2(low)), math.floor(math.log2(high))
    stride = max(math.ceil((last - first + 1) / wanted), 1)
    # Counted back from the last, so that the end of the run, often a power of two, is labelled.
    return [2.0**exponent for exponent in range(last, first - 1, -stride)][::-1]


def _round_values(low: float, high: float, wanted: int) -> list[float]:
    if high <= low:
        return [low]
    raw = (high - low) / max(wanted, 1)
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def thin(values: Sequence[int], most: int) -> list[int]:
    """Return at most so many of the values, both ends among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]
