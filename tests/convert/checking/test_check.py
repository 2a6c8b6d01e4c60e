"""check_model: what becomes of each node, every problem at once, and the part that converts."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_models import float32, make_model, make_node

import snnconvert
from snnconvert.cli import main
from snnconvert.convert.checking.check import check_model
from snnconvert.convert.checking.check_result import CheckResult, Cut
from snnconvert.convert.errors import OpenShapeError, Problem, UsageError

RNG = np.random.default_rng(0)
CONSTANTS = {"w": float32(RNG, 4, 2, 3, 3), "s": np.ones(4, np.float32), "v": float32(RNG, 64, 5)}
FRONT = [
    make_node("Conv", ["x", "w"], ["a"], name="conv", pads=[1, 1, 1, 1]),
    make_node("BatchNormalization", ["a", "s", "s", "s", "s"], ["n"], name="norm"),
    make_node("Relu", ["n"], ["r"], name="relu"),
]
BACK = [
    make_node("Identity", ["g"], ["i"], name="same"),
    make_node("Flatten", ["i"], ["f"], name="flat"),
    make_node("Gemm", ["f", "v"], ["z"], name="gemm"),
    make_node("Softmax", ["z"], ["y"], name="softmax"),
]
GATE = make_node("Mul", ["r", "r2"], ["g"], name="gate")
EXTRA = (
    make_node("Conv", ["x", "w"], ["a2"], name="conv2", pads=[1, 1, 1, 1]),
    make_node("Relu", ["a2"], ["r2"], name="relu2"),
)


def model(*middle: onnx.NodeProto, shape: Any = ("N", 2, 4, 4), **arrays: Any) -> onnx.ModelProto:
    made: onnx.ModelProto = make_model(
        [*FRONT, *middle, *BACK], {"x": list(shape)}, constants=CONSTANTS | arrays
    )
    return made


def plain() -> onnx.ModelProto:
    return model(make_node("Relu", ["r"], ["g"], name="again"))


def gated() -> onnx.ModelProto:
    return model(*EXTRA, GATE)


def fates(verdict: CheckResult) -> dict[str, str]:
    return {node.name: node.fate for node in verdict.nodes}


class TestNodes:
    def test_what_becomes_of_each(self) -> None:
        verdict = check_model(plain())
        assert fates(verdict) == {
            "conv": "converted",
            "norm": "folded",
            "relu": "converted",
            "again": "converted",
            "same": "folded",
            "flat": "folded",
            "gemm": "converted",
            "softmax": "converted",
        }
        details = {node.name: node.detail for node in verdict.nodes if node.detail}
        assert details == {"norm": "into conv", "flat": "into gemm"}
        assert verdict.counts == {
            "converted": 5,
            "folded": 3,
            "approximated": 0,
            "refused": 0,
            "unjudged": 0,
            "unused": 0,
        }

    def test_activations_and_output_functions_are_counted_apart(self) -> None:
        verdict = check_model(plain())
        assert (verdict.spiking, verdict.activations) == (2, 2)
        assert [(o.name, o.functions) for o in verdict.outputs] == [("y", ("Softmax",))]
        assert verdict.neurons == 2 * 4 * 4 * 4
        assert verdict.render().splitlines() == [
            "the model can be converted for target 'cpu'",
            "  8 nodes: 5 converted, 3 folded",
            "  2 of 2 activations spiking: 128 neurons",
            "  Softmax applied to the decoded output 'y'",
        ]

    def test_a_function_of_several_nodes_is_one_activation(self) -> None:
        nodes = [
            make_node("Sigmoid", ["x"], ["s"], name="sigmoid"),
            make_node("Mul", ["x", "s"], ["m"], name="silu"),
            make_node("Neg", ["m"], ["y"], name="neg"),
        ]
        verdict = check_model(make_model(nodes, {"x": ["N", 3]}))
        assert verdict.convertible and verdict.spiking == verdict.activations
        found = {node.name: (node.fate, node.role) for node in verdict.nodes}
        assert found["sigmoid"] == ("folded", "")
        assert found["silu"] == ("approximated", "activation")
        assert (verdict.spiking, verdict.activations) == (1, 1)

    def test_a_fitted_curve_is_an_approximation(self) -> None:
        nodes = [
            make_node("Tanh", ["x"], ["t"], name="tanh"),
            make_node("Neg", ["t"], ["y"], name="neg"),
        ]
        verdict = check_model(make_model(nodes, {"x": ["N", 3]}))
        (node,) = (node for node in verdict.nodes if node.name == "tanh")
        assert (node.fate, node.role) == ("approximated", "activation")
        assert "tanh(x) by" in node.detail
        assert "1 approximated" in verdict.render()

    def test_nodes_that_no_output_needs(self) -> None:
        made = plain()
        made.graph.node.append(make_node("Neg", ["r"], ["aside"], name="aside"))
        assert fates(check_model(made))["aside"] == "unused"
        cut = check_model(plain(), outputs=["r"])
        assert cut.counts["unused"] == 5 and cut.convertible

    def test_constants_are_folded(self) -> None:
        nodes = [
            make_node("Add", ["one", "one"], ["two"], name="sum"),
            make_node("Mul", ["x", "two"], ["y"], name="scale"),
        ]
        verdict = check_model(
            make_model(nodes, {"x": ["N", 3]}, constants={"one": np.ones(3, np.float32)})
        )
        assert fates(verdict) == {"sum": "folded", "scale": "converted"}

    def test_several_outputs_are_announced(self) -> None:
        made = plain()
        made.graph.output.append(helper.make_tensor_value_info("r", 1, ["N", 4, 4, 4]))
        assert "  2 outputs: 'y', 'r'" in check_model(made).render().splitlines()


class TestResult:
    def test_it_is_a_sequence_of_problems(self) -> None:
        verdict = check_model(gated())
        assert len(verdict) == 1 and not verdict.convertible
        first: object = verdict[0]
        assert isinstance(first, Problem) and verdict[0].node == "gate"
        assert list(verdict) == list(verdict[:]) == list(verdict.problems)
        fine = check_model(plain())
        assert not fine and list(fine) == []

    def test_check_model_is_public(self) -> None:
        assert snnconvert.check_model is check_model

    def test_every_field_of_the_json(self) -> None:
        document = check_model(gated(), target="loihi").to_json()
        assert list(document) == [
            *("schema", "model", "target", "opset", "convertible", "counts", "activations"),
            *("neurons", "outputs", "problems", "nodes", "cut"),
        ]
        assert document["schema"] == "snnconvert-check/1"
        assert document["neurons"] is None
        assert list(document["nodes"][0]) == [
            *("position", "name", "operator", "fate", "detail", "role"),
        ]

    def test_the_table_of_nodes(self) -> None:
        lines = check_model(gated()).render(verbose=True).splitlines()
        assert lines[0].split() == ["1", "converted", "Conv", "conv"]
        assert lines[5].split()[:4] == ["6", "refused", "Mul", "gate"]
        assert lines[5].endswith("  product of two activations")

    def test_equal_problems_are_listed_together(self) -> None:
        more = make_node("Mul", ["g0", "r"], ["g"], name="gate2")
        first = make_node("Mul", ["r", "r2"], ["g0"], name="gate")
        text = check_model(model(*EXTRA, first, more)).render()
        assert text.splitlines()[:4] == [
            "error: product of two activations  [product-of-activations], 2 times",
            "  where: node 'gate' (6 of 11), operator Mul, opset 17",
            "         node 'gate2' (7 of 11), operator Mul, opset 17",
            "  why:   rates add up at a neuron, they do not multiply",
        ]


class TestRefusals:
    def test_an_open_shape_goes_before_all_else(self) -> None:
        open_model = model(*EXTRA, GATE, shape=("N", 2, "H", 4))
        with pytest.raises(OpenShapeError, match=r"'x' has an open shape: \(N, 2, H, 4\)"):
            check_model(open_model)
        assert [p.node for p in check_model(open_model, input_shapes={"": (2, 4, 4)})] == ["gate"]

    def test_nodes_behind_a_refused_one_are_judged(self) -> None:
        """The gate's shape is known, so the reshape behind it that mixes samples is found too."""
        mixing = make_node("Transpose", ["g0"], ["g"], name="swap", perm=[1, 0, 2, 3])
        gate = make_node("Mul", ["r", "r2"], ["g0"], name="gate")
        verdict = check_model(model(*EXTRA, gate, mixing))
        assert [p.node for p in verdict] == ["gate", "swap"]
        assert verdict.counts["refused"] == 2

    def test_a_node_behind_an_operator_without_definition_is_unjudged(self) -> None:
        mystery = make_node("Mystery", ["r"], ["g"], name="mystery")
        verdict = check_model(model(mystery))
        assert [p.node for p in verdict] == ["mystery"]
        assert fates(verdict)["gemm"] == "unjudged"
        assert "5 unjudged" not in verdict.render() and "4 unjudged" in verdict.render()

    def test_a_neuron_that_the_target_lacks_is_no_matter_of_parts(self) -> None:
        verdict = check_model(plain(), target="loihi", neuron="signed")
        assert {p.code for p in verdict} == {"target-limit"}
        assert verdict.cut is None or verdict.cut.activations == 0

    def test_an_inner_softmax_has_its_place(self) -> None:
        inner = make_node("Softmax", ["r"], ["g"], name="inner")
        (problem,) = check_model(model(inner))
        assert problem.place == "node 'inner' (4 of 8), operator Softmax"
        assert problem.hint == "let the network end with it or before it"

    def test_limits_of_a_target_have_the_place_in_the_file(self) -> None:
        nodes = [
            make_node("Relu", ["x"], ["p"], name="pixels"),
            make_node("Gemm", ["p", "w"], ["h"], name="fc"),
            make_node("Relu", ["h"], ["r"], name="wide"),
            make_node("Gemm", ["r", "v"], ["y"], name="out"),
        ]
        constants = {"w": np.full((5000, 8), 0.1, np.float32), "v": np.ones((8, 2), np.float32)}
        made = make_model(nodes, {"x": ["N", 5000]}, constants=constants)
        assert check_model(made).convertible
        verdict = check_model(made, target="loihi")
        assert [p.code for p in verdict] == ["core-limit"]
        assert verdict[0].node == "wide"
        assert verdict[0].place.startswith("node 'wide' (3 of 4), operator Relu: population 'wide'")
        assert fates(verdict)["wide"] == "refused"
        assert verdict.cut is not None
        again = check_model(made, target="loihi", **cut_arguments(verdict))
        assert again.convertible


def cut_arguments(verdict: CheckResult) -> dict[str, Any]:
    """Return what convert_model and check_model take for the cut."""
    cut = verdict.cut
    assert cut is not None
    return {
        "inputs": cut.inputs or None,
        "outputs": cut.outputs or None,
        "input_shapes": cut.input_shapes or None,
    }


class TestCut:
    def works(self, made: onnx.ModelProto, tmp_path: Path, **arguments: Any) -> Cut:
        """Check that the flags of the cut are what the command line takes, and that they work."""
        verdict = check_model(made, **arguments)
        assert verdict.cut is not None
        path = tmp_path / "net.onnx"
        onnx.save(made, path)
        assert main(["check", str(path), *verdict.cut.flags]) == 0
        again = check_model(path, **cut_arguments(verdict))
        assert again.convertible and again.spiking == verdict.cut.activations
        used = sum(node.fate != "unused" for node in again.nodes)
        assert used == verdict.cut.nodes
        return verdict.cut

    def test_a_refused_tail(self, tmp_path: Path) -> None:
        tail = make_node("LRN", ["r"], ["g"], name="tail", size=1)
        nodes = [*FRONT, make_node("Relu", ["r"], ["q"], name="more"), tail]
        tail.input[0] = "q"
        made = make_model(nodes, {"x": ["N", 2, 4, 4]}, ["g"], constants=CONSTANTS)
        assert self.works(made, tmp_path) == Cut((), ("q",), {}, 4, 2)

    def test_a_refused_head(self, tmp_path: Path) -> None:
        head = make_node("LRN", ["x"], ["g"], name="head", size=1)
        made = make_model([head, *BACK], {"x": ["N", 4, 4, 4]}, constants=CONSTANTS)
        assert self.works(made, tmp_path) == Cut(("g",), (), {}, 4, 0)

    def test_both(self, tmp_path: Path) -> None:
        head = make_node("LRN", ["x0"], ["x"], name="head", size=1)
        tail = make_node("LRN", ["r"], ["y"], name="tail", size=1)
        made = make_model([head, *FRONT, tail], {"x0": ["N", 2, 4, 4]}, constants=CONSTANTS)
        assert self.works(made, tmp_path) == Cut(("x",), ("r",), {}, 3, 1)

    def test_the_larger_side_of_a_product(self, tmp_path: Path) -> None:
        cut = self.works(gated(), tmp_path)
        assert cut == Cut((), ("r", "r2"), {}, 5, 2)
        assert cut.flags == ("--outputs", "r,r2")

    def test_a_skip_connection_around_a_refused_node(self, tmp_path: Path) -> None:
        """What reads both the refused node's output and an earlier tensor needs both as inputs."""
        nodes = [
            make_node("Relu", ["x"], ["a"], name="first"),
            make_node("LRN", ["a"], ["b"], name="refused", size=1),
            make_node("Add", ["a", "b"], ["c"], name="add"),
            make_node("Relu", ["c"], ["d"], name="second"),
            make_node("Neg", ["d"], ["y"], name="neg"),
        ]
        cut = self.works(make_model(nodes, {"x": ["N", 2, 4, 4]}), tmp_path)
        assert (cut.inputs, cut.outputs, cut.nodes) == (("a", "b"), (), 3)

    def test_shapes_that_the_caller_gave_are_among_the_flags(self, tmp_path: Path) -> None:
        made = model(*EXTRA, GATE, shape=("N", 2, "H", 4))
        cut = self.works(made, tmp_path, input_shapes={"": (2, 4, 4)})
        assert cut.input_shapes == {"x": (2, 4, 4)}
        assert cut.flags == ("--outputs", "r,r2", "--input-shape", "x:2,4,4")

    def test_names_with_commas_blanks_and_colons(self, tmp_path: Path) -> None:
        nodes = [
            make_node("Relu", ["x"], ["a,b c:0"], name="relu"),
            make_node("LRN", ["a,b c:0"], ["y"], name="norm", size=1),
        ]
        cut = self.works(make_model(nodes, {"x": ["N", 2, 4, 4]}), tmp_path)
        assert cut.outputs == ("a,b c:0",)
        text = check_model(make_model(nodes, {"x": ["N", 2, 4, 4]})).render()
        assert text.splitlines()[-1] == "  --outputs 'a\\,b c:0'"

    def test_a_shape_read_in_front_of_a_refused_node(self, tmp_path: Path) -> None:
        """The part behind needs the tensor whose shape it reads as an input too."""
        nodes = [
            make_node("Relu", ["x"], ["a"], name="relu"),
            make_node("Shape", ["a"], ["s"], name="shape"),
            make_node("LRN", ["a"], ["b"], name="norm", size=1),
            make_node("Reshape", ["b", "s"], ["c"], name="reshape"),
            make_node("Relu", ["c"], ["d"], name="last"),
            make_node("Neg", ["d"], ["y"], name="neg"),
        ]
        made = make_model(nodes, {"x": ["N", 2, 4, 4]})
        with pytest.raises(UsageError, match="input 'x' is still needed"):
            check_model(made, inputs=["b"])
        cut = self.works(made, tmp_path)
        assert (cut.inputs, cut.outputs, cut.nodes) == (("a", "b"), (), 4)

    def test_nothing_is_offered_where_nothing_converts(self) -> None:
        nodes = [make_node("LRN", ["x"], ["y"], name="norm", size=1)]
        verdict = check_model(make_model(nodes, {"x": ["N", 2, 4, 4]}))
        assert verdict.cut is None and "largest part" not in verdict.render()

    def test_a_cut_within_a_cut(self, tmp_path: Path) -> None:
        made = gated()
        verdict = check_model(made, inputs=["n", "r2"])
        assert verdict.cut is not None
        assert verdict.cut.inputs and check_model(made, **cut_arguments(verdict)).convertible


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("silero_vad_16k", None, {"LSTM": 1, "Unsqueeze": 1}),
        ("basic_pitch", None, {"Div": 1, "Equal": 1, "Where": 1}),
        ("ppocr_cls_mobilenetv3", (3, 48, 192), {"Mul": 9}),
    ],
)
def test_third_party_models_and_the_part_of_them_that_converts(
    name: str, shape: tuple[int, ...] | None, expected: dict[str, int], test_data: Path
) -> None:
    path = test_data / "models" / f"{name}.onnx"
    shapes = None if shape is None else {"": shape}
    check_model(path, input_shapes=shapes)  # loads what is loaded once
    start = time.process_time()
    verdict = check_model(path, input_shapes=shapes)
    assert time.process_time() - start < 1
    operators: dict[str, int] = {}
    for node in verdict.nodes:
        if node.fate == "refused":
            operators[node.operator] = operators.get(node.operator, 0) + 1
    assert operators == expected
    assert verdict.cut is not None and verdict.cut.activations > 0
    assert main(["check", str(path), *verdict.cut.flags]) == 0


def test_the_squeeze_excite_network_fails_at_its_products_only(test_data: Path) -> None:
    path = test_data / "models" / "ppocr_cls_mobilenetv3.onnx"
    verdict = check_model(path, input_shapes={"x": (3, 48, 192)})
    assert {problem.code for problem in verdict} == {"product-of-activations"}
    with pytest.raises(OpenShapeError):
        check_model(path)


@pytest.mark.parametrize("name", ["dscnn_kws_mlperf_tiny", "mnist_maxpool_opset8"])
def test_third_party_models_that_convert(name: str, test_data: Path) -> None:
    verdict = check_model(test_data / "models" / f"{name}.onnx")
    assert verdict.convertible
    assert verdict.spiking == verdict.activations > 3
    assert verdict.neurons and verdict.counts["refused"] == verdict.counts["unjudged"] == 0


@pytest.mark.parametrize("cut", [{"inputs": ["out"]}, {"outputs": ["x"]}])
def test_a_cut_with_nothing_inside(cut: dict[str, Any]) -> None:
    nodes = [make_node("Relu", ["x"], ["h"]), make_node("Neg", ["h"], ["out"])]
    model = make_model(nodes, {"x": ["N", 3]}, ["out"])
    with pytest.raises(UsageError, match="no node lies between the inputs"):
        check_model(model, **cut)


def test_the_part_may_lie_behind_the_refused_node() -> None:
    nodes = [
        make_node("Relu", ["x"], ["h"], name="front"),
        make_node("Softmax", ["h"], ["odd"], name="inner"),
        make_node("Relu", ["odd"], ["a"], name="a"),
        make_node("Neg", ["a"], ["b"], name="b"),
        make_node("Relu", ["b"], ["y"], name="c"),
    ]
    verdict = check_model(make_model(nodes, {"x": ["N", 3]}, ["y"]))
    assert verdict.cut is not None
    assert (verdict.cut.inputs, verdict.cut.nodes) == (("odd",), 3)
