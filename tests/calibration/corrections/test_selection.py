import json
import math
from dataclasses import replace

import numpy as np
import pytest

from snnconvert.backends.base import get_backend, prepare
from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.calibration.corrections import (
    CORRECTIONS,
    correct_network,
    parse_corrections,
    selection,
    without_data,
)
from snnconvert.calibration.corrections.passes import LEAST_GAIN
from snnconvert.calibration.quantised import quantised_forward
from snnconvert.calibration.schedules import apply_schedule
from snnconvert.convert.build_network import build_network
from snnconvert.convert.errors import UsageError
from snnconvert.convert.graph import Graph, Relu
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.lower import lower
from snnconvert.convert.network import Network
from tests.deep_networks import deep, network_of
from tests.graphs import Sketch, samples_for

T = 8


def error(network: Network, graph: Graph, samples: dict[str, FloatArray], holdoff: int) -> float:
    staged, _ = apply_schedule(network, holdoff, T)
    decoded = ReferenceSimulation(staged).run(samples, T).logits[-1]
    return float(np.square(decoded - graph.evaluate(samples)[graph.outputs[0]]).mean())


@pytest.mark.parametrize("holdoff", [0, 2, T])
def test_outputs_come_closer_on_other_rows(holdoff: int) -> None:
    # A staged network has no early spikes: what can be corrected are levels that saturate.
    graph, network, samples = deep(rows=48, quantile=0.99 if holdoff < T else 0.9)
    corrected, record = correct_network(
        network, graph, samples, T, holdoff=holdoff, late_readout=False
    )
    others = samples_for(graph, 40, seed=9)
    assert error(corrected, graph, others, holdoff) < 0.9 * error(network, graph, others, holdoff)
    found = record["corrections"]
    assert found["accepted"]
    assert found["tried"][" + ".join(found["accepted"])] < found["tried"]["none"]
    assert found["rows"] == 48
    assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize("name", CORRECTIONS)
def test_each_is_optional(name: str) -> None:
    graph, network, samples = deep(rows=32)
    _, record = correct_network(network, graph, samples, T, corrections=(name,))
    assert set(record["corrections"]["tried"]) == {"none", name}


def test_a_correction_that_other_rows_do_not_confirm_is_dropped() -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.affine(sketch.input((1,))), name="relu")
    graph = lower(sketch.graph(sketch.affine(relu)))
    network = build_network(graph, {"relu": np.ones(1)})
    # Half a level is rounded up: rows of 0.03 ask for a lower potential, the others for none.
    x = np.array([[0.6 / T], [0.5 / T]] * 8, np.float32)
    corrected, record = correct_network(network, graph, {"x": x}, T, corrections=("potentials",))
    assert record["corrections"]["accepted"] == []
    assert corrected is network


def test_a_recipe_moves_the_mean_of_a_channel_once() -> None:
    graph, network, samples = deep(depth=4, rows=32)
    _, record = correct_network(network, graph, samples, T, corrections=("bias", "potentials"))
    assert list(record["corrections"]["tried"]) == ["none", "bias", "potentials"]
    assert len(record["corrections"]["accepted"]) == 1


def test_every_recipe_is_tried() -> None:
    graph, network, samples = deep(depth=3, rows=24)
    _, record = correct_network(network, graph, samples, T)
    tried = record["corrections"]["tried"]
    assert len(tried) == 12
    assert "weights + thresholds + potentials" in tried
    accepted = tried[" + ".join(record["corrections"]["accepted"]) or "none"]
    assert accepted <= min(tried.values()) / (1 - LEAST_GAIN)


def test_the_best_recipes_compete_again_on_more_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, network, samples = deep(depth=3, rows=24)
    monkeypatch.setattr(selection, "TRIAL_ROWS", 8)
    calls: list[tuple[int, int | None]] = []
    _, record = correct_network(
        network, graph, samples, T, progress=lambda *call: calls.append(call)
    )
    found = record["corrections"]
    best = sorted(found["tried"], key=found["tried"].__getitem__)[: selection.FINALISTS]
    assert set(found["confirmed"]) == {*best, "none"}
    assert all(found["confirmed"][name] != found["tried"][name] for name in best)
    accepted = found["confirmed"][" + ".join(found["accepted"]) or "none"]
    assert accepted <= min(found["confirmed"].values()) / (1 - LEAST_GAIN)
    assert [done for done, _ in calls] == list(range(1, len(calls) + 1))
    (total,) = {total for _, total in calls}
    assert total is not None and len(calls) <= total  # "none" may be among the best


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_change_nothing(rows: int) -> None:
    graph, network, samples = deep(depth=2)
    few = {name: x[:1] for name, x in samples.items()}
    corrected, record = correct_network(
        network, graph, few if rows else samples, T, corrections=CORRECTIONS if rows else ()
    )
    assert corrected is network
    assert record == {"corrections": {"accepted": []}}


def test_progress_counts_populations() -> None:
    graph, network, samples = deep(depth=4, rows=32)
    calls: list[tuple[int, int | None]] = []
    correct_network(
        network,
        graph,
        samples,
        T,
        corrections=("bias",),
        late_readout=False,
        progress=lambda *call: calls.append(call),
    )
    assert calls == [(i, len(calls)) for i in range(1, len(calls) + 1)]


def test_a_corrected_staged_network_still_is_the_quantised_one() -> None:
    graph, network, samples = deep(depth=3, rows=24, quantile=0.9)
    corrected, record = correct_network(network, graph, samples, T, holdoff=T)
    assert record["corrections"]["accepted"]
    staged, _ = apply_schedule(corrected, "full", T)
    run = get_backend("cpu").emit(staged).run(samples, T)
    quantised = quantised_forward(prepare(staged).network, samples, T)
    for population in corrected.populations:
        np.testing.assert_array_equal(run.spike_counts[population.name], quantised[population.name])


def test_a_staged_network_is_corrected_on_more_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, network, samples = deep(depth=2, rows=40)
    row = 8 * sum(math.prod(node.shape) for node in network.nodes)  # its activations
    monkeypatch.setattr("snnconvert.calibration.replay.MEMORY", 40 * row)
    used = [
        correct_network(network, graph, samples, T, corrections=("bias",), holdoff=holdoff)[1]
        for holdoff in (0, T)
    ]
    few, many = (record["corrections"]["rows"] for record in used)
    assert few < many == 40


def test_max_pooling_stays_exact_where_it_is() -> None:
    sketch = Sketch(2)
    pooled = sketch.pool(sketch.relu(sketch.conv(sketch.input((2, 6, 6)), 4, pad=1)), 2)
    graph = lower(sketch.graph(sketch.dense(sketch.relu(sketch.conv(pooled, 4)), 3)))
    samples = samples_for(graph, 32)
    network = build_network(
        graph,
        {
            n.name: np.full((1, 1, 1), 0.5)
            for n in graph.activations
            if _relu(graph, n.name).calibrated
        },
    )
    corrected, record = correct_network(network, graph, samples, T, holdoff=T)
    assert record["corrections"]["accepted"]
    for before, after in zip(network.populations, corrected.populations, strict=True):
        relu = _relu(graph, str(before.tensor))
        if relu.follows is not None:
            np.testing.assert_array_equal(after.threshold, before.threshold)
            np.testing.assert_array_equal(after.v_init, before.v_init)
            np.testing.assert_array_equal(after.bias, before.bias)
    first = corrected.populations[0]
    np.testing.assert_array_equal(first.threshold, network.populations[0].threshold)


def _relu(graph: Graph, name: str) -> Relu:
    op = graph[name].op
    assert isinstance(op, Relu)
    return op


def test_thresholds_that_a_function_dictates_are_kept() -> None:
    sketch = Sketch(2)
    sketch.relu(sketch.conv(sketch.input((2, 6, 6)), 4, pad=1), name="ramp")
    graph = lower(sketch.graph(sketch.dense("ramp", 3)))
    dictated = Relu(threshold=np.ones(1))
    nodes = [replace(n, op=dictated) if n.name == "ramp" else n for n in graph.nodes]
    graph = replace(graph, nodes=tuple(nodes))
    samples = samples_for(graph, 32)
    corrected, _ = correct_network(
        build_network(graph, {}), graph, samples, T, corrections=("thresholds",)
    )
    np.testing.assert_array_equal(corrected.populations[0].threshold, np.ones(1))


def test_names_are_parsed_in_the_order_of_the_passes() -> None:
    assert parse_corrections("auto") == CORRECTIONS
    assert parse_corrections("auto", whole=True) == ("weights", "bias")
    assert parse_corrections("thresholds", whole=True) == ("thresholds",)
    assert parse_corrections("none") == ()
    assert parse_corrections("bias, weights") == ("weights", "bias")
    assert parse_corrections(["potentials"]) == ("potentials",)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown correction 'biass'") as caught:
        parse_corrections("biass")
    assert "did you mean 'bias'" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["auto", "none"])
def test_a_choice_of_all_or_none_stands_alone(name: str) -> None:
    with pytest.raises(UsageError, match=f"'{name}' cannot be one of several corrections") as told:
        parse_corrections(f"{name},bias")
    assert told.value.hint == f"give {name} alone"


def test_random_samples_may_move_potentials_only() -> None:
    assert without_data(CORRECTIONS, ranges_known=False) == ("potentials",)
    assert without_data(CORRECTIONS, ranges_known=True) == ()


def test_networks_of_other_shapes_have_thresholds_too() -> None:
    sketch = Sketch(1)
    graph = lower(sketch.graph(sketch.dense(sketch.relu(sketch.dense(sketch.input((5,)), 7)), 3)))
    samples = samples_for(graph, 200)
    network = network_of(graph, samples)
    _, record = correct_network(network, graph, samples, T)
    assert record["corrections"]["tried"]["none"] > 0
