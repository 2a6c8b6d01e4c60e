"""Gradient descent on the weights of one layer, and the ANN behind it that it is led by."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.calibration.corrections import Descent, correct_network, descent
from snnconvert.calibration.corrections import weight_calibration as stage
from snnconvert.calibration.corrections.behind import Behind
from snnconvert.calibration.corrections.regression import can_refit, kernel_of
from snnconvert.calibration.replay import FITTED
from snnconvert.calibration.schedules import apply_schedule
from snnconvert.convert import threads
from snnconvert.convert.graph import Graph
from snnconvert.convert.linear import (
    Chain,
    Convolution,
    FloatArray,
    Matrix,
    ReduceSum,
    Select,
)
from snnconvert.convert.lower import lower
from snnconvert.convert.network import Network, Population
from snnconvert.convert.resume import NothingKept, ResumeFile
from snnconvert.reports.checkpoint import State
from tests.deep_networks import deep, network_of
from tests.graphs import Sketch, samples_for

T = 4


def tuned(
    graph: Graph,
    network: Network,
    samples: dict[str, FloatArray],
    *,
    holdoff: int = T,
    corrections: tuple[str, ...] = ("weights",),
    **options: Any,
) -> tuple[Network, dict[str, Any]]:
    settings: dict[str, Any] = {"seed": 0, "kept": NothingKept()}
    chosen = Descent(**(settings | options))
    network, record = correct_network(
        network,
        graph,
        samples,
        T,
        corrections=corrections,
        holdoff=holdoff,
        late_readout=False,
        descent=chosen,
    )
    return network, record["weight_calibration"]


def error(network: Network, graph: Graph, samples: dict[str, FloatArray], holdoff: int) -> float:
    staged, _ = apply_schedule(network, holdoff, T)
    decoded = ReferenceSimulation(staged).run(samples, T).logits[-1]
    return float(np.square(decoded - graph.evaluate(samples)[graph.outputs[0]]).mean())


def weights(network: Network) -> dict[tuple[str, str], FloatArray]:
    return {(c.source, c.target): kernel_of(c).weight for c in network.connections if can_refit(c)}


def parameters(network: Network) -> list[bytes]:
    """Every number of a network."""
    arrays = [kernel_of(c).weight for c in network.connections if can_refit(c)]
    arrays += [getattr(p, name) for p in network.populations for name in stage.PARAMETERS]
    return [np.asarray(a).tobytes() for a in (*arrays, *(r.bias for r in network.readouts))]


@pytest.mark.parametrize("holdoff", [0, 2, T])
def test_outputs_come_closer_on_other_rows(holdoff: int) -> None:
    graph, network, samples = deep(depth=3, rows=96)
    better, record = tuned(graph, network, samples, holdoff=holdoff, corrections=())
    assert record["accepted"]
    assert record["error"] < record["error_without"]
    assert record["rows"] == 96
    assert set(record["steps"]) == {p.name for p in network.populations}
    others = samples_for(graph, 60, seed=9)
    assert error(better, graph, others, holdoff) < 0.95 * error(network, graph, others, holdoff)


def residual(kind: str) -> Graph:
    """Every kind of kernel, a residual add and a value that goes straight on."""
    rank = {"1d": 1, "3d": 3}.get(kind, 2)
    sketch = Sketch(3)
    first = sketch.relu(
        sketch.conv(sketch.input((4, *[5] * rank)), 4, pad=1, name="z"), name="first"
    )
    options: dict[str, Any] = {
        "grouped": {"groups": 2},
        "depthwise": {"groups": 4},
        "strided": {"stride": 2},
    }.get(kind, {})
    if kind == "strided":
        second = sketch.relu(sketch.conv(first, 4, pad=1, **options), name="second")
    else:
        second = sketch.relu(
            sketch.sum(sketch.conv(first, 4, pad=1, **options), first), name="second"
        )
    return lower(sketch.graph(sketch.dense(second, 3)))


def spoilt(network: Network) -> Network:
    """Change the weights into the second population: there is something to gain."""
    (connection,) = (c for c in network.connections if c.target == "second" and can_refit(c))
    kernel = kernel_of(connection)
    noise = 0.2 * np.random.default_rng(2).standard_normal(kernel.weight.shape)
    other = (*connection.operators[:-1], replace(kernel, weight=kernel.weight + noise))
    return replace(
        network,
        connections=tuple(
            replace(c, operators=other) if c is connection else c for c in network.connections
        ),
    )


@pytest.mark.parametrize("kind", ["1d", "plain", "3d", "grouped", "depthwise", "strided"])
def test_kernels_alone_change(kind: str) -> None:
    graph = residual(kind)
    samples = samples_for(graph, 96)
    network = spoilt(network_of(graph, samples))
    better, record = tuned(graph, network, samples, corrections=())
    assert record["accepted"]
    assert record["steps"]["first"] == 0  # an input's currents are exact
    assert record["steps"]["second"] > 0
    before, after = weights(network), weights(better)
    changed = {pair for pair in before if not np.array_equal(before[pair], after[pair])}
    (readout,) = network.readouts
    assert {("first", "second")} <= changed <= {("first", "second"), ("second", readout.name)}
    for old, new in zip(network.connections, better.connections, strict=True):
        if not can_refit(old):
            assert new is old  # the residual add among them
    for before_it, after_it in zip(network.populations, better.populations, strict=True):
        assert before_it.threshold is after_it.threshold and before_it.v_init is after_it.v_init
    (old_bias,), (new_bias,) = (
        [p.bias for p in one.populations if p.name == "first"] for one in (network, better)
    )
    np.testing.assert_array_equal(old_bias, new_bias)


def test_max_pooling_trees_stay() -> None:
    sketch = Sketch(2)
    value = sketch.relu(sketch.conv(sketch.input((2, 6, 6)), 4, pad=1))
    value = sketch.relu(sketch.conv(sketch.pool(value), 4, pad=1), name="last")
    graph = lower(sketch.graph(sketch.dense(value, 3)))
    samples = samples_for(graph, 32)
    network = network_of(graph, samples, 0.9)
    _, record = tuned(graph, network, samples)
    tuned_ones = {name for name, steps in record["steps"].items() if steps}
    assert tuned_ones <= {"last"}


def test_it_is_dropped_where_held_out_rows_do_not_confirm_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph, network, samples = deep(depth=2, rows=24)
    plain, _ = correct_network(
        network, graph, samples, T, corrections=("weights",), holdoff=T, late_readout=False
    )

    def spoil(population: Population, *_: Any, **__: Any) -> tuple[Population, int]:
        return replace(population, bias=population.bias + 1.0), 15

    monkeypatch.setattr(descent, "descend", spoil)
    same, record = tuned(graph, network, samples, corrections=("weights",))
    assert not record["accepted"]
    assert record["error"] > record["error_without"]
    assert parameters(same) == parameters(plain) != parameters(network)


@pytest.mark.parametrize("corrections", [(), ("weights",)])
def test_readouts_are_refitted_where_the_recipe_does(
    corrections: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what is judged would not be the descent."""
    monkeypatch.setattr(stage, "LEAST_GAIN", -np.inf)  # kept, whatever it brings
    graph, network, samples = deep(depth=2, rows=24)
    found, record = tuned(graph, network, samples, corrections=corrections)
    assert record["accepted"]
    (before,), (after,) = network.readouts, found.readouts
    (old,), (new,) = network.incoming(before.name), found.incoming(after.name)
    same = np.array_equal(kernel_of(old).weight, kernel_of(new).weight)
    assert same is not bool(corrections)
    assert np.array_equal(before.bias, after.bias) is not bool(corrections)


def test_rows_that_stop_do_not_judge() -> None:
    rows = np.arange(40)
    parts = [rows[FITTED], rows[descent.STOPPING], rows[stage.JUDGING]]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), rows)


def test_steps_that_held_out_rows_do_not_confirm_are_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph, network, samples = deep(depth=3, rows=24)
    monkeypatch.setattr(descent, "RATE", 1e3)
    same, record = tuned(graph, network, samples, corrections=("bias",))
    assert set(record["steps"].values()) == {0}
    plain, _ = correct_network(
        network, graph, samples, T, corrections=("bias",), holdoff=T, late_readout=False
    )
    assert [p.bias.tobytes() for p in same.populations] == [
        p.bias.tobytes() for p in plain.populations
    ]


@pytest.mark.parametrize("layers", [1, 3, 4, 6])
def test_what_was_interrupted_goes_on_to_the_same_network(
    tmp_path: Any, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "LEAST_GAIN", -np.inf)  # kept, whatever it brings
    graph, network, samples = deep(depth=3, rows=32)
    whole, record = tuned(graph, network, samples)
    assert record["accepted"]
    path = tmp_path / "weights.resume"

    def stop(done: int, total: int | None) -> None:
        assert total == 6
        if done == layers:
            raise KeyboardInterrupt

    file = ResumeFile(path, {"rows": "1"}, work="conversion")
    with pytest.raises(KeyboardInterrupt), file.writing():
        tuned(graph, network, samples, kept=file, progress=stop)
    again = ResumeFile(path, {"rows": "1"}, work="conversion")
    with pytest.MonkeyPatch.context() as patched:
        descended = counted(patched)
        resumed, found = tuned(graph, network, samples, kept=again)
    assert len(descended) == 6 - (layers - 1), "layers that were done were tuned again"
    assert found == record
    assert parameters(resumed) == parameters(whole)


def counted(patched: pytest.MonkeyPatch) -> list[str]:
    """Note the populations that are tuned."""
    seen, descend = list[str](), descent.descend

    def noted(population: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(population.name)
        return descend(population, *arguments, **options)

    patched.setattr(descent, "descend", noted)
    return seen


def test_the_state_is_that_of_finished_layers() -> None:
    graph, network, samples = deep(depth=2, rows=16)
    kept: dict[str, State] = {}

    class Notes(NothingKept):
        def stage(self, name: str) -> Any:
            class One:
                state = None

                def keep(self, state: State) -> None:
                    kept[name] = state

            return One()

    tuned(graph, network, samples, kept=Notes())
    assert set(kept) <= {"corrections", *stage.STAGES}
    names = [p.name for p in network.populations]
    assert list(kept[stage.STAGES[0]]) == names


def test_progress_counts_the_layers_of_both_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "LEAST_GAIN", -np.inf)  # kept, whatever it brings
    graph, network, samples = deep(depth=3, rows=32)
    calls: list[tuple[int, int | None]] = []
    _, record = tuned(
        graph, network, samples, progress=lambda done, total: calls.append((done, total))
    )
    assert record["accepted"]
    assert calls == [(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize("holdoff", [0, T])
def test_the_number_of_threads_changes_nothing(
    holdoff: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, network, samples = deep(depth=2, rows=48)
    found = []
    for count in (1, 3):
        monkeypatch.setattr(threads, "default_threads", lambda count=count: count)
        found.append(parameters(tuned(graph, network, samples, holdoff=holdoff)[0]))
    assert found[0] == found[1]


def test_the_seed_orders_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "LEAST_GAIN", -np.inf)  # kept, whatever it brings
    graph, network, samples = deep(depth=2, rows=96)
    one, same, other = (
        parameters(tuned(graph, network, samples, corrections=(), seed=seed)[0])
        for seed in (0, 0, 1)
    )
    assert one == same
    assert one != other


def everything() -> Graph:
    """Operators that torch has and has not, a ceiling, two outputs, a path beside."""
    sketch = Sketch(5)
    value = sketch.relu(sketch.conv(sketch.input((3, 6, 6)), 4, pad=1), 1.5, name="first")
    mixing = np.random.default_rng(0).standard_normal((4, 4))
    whole = Convolution((4, 6, 6), mixing.reshape(4, 4, 1, 1), (1, 1), ((0, 0),) * 2, (1, 1))
    sparse = sketch.affine(value, Matrix((4, 6, 6), whole.to_sparse(), (4, 6, 6)))
    second = sketch.relu(sketch.sum(sparse, value), name="second")
    pooled = sketch.relu(sketch.affine(second, *pooling()), name="third")
    left = sketch.dense(sketch.concat(pooled, pooled), 3)
    return lower(sketch.graph(left, sketch.dense(second, 2)))


def pooling() -> Chain:
    rows = np.array([0, 2, 4, -1])
    return (Select((4, 6, 6), (None, rows, None)), ReduceSum((4, 4, 6), (2,)))


@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_what_is_behind_is_the_ann(name: str) -> None:
    graph = everything()
    samples = samples_for(graph, 5)
    network = network_of(graph, samples)
    behind = Behind(network, graph)
    node_of = {p.name: str(p.tensor) for p in network.populations}
    needed = behind.needed(name)
    found = graph.evaluate(samples, [*node_of.values(), *graph.outputs], dtype=np.float64)
    values = {
        n: torch.from_numpy(np.asarray(found[node_of[n]], np.float32)).requires_grad_()
        for n in needed
        if n in node_of
    }
    outputs = behind.outputs(name, values)
    assert outputs
    for readout in network.readouts:
        if readout.name in outputs:
            np.testing.assert_allclose(
                outputs[readout.name].detach().numpy(), found[str(readout.tensor)], atol=1e-4
            )
    between = torch.rand(values[name].shape, generator=torch.Generator().manual_seed(1)) + 0.5
    check_slope(lambda v: behind.outputs(name, values | {name: v}), between)  # no kink at zero


def check_slope(
    outputs: Callable[[torch.Tensor], dict[str, torch.Tensor]], value: torch.Tensor
) -> None:
    """Compare a slope with a difference, in a random direction."""
    value.requires_grad_()
    lengths = [o.square().sum() for o in outputs(value).values()]
    (slope,) = torch.autograd.grad(torch.stack(lengths).sum(), [value])
    direction = torch.from_numpy(
        np.random.default_rng(1).standard_normal(tuple(value.shape)).astype(np.float32)
    )
    with torch.no_grad():
        ends = [
            sum(float(o.double().square().sum()) for o in outputs(value + h * direction).values())
            for h in (-1e-3, 1e-3)
        ]
    expected = (ends[1] - ends[0]) / 2e-3
    assert float((slope * direction).sum()) == pytest.approx(expected, rel=2e-2)
