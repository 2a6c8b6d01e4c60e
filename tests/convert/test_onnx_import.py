"""Whole files: names, inputs and outputs, batches, problems, and the third-party networks."""

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_models
import pytest
from onnx import TensorProto, helper
from onnx_models import float32, int64, make_model, make_node, one_node

from snnconvert.convert.errors import (
    ModelFileError,
    OpenShapeError,
    Problem,
    UnsupportedModelError,
    UsageError,
)
from snnconvert.convert.graph import GraphInput
from snnconvert.convert.onnx_import import Imported, check_onnx, import_onnx

CONVERTIBLE = [
    "resnet20_cifar10",
    "resnet8_cifar10_mlperf_tiny",
    "mnist_maxpool_opset8",
    "mnist_avgpool_biasfree",
    "nmnist_sumpool_biasfree",
    "dscnn_kws_mlperf_tiny",
]

CODES = ("unsupported-operator", "product-of-activations", "batch-axis")


def two_layers(opset: int = 17) -> onnx.ModelProto:
    """Return x -> conv -> relu -> gemm -> y, with a side branch that ends in z."""
    rng = np.random.default_rng(0)
    nodes = [
        make_node("Conv", ["x", "w"], ["a"], name="conv"),
        make_node("Relu", ["a"], ["b"], name="relu"),
        make_node("Flatten", ["b"], ["c"], name="flat"),
        make_node("Gemm", ["c", "v", "k"], ["y"], name="gemm"),
        make_node("Neg", ["b"], ["z"], name="side"),
    ]
    constants = {"w": float32(rng, 2, 1, 3, 3), "v": float32(rng, 18, 4), "k": float32(rng, 4)}
    model: onnx.ModelProto = make_model(
        nodes, {"x": ["N", 1, 5, 5]}, ["y", "z"], constants=constants, opset=opset
    )
    return model


class TestThirdPartyModels:
    @pytest.mark.parametrize("name", CONVERTIBLE)
    def test_equal_to_onnxruntime(
        self, name: str, test_data: Path, rng: np.random.Generator
    ) -> None:
        path = test_data / "models" / f"{name}.onnx"
        imported = onnx_models.assert_agrees(path, rng, tolerance=1e-4)
        assert imported.path == str(path)
        assert imported.model_bytes == path.read_bytes()
        assert imported.batch_fixed == (1 if name == "mnist_maxpool_opset8" else None)

    def test_what_resnet20_becomes(self, test_data: Path) -> None:
        imported = import_onnx(test_data / "models" / "resnet20_cifar10.onnx")
        graph = imported.graph
        assert graph is not None
        assert imported.node_count == 111 and imported.opset == graph.opset == 17
        assert len(graph.activations) == 19
        assert [node.name for node in graph.inputs] == ["input"]
        assert graph.inputs[0].shape == (3, 32, 32)
        assert imported.input_dtypes == {"input": "float32"}
        assert graph.output_names == ("logits",) and graph.outputs == ("/linear/Gemm",)
        assert graph["/Relu"].tensor == "/Relu_output_0"
        # The shortcut's Shape, Slice and Pad chains leave two Slices and one Pad each.
        shortcut = [node.name for node in graph.nodes if "layer2.0/shortcut" in node.name]
        assert [name.rsplit("/", 1)[-1] for name in shortcut] == ["Slice", "Slice_1", "Pad"]

    @pytest.mark.parametrize(
        ("name", "arguments", "expected"),
        [
            (
                "basic_pitch",
                {},
                {"Div": 1, "Equal": 1, "Where": 1},
            ),
            ("silero_vad_16k", {}, {"Unsqueeze": 1, "LSTM": 1}),
            (
                "ppocr_cls_mobilenetv3",
                {"input_shapes": {"x": (3, 48, 192)}},
                {"Mul": 9},
            ),
        ],
    )
    def test_refused_at_once_with_every_offending_node(
        self, name: str, arguments: dict[str, Any], expected: dict[str, int], test_data: Path
    ) -> None:
        path = test_data / "models" / f"{name}.onnx"
        import_onnx(
            test_data / "models" / "dscnn_kws_mlperf_tiny.onnx"
        )  # loads what is loaded once
        start = time.perf_counter()
        with pytest.raises(UnsupportedModelError) as caught:
            import_onnx(path, **arguments)
        assert time.perf_counter() - start < 1
        problems = caught.value.problems
        operators: dict[str, int] = {}
        for problem in problems:
            if problem.node:
                operator = problem.place.partition("operator ")[2].partition(",")[0]
                operators[operator] = operators.get(operator, 0) + 1
                assert problem.code in CODES
        assert operators == expected
        positions = [int(p.place.partition(" (")[2].split()[0]) for p in problems if p.node]
        assert positions == sorted(positions)
        assert caught.value.exit_code == 3
        assert f"{name}.onnx cannot be converted: {len(problems)} problems" in str(caught.value)

    def test_the_recurrent_network_by_name(self, test_data: Path) -> None:
        problems = check_onnx(test_data / "models" / "silero_vad_16k.onnx").problems
        lstm = next(problem for problem in problems if "LSTM" in problem.message)
        name = "F2::If_0_then_branch__Inline_0__/decoder/rnn/LSTM"
        assert lstm == Problem(
            "unsupported-operator",
            "LSTM cannot be converted to a rate-coded network",
            name,
            f"node '{name}' (147 of 167), operator LSTM, opset 16",
            "recurrence needs state across inputs; rates carry one value a window",
            "use a network without recurrence, such as one of temporal convolutions",
        )
        assert problems[0].code == "batch-axis" and not problems[0].node
        assert problems[0].message == "input 'state' has 2 samples, others have 1"


def test_shipped_models_are_equal_to_onnxruntime(
    repository: Path, rng: np.random.Generator
) -> None:
    paths = sorted((repository / "models").glob("*.onnx"))
    if not paths:
        pytest.skip("models/ holds no .onnx file")
    for path in paths:
        onnx_models.assert_agrees(path, rng, tolerance=1e-4)


class TestSources:
    def test_path_bytes_and_model_are_the_same(self, tmp_path: Path) -> None:
        model = two_layers()
        path = tmp_path / "net.onnx"
        onnx.save(model, path)
        for source in (path, str(path), path.read_bytes(), model):
            imported = import_onnx(source)
            assert imported.model_bytes == path.read_bytes()
            assert imported.path == (str(path) if isinstance(source, str | Path) else None)
            assert imported.graph is not None and imported.graph.name == "graph"

    @pytest.mark.parametrize(
        ("source", "kind"), [(None, "NoneType"), (3, "int"), (np.ones(2), "numpy.ndarray")]
    )
    def test_anything_else_is_no_model(self, source: Any, kind: str) -> None:
        with pytest.raises(ModelFileError) as caught:
            import_onnx(source)
        assert caught.value.message == f"a model is a path, bytes or an onnx.ModelProto, not {kind}"
        assert "torch.onnx.export" in str(caught.value.hint)

    def test_the_model_that_was_passed_stays_as_it_is(self) -> None:
        model = two_layers()
        before = model.SerializeToString()
        import_onnx(model, outputs=["b"])
        assert model.SerializeToString() == before

    def test_external_data(self, tmp_path: Path, rng: np.random.Generator) -> None:
        path = tmp_path / "net.onnx"
        onnx.save(
            *(two_layers(), path),
            save_as_external_data=True,
            location="weights.bin",
            size_threshold=0,
        )
        assert (tmp_path / "weights.bin").exists()
        imported = onnx_models.assert_agrees(path, rng)
        (tmp_path / "weights.bin").unlink()
        assert onnx_models.run_onnxruntime(
            imported.model_bytes, {"x": np.zeros((1, 1, 5, 5), np.float32)}
        )


class TestNames:
    def test_nodes_without_a_name_or_with_the_same(self, rng: np.random.Generator) -> None:
        names = ["", "twice", "twice", "x", "Relu_1"]
        nodes = [
            make_node("Relu", [before], [after], name=name)
            for name, before, after in zip(names, "xabcd", "abcdy", strict=True)
        ]
        imported = onnx_models.assert_agrees(make_model(nodes, {"x": ["N", 3]}), rng)
        found = [(node.name, node.tensor) for node in imported.graph.nodes]
        assert found == [
            ("x", "x"),
            ("Relu_1_2", "a"),
            ("Relu_2", "b"),
            ("Relu_3", "c"),
            ("Relu_4", "d"),
            ("Relu_1", "y"),
        ]

    def test_outputs_that_are_one_value_or_an_input(self, rng: np.random.Generator) -> None:
        nodes = [
            make_node("Relu", ["x"], ["a"], name="relu"),
            make_node("Identity", ["a"], ["b"]),
            make_node("Identity", ["x"], ["c"]),
        ]
        imported = onnx_models.assert_agrees(
            make_model(nodes, {"x": ["N", 3]}, ["a", "b", "c"]), rng
        )
        assert imported.graph.outputs == ("relu", "b", "c")
        assert imported.graph.output_names == ("a", "b", "c")
        assert imported.graph["c"].inputs == ("x",)

    def test_intermediate_values_have_no_tensor(self) -> None:
        graph = onnx_models.graph_of(one_node("Sub", (3,), (3,)))
        assert [(node.name, node.tensor) for node in graph.nodes] == [
            ("x0", "x0"),
            ("x1", "x1"),
            ("node/term1", None),
            ("node", "y"),
        ]

    def test_nodes_that_nothing_needs_are_left_out(self, rng: np.random.Generator) -> None:
        nodes = [
            make_node("LSTM", ["x", "w", "w"], ["unused"], hidden_size=3),
            make_node("Relu", ["x"], ["y"], name="relu"),
        ]
        model = make_model(nodes, {"x": ["N", 3], "w": ["N", 3]})
        imported = import_onnx(model)
        assert [n.name for n in imported.graph.nodes] == ["x", "relu"]  # type: ignore[union-attr]
        assert imported.node_count == 2
        feeds = {"x": float32(rng, 2, 3)}
        assert onnx_models.run_onnxruntime(imported.model_bytes, feeds)[0].shape == (2, 3)


class TestCuts:
    def test_outputs(self, rng: np.random.Generator) -> None:
        imported = import_onnx(two_layers(), outputs=["b"])
        assert imported.graph is not None
        assert [node.name for node in imported.graph.nodes] == ["x", "conv", "relu"]
        assert imported.graph.output_names == ("b",)
        model = onnx.load_from_string(imported.model_bytes)
        assert [tensor.name for tensor in model.graph.initializer] == ["w"]
        onnx_models.assert_agrees(imported.model_bytes, rng)

    def test_inputs(self, rng: np.random.Generator) -> None:
        imported = import_onnx(two_layers(), inputs=["b"], outputs=["y"])
        assert imported.graph is not None
        assert [node.name for node in imported.graph.nodes] == ["b", "flat", "gemm"]
        assert isinstance(imported.graph["b"].op, GraphInput)
        assert imported.graph["b"].shape == (2, 3, 3)
        onnx_models.assert_agrees(imported.model_bytes, rng)

    def test_both_ends_of_an_unsupported_part(self, rng: np.random.Generator) -> None:
        nodes = [
            make_node("Relu", ["x"], ["a"], name="first"),
            make_node("LpNormalization", ["a"], ["b"], name="norm"),
            make_node("Relu", ["b"], ["y"], name="last"),
        ]
        model = make_model(nodes, {"x": ["N", 3]})
        assert [problem.node for problem in check_onnx(model).problems] == ["norm"]
        assert onnx_models.graph_of(model, outputs=["a"]).outputs == ("first",)
        assert onnx_models.graph_of(model, inputs=["b"])["b"].shape == (3,)

    def test_a_shape_that_only_the_caller_knows(self) -> None:
        nodes = [
            make_node("Mystery", ["x"], ["a"], domain="example"),
            make_node("Relu", ["a"], ["y"], name="relu"),
        ]
        model = make_model(nodes, {"x": ["N", 3]}, domains={"example": 1})
        with pytest.raises(ModelFileError, match="input 'a' has an open shape: unknown"):
            import_onnx(model, inputs=["a"])
        graph = onnx_models.graph_of(model, inputs=["a"], input_shapes={"a": (7,)})
        assert graph["relu"].shape == (7,)

    def test_an_input_that_is_still_needed(self) -> None:
        model = one_node("Add", (3,), (3,))
        with pytest.raises(UsageError) as caught:
            import_onnx(model, inputs=["x1"])
        assert caught.value.render() == (
            "error: input 'x0' is still needed for 'y'  [usage]\n"
            "  where: inputs 'x1'\n"
            "  hint:  name it too, or choose inputs that lie behind it"
        )

    @pytest.mark.parametrize(
        ("arguments", "message", "hint"),
        [
            ({"outputs": ["relu"]}, "the model has no tensor 'relu' to take as output", "known: "),
            ({"outputs": ["yy"]}, "the model has no tensor 'yy' to take as output", "'y'?"),
            ({"inputs": ["w"]}, "the model has no tensor 'w' to take as input", "known: a, b, c"),
            ({"outputs": []}, "outputs must be a list of different tensor names, not []", ""),
            ({"outputs": ["y", "y"]}, "outputs must be a list of different tensor names", ""),
            ({"inputs": "x"}, "inputs must be a list of different tensor names, not 'x'", ""),
        ],
    )
    def test_names_that_do_not_exist(
        self, arguments: dict[str, Any], message: str, hint: str
    ) -> None:
        with pytest.raises(UsageError) as caught:
            import_onnx(two_layers(), **arguments)
        assert message in caught.value.message and hint in caught.value.hint

    @pytest.mark.parametrize(
        ("name", "hint"), [("hiden17", "did you mean 'hidden17'?"), ("zzz", "known: y")]
    )
    def test_the_nearest_of_many_tensors_is_named(self, name: str, hint: str) -> None:
        names = ["x", *(f"hidden{i}" for i in range(40)), "y"]
        nodes = [helper.make_node("Relu", [a], [b]) for a, b in pairwise(names)]
        with pytest.raises(UsageError) as caught:
            import_onnx(make_model(nodes, {"x": ["N", 3]}), outputs=[name])
        assert caught.value.hint == hint


class TestShapes:
    def open_shape(self) -> onnx.ModelProto:
        model: onnx.ModelProto = one_node("GlobalAveragePool", (3, "H", "W"))
        return model

    def test_the_caller_states_it(self, rng: np.random.Generator) -> None:
        imported = onnx_models.assert_agrees(self.open_shape(), rng, input_shapes={"x0": (3, 5, 6)})
        assert imported.graph["node"].shape == (3, 1, 1)
        graph = onnx_models.graph_of(self.open_shape(), input_shapes={"": [3, 5, 6]})
        assert graph["x0"].shape == (3, 5, 6)

    def test_nobody_states_it(self) -> None:
        with pytest.raises(ModelFileError) as caught:
            import_onnx(self.open_shape())
        assert caught.value.render() == (
            "error: input 'x0' has an open shape: (N, 3, H, W)  [open-shape]\n"
            "  why:   the number of neurons must be known before the network runs\n"
            "  hint:  state it without the batch, for instance --input-shape 3,32,32"
        )
        assert isinstance(caught.value, OpenShapeError) and caught.value.exit_code == 2

    def test_it_is_asked_for_before_anything_else_is_judged(self, tmp_path: Path) -> None:
        nodes = [make_node("Frobnicate", ["x"], ["t"]), make_node("Relu", ["t"], ["y"])]
        path = tmp_path / "net.onnx"
        onnx.save(make_model(nodes, {"x": ["N", 3, "H"]}), path)
        with pytest.raises(OpenShapeError, match=r"'x' has an open shape: \(N, 3, H\)") as caught:
            check_onnx(path)
        assert caught.value.hint.endswith("for instance --input-shape 3,32")
        assert caught.value.where == str(path)
        (problem,) = check_onnx(path, input_shapes={"": (3, 7)}).problems
        assert "Frobnicate" in problem.message

    def test_several_are_asked_for_together(self) -> None:
        inputs: dict[str, Any] = {"a b": ["N", 3, "H"], "x": ["N", 3, 32], "c": ["N", "W"]}
        model = make_model([make_node("Concat", list(inputs), ["y"], axis=1)], inputs)
        with pytest.raises(OpenShapeError) as caught:
            import_onnx(model)
        assert caught.value.message == "inputs have open shapes: 'a b': (N, 3, H), 'c': (N, W)"
        assert caught.value.hint == (
            "state them without the batch, for instance --input-shape 'a b:3,32' --input-shape c:32"
        )

    def test_one_of_several_is_asked_for_by_name(self) -> None:
        inputs: dict[str, Any] = {"x": ["N", 3], "c": ["N", "W"]}
        model = make_model([make_node("Concat", list(inputs), ["y"], axis=1)], inputs)
        with pytest.raises(OpenShapeError) as caught:
            import_onnx(model)
        assert caught.value.hint.endswith("for instance --input-shape c:32")

    @pytest.mark.parametrize(
        ("shapes", "message"),
        [
            ({"x0": (3, 5)}, "input shape [3, 5] does not fit 'x0', which the file gives as (N, 3"),
            ({"x0": (4, 5, 6)}, "input shape [4, 5, 6] does not fit 'x0'"),
            ({"x0": (1, 3, 5, 6)}, "input shape [1, 3, 5, 6] does not fit 'x0'"),
            ({"x0": (3, 0, 6)}, "input shape [3, 0, 6] must be whole numbers of at least 1"),
            ({"x0": (3, 2**40, 6)}, "must be whole numbers of at least 1"),
            ({"x1": (3, 5, 6)}, "the model has no input 'x1'"),
        ],
    )
    def test_shapes_that_do_not_fit(self, shapes: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError) as caught:
            import_onnx(self.open_shape(), input_shapes=shapes)
        assert message in caught.value.message

    def test_one_shape_for_several_inputs(self) -> None:
        with pytest.raises(UsageError, match="the model has 2 inputs: say which one") as caught:
            import_onnx(one_node("Add", (3,), (3,)), input_shapes={"": (3,)})
        assert caught.value.hint == "inputs: x0, x1"

    def test_an_input_without_any_shape(self, rng: np.random.Generator) -> None:
        model = make_model([make_node("Relu", ["x"], ["y"])], {"x": None})
        onnx_models.assert_agrees(model, rng, input_shapes={"x": (3, 4)})
        with pytest.raises(ModelFileError, match="input 'x' has an open shape: unknown"):
            import_onnx(model)

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            (["N", 2**62], "input 'x' has an axis of extent 4,611,686,018,427,387,904"),
            ([2**62, 3], "input 'x' has an axis of extent 4,611,686,018,427,387,904"),
            (["N", -2], "input 'x' has an axis of extent -2"),
            (["N", 0], "input 'x' is empty: its shape is (N, 0)"),
            (["N", 2**20, 2**20], "the limit is 67,108,864 elements"),
        ],
    )
    def test_extents_that_make_no_sense(self, shape: list[Any], message: str) -> None:
        with pytest.raises(ModelFileError) as caught:
            import_onnx(make_model([make_node("Relu", ["x"], ["y"])], {"x": shape}))
        assert message in caught.value.message

    @pytest.mark.parametrize("extent", [-1, 0, None])
    def test_a_free_batch_in_other_spellings(self, extent: int | None) -> None:
        model = make_model([make_node("Relu", ["x"], ["y"])], {"x": [extent, 3]})
        imported = import_onnx(model)
        assert imported.batch_fixed is None
        assert imported.graph["x"].shape == (3,)  # type: ignore[index]


class TestInputs:
    def test_old_files_list_initialisers_among_them(self, rng: np.random.Generator) -> None:
        model = two_layers(opset=8)
        model.ir_version = 3
        for tensor in model.graph.initializer:
            shape = list(tensor.dims)
            model.graph.input.append(helper.make_tensor_value_info(tensor.name, 1, shape))
        imported = onnx_models.assert_agrees(model, rng)
        assert [node.name for node in imported.graph.inputs] == ["x"]
        cut = import_onnx(model, outputs=["b"])
        onnx_models.assert_agrees(cut.model_bytes, rng)

    def test_several(self, rng: np.random.Generator) -> None:
        imported = onnx_models.assert_agrees(one_node("Concat", (2,), (3,), axis=1), rng)
        assert [node.name for node in imported.graph.inputs] == ["x0", "x1"]

    def test_bytes(self, rng: np.random.Generator) -> None:
        nodes = [make_node("Cast", ["x"], ["f"], to=1), make_node("Relu", ["f"], ["y"])]
        model = make_model(nodes, {"x": ["N", 3]}, dtypes={"x": TensorProto.UINT8})
        assert onnx_models.assert_agrees(model, rng).input_dtypes == {"x": "uint8"}

    def test_different_fixed_batches(self) -> None:
        model = one_node("Add", (3,), (3,), fixed_batch=2)
        model.graph.input[1].type.tensor_type.shape.dim[0].dim_value = 4
        (problem,) = check_onnx(model).problems
        assert problem.render() == (
            "error: input 'x1' has 4 samples, others have 2  [batch-axis]\n"
            "  why:   axis 0 of every input is the batch\n"
            "  hint:  cut the graph behind it with --inputs"
        )

    @pytest.mark.parametrize(
        ("info", "why"),
        [
            (
                helper.make_tensor_value_info("x1", 1, []),
                "it is a single number, without batch axis",
            ),
            (
                helper.make_tensor_value_info("x1", 8, ["N", 3]),
                "its element type is no real number",
            ),
            (helper.make_tensor_sequence_value_info("x1", 1, ["N"]), "it is no tensor (sequence)"),
        ],
    )
    def test_of_another_kind(self, info: onnx.ValueInfoProto, why: str) -> None:
        model = one_node("Add", (3,), (3,))
        model.graph.input[1].CopyFrom(info)
        (problem,) = check_onnx(model).problems
        assert problem.code == "unsupported-input" and problem.why == why
        assert problem.message == "input 'x1' cannot be an input of a spiking network"


class TestProblems:
    def test_all_are_listed_and_raised_once(self) -> None:
        nodes = [
            make_node("LpNormalization", ["x"], ["a"], name="t"),
            make_node("Relu", ["a"], ["b"], name="r"),
            make_node("Mul", ["b", "x"], ["c"], name="gate"),
            make_node("Mul", ["x", "b"], ["d"], name="square"),
            make_node("MaxPool", ["b"], ["e", "i"], name="pool", kernel_shape=[2]),
            make_node("Sum", ["c", "d", "e", "i"], ["y"], name="sum"),
            make_node("Frobnicate", ["y"], ["z"], name="f"),
        ]
        model = make_model(nodes, {"x": ["N", 3, 4]}, ["y", "z"])
        imported = check_onnx(model)
        # "r" is fine as if "t" gave what ONNX promises; "sum" is not even valid then, and is left
        # unjudged: what does not fit may be the promise.
        assert [p.node for p in imported.problems] == ["t", "gate", "square", "pool", "f"]
        assert imported.graph is None
        with pytest.raises(UnsupportedModelError) as caught:
            import_onnx(model)
        assert caught.value.problems == imported.problems
        assert "\nthe model cannot be converted: 5 problems\n" in caught.value.render()
        assert caught.value.hint.startswith("snnconvert check looks for a part")
        assert "did you mean" in imported.problems[-1].hint or "known" in imported.problems[-1].hint
        assert imported.problems[-1].why == "ONNX opset 17 has no such operator"

    def test_an_operator_of_another_domain(self) -> None:
        node = make_node("FusedConv", ["x"], ["y"], name="node", domain="com.microsoft")
        model = make_model([node], {"x": ["N", 3]}, domains={"com.microsoft": 1})
        text = onnx_models.only_problem(model, "unsupported-operator")
        assert text == (
            "error: com.microsoft.FusedConv cannot be converted to a rate-coded network  "
            "[unsupported-operator]\n"
            "  where: node 'node' (1 of 1), operator com.microsoft.FusedConv, opset 1\n"
            "  why:   operators of the domain 'com.microsoft' are not ONNX's own\n"
            "  hint:  export the model with plain ONNX operators, before any runtime has optimised "
            "it"
        )

    @pytest.mark.parametrize(
        ("operator", "why", "hint"),
        [
            ("LpNormalization", "it bends a combination of several activations", "train the"),
            ("Round", "it rounds activations", "quantise with QuantizeLinear"),
            ("Not", "it compares or combines activations as truth values", ""),
            ("NonZero", "it looks for positions among activations", ""),
            ("Hardmax", "it is not among the supported operators", ""),
        ],
    )
    def test_reasons(self, operator: str, why: str, hint: str) -> None:
        (problem,) = check_onnx(
            one_node(operator, (3,), outputs=1 + 2 * ("Dyn" in operator))
        ).problems
        assert problem.why.startswith(why) and problem.hint.startswith(hint)

    def test_control_flow(self) -> None:
        inner = helper.make_graph(
            [make_node("Neg", ["x"], ["o"])], "b", [], [onnx.ValueInfoProto(name="o")]
        )
        nodes = [
            make_node("ReduceMin", ["x"], ["c"], name="reduce"),
            make_node("If", ["c"], ["y"], name="if", then_branch=inner, else_branch=inner),
        ]
        problems = check_onnx(make_model(nodes, {"x": ["N", 3]})).problems
        assert [problem.node for problem in problems] == ["reduce", "if"]
        assert problems[1].why.startswith("which nodes run is decided by values")
        assert "simplify the file before, for instance with onnxsim" in problems[1].hint

    def test_a_constant_output(self) -> None:
        nodes = [make_node("Relu", ["x"], ["y"]), make_node("Neg", ["c"], ["k"])]
        model = make_model(nodes, {"x": ["N", 3]}, ["y", "k"], constants={"c": int64(1)})
        (problem,) = check_onnx(model).problems
        assert problem.code == "constant-output"
        assert problem.message == "output 'k' is constant"
        assert problem.hint == "choose other outputs with --outputs"

    def test_not_a_number_behind_a_computation(self) -> None:
        """The message names the constant that the node reads, computed or stored."""
        nodes = [
            make_node("Sqrt", ["c"], ["root"]),
            make_node("Mul", ["x", "root"], ["y"], name="node"),
        ]
        model = make_model(nodes, {"x": ["N", 1]}, constants={"c": np.array([-1], np.float32)})
        (problem,) = check_onnx(model).problems
        assert problem.code == "non-finite-weights"
        assert problem.message == "initialiser 'root' of node 'node' holds NaN"

    def test_a_constant_convolution(self, rng: np.random.Generator) -> None:
        nodes = [
            make_node("Conv", ["c", "w"], ["k"], name="node"),
            make_node("Add", ["x", "k"], ["y"]),
        ]
        constants = {"c": float32(rng, 1, 1, 4), "w": float32(rng, 1, 1, 2)}
        (problem,) = check_onnx(make_model(nodes, {"x": ["N", 1, 3]}, constants=constants)).problems
        assert problem.message == "Conv of the constant 'c'"
        assert problem.hint == "fold the file's constants before, for instance with onnxsim"


class TestBatch:
    def test_a_file_for_one_sample(self, rng: np.random.Generator) -> None:
        """What onnxruntime is given says so too."""
        imported = import_onnx(one_node("Reshape", (3, 4), int64(1, 12)))
        assert imported.batch_fixed == 1
        model = onnx.load_from_string(imported.model_bytes)
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
        assert onnx_models.assert_agrees(imported.model_bytes, rng).batch_fixed == 1

    def test_one_sample_does_not_help(self) -> None:
        """The problems are those of the free batch."""
        nodes = [
            make_node("Reshape", ["x", "target"], ["a"], name="first"),
            make_node("ReduceMean", ["a"], ["y"], name="second", axes=[0]),
        ]
        model = make_model(nodes, {"x": ["N", 3]}, constants={"target": int64(1, 3)})
        imported = check_onnx(model)
        assert [p.node for p in imported.problems] == ["first"]
        assert imported.batch_fixed is None

    def test_one_sample_is_not_even_valid(self) -> None:
        nodes = [
            make_node("Slice", ["x", "two", "three", "zero"], ["a"], name="node"),
            make_node("Reshape", ["x", "target"], ["b"]),
            make_node("Add", ["a", "b"], ["y"]),
        ]
        constants = {"zero": int64(0), "two": int64(2), "three": int64(3), "target": int64(13, 3)}
        model = make_model(nodes, {"x": ["N", 3]}, constants=constants)
        assert "Slice takes part of the batch" in onnx_models.only_problem(model, "batch-axis")


class TestOpsets:
    @pytest.mark.parametrize("opset", range(7, onnx.defs.onnx_opset_version() + 1))
    def test_every_one(self, opset: int, rng: np.random.Generator) -> None:
        """The runtime is behind onnx by two opsets: there the file says an older one."""
        imported = onnx_models.assert_agrees(two_layers(opset), rng)
        assert imported.opset == imported.graph.opset == opset
        written = onnx.load_from_string(imported.model_bytes).opset_import[0].version
        assert written == min(opset, onnx_models.RUNTIME_OPSET)

    def test_a_newer_meaning_stays(self) -> None:
        newest = onnx.defs.onnx_opset_version()
        since = onnx.defs.get_schema("Cast", newest).since_version
        assert since > onnx_models.RUNTIME_OPSET
        imported = import_onnx(one_node("Cast", (3,), opset=newest, to=1))
        assert onnx.load_from_string(imported.model_bytes).opset_import[0].version == newest

    def test_a_newer_ir_version(self, rng: np.random.Generator) -> None:
        model = two_layers()
        model.ir_version = onnx.IR_VERSION
        onnx_models.assert_agrees(model, rng)

    def test_the_alias_of_the_domain(self, rng: np.random.Generator) -> None:
        model = two_layers()
        model.opset_import[0].domain = "ai.onnx"
        onnx_models.assert_agrees(model, rng)


class TestFunctions:
    def double(self, body: list[onnx.NodeProto], name: str = "Twice") -> onnx.FunctionProto:
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
        return helper.make_function("local", name, ["a"], ["b"], body, imports)

    def test_calls_are_expanded(self, rng: np.random.Generator) -> None:
        inner = self.double([make_node("Add", ["a", "a"], ["b"])])
        outer = self.double(
            [
                make_node("Twice", ["a"], ["t"], domain="local"),
                make_node("Twice", ["t"], ["b"], domain="local"),
            ],
            "FourTimes",
        )
        nodes = [
            make_node("FourTimes", ["x"], ["m"], domain="local"),
            make_node("Relu", ["m"], ["y"], name="relu"),
        ]
        model = make_model(nodes, {"x": ["N", 3]}, functions=[outer, inner], domains={"local": 1})
        imported = onnx_models.assert_agrees(model, rng)
        assert len(imported.graph.nodes) == 4 and imported.node_count == 2
        values = imported.graph.evaluate({"x": np.ones((1, 3))})
        np.testing.assert_array_equal(values["relu"], 4)

    def test_a_function_that_calls_itself(self) -> None:
        body = [make_node("Twice", ["a"], ["b"], domain="local")]
        node = make_node("Twice", ["x"], ["y"], domain="local")
        model = make_model(
            [node], {"x": ["N", 3]}, functions=[self.double(body)], domains={"local": 1}
        )
        with pytest.raises(ModelFileError, match="the model's function 'Twice' calls itself"):
            import_onnx(model)

    def test_functions_that_call_one_another(self) -> None:
        functions = [
            self.double([make_node("F1", ["a"], ["b"], domain="local")], "F0"),
            self.double([make_node("F2", ["a"], ["b"], domain="local")], "F1"),
            self.double([make_node("F0", ["a"], ["b"], domain="local")], "F2"),
        ]
        node = make_node("F1", ["x"], ["y"], domain="local")
        model = make_model([node], {"x": ["N", 3]}, functions=functions, domains={"local": 1})
        with pytest.raises(ModelFileError, match="calls itself"):
            import_onnx(model)

    def test_functions_that_unfold_without_end(self) -> None:
        """Forty levels, each calls the next twice: a tera of nodes."""
        functions = [
            self.double(
                [
                    make_node(f"F{level + 1}", ["a"], ["t"], domain="local"),
                    make_node(f"F{level + 1}", ["t"], ["b"], domain="local"),
                ],
                f"F{level}",
            )
            for level in range(40)
        ]
        functions.append(self.double([make_node("Neg", ["a"], ["b"])], "F40"))
        node = make_node("F0", ["x"], ["y"], domain="local")
        model = make_model([node], {"x": ["N", 3]}, functions=functions, domains={"local": 1})
        start = time.perf_counter()
        with pytest.raises(ModelFileError, match=r"unfold to [\d,]+ nodes, the limit is 200,000"):
            import_onnx(model)
        assert time.perf_counter() - start < 1


def test_the_result_says_what_others_rely_on() -> None:
    imported = import_onnx(two_layers())
    assert isinstance(imported, Imported)
    assert imported.problems == () and imported.batch_fixed is None
    assert imported.input_dtypes == {"x": "float32"}
    assert imported.node_count == 5 and imported.opset == 17
