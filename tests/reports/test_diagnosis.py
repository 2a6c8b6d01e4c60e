"""The diagnosis as a table, as data and as sections of the page."""

from dataclasses import replace

from evaluations import diagnosed_layer, diagnosis, evaluation, extended, regression_evaluation

from snnconvert.reports.summary import summary_table


def test_the_layers_that_lose_most_come_first() -> None:
    found = diagnosis()
    assert [layer.name for layer in found.worst] == [f"features.{k}.conv" for k in (1, 0, 2)]
    assert found.to_json()["worst"] == [layer.name for layer in found.worst]
    assert [row[0] for row in found.table(most=2)[1:]] == ["features.1.conv", "features.0.conv"]


def test_a_row_says_what_was_lost_why_and_what_to_change() -> None:
    header, row = diagnosis(diagnosed_layer("conv", 0.3)).table()
    assert header[:3] == ("layer", "points regained", "error regained")
    assert row == (
        *("conv", "15.0", "30.0 %", "0.1", "20.0 dB", "0.990", "1.0 %", "timing"),
        "--schedule full or auto, or --timesteps 128",
    )


def test_losses_of_a_cumulative_run_are_called_so() -> None:
    assert diagnosis(mode="cumulative").table()[0][1:3] == ("points lost", "error lost")


def test_what_is_unknown_is_a_dash() -> None:
    unknown = diagnosed_layer(
        "conv", -0.3, lost=None, relative_error=None, sqnr_db=None, correlation=None, options=()
    )
    row = diagnosis(unknown).table()[1]
    assert row == ("conv", "–", "−30.0 %", "–", "–", "–", "1.0 %", "timing", "–")


def test_metrics_of_other_kinds_keep_their_units() -> None:
    metric = regression_evaluation().metric
    found = replace(diagnosis(diagnosed_layer("conv", 0.3)), metric=metric)
    assert found.table()[0][1] == "mae regained"
    assert found.table()[1][1] == "0.15"


def test_the_page_has_both_sections_or_none() -> None:
    page, plain = extended(evaluation()).to_html(), evaluation().to_html()
    for title in ("Which layers lose most", "Stopping each sample when its answer is safe"):
        assert title in page and title not in plain
    assert "One layer at a time is replaced" in page
    assert page.count("<figcaption>Samples by the timestep") == 1


def test_the_terminal_shows_ladder_advice_and_stops() -> None:
    rows = dict(summary_table(extended(evaluation())))
    assert rows["ladder"] == "ANN 91.80 % > Quantised ANN 90.00 % > On the target 91.20 %"
    assert rows["largest loss"].startswith("1.8 points at Quantised ANN; change --timesteps 128")
    assert rows["anytime"] == (
        "91.20 % after 22.0 timesteps on average, 0.5 % other answers; a fixed T needs 12; "
        "34.4 % of the synaptic operations"
    )
    assert "anytime" not in dict(summary_table(evaluation()))
