"""Elements, paths and axes."""

import re

import pytest
from markupsafe import Markup

from snnconvert.reports.svg import Axis, dots_path, element, line_path, picture, thin


def test_text_and_attributes_are_escaped() -> None:
    made = element("text", '<b>&"', aria_label='"<')
    assert made == '<text aria-label="&#34;&lt;">&lt;b&gt;&amp;&#34;</text>'
    assert element("g", element("line", x1=1.0)) == Markup('<g><line x1="1"/></g>')


def test_a_path_ends_where_its_points_do() -> None:
    """Steps of a tenth are relative: rounding must not add up over many of them."""
    points = [(10 + i / 7, 200 - i / 3) for i in range(500)]
    x = y = 0.0
    for dx, dy in re.findall(r"[ml](-?[\d.]+) (-?[\d.]+)", line_path(points)):
        x, y = x + float(dx), y + float(dy)
    assert (x, y) == pytest.approx(points[-1], abs=0.06)


def test_dots_are_strokes_of_no_length() -> None:
    assert dots_path([(1.0, 2.55), (3.0, 4.0)]) == "M1 2.5h0M3 4h0"


@pytest.mark.parametrize(
    ("axis", "wanted", "ticks"),
    [
        (Axis(0.1, 1.0, 0, 1), 5, [0.2, 0.4, 0.6, 0.8, 1.0]),
        (Axis(0.885, 0.935, 0, 1), 5, [0.89, 0.9, 0.91, 0.92, 0.93]),
        (Axis(1, 8, 0, 1), 8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (Axis(1, 64, 0, 1, log=True), 8, [1, 2, 4, 8, 16, 32, 64]),
        (Axis(1, 4096, 0, 1, log=True), 8, [1, 4, 16, 64, 256, 1024, 4096]),
        (Axis(3, 20, 0, 1, log=True), 8, [4, 8, 16]),
        (Axis(5, 5, 0, 1), 8, [5]),
    ],
)
def test_ticks_are_round(axis: Axis, wanted: int, ticks: list[float]) -> None:
    assert axis.ticks(wanted) == pytest.approx(ticks)


def test_an_axis_maps_its_ends() -> None:
    assert (Axis(1, 64, 40, 400, log=True)(1), Axis(1, 64, 40, 400, log=True)(64)) == (40, 400)
    assert Axis(1, 64, 0, 6, log=True)(8) == pytest.approx(3)
    assert Axis(0, 1, 100, 0)(0.25) == 75
    assert Axis(1, 1, 40, 400)(1) == 220


def test_thinning_keeps_both_ends() -> None:
    assert thin(list(range(100)), 4) == [0, 33, 66, 99]
    assert thin([1, 2], 4) == [1, 2]


def test_a_picture_has_a_name_for_those_who_do_not_see_it() -> None:
    made = picture(10, 20, "Rates", Markup("<g/>"), description="Mean 0.1.")
    assert made.startswith('<svg viewBox="0 0 10 20" role="img" aria-label="Rates. Mean 0.1."')
