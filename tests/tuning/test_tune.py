"""The whole path of a tuning: rows divided, options searched, the choice measured."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import snnconvert
from snnconvert.calibration.data import load_rows, row_digests
from snnconvert.convert.errors import DataError, UnsupportedModelError, UsageError
from snnconvert.tuning import workbench
from snnconvert.tuning.figures import Figures
from snnconvert.tuning.result import TuningResult
from snnconvert.tuning.rows import LabelledRows, divide
from snnconvert.tuning.space import Configuration

SCALE = 1 / 255
Array = npt.NDArray[Any]


def tuned(tiny: Any, **options: Any) -> TuningResult:
    """Tune the tiny network, with 12 trials unless said otherwise."""
    chosen = {
        "calibration_data": tiny.train,
        "evaluation_data": tiny.test,
        "scale": SCALE,
        "budget": 12,
        "search": {"timesteps": [2, 4, 8, 16], "method": ["auto", "max"]},
    }
    return snnconvert.tune_model(tiny.model, **(chosen | options))


def same_network(one: Any, other: Any) -> bool:
    """Whether two models have the same populations, readouts and timesteps."""
    pairs = zip(one.network.populations, other.network.populations, strict=True)
    return (one.timesteps, one.schedule, one.readout) == (
        other.timesteps,
        other.schedule,
        other.readout,
    ) and all(
        a.neuron == b.neuron
        and np.array_equal(a.threshold, b.threshold)
        and np.array_equal(a.bias, b.bias)
        and np.array_equal(a.v_init, b.v_init)
        for a, b in pairs
    )


@pytest.fixture(scope="module")
def result(tiny: Any) -> TuningResult:
    return tuned(tiny, goal="accuracy>=ANN-3")


def test_a_goal_is_met_on_rows_never_seen(result: TuningResult) -> None:
    assert result.labelled
    assert result.rows == {
        "thresholds": 100,
        "judging": 100,
        "final": 60,
        "final_from": "evaluation",
    }
    assert result.evaluation.ann_accuracy is not None
    assert result.evaluation.ann_accuracy > 0.8
    assert result.final.accuracy == result.evaluation.accuracy
    assert result.met_in_search
    assert result.met == (result.final.accuracy >= result.evaluation.ann_accuracy - 0.03)
    assert len(result.trials) <= 12
    assert result.ci95 is not None and result.ci95[0] <= result.final.accuracy <= result.ci95[1]


def test_the_choice_is_the_fastest_that_meets_the_goal(result: TuningResult) -> None:
    last = [t for t in result.trials if t.rung == result.chosen.rung and t.figures is not None]
    assert {t.rows for t in last} == {100}
    meeting = [t.figures.latency for t in last if t.figures and result.goal.met(t.figures)]
    assert result.chosen.figures is not None
    assert result.chosen.figures.latency == min(meeting)


def test_the_front_is_of_the_last_rung(result: TuningResult) -> None:
    assert result.front
    for one in result.front:
        assert one.rows == 100 and one.figures is not None
        for other in result.front:
            assert other.figures is not None
            better = other.figures.accuracy > one.figures.accuracy
            assert not (
                better
                and other.figures.latency <= one.figures.latency
                and other.figures.synops <= one.figures.synops
            )


def test_the_same_seed_gives_the_same_result(tiny: Any, result: TuningResult) -> None:
    again = tuned(tiny, goal="accuracy>=ANN-3")
    assert again.to_json() == result.to_json()


def test_the_figures_of_a_trial_are_those_of_a_conversion(tiny: Any, result: TuningResult) -> None:
    """What is found once is what is found anew."""
    division = divide(
        LabelledRows(floats(tiny.train), {"": tiny.train["y"]}),
        LabelledRows(floats(tiny.test), {"": tiny.test["y"]}),
    )
    trial = next(t for t in result.trials if t.rung == result.chosen.rung)
    snn = snnconvert.convert_model(
        tiny.model, division.thresholds.x, scale=SCALE, **trial.configuration.options
    )
    judged = snn.evaluate(division.judging.x, division.judging.y[""])
    assert trial.figures is not None
    assert trial.figures.accuracy == judged.accuracy
    assert trial.figures.ann_accuracy == judged.ann_accuracy
    assert trial.figures.latency == judged.final.latency
    assert trial.figures.synops == judged.measurement.operations.synops
    assert trial.figures.neurons == snn.network.neurons


def floats(rows: dict[str, Array]) -> dict[str, Array]:
    return {"x": rows["x"].astype(np.float32)}


@pytest.mark.parametrize("apart", [True, False])
def test_no_trial_sees_a_final_row(tiny: Any, monkeypatch: pytest.MonkeyPatch, apart: bool) -> None:
    """Every row that a trial converts or judges with is noted, by its digest."""
    seen: set[int] = set()
    judged: set[int] = set()
    convert, load = snnconvert.convert_model, load_rows

    def converting(model: Any, rows: Any, **options: Any) -> Any:
        seen.update(row_digests(rows))
        return convert(model, rows, **options)

    def loading(rows: Any, *arguments: Any, **options: Any) -> Any:
        judged.update(row_digests(rows))
        return load(rows, *arguments, **options)

    monkeypatch.setattr(workbench, "convert_model", converting)
    monkeypatch.setattr(workbench, "load_rows", loading)
    finals: list[set[int]] = []
    evaluate = snnconvert.SpikingModel.evaluate

    def evaluating(self: Any, x: Any, *arguments: Any, **options: Any) -> Any:
        finals.append(set(row_digests(x)))
        return evaluate(self, x, *arguments, **options)

    monkeypatch.setattr(snnconvert.SpikingModel, "evaluate", evaluating)
    result = tuned(tiny, evaluation_data=tiny.test if apart else None, budget=6)
    assert len(finals) == 1
    assert seen and judged and finals[0]
    assert not seen & finals[0] and not judged & finals[0] and not seen & judged
    everything = set(row_digests(floats(tiny.train)))
    if apart:
        assert seen | judged == everything
    else:
        assert seen | judged | finals[0] == everything
        assert result.rows["final_from"] == "calibration"
        assert len(finals[0]) == len(everything) // 3


def test_a_missed_goal_is_said_and_nothing_is_searched_again(tiny: Any) -> None:
    result = tuned(tiny, goal="accuracy>=100%", budget=8)
    assert not result.met and not result.met_in_search
    assert len(result.trials) <= 8
    assert result.verdict.startswith(
        "goal missed on rows that the search never saw, and by every configuration on the judging"
    )
    assert "wanted at least 100.00 %" in result.verdict


def test_costs_alone_ask_for_the_most_accurate(tiny: Any) -> None:
    result = tuned(tiny, goal="latency<=4", budget=10)
    assert result.goal.minimise is None
    assert result.final.latency <= 4
    assert {t.configuration.timesteps for t in result.trials} <= {2, 4}


def test_without_labels_agreement_stands_for_accuracy(tiny: Any) -> None:
    rows, tests = {"x": tiny.train["x"]}, {"x": tiny.test["x"]}
    result = tuned(tiny, calibration_data=rows, evaluation_data=tests, budget=6)
    assert not result.labelled
    assert result.final.accuracy == result.final.agreement
    assert result.final.ann_accuracy == 1
    assert any("agreement with the ANN stands for the accuracy" in w for w in result.warnings)
    assert "final agreement" in result.render()
    given = tuned(
        tiny, calibration_data=rows, labels=tiny.train["y"], evaluation_data=tests, budget=6
    )
    assert given.labelled


def test_a_mixed_set_gives_up_the_rows_that_were_searched(tiny: Any) -> None:
    mixed = {"x": np.r_[tiny.test["x"], tiny.train["x"][:5]], "y": np.r_[tiny.test["y"], [0] * 5]}
    result = tuned(tiny, evaluation_data=mixed, budget=6)
    assert result.rows["final"] == 60
    assert result.warnings[0].startswith("--eval and --calibration share 5 rows")
    with pytest.raises(DataError, match="every evaluation row is a calibration row"):
        tuned(tiny, evaluation_data=tiny.train)


def test_everything_is_written(result: TuningResult, tmp_path: Path) -> None:
    result.write(tmp_path / "out")
    document = json.loads((tmp_path / "out" / "tuning.json").read_text())
    assert document == json.loads(json.dumps(result.to_json()))
    assert document["schema"] == "snnconvert-tuning-1"
    assert document["final"]["samples"] == 60
    assert document["chosen"] in document["front"]
    assert tomllib.loads((tmp_path / "out" / "tuned.toml").read_text()) == result.config
    page = (tmp_path / "out" / "tuning.html").read_text()
    assert page.count("<svg") == 2
    assert str(result.chosen.configuration) in page
    picture = (tmp_path / "out" / "front.svg").read_text()
    assert picture.startswith("<svg xmlns=") and picture.count("<circle") > len(result.front)
    assert same_network(snnconvert.load(tmp_path / "out" / "network.snn"), result.model)


def test_the_table_marks_the_choice(result: TuningResult) -> None:
    lines = result.render().splitlines()
    marked = [line for line in lines if line.startswith("*")]
    assert len(marked) == 1
    assert str(result.chosen.configuration).partition(" ")[2] in marked[0]
    assert f"final accuracy  {100 * result.final.accuracy:.2f} %" in result.render()


def test_the_options_of_the_config_make_the_same_network(tiny: Any, result: TuningResult) -> None:
    assert result.config["scale"] == SCALE
    snn = snnconvert.convert_model(
        tiny.model, tiny.train, scale=SCALE, **result.chosen.configuration.options
    )
    assert same_network(snn, result.model)


def test_refusals(tiny: Any) -> None:
    with pytest.raises(DataError, match="8 different calibration rows are too few"):
        tuned(tiny, calibration_data={"x": tiny.train["x"][:8]})
    with pytest.raises(DataError, match="no calibration rows to search with"):
        tuned(tiny, calibration_data=None)
    with pytest.raises(UsageError, match="unknown reset 'hard'; known: subtract, zero"):
        tuned(tiny, reset="hard")
    with pytest.raises(UsageError, match="unknown target 'cpi'; did you mean 'cpu'"):
        tuned(tiny, target="cpi")
    with pytest.raises(DataError, match="3 labels"):
        tuned(tiny, calibration_data=tiny.train["x"], labels=[0, 1, 2])
    with pytest.raises(DataError, match="a goal needs answers that are right or wrong"):
        tuned(tiny, calibration_data={"x": tiny.train["x"], "y": np.zeros((200, 3))})


def test_what_the_target_cannot_do_is_in_the_report(tiny: Any) -> None:
    """Signed neurons cannot reset to zero; asked for by name they are tried and refused."""
    searched = {"timesteps": [4], "neuron": ["if", "signed"], "method": ["auto"]}
    result = tuned(tiny, reset="zero", search=searched, goal="latency<=4", budget=8)
    refused = [t for t in result.trials if t.figures is None]
    assert refused and {t.configuration.neuron for t in refused} == {"signed"}
    assert result.chosen.configuration.neuron == "if"
    assert "Not possible on this target" in result.to_html()
    problems = [entry["problem"] for entry in result.to_json()["trials"]]
    assert "'signed' has no reset 'zero'" in refused[0].problem
    assert refused[0].problem in problems


def test_a_schedule_that_chooses_its_window_is_searched_by_its_latency(tiny: Any) -> None:
    searched = {"timesteps": [4, 8, 16], "schedule": ["auto"], "method": ["auto"]}
    result = tuned(tiny, search=searched, goal="accuracy>=ANN-3", budget=8)
    assert result.config["schedule"] == "auto"
    for trial in result.trials:
        assert trial.figures is not None
        assert trial.figures.latency <= trial.configuration.timesteps == len(trial.curve)


def test_figures_by_latency() -> None:
    curve = tuple(Figures(a, a, 1.0, latency, 0.0, 0.0, 1) for a, latency in ((0.5, 3), (0.6, 4)))
    found = workbench.by_latency(curve, 5)
    assert [f.accuracy for f in found] == [0, 0, 0.5, 0.6, 0.6]
    assert [f.latency for f in found] == [1, 2, 3, 4, 4]


def test_where_no_configuration_converts_the_reason_is_raised(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: Any, **__: Any) -> Any:
        raise UnsupportedModelError([])

    monkeypatch.setattr(workbench, "convert_model", refusing)
    with pytest.raises(UnsupportedModelError):
        tuned(tiny, budget=3)


def test_equal_rows_are_never_on_both_sides(rng: np.random.Generator) -> None:
    x = rng.random((40, 2), np.float32)
    doubled = LabelledRows({"x": np.concatenate([x, x])}, {})
    division = divide(doubled, None)
    parts = [division.thresholds, division.judging, division.final]
    digests = [set(row_digests(part.x)) for part in parts]
    assert sum(map(len, digests)) == 40 == len(set.union(*digests))
    assert sum(map(len, parts)) == 80
    assert Configuration(4).family == ("if", "none")
