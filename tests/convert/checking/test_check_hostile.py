"""Files made to mislead, through the whole check: an error that names the cause, in short time."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import make_model, make_node

from snnconvert.convert.checking.check import check_model
from snnconvert.convert.errors import ModelFileError

SHORT = 2.0
"""Seconds of processor time: the files below take a hundredth of it."""
LONG = 30.0
"""Seconds; work that grows with the square of ten thousand nodes takes minutes."""


def chain(*kinds: str, count: int) -> onnx.ModelProto:
    """Return nodes in a row, of those operators in turn."""
    nodes = []
    for i in range(count):
        kind = kinds[i % len(kinds)]
        second = ["c"] if kind in ("Add", "Mul") else []
        nodes.append(make_node(kind, [f"t{i}", *second], [f"t{i + 1}"], name=f"n{i}"))
    constants = {"c": np.ones(3, np.float32)}
    made: onnx.ModelProto = make_model(nodes, {"t0": ["N", 3]}, [f"t{count}"], constants=constants)
    return made


def one(node: onnx.NodeProto, shape: Any = ("N", 3), **constants: Any) -> onnx.ModelProto:
    made: onnx.ModelProto = make_model([node], {"x": list(shape)}, constants=constants)
    return made


def cycle() -> onnx.ModelProto:
    nodes = [make_node("Add", ["x", "b"], ["a"]), make_node("Relu", ["a"], ["b"])]
    made: onnx.ModelProto = make_model(nodes, {"x": ["N", 3]}, ["b"])
    return made


def twice() -> onnx.ModelProto:
    nodes = [make_node("Relu", ["x"], ["y"]), make_node("Neg", ["x"], ["y"])]
    made: onnx.ModelProto = make_model(nodes, {"x": ["N", 3]}, ["y"])
    return made


def vast_initialiser() -> onnx.ModelProto:
    made = one(make_node("Add", ["x", "c"], ["y"]))
    made.graph.initializer.append(
        TensorProto(name="c", dims=[2**62], data_type=TensorProto.FLOAT, raw_data=b"1234")
    )
    return made


def negative_initialiser() -> onnx.ModelProto:
    made = vast_initialiser()
    made.graph.initializer[0].dims[0] = -1
    return made


def bomb(kind: str, *constants: tuple[str, Any], **attributes: Any) -> onnx.ModelProto:
    """Return a model that adds what a small constant unfolds to."""
    names = [name for name, _ in constants]
    nodes = [make_node(kind, names, ["c"], **attributes), make_node("Add", ["x", "c"], ["y"])]
    made: onnx.ModelProto = make_model(nodes, {"x": ["N", 3]}, constants=dict(constants))
    return made


def doubling() -> onnx.ModelProto:
    """Return a constant that doubles forty times."""
    nodes = [make_node("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0) for i in range(40)]
    nodes.append(make_node("Add", ["x", "c40"], ["y"]))
    made: onnx.ModelProto = make_model(
        nodes, {"x": ["N", 3]}, constants={"c0": np.ones(64, np.float32)}
    )
    return made


def calls_itself() -> onnx.ModelProto:
    body = [make_node("f", ["a"], ["b"], domain="local")]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    function = helper.make_function("local", "f", ["a"], ["b"], body, opsets)
    made: onnx.ModelProto = make_model(
        [make_node("f", ["x"], ["y"], domain="local")],
        {"x": ["N", 3]},
        functions=[function],
        domains={"local": 1},
    )
    return made


def nested() -> onnx.ModelProto:
    made = one(make_node("Relu", ["x"], ["y"]))
    node = made.graph.node[0]
    for _ in range(60):
        node = node.attribute.add(name="body", type=onnx.AttributeProto.GRAPH).g.node.add()
    return made


VAST = np.array([2**31, 2**31], np.int64)
HOSTILE: dict[str, tuple[Any, str]] = {
    "cycle": (cycle, "the graph has a cycle"),
    "defined twice": (twice, "tensor 'y' is defined 2 times"),
    "undefined": (lambda: one(make_node("Relu", ["q"], ["y"])), "tensor 'q' is read but nothing"),
    "vast initialiser": (vast_initialiser, "initialiser 'c' claims the shape [4611686018427387904"),
    "negative initialiser": (negative_initialiser, "initialiser 'c' has a negative extent"),
    "vast input": (
        lambda: one(make_node("Relu", ["x"], ["y"]), ("N", 2**62)),
        "input 'x' has an axis of extent 4,611,686,018,427,387,904",
    ),
    "large input": (
        lambda: one(make_node("Relu", ["x"], ["y"]), ("N", 2**20, 2**20)),
        "input 'x' has the shape (N, 1048576, 1048576), the limit is",
    ),
    "negative input": (
        lambda: one(make_node("Relu", ["x"], ["y"]), ("N", -7)),
        "input 'x' has an axis of extent -7",
    ),
    "ConstantOfShape": (lambda: bomb("ConstantOfShape", ("s", VAST)), "the constant that it"),
    "Expand": (
        lambda: bomb("Expand", ("a", np.ones(1, np.float32)), ("s", VAST)),
        "the constant that it computes would have",
    ),
    "Tile": (
        lambda: bomb("Tile", ("a", np.ones((1, 1), np.float32)), ("s", VAST)),
        "the constant that it computes would have",
    ),
    "doubling": (doubling, "the constant that it computes would have"),
    "recursive function": (calls_itself, "the model's function 'f' calls itself"),
    "nested": (nested, ""),
}


@pytest.fixture(autouse=True, scope="module")
def loaded() -> Iterator[None]:
    """Load what is loaded once, outside of the timing."""
    check_model(chain("Relu", "Add", "Abs", count=6))
    with pytest.raises(ModelFileError):
        check_model(doubling())
    yield


@pytest.mark.parametrize("case", HOSTILE)
def test_refused_with_the_cause_in_short_time(case: str) -> None:
    make, message = HOSTILE[case]
    content = make()
    start = time.process_time()
    with pytest.raises(ModelFileError) as caught:
        check_model(content)
    assert time.process_time() - start < SHORT
    assert message in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("link", [False, True])
def test_external_data_outside_of_the_folder(tmp_path: Path, link: bool) -> None:
    (tmp_path / "secret").write_bytes(bytes(12))
    folder = tmp_path / "model"
    folder.mkdir()
    location = "../secret"
    if link:
        (folder / "data").symlink_to(tmp_path / "secret")
        location = "data"
    made = vast_initialiser()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.dims[0] = 3
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    (folder / "net.onnx").write_bytes(made.SerializeToString())
    start = time.process_time()
    with pytest.raises(ModelFileError, match="outside of the model's folder") as caught:
        check_model(folder / "net.onnx")
    assert time.process_time() - start < SHORT
    assert caught.value.hint.startswith("put the external data beside the .onnx file")


def test_ten_thousand_nodes_in_a_row_convert() -> None:
    content = chain("Relu", "Add", count=10_000)
    start = time.process_time()
    verdict = check_model(content)
    assert time.process_time() - start < LONG
    assert verdict.convertible and verdict.neurons == 15_000


def test_a_refused_node_among_thousands() -> None:
    content = chain("Relu", "Add", count=4000)
    content.graph.node[2500].op_type = "LRN"
    content.graph.node[2500].attribute.append(helper.make_attribute("size", 1))
    start = time.process_time()
    verdict = check_model(content)
    assert time.process_time() - start < LONG
    assert [p.node for p in verdict] == ["n2500"]
    assert verdict.cut is not None
    assert verdict.cut.nodes == 2500 and verdict.cut.flags == ("--outputs", "t2500")


def test_a_thousand_refused_nodes_side_by_side() -> None:
    nodes = [make_node("LRN", ["x"], [f"a{i}"], name=f"n{i}", size=1) for i in range(1000)]
    nodes.append(make_node("Sum", [f"a{i}" for i in range(1000)], ["y"], name="sum"))
    start = time.process_time()
    verdict = check_model(make_model(nodes, {"x": ["N", 2, 4, 4]}))
    assert time.process_time() - start < LONG
    assert len(verdict) == 1000
    assert verdict.render().count("error:") == 1
    assert verdict.cut is not None and verdict.cut.nodes == 1
