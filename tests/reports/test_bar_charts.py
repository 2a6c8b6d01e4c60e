"""Bars of layers and of stops: what they show, and that they are sound XML."""

import re
from xml.etree import ElementTree

import pytest
from evaluations import anytime, diagnosed_layer, diagnosis, evaluation

from snnconvert.reports.bar_charts import MOST_LAYERS, diagnosis_chart, stops_chart


def rectangles(chart: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(chart).findall(".//rect")


def test_a_bar_for_each_layer_in_order_as_long_as_its_loss() -> None:
    bars = rectangles(diagnosis_chart(diagnosis()))
    assert len(bars) == 3
    lengths = [float(bar.attrib["width"]) for bar in bars]
    assert lengths[1] / lengths[0] == pytest.approx(15, rel=0.02)
    titles = [str(bar.findtext("title")) for bar in bars]
    assert titles[1] == "features.1.conv: 30.0 %, timing"
    assert titles[2] == "features.2.conv: −1.0 %, timing"
    zero = float(bars[0].attrib["x"])
    end = float(bars[2].attrib["x"]) + lengths[2]
    assert end == pytest.approx(zero, abs=0.2)


def test_the_layer_that_costs_most_is_described() -> None:
    assert "features.1.conv costs most: 30.0 %." in diagnosis_chart(diagnosis())


def test_of_many_layers_those_that_lose_most_are_drawn() -> None:
    many = [diagnosed_layer(f"layer{k}", k / 100) for k in range(60)]
    chart = diagnosis_chart(diagnosis(*many))
    assert len(rectangles(chart)) == MOST_LAYERS
    assert "layer59" in chart and "layer3:" not in chart


def test_names_are_escaped_and_cut() -> None:
    chart = diagnosis_chart(diagnosis(diagnosed_layer("<&>" + "x" * 80, 0.1)))
    assert max(len(t.text or "") for t in ElementTree.fromstring(chart).findall("text")) <= 60


def test_nothing_lost_is_drawn_too() -> None:
    assert len(rectangles(diagnosis_chart(diagnosis(diagnosed_layer("a", 0.0))))) == 1


def test_a_network_without_layers_has_no_chart() -> None:
    made = diagnosis(diagnosed_layer("a", 0.1))
    assert diagnosis_chart(type(made)(**(made.__dict__ | {"layers": ()}))) == ""


def test_stops_are_bars_of_the_samples() -> None:
    made = evaluation(timesteps=8)
    bars = rectangles(stops_chart(anytime(made, (0, 5, 10, 0, 0, 0, 0, 1))))
    assert [bar.findtext("title") for bar in bars] == [
        "2 timesteps: 5 samples",
        "3 timesteps: 10 samples",
        "8 timesteps: 1 sample",
    ]
    heights = [float(bar.attrib["height"]) for bar in bars]
    assert heights[1] == pytest.approx(2 * heights[0], rel=0.01)


@pytest.mark.parametrize("steps", [1, 2, 16, 300])
def test_any_number_of_steps_can_be_drawn(steps: int) -> None:
    made = evaluation(timesteps=4)
    chart = stops_chart(anytime(made, (*[0] * (steps - 1), 7)))
    assert len(rectangles(chart)) == 1
    assert f"mean {steps:.1f}" in chart
    assert not re.search("nan|inf", chart)
