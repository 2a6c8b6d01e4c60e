"""Numbers and names as a reader wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnconvert.reports.scores import MetricText

MISSING = "–"
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
SMALL_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share in percent.

    Examples
    --------
    >>> percent(0.9273), percent(None)
    ('92.7 %', '–')
    """
    return MISSING if share is None else f"{100 * share:.{digits}f} %"


def interval(bounds: tuple[float, float] | None) -> str:
    """Return an interval of shares in percent."""
    return MISSING if bounds is None else f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f} %"


def points(difference: float | None, digits: int = 1) -> str:
    """Return a difference of shares in signed percentage points.

    Examples
    --------
    >>> points(-0.0061), points(0.0001), points(0.02)
    ('−0.6', '0.0', '+2.0')
    """
    if difference is None:
        return MISSING
    text = f"{abs(100 * difference):.{digits}f}"
    if not float(text):
        return text
    return ("−" if difference < 0 else "+") + text


def measure(value: float | None, metric: MetricText, digits: int = 1) -> str:
    """Return a metric's value: shares in percent, anything else as it is."""
    if value is None or metric.share:
        return percent(value, digits)
    return plain(value, 3 + digits).replace("-", "−")


def measures(bounds: tuple[float, float] | None, metric: MetricText) -> str:
    """Return an interval of a metric."""
    if bounds is None or metric.share:
        return interval(bounds)
    return f"{measure(bounds[0], metric)} to {measure(bounds[1], metric)}"


def change(difference: float | None, metric: MetricText, digits: int = 1) -> str:
    """Return a signed difference of a metric: points of a share, else its own units."""
    if difference is None or metric.share:
        return points(difference, digits)
    sign = "+" if difference > 0 else "−" if difference < 0 else ""
    return sign + plain(abs(difference), 2 + digits)


def lost(difference: float | None, metric: MetricText) -> str:
    """Return by how much a metric got worse; negative where it got better."""
    return change(difference, metric).removeprefix("+")


def loss(difference: float | None) -> str:
    """Return what was lost in percentage points; a gain is negative.

    Examples
    --------
    >>> loss(0.021), loss(-0.002), loss(-0.0001)
    ('2.1', '−0.2', '0.0')
    """
    return points(difference).removeprefix("+")


def quantity(x: float | None, digits: int = 3) -> str:
    """Return a count with a metric prefix.

    Examples
    --------
    >>> quantity(1_934_112), quantity(512), quantity(0.25)
    ('1.93 M', '512', '0.25')
    """
    if x is None:
        return MISSING
    size, prefix = next((s for s in PREFIXES if abs(x) >= s[0] * 0.9995), (1.0, ""))
    return f"{plain(x / size, digits)} {prefix}".rstrip()


def joules(x: float) -> str:
    """Return an energy with a metric prefix.

    Examples
    --------
    >>> joules(4.55e-05), joules(0.0)
    ('45.5 µJ', '0 J')
    """
    size, prefix = next((s for s in SMALL_PREFIXES if x >= s[0] * 0.9995), (1.0, ""))
    return f"{plain(x / size)} {prefix}J"


def plain(x: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, whole numbers in full.

    Examples
    --------
    >>> plain(0.03125), plain(12345.0), plain(118.4)
    ('0.0312', '12,345', '118')
    """
    if x == int(x) and abs(x) < 1e15:
        return f"{int(x):,}"
    text = f"{x:.{digits}g}"
    if "e" in text:
        return text if abs(x) < 1e-4 else f"{x:,.0f}"
    return text


def scalar(value: Any) -> str:
    """Return any single value of a JSON document as text."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return plain(value, 4)
    return str(value)


def label(key: str) -> str:
    """Return a JSON key as a label."""
    return key.replace("_", " ")


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> count(1, "sample"), count(1500, "sample")
    ('1 sample', '1,500 samples')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
