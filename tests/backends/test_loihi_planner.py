"""The plan keeps to the limits of a core, and knows in advance what nengo-loihi will count."""

from typing import Any

import numpy as np
import pytest

from snnconvert.backends.loihi import cores
from snnconvert.backends.loihi.blueprint import Blueprint, draw
from snnconvert.backends.loihi.cores import LIMITS, Tiling, Usage, exceeded
from snnconvert.backends.loihi.planner import fan_in_problems, plan
from snnconvert.convert.errors import UnsupportedModelError
from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    Reshape,
    Select,
    Shape,
    SumPool,
    Window,
)
from snnconvert.convert.network import Connection, Input, Network, Population, Readout

ONE = np.ones(1)


def chain_net(source: Shape, target: Shape, chain: Chain, outputs: int = 3) -> Network:
    """Return input -> a -> b -> readout; `chain` leads from a to b."""

    def population(name: str, shape: Shape) -> Population:
        return Population(name, shape, ONE, ONE, ONE, np.zeros(1), np.zeros(1), reset="zero")

    size = int(np.prod(target))
    weight = np.random.default_rng(0).normal(size=(outputs, size))
    return Network(
        "planned",
        (
            Input("x", source),
            population("a", source),
            population("b", target),
            Readout("y", (outputs,), bias=np.zeros(1), scale=ONE),
        ),
        (
            Connection("x", "a"),
            Connection("a", "b", chain),
            Connection("b", "y", (Reshape(target, (size,)), Dense((size,), weight))),
        ),
    )


def conv(
    shape: Shape, outputs: int, size: int = 3, *, stride: int = 1, pad: int = 0
) -> Convolution:
    weight = np.random.default_rng(1).normal(size=(outputs, shape[0], size, size))
    return Convolution(shape, weight, (stride, stride), ((pad, pad), (pad, pad)), (1, 1))


def conv_net(shape: Shape, channels: int, *, outputs: int = 3, **geometry: int) -> Network:
    operator = conv(shape, channels, **geometry)
    return chain_net(shape, operator.output_shape, (operator,), outputs)


def pooled_net(shape: Shape, outputs: int) -> Network:
    pool = SumPool(shape, Window((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)))
    operator = conv(pool.output_shape, outputs, pad=1)
    return chain_net(shape, operator.output_shape, (pool, operator))


def dense_net(inputs: int, outputs: int) -> Network:
    weight = np.random.default_rng(2).normal(size=(outputs, inputs))
    return chain_net((inputs,), (outputs,), (Dense((inputs,), weight),))


def usage_of(blueprint: Blueprint, tilings: dict[str, Tiling]) -> dict[str, list[list[int]]]:
    """Return the planner's counts of every core, by layer, in the order of the tiles."""
    found = {}
    for layer in blueprint.layers:
        tiling = tilings[layer.name]
        inputs, bits, slots = (np.zeros(tiling.counts, np.int64) for _ in range(3))
        for projection in blueprint.incoming(layer.name):
            axons, memory = cores.input_usage(projection.synapses, tiling)
            inputs, bits = inputs + axons, bits + memory
        for projection in blueprint.outgoing(layer.name):
            target = tilings[projection.target]
            slots = slots + cores.output_usage(projection.synapses, tiling, target)
        columns = (tiling.compartments, inputs, slots, bits)
        found[layer.name] = np.stack([c.reshape(-1) for c in columns], axis=1).tolist()
    return found


def built_usage(blueprint: Blueprint, tilings: dict[str, Tiling]) -> dict[str, list[list[int]]]:
    """Return what nengo-loihi counts on the blocks that it makes of the same tiles."""
    pytest.importorskip("nengo_loihi")
    from snnconvert.backends.loihi.chip import build, emit_network
    from snnconvert.backends.loihi.scales import tile_scales

    bias = {layer.name: np.full(layer.size, 0.5) for layer in blueprint.layers}
    scales = {
        layer.name: tile_scales(blueprint, layer, tilings[layer.name], bias[layer.name])
        for layer in blueprint.layers
    }
    chip = build(*emit_network(blueprint, tilings, scales, bias, seed=0), seed=0)
    return {
        name: [
            [int(n) for n, _ in core.block.utilization().values()] for core in chip.of_layer(name)
        ]
        for name in chip.ensembles
    }


SHAPES: list[Any] = [
    pytest.param(lambda: conv_net((4, 12, 12), 6), {"b": (6, 5, 5)}, id="valid"),
    pytest.param(lambda: conv_net((4, 12, 12), 6, pad=1), {"a": (4, 6, 12)}, id="same, unsplit"),
    pytest.param(lambda: conv_net((3, 11, 11), 5, stride=2, pad=1), {"b": (2, 3, 4)}, id="strided"),
    pytest.param(
        lambda: conv_net((2, 30, 30), 2, pad=1), {"b": (1, 20, 30)}, id="offsets beyond 256"
    ),
    pytest.param(lambda: conv_net((2, 30, 30), 1, pad=1), {}, id="beyond 256, unsplit"),
    pytest.param(lambda: pooled_net((4, 12, 12), 6), {"a": (4, 5, 6), "b": (4, 2, 3)}, id="pooled"),
    pytest.param(lambda: pooled_net((4, 8, 8), 6), {}, id="pooled, unsplit"),
    pytest.param(lambda: dense_net(90, 40), {"a": (50,), "b": (15,), "y": (1,)}, id="dense"),
    pytest.param(
        lambda: chain_net(
            (3, 8, 8), (3, 8, 4), (Select((3, 8, 8), (None, None, np.arange(0, 8, 2))),)
        ),
        {"a": (3, 3, 8), "b": (2, 4, 3)},
        id="sparse",
    ),
    pytest.param(
        lambda: chain_net(
            (3, 8, 8), (3, 8, 4), (Select((3, 8, 8), (None, None, np.arange(0, 8, 2))),)
        ),
        {"a": (3, 3, 8)},
        id="sparse, unsplit target",
    ),
    pytest.param(
        lambda: chain_net((3, 20), (5, 10), (_row_conv(),)), {"a": (3, 7), "b": (5, 4)}, id="1-d"
    ),
]


def _row_conv() -> Convolution:
    weight = np.random.default_rng(3).normal(size=(5, 3, 3))
    return Convolution((3, 20), weight, (2,), ((1, 0),), (1,))


@pytest.mark.parametrize(("make", "tiles"), SHAPES)
def test_the_plan_counts_what_nengo_loihi_counts(make: Any, tiles: dict[str, Any]) -> None:
    blueprint = draw(make(), "host")
    tilings = plan(blueprint)
    tilings |= {name: Tiling(tilings[name].shape, tile) for name, tile in tiles.items()}
    assert usage_of(blueprint, tilings) == built_usage(blueprint, tilings)


def test_every_core_of_a_plan_is_within_the_limits() -> None:
    blueprint = draw(conv_net((16, 26, 26), 32), "host")
    for layer in usage_of(blueprint, plan(blueprint)).values():
        assert all(exceeded(Usage(*core)) is None for core in layer)


def test_the_fewest_cores_are_taken() -> None:
    """576 pixels, 32 weights to an output: three outputs take 847,872 bits, four 1,105,920."""
    tilings = plan(draw(conv_net((16, 26, 26), 32, outputs=10), "host"))
    assert tilings["a"].tile == (16, 7, 9)  # 12 cores; 11 would do if tiles were no rectangles
    assert tilings["y"].tile == (3,)
    assert tilings["y"].cores == 4


def test_the_source_is_split_where_its_axons_reach_many_cores() -> None:
    """1000 -> 1000: nine target cores need nine axons of every source neuron."""
    blueprint = draw(dense_net(1000, 1000), "host")
    tilings = plan(blueprint)
    assert tilings["b"].cores == 9
    assert tilings["a"].cores == 3
    slots = [core[2] for core in usage_of(blueprint, tilings)["a"]]
    assert max(slots) <= LIMITS.output_axons


def test_a_layer_can_be_told_to_take_smaller_tiles() -> None:
    blueprint = draw(conv_net((4, 12, 12), 6, pad=1), "host")
    assert plan(blueprint)["b"].cores == 1
    assert np.prod(plan(blueprint, at_most={"b": 100})["b"].tile) <= 100


def test_a_neuron_with_too_many_inputs_is_refused_by_name_limit_and_value() -> None:
    blueprint = draw(dense_net(5120, 4), "host")
    with pytest.raises(UnsupportedModelError) as caught:
        plan(blueprint)
    (problem,) = caught.value.problems
    assert problem.message == "one neuron of 'b' needs 5,120 input axons, a Loihi core has 4,096"
    assert problem.place == "population 'b' of shape (4,)"
    assert [p.message for p in fan_in_problems(blueprint)] == [problem.message]


def test_a_neuron_whose_weights_exceed_the_memory_is_refused() -> None:
    size = 36
    shape = (100, size, size)
    chain = (
        Reshape(shape, (100 * size**2,)),
        Dense((100 * size**2,), np.random.default_rng(0).normal(size=(2, 100 * size**2))),
    )
    (problem,) = fan_in_problems(draw(chain_net(shape, (2,), chain), "host"))
    assert "bits of synapse memory, a Loihi core has 1,048,576" in problem.message


def test_a_plan_that_nengo_loihi_refuses_is_made_again_with_smaller_tiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("nengo_loihi")
    from snnconvert.backends.loihi.construct import construct

    blueprint = draw(dense_net(900, 200), "host")
    assert plan(blueprint)["b"].cores == 2
    wrong = Usage(1024, 4096, 4096, 10**9)
    monkeypatch.setattr("snnconvert.backends.loihi.cores.LIMITS", wrong)
    assert plan(blueprint)["b"].cores == 1
    built = construct(blueprint, readout_exponent=-1, seed=0)
    assert built.plan["b"].cores == 2


def test_tiles_cover_the_layer_once() -> None:
    tiling = Tiling((5, 7, 4), (2, 3, 4))
    assert tiling.counts == (3, 3, 1)
    assert tiling.compartments.sum() == 5 * 7 * 4
    np.testing.assert_array_equal(np.bincount(tiling.tile_of), tiling.compartments.reshape(-1))
