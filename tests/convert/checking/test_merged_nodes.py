"""Which node of several merged ones keeps its name in the verdict."""

import numpy as np
from onnx_models import float32, graph_of, make_model, make_node

from snnconvert.convert.checking.merged_nodes import merged_nodes

RNG = np.random.default_rng(0)


def merged(*nodes: object, **constants: np.ndarray) -> dict[str, str]:
    return merged_nodes(
        graph_of(make_model(list(nodes), {"x": ["N", 2, 4, 4]}, constants=constants))
    )


def test_the_weights_stay_before_and_behind() -> None:
    scale = make_node("Mul", ["x", "s"], ["a"], name="before")
    conv = make_node("Conv", ["a", "w"], ["b"], name="conv")
    shift = make_node("Add", ["b", "s"], ["c"], name="behind")
    flat = make_node("Flatten", ["c"], ["y"], name="flat")
    constants = {"s": np.full((1, 2, 1, 1), 2, np.float32), "w": float32(RNG, 2, 2, 1, 1)}
    found = merged(scale, conv, shift, flat, **constants)
    assert found == {"before": "conv", "behind": "conv", "flat": "conv"}


def test_the_larger_of_two_weights_stays_and_without_any_the_last() -> None:
    small = make_node("Conv", ["x", "w"], ["a"], name="small")
    large = make_node("Conv", ["a", "v"], ["y"], name="large")
    weights = {"w": float32(RNG, 2, 2, 1, 1), "v": float32(RNG, 9, 2, 3, 3)}
    assert merged(small, large, **weights) == {"small": "large"}
    assert merged(
        make_node("Flatten", ["x"], ["a"], name="flat"), make_node("Neg", ["a"], ["y"], name="neg")
    ) == {"flat": "neg"}


def test_what_several_nodes_read_stays_unless_it_only_copies() -> None:
    ends = [
        make_node("Neg", ["a"], ["b"], name="first"),
        make_node("Neg", ["a"], ["c"], name="second"),
    ]
    total = make_node("Sub", ["b", "c"], ["y"], name="total")
    doubled = make_node("Mul", ["x", "s"], ["a"], name="shared")
    assert merged(doubled, *ends, total, s=np.array(2, np.float32)) == {"second": "total/term1"}
    flat = make_node("Flatten", ["x"], ["a"], name="shared")
    assert merged(flat, *ends, total)["shared"] in ("first", "total/term1")


def test_neurons_keep_maps_apart() -> None:
    nodes = [
        make_node("Neg", ["x"], ["a"], name="front"),
        make_node("Relu", ["a"], ["b"], name="relu"),
        make_node("Neg", ["b"], ["y"], name="behind"),
    ]
    assert merged(*nodes) == {}
