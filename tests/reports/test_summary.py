"""The lines for a terminal."""

from dataclasses import replace

from evaluations import evaluation, regression_evaluation

from snnconvert.reports.summary import parity_text, summary_table


def test_the_rows_name_the_essentials() -> None:
    rows = dict(summary_table(evaluation(latency=2)))
    assert rows["target"] == "loihi (integers)"
    assert rows["samples"] == "1,000"
    assert rows["ANN accuracy"] == "91.80 %"
    assert rows["accuracy at T = 64"].startswith("91.20 %  −0.60 points  (89.3–92.8 %)")
    assert rows["agreement with the ANN"] == "96.20 %"
    assert rows["latency"] == "66 steps"
    assert rows["synaptic operations"] == (
        "1.93 M a sample, 10.9 times the ANN's 178 k multiply-adds"
    )
    assert rows["energy on Loihi"] == "116 µJ a sample (estimate)"
    assert rows["parity"] == "0 differing spikes against the emulator (4 samples)"


def test_some_timesteps_are_shown() -> None:
    labels = [label for label, _ in summary_table(evaluation(timesteps=20))]
    assert [label for label in labels if label.startswith("accuracy at")] == [
        *("accuracy at T = 4", "accuracy at T = 8", "accuracy at T = 16", "accuracy at T = 20")
    ]


def test_without_labels_the_agreement_is_shown() -> None:
    rows = dict(summary_table(evaluation(labelled=False, parity=None)))
    assert "ANN accuracy" not in rows
    assert rows["agreement at T = 64"] == "96.20 %"
    assert "agreement with the ANN" not in rows
    assert "parity" not in rows


def test_parity_in_other_words_is_passed_on() -> None:
    assert parity_text(evaluation(parity={"checked_by": "hand", "entries": 1200})) == (
        "checked by: hand, entries: 1,200"
    )
    assert parity_text(evaluation(parity=None)) == "not compared with another engine"


def test_other_metrics_are_named() -> None:
    rows = dict(summary_table(regression_evaluation()))
    assert rows["ANN mean absolute error"] == "0.5"
    assert rows["mean absolute error at T = 64"] == "0.53  +0.03  (0.51 to 0.55)"
    assert rows["r2"] == "0.87"
    assert rows["to the ANN's output"] == "relative error 0.1, correlation 0.99"
    assert "accuracy at T = 64" not in rows


def test_every_other_output_has_a_line() -> None:
    made = evaluation()
    outputs = (*made.measurement.outputs, *regression_evaluation().measurement.outputs)
    rows = dict(
        summary_table(replace(made, measurement=replace(made.measurement, outputs=outputs)))
    )
    assert rows["output age"] == (
        "mean absolute error 0.53, ANN 0.5, to the ANN's output relative error 0.1, "
        "correlation 0.99"
    )
