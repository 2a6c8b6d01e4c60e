"""The charts: what they mark, and when they are left out."""

import re

from evaluations import evaluation, layer, regression_evaluation

from snnconvert.reports.charts import (
    HOVER_POINTS,
    accuracy_chart,
    close_up_chart,
    histogram_chart,
    ladder_chart,
    scatter_chart,
)


def test_the_first_timestep_near_the_ann_is_marked() -> None:
    assert "T = 33: within 1 point" in accuracy_chart(evaluation())
    assert "within 1 point" not in accuracy_chart(evaluation(shortfall=0.2))


def test_without_labels_there_is_no_line_of_the_ann() -> None:
    assert 'class="ann"' in accuracy_chart(evaluation())
    chart = accuracy_chart(evaluation(labelled=False))
    assert 'class="ann"' not in chart
    assert "agreement with the ANN" in chart


def test_long_runs_have_a_logarithmic_axis() -> None:
    assert "timesteps (logarithmic)" in accuracy_chart(evaluation(timesteps=16))
    assert "timesteps (logarithmic)" not in accuracy_chart(evaluation(timesteps=15))


def test_a_run_of_one_step_shows_its_answer_and_interval() -> None:
    chart = accuracy_chart(evaluation(timesteps=1))
    assert 'class="rung"' in chart
    assert 'class="range"' in chart
    assert 'class="range"' not in accuracy_chart(evaluation())


def test_figures_are_shown_under_the_pointer() -> None:
    tips = re.findall(r"<title>(T = \d+[^<]*)</title>", accuracy_chart(evaluation(timesteps=512)))
    assert 20 <= len(tips) <= HOVER_POINTS
    assert tips[-1].startswith("T = 512: 91.2 %, 95 % 89.3–92.8 %")
    assert tips[0].startswith("T = 1: ")


def test_the_close_up_is_left_out_where_it_shows_no_more() -> None:
    assert close_up_chart(evaluation()) is not None
    assert close_up_chart(evaluation(shortfall=0.7)) is None
    assert close_up_chart(evaluation(timesteps=1)) is None


def test_small_charts_tell_their_figures() -> None:
    assert "50.0 % silent, 0.4 % saturated" in histogram_chart(layer())
    chart = scatter_chart(layer(), 100)
    assert chart is not None
    assert "100 pairs, correlation 0.994" in chart
    assert chart.count("h0") == 100
    assert scatter_chart(layer(scatter=()), 100) is None
    constant = scatter_chart(layer(correlation=None), 100)
    assert constant is not None and "correlation unknown" in constant


def test_a_rung_lies_where_its_score_does() -> None:
    chart = ladder_chart(0.9, 0.8, 1.0, (0.7, 0.95))
    assert 'cx="80"' in chart
    assert 'x1="6" x2="117"' in chart


def test_errors_have_an_axis_of_their_own() -> None:
    chart = accuracy_chart(regression_evaluation(excess=0.02))
    assert ">mean absolute error</text>" in chart
    assert 'class="ann"' in chart
    assert 'class="agreement"' not in chart
    assert "within 5 %" in chart
    axis = chart.partition("timesteps (logarithmic)")[0]
    assert ">1<" in axis and " %<" not in axis
    close = close_up_chart(regression_evaluation())
    assert close is not None and "The same near the ANN&#39;s mean absolute error" in close


def test_numbers_without_labels_are_drawn_as_their_distance_to_the_ann() -> None:
    chart = accuracy_chart(regression_evaluation(labelled=False))
    assert ">relative error</text>" in chart
    assert 'class="ann"' not in chart
