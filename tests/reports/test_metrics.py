"""Metrics against formulas by hand, in one piece and in parts, and how they are found by name."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnconvert.convert.errors import DataError, UsageError
from snnconvert.reports import tally as tallies
from snnconvert.reports.metrics import find_metric, metric_names
from snnconvert.reports.readings import OutputLayout
from snnconvert.reports.scores import Judge, OutputScore, OutputTally
from snnconvert.reports.statistics import wilson_interval

T, N = 3, 40


def score(
    outputs: np.ndarray,
    labels: Any,
    metric: Any = None,
    *,
    ann: np.ndarray | None = None,
    batch: int = N,
    **layout: Any,
) -> OutputScore:
    """Score outputs (T, N, *shape), in batches."""
    shape = outputs.shape[2:]
    made = OutputLayout("y", shape, layout.pop("given", shape), **layout)
    ann = outputs[-1] if ann is None else ann
    finished = ann if made.finish is None else made.finish(ann)
    judge = Judge(made, ann, finished, labels, find_metric(metric))
    counted = OutputTally(judge, len(outputs))
    for start in range(0, outputs.shape[1], batch):
        here = slice(start, min(start + batch, outputs.shape[1]))
        counted.add(here, outputs[:, here])
    return counted.result(0)


def values(found: OutputScore) -> list[Any]:
    return [row.value for row in found.rows]


def test_accuracy_counts_the_largest_score_and_the_first_of_several() -> None:
    outputs = np.array([[[0.0, 2, 1], [3, 3, 0]], [[1, 0, 0], [0, 1, 0]]])
    found = score(outputs, np.array([1, 0]))
    assert found.metric.name == "accuracy"
    assert values(found) == [1.0, 0.0]
    assert [row.accuracy for row in found.rows] == [1.0, 0.0]
    assert found.rows[0].ci95 == wilson_interval(2, 2)


def test_one_output_decides_by_its_sign() -> None:
    outputs = np.array([[[-0.5], [0.0], [0.1]]])
    assert values(score(outputs, np.array([0, 0, 1]))) == [1.0]
    assert values(score(outputs[..., 0], np.array([[0], [1], [1]]))) == [2 / 3]


def test_the_ann_is_compared_row_by_row() -> None:
    labels = np.array([0, 1, 1, 0])
    ann = np.eye(2)[[0, 1, 0, 1]]
    found = score(np.eye(2)[[0, 0, 1, 0]][None], labels, ann=ann)
    assert (found.ann.value, found.ann.accuracy, found.ann.difference) == (0.5, 0.5, 0.25)
    assert (found.ann.only_ann_correct, found.ann.only_snn_correct) == (1, 2)
    assert found.rows[0].agreement == 0.25


def test_top_k_is_a_sort(rng: np.random.Generator) -> None:
    outputs = rng.integers(0, 5, (T, N, 7)).astype(float)  # many ties
    labels = rng.integers(0, 7, N)
    order = np.argsort(-outputs, axis=2, kind="stable")[:, :, :3]
    expected = (order == labels[:, None]).any(axis=2).mean(axis=1)
    found = score(outputs, labels, "top3")
    assert values(found) == expected.tolist()
    assert found.rows[0].accuracy == (outputs[0].argmax(axis=1) == labels).mean()


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_errors_of_numbers_follow_their_formulas(rng: np.random.Generator, offset: float) -> None:
    targets = rng.normal(offset, 1, (N, 4)) * [1, 2, 3, 4]
    outputs = targets + rng.normal(0, 0.5, (T, N, 4))
    error = outputs - targets
    spread = ((targets - targets.mean(axis=0)) ** 2).sum()
    expected = {
        "mae": np.abs(error).mean(axis=(1, 2)),
        "mse": (error**2).mean(axis=(1, 2)),
        "r2": 1 - (error**2).sum(axis=(1, 2)) / spread,
    }
    for name, wanted in expected.items():
        np.testing.assert_allclose(values(score(outputs, targets, name)), wanted, rtol=1e-7)
    auto = score(outputs, targets)
    assert auto.metric.name == "mae"
    assert auto.metric.direction == "lower"
    assert [r.also["r2"] for r in auto.rows] == pytest.approx(expected["r2"], rel=1e-7)


def test_nearness_to_the_anns_numbers(rng: np.random.Generator) -> None:
    ann = rng.normal(1, 2, (N, 3))
    outputs = ann + rng.normal(0, 1, (T, N, 3))
    found = score(outputs, None, "mae", ann=ann)
    assert found.metric.against == "ann"
    for row, y in zip(found.rows, outputs, strict=True):
        assert row.value == row.relative_error
        assert row.relative_error == pytest.approx(np.linalg.norm(y - ann) / np.linalg.norm(ann))
        assert row.correlation == pytest.approx(np.corrcoef(y.ravel(), ann.ravel())[0, 1])
        assert row.agreement is row.accuracy is None


def iou(decided: np.ndarray, labels: np.ndarray, classes: int, ignored: int) -> float:
    shares = []
    valid = labels != ignored
    for c in range(classes):
        both = ((decided == c) & (labels == c) & valid).sum()
        either = (((decided == c) | (labels == c)) & valid).sum()
        if either:
            shares.append(both / either)
    return float(np.mean(shares))


@pytest.mark.parametrize(("metric", "ignored"), [(None, 255), ("miou:3", 3)])
def test_mean_iou_of_label_maps(rng: np.random.Generator, metric: str | None, ignored: int) -> None:
    outputs = rng.normal(0, 1, (T, N, 4, 5, 6))
    labels = rng.integers(0, 3, (N, 5, 6))  # class 3 is only answered
    labels[rng.random(labels.shape) < 0.2] = ignored
    decided = outputs.argmax(axis=2)
    found = score(outputs, labels, metric, batch=7)
    assert found.metric.name == "miou"
    expected = [iou(d, labels, 4, ignored) for d in decided]
    assert values(found) == pytest.approx(expected, rel=1e-12)
    right = [(d == labels)[labels != ignored].mean() for d in decided]
    assert [r.also["pixel_accuracy"] for r in found.rows] == pytest.approx(right)
    assert found.rows[-1].agreement == 1.0
    low, high = found.rows[-1].ci95 or (1.0, 0.0)
    assert low < found.rows[-1].value < high  # type: ignore[operator]
    assert found.rows[0].ci95 is None


def test_channels_may_come_last(rng: np.random.Generator) -> None:
    outputs = rng.normal(0, 1, (1, N, 5, 6, 3))
    labels = rng.integers(0, 3, (N, 5, 6))
    expected = iou(outputs[0].argmax(axis=-1), labels, 3, 255)
    assert values(score(outputs, labels))[0] == pytest.approx(expected)
    sequences = rng.normal(0, 1, (1, N, 5, 3))
    places = rng.integers(0, 3, (N, 5))
    found = score(sequences, places, "pixel_accuracy")
    assert values(found)[0] == pytest.approx((sequences[0].argmax(axis=-1) == places).mean())


def test_binary_maps_and_several_yes_or_no_answers(rng: np.random.Generator) -> None:
    outputs = rng.normal(0, 1, (1, N, 1, 5, 6))
    labels = rng.integers(0, 2, (N, 5, 6))
    found = score(outputs, labels, probability=True)
    assert found.metric.name == "miou"
    assert values(found)[0] == pytest.approx(iou(outputs[0, :, 0] > 0, labels, 2, 255))
    many = rng.normal(0, 1, (1, N, 8))
    tags = rng.integers(0, 2, (N, 8))
    found = score(many, tags, probability=True)
    assert found.metric.name == "binary_accuracy"
    assert values(found)[0] == pytest.approx(((many[0] > 0) == tags).mean())


@pytest.mark.parametrize("batch", [1, 7, 100])
@pytest.mark.parametrize("metric", ["accuracy", "top2", "mae", "mse", "r2", "miou"])
def test_parts_add_up_to_the_whole(rng: np.random.Generator, metric: str, batch: int) -> None:
    outputs = rng.normal(0, 1, (T, N, 4, 3) if metric == "miou" else (T, N, 4))
    labels: Any = rng.integers(0, 4, (N, 3) if metric == "miou" else N)
    if metric in ("mae", "mse", "r2"):
        labels = rng.normal(0, 1, (N, 4))
    whole, parts = (score(outputs, labels, metric, batch=b) for b in (N, batch))
    np.testing.assert_allclose(values(parts), values(whole), rtol=1e-12)
    assert parts.rows[-1].ci95 == pytest.approx(whole.rows[-1].ci95, rel=1e-9)
    assert parts.ann.difference_ci95 == pytest.approx(whole.ann.difference_ci95, rel=1e-9)


def test_the_interval_of_a_mean_is_that_of_its_rows(rng: np.random.Generator) -> None:
    targets = rng.normal(0, 1, (N, 4))
    outputs = targets + rng.normal(0, 1, (T, N, 4))
    rows = np.abs(outputs - targets).mean(axis=2)
    half = 1.959964 * rows.std(axis=1, ddof=1) / math.sqrt(N)
    found = score(outputs, targets, batch=9)
    for row, mean, width in zip(found.rows, rows.mean(axis=1), half, strict=True):
        assert row.ci95 == pytest.approx((mean - width, mean + width), rel=1e-6)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    covered = {"mae": 0, "r2": 0, "miou": 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        targets = rng.normal(0, 1, (200, 1))
        outputs = targets + rng.normal(0, 0.5, (1, 200, 1))
        truth = {"mae": 0.5 * math.sqrt(2 / math.pi), "r2": 0.75}
        labels = rng.integers(0, 2, (200, 6))
        wrong = rng.random(labels.shape) < 0.2
        scores = np.eye(2)[np.where(wrong, 1 - labels, labels)].transpose(0, 2, 1)[None]
        truth["miou"] = 0.8 / 1.2
        for name, wanted in truth.items():
            given, fitting = (scores, labels) if name == "miou" else (outputs, targets)
            low, high = score(given, fitting, name).rows[-1].ci95 or (1.0, 0.0)
            covered[name] += low <= wanted <= high
    # 57 of 60 expected; fewer than 51 has a probability of 0.3 %.
    assert all(count >= 51 for count in covered.values()), covered


def rmse(outputs: np.ndarray, targets: np.ndarray) -> float:
    return float(np.sqrt(np.mean((outputs - targets) ** 2)))


rmse.better = "lower"  # type: ignore[attr-defined]


def test_a_function_gets_everything_at_once(rng: np.random.Generator) -> None:
    targets = rng.normal(0, 1, (N, 2))
    outputs = rng.normal(0, 1, (T, N, 2))
    found = score(outputs, targets, rmse, batch=11)
    assert values(found) == pytest.approx([rmse(y, targets) for y in outputs], rel=1e-6)
    assert found.metric.name.endswith(":rmse")
    assert (found.metric.direction, found.metric.title) == ("lower", "rmse")
    assert found.metric.held_bytes == 4 * T * N * 2
    assert found.ann.difference == pytest.approx(0.0, abs=1e-6)
    assert found.rows[-1].ci95 is None


def test_a_function_sees_what_the_file_gives(rng: np.random.Generator) -> None:
    seen = []

    def keep(outputs: np.ndarray, targets: np.ndarray) -> float:
        seen.append(outputs)
        return 0.5

    logits = rng.normal(0, 1, (1, N, 3))
    score(logits, np.zeros(N), keep, finish=lambda x: x.argmax(axis=1), given=(), class_axis=0)
    np.testing.assert_array_equal(seen[0], logits[0].argmax(axis=1))


def test_a_function_is_refused_more_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "HELD_BYTES", 100)
    with pytest.raises(DataError, match="all outputs at once: 960 bytes, at most 100 are held"):
        score(np.zeros((T, N, 2)), np.zeros((N, 2)), rmse, batch=10)


def test_what_a_function_returns_must_be_a_number() -> None:
    with pytest.raises(UsageError, match="gives a NoneType, not a number"):
        score(np.zeros((T, N, 2)), np.zeros(N), lambda outputs, targets: None)


def test_a_function_that_raises_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "def bad(outputs, targets):\n    return int('boo')\n\ndef none(*_):\n    assert False\n"
    )
    (tmp_path / "raising_metric_of_a_test.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    for name, told, line in (("bad", "ValueError: invalid literal", 2), ("none", "Assert", 5)):
        metric = f"raising_metric_of_a_test:{name}"
        with pytest.raises(UsageError) as caught:
            score(np.zeros((1, N, 2)), np.zeros(N), metric)
        assert caught.value.message.startswith(f"metric {metric} raised {told}")
        assert caught.value.where == f"{tmp_path / 'raising_metric_of_a_test.py'}:{line}"
        assert isinstance(caught.value.__cause__, ValueError | AssertionError)


def test_a_module_that_raises_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_metric_of_a_test.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot be imported; ZeroDivisionError: division"):
        find_metric("broken_metric_of_a_test:f")


def test_what_is_not_defined_is_none() -> None:
    constant = score(np.zeros((1, N, 2)), np.ones((N, 2)), "r2")
    assert values(constant) == [None]
    assert constant.ann.value is None and constant.ann.difference is None
    assert constant.rows[0].ci95 is None


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("accuracy", "accuracy"),
        ("top5", "top-5 accuracy"),
        ("top-10", "top-10 accuracy"),
        ("miou:0", "mean IoU"),
        ("r2", "R²"),
        ("math:dist", "dist"),
    ],
)
def test_metrics_are_found_by_name(name: str, title: str) -> None:
    found = find_metric(name)
    assert found is not None and found.title == title


def test_auto_is_no_metric_of_its_own() -> None:
    assert find_metric("auto") is find_metric(None) is None
    assert "auto" in metric_names()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("acuracy", "unknown metric 'acuracy'"),
        ("top0", "unknown metric 'top0'"),
        (7, "a metric is a name or a function, not a int"),
        ("nowhere.at_all:f", "metric nowhere.at_all:f cannot be imported"),
        ("math:nothing", "metric math:nothing cannot be imported"),
        ("math:pi", "metric math:pi is a float, no function"),
    ],
)
def test_unknown_metrics_are_refused(given: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_metric(given)
    assert message in str(caught.value)
    if given == "acuracy":
        assert caught.value.hint == ("did you mean 'accuracy'? Or a function: package.module:name")


def test_a_function_may_lie_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_metric_of_a_test.py").write_text("def half(outputs, targets): return 0.5\n")
    monkeypatch.chdir(tmp_path)
    assert values(score(np.zeros((1, N, 2)), np.zeros(N), "own_metric_of_a_test:half")) == [0.5]


def test_a_function_says_which_direction_is_better() -> None:
    def odd(outputs: np.ndarray, targets: np.ndarray) -> float:
        return 0.0

    odd.better = "sideways"  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="better must be 'higher' or 'lower', not 'sideways'"):
        find_metric(odd)
