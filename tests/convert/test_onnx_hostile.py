"""Files that are damaged, or made to mislead: a clear error, no crash, no full memory."""

import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import float32, graph_of, int64, make_model, make_node, one_node

from snnconvert.convert.curves.functions import MAX_SIZE
from snnconvert.convert.errors import ModelFileError, SnnConvertError
from snnconvert.convert.graph import Curve
from snnconvert.convert.lower import exact_graph, lower
from snnconvert.convert.onnx_import import check_onnx, import_onnx

LONG = 20.0
"""Seconds. Work that grows with the square of ten thousand nodes takes longer on any machine."""


def small_model() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    nodes = [
        make_node("Conv", ["x", "w", "b"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        make_node("BatchNormalization", ["a", "s", "b", "b", "s"], ["n"], name="norm"),
        make_node("Relu", ["n"], ["r"], name="relu"),
        make_node("AveragePool", ["r"], ["p"], name="pool", kernel_shape=[2, 2]),
        make_node("Shape", ["p"], ["e"]),
        make_node("Slice", ["e", "zero", "one"], ["batch"]),
        make_node("Concat", ["batch", "rest"], ["target"], axis=0),
        make_node("Reshape", ["p", "target"], ["f"], name="flat"),
        make_node("Gemm", ["f", "v", "c"], ["y"], name="gemm", transB=1),
    ]
    constants = {
        "w": float32(rng, 2, 1, 3, 3),
        "b": float32(rng, 2),
        "s": np.ones(2, np.float32),
        "v": float32(rng, 3, 18),
        "c": float32(rng, 3),
        "zero": int64(0),
        "one": int64(1),
        "rest": int64(-1),
    }
    model: onnx.ModelProto = make_model(nodes, {"x": ["N", 1, 4, 4]}, constants=constants)
    return model


@pytest.fixture
def modest_memory() -> Iterator[None]:
    """Fail a test whose file makes us allocate more than 64 MiB."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**26


def refused(source: Any, message: str, **arguments: Any) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        import_onnx(source, **arguments)
    assert message in caught.value.message
    assert caught.value.exit_code == 2
    return caught.value


class TestFiles:
    def test_missing(self, tmp_path: Path) -> None:
        path = tmp_path / "none.onnx"
        error = refused(path, f"no such file: {path}")
        assert error.hint == "check the path"

    def test_a_folder(self, tmp_path: Path) -> None:
        error = refused(tmp_path, f"{tmp_path} is a folder")
        assert error.hint == "give the .onnx file in it"

    def test_a_name_with_a_null_byte(self) -> None:
        refused("a\0b.onnx", "no such file")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
    def test_without_permission(self, tmp_path: Path) -> None:
        path = tmp_path / "net.onnx"
        path.write_bytes(b"x")
        path.chmod(0)
        refused(path, "Permission denied")

    def test_a_pipe(self, tmp_path: Path) -> None:
        path = tmp_path / "pipe"
        os.mkfifo(path)
        refused(path, "no such file")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"hello, world\n", "is not an ONNX file, or it is damaged"),
            (b"PK\x03\x04" + bytes(60), "is a zip archive, such as a PyTorch checkpoint"),
            (b"\x89HDF\r\n\x1a\n", "is an HDF5 file, such as Keras weights"),
            (b"\x1f\x8b\x08\x00", "is a gzip archive"),
            (b"\x08\x08", "is not an ONNX file: it holds no graph"),
            (bytes(100), "is not an ONNX file, or it is damaged"),
        ],
    )
    def test_not_onnx(self, content: bytes, message: str, tmp_path: Path) -> None:
        path = tmp_path / "net.onnx"
        path.write_bytes(content)
        refused(path, f"{path} {message}")
        refused(content, f"the model {message}")

    def test_a_file_says_where(self, tmp_path: Path) -> None:
        path = tmp_path / "net.onnx"
        onnx.save(one_node("Flatten", (3,), axis=9), path)
        error = refused(path, "axis 9 is out of range")
        assert error.where == f"node 'node' (1 of 1), operator Flatten, opset 17, in {path}"

    def test_every_truncation(self) -> None:
        content = small_model().SerializeToString()
        for length in range(0, len(content), 7):
            with pytest.raises(SnnConvertError):
                import_onnx(content[:length])

    def test_nested_without_end(self) -> None:
        """A graph in an attribute of a node of a graph, two hundred times."""

        def field(number: int, content: bytes) -> bytes:
            size, prefix = len(content), bytearray([number << 3 | 2])
            while size > 127:
                prefix.append(size & 127 | 128)
                size >>= 7
            return bytes(prefix) + bytes([size]) + content

        graph = b""
        for _ in range(200):
            graph = field(1, field(5, field(6, graph)))
        error = refused(field(7, graph), "the model is not an ONNX file, or it is damaged")
        assert error.why == "its bytes are no complete protobuf message"

    def test_an_object_nested_without_end(self) -> None:
        model = small_model()
        node = model.graph.node[0]
        for _ in range(60):
            node = node.attribute.add(name="body", type=onnx.AttributeProto.GRAPH).g.node.add()
        refused(model, "")

    def test_names_that_are_not_text(self) -> None:
        content = small_model().SerializeToString()
        refused(
            content.replace(b"relu", b"\xff\xfe\xff\xfe"),
            "the model holds a name that is not text: b'\\xff\\xfe\\xff\\xfe'",
        )


class TestHeader:
    def test_no_nodes(self) -> None:
        model = small_model()
        del model.graph.node[:]
        refused(model, "the model's graph has no nodes")

    @pytest.mark.parametrize(
        ("opset", "message"),
        [
            (0, "the model does not say which ONNX opset it uses"),
            (6, "the model uses ONNX opset 6, the oldest supported is 7"),
            (-3, "the model uses ONNX opset -3, the oldest supported is 7"),
            (99, f"the model uses ONNX opset 99, the newest that onnx {onnx.__version__} knows is"),
        ],
    )
    def test_opsets(self, opset: int, message: str) -> None:
        model = small_model()
        model.opset_import[0].version = opset
        refused(model, message)

    def test_no_opset(self) -> None:
        model = small_model()
        del model.opset_import[:]
        error = refused(model, "the model does not say which ONNX opset it uses")
        assert error.hint.startswith("export it with torch.onnx.export")

    def test_two_opsets(self) -> None:
        model = small_model()
        model.opset_import.append(helper.make_opsetid("ai.onnx", 13))
        refused(model, "the model imports the domain '' twice")

    @pytest.mark.parametrize("version", [-(2**63), -1, 2**31, 2**62])
    def test_a_domain_of_a_version_that_cannot_be(self, version: int) -> None:
        model = small_model()
        model.opset_import.add(domain="com.microsoft", version=version)
        model.graph.node.add(op_type="QLinearAdd", domain="com.microsoft", output=["more"])
        refused(model, f"imports version {version:,} of the domain 'com.microsoft'")

    def test_a_future_file_format(self) -> None:
        model = small_model()
        model.ir_version = 999
        error = refused(model, "the model's IR version 999 is newer than")
        assert error.hint == "upgrade onnx, or export for an older version"

    def test_a_domain_that_is_not_declared(self) -> None:
        model = small_model()
        model.graph.node[2].domain = "example"
        refused(model, "the model does not say which version of 'example' it uses")


class TestWiring:
    def test_a_cycle(self) -> None:
        nodes = [
            make_node("Add", ["x", "b"], ["a"], name="first"),
            make_node("Relu", ["a"], ["b"], name="second"),
            make_node("Relu", ["b"], ["y"], name="third"),
        ]
        error = refused(make_model(nodes, {"x": ["N", 3]}), "the graph has a cycle")
        assert error.where == "node 'first' (1 of 3), operator Add"

    def test_a_node_that_reads_itself(self) -> None:
        nodes = [make_node("Add", ["x", "y"], ["y"], name="node")]
        refused(make_model(nodes, {"x": ["N", 3]}), "the graph has a cycle")

    def test_nodes_in_any_order(self) -> None:
        nodes = [
            make_node("Relu", ["a"], ["y"], name="second"),
            make_node("Neg", ["x"], ["a"], name="first"),
        ]
        graph = graph_of(make_model(nodes, {"x": ["N", 3]}))
        assert [node.name for node in graph.nodes] == ["x", "first", "second"]

    def test_a_tensor_that_nothing_defines(self) -> None:
        model = small_model()
        model.graph.node[2].input[0] = "nowhere"
        error = refused(model, "tensor 'nowhere' is read but nothing defines it")
        assert error.where == "node 'relu' (3), operator Relu"

    def test_an_output_that_nothing_defines(self) -> None:
        model = small_model()
        model.graph.output[0].name = "nowhere"
        refused(model, "output 'nowhere' is no tensor of the model")

    @pytest.mark.parametrize(
        "change",
        [
            lambda graph: graph.node[2].output.__setitem__(0, "a"),
            lambda graph: graph.node[2].output.__setitem__(0, "x"),
            lambda graph: graph.node[2].output.__setitem__(0, "w"),
            lambda graph: graph.initializer.append(graph.initializer[0]),
            lambda graph: graph.input.append(graph.input[0]),
        ],
    )
    def test_a_tensor_defined_twice(self, change: Callable[[onnx.GraphProto], None]) -> None:
        model = small_model()
        change(model.graph)
        error = refused(model, "is defined 2 times")
        assert error.why == "ONNX gives each tensor one source"

    def test_an_output_listed_twice(self) -> None:
        model = small_model()
        model.graph.output.append(model.graph.output[0])
        refused(model, "output 'y' is listed 2 times")

    def test_no_outputs(self) -> None:
        model = small_model()
        del model.graph.output[:]
        refused(model, "the model's graph has no outputs")

    def test_no_inputs(self) -> None:
        nodes = [make_node("Neg", ["c"], ["y"])]
        model = make_model(nodes, {}, constants={"c": np.ones(2, np.float32)})
        refused(model, "the model's graph has no inputs")

    def test_outputs_that_no_input_reaches(self) -> None:
        nodes = [make_node("Neg", ["c"], ["y"])]
        model = make_model(nodes, {"x": ["N", 2]}, constants={"c": np.ones(2, np.float32)})
        refused(model, "no output of the model depends on an input")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda node: node.input.append("x"), "it has 2 inputs, Relu takes 1 to 1"),
            (lambda node: node.input.pop(), "it has 0 inputs, Relu takes 1 to 1"),
            (lambda node: node.input.__setitem__(0, ""), "input 'X' is missing"),
            (lambda node: node.output.append("z"), "its outputs ['r', 'z'] do not fit Relu"),
            (
                lambda node: node.attribute.append(helper.make_attribute("alpha", 1.0)),
                "Relu of opset 17 has no attribute 'alpha'",
            ),
        ],
    )
    def test_a_node_that_does_not_fit_its_operator(
        self, change: Callable[[onnx.NodeProto], None], message: str
    ) -> None:
        model = small_model()
        change(model.graph.node[2])
        error = refused(model, message)
        assert error.where == "node 'relu' (3 of 9), operator Relu, opset 17"

    @pytest.mark.parametrize(
        ("attributes", "message"),
        [
            ([("kernel_shape", 3.5)], "attribute 'kernel_shape' is not of type INTS"),
            ([("kernel_shape", [2]), ("kernel_shape", [2])], "an attribute is given twice"),
            ([("strides", [2])], "attribute 'kernel_shape' is missing"),
        ],
    )
    def test_attributes_that_do_not_fit(
        self, attributes: list[tuple[str, Any]], message: str
    ) -> None:
        model = one_node("MaxPool", (1, 4), kernel_shape=[2])
        del model.graph.node[0].attribute[:]
        model.graph.node[0].attribute.extend(helper.make_attribute(*item) for item in attributes)
        refused(model, message)

    def test_a_misspelt_attribute(self) -> None:
        model = one_node("MaxPool", (1, 4), kernel_shape=[2], stride=[2])
        error = refused(model, "MaxPool of opset 17 has no attribute 'stride'")
        assert error.hint == "did you mean 'strides'?"


class TestTensors:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda t: t.dims.__setitem__(0, 2**62), "claims the shape [4611686018427387904, 1, "),
            (lambda t: t.dims.__setitem__(0, -2), "has a negative extent in its shape [-2, 1, 3, "),
            (lambda t: t.dims.__setitem__(0, 3), "has 72 bytes, its shape [3, 1, 3, 3] needs 108"),
            (lambda t: t.dims.append(0), "has 72 bytes, its shape [2, 1, 3, 3, 0] needs 0"),
            (lambda t: t.dims.append(2**20), "has 72 bytes, its shape [2, 1, 3, 3, 1048576] needs"),
            (lambda t: setattr(t, "raw_data", b"12"), "has 2 bytes, its shape [2, 1, 3, 3] needs"),
            (lambda t: setattr(t, "data_type", 99), "has the unknown element type 99"),
            (lambda t: setattr(t, "data_type", 0), "has the unknown element type 0"),
            (lambda t: t.segment.CopyFrom(TensorProto.Segment(begin=1)), "is stored in segments"),
            (lambda t: t.ClearField("raw_data"), "has 0 entries, its shape [2, 1, 3, 3] needs 18"),
        ],
    )
    def test_what_is_stored_is_not_what_the_shape_says(
        self, change: Callable[[TensorProto], None], message: str, modest_memory: None
    ) -> None:
        model = small_model()
        change(model.graph.initializer[0])
        refused(model, f"initialiser 'w' {message}")

    def test_the_value_of_a_constant(self, modest_memory: None) -> None:
        node = make_node("Constant", [], ["c"], value=TensorProto(dims=[2**40], data_type=1))
        nodes = [node, make_node("Add", ["x", "c"], ["y"])]
        refused(make_model(nodes, {"x": ["N", 3]}), "claims the shape [1099511627776]")

    @pytest.mark.parametrize("data_type", [TensorProto.STRING, TensorProto.COMPLEX64])
    def test_no_numbers(self, data_type: int) -> None:
        model = one_node("Add", (2,), np.zeros(2, np.float32))
        values: Any = [b"a", b"b"] if data_type == TensorProto.STRING else [1j, 2j]
        model.graph.initializer[0].CopyFrom(helper.make_tensor("x1", data_type, [2], values))
        refused(model, "input 'B' holds no real numbers")

    @pytest.mark.parametrize("data_type", [TensorProto.INT4, TensorProto.UINT4])
    def test_packed_numbers(self, data_type: int) -> None:
        tensor = helper.make_tensor("x1", data_type, [3], [1, 2, 3])
        model = one_node("Add", (3,), np.zeros(3, np.float32), opset=21)
        model.graph.initializer[0].CopyFrom(tensor)
        np.testing.assert_array_equal(graph_of(model)["node"].op.bias, [1, 2, 3])
        model.graph.initializer[0].dims[0] = 5
        refused(model, "needs 3")


class TestExternalData:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """A model whose weights lie in weights.bin beside it, and a secret outside."""
        folder = tmp_path / "model"
        folder.mkdir()
        (tmp_path / "secret.bin").write_bytes(bytes(72))
        onnx.save(
            *(small_model(), folder / "net.onnx"),
            save_as_external_data=True,
            location="weights.bin",
            size_threshold=0,
        )
        return folder / "net.onnx"

    def relocate(self, path: Path, **entries: str) -> Path:
        model = onnx.load(path, load_external_data=False)
        tensor = model.graph.initializer[0]
        kept = {e.key: e.value for e in tensor.external_data} | entries
        del tensor.external_data[:]
        for key, value in kept.items():
            tensor.external_data.add(key=key, value=value)
        path.write_bytes(model.SerializeToString())
        return path

    def test_beside_the_model(self, path: Path) -> None:
        assert import_onnx(path).graph is not None

    def test_missing(self, path: Path) -> None:
        (path.parent / "weights.bin").unlink()
        error = refused(path, "initialiser 'w' lies in 'weights.bin', which is not there")
        assert error.hint == f"copy that file into {path.parent}"

    @pytest.mark.parametrize("source", [Path.read_bytes, onnx.load_model_from_string])
    def test_without_a_folder(self, path: Path, source: Callable[..., Any]) -> None:
        content = path.read_bytes()
        model = content if source is Path.read_bytes else onnx.load_model_from_string(content)
        error = refused(model, "initialiser 'w' lies in another file")
        assert error.hint == "pass the path of the .onnx file"

    @pytest.mark.parametrize(
        "location", ["../secret.bin", "sub/../../secret.bin", "..\\secret.bin", "/etc/hostname"]
    )
    def test_outside_of_the_folder(self, path: Path, location: str) -> None:
        error = refused(self.relocate(path, location=location), "outside of the model's folder")
        assert error.why == "a model file must not make us read other files of this computer"

    def test_the_absolute_path_of_a_file_inside(self, path: Path) -> None:
        location = str(path.parent / "weights.bin")
        refused(self.relocate(path, location=location), "outside of the model's folder")

    def test_a_link_that_leaves_the_folder(self, path: Path) -> None:
        (path.parent / "link.bin").symlink_to("../secret.bin")
        refused(self.relocate(path, location="link.bin"), "outside of the model's folder")
        (path.parent / "folder").symlink_to("..")
        refused(self.relocate(path, location="folder/secret.bin"), "outside of the model's folder")

    def test_a_link_within_the_folder(self, path: Path) -> None:
        (path.parent / "link.bin").symlink_to("weights.bin")
        assert import_onnx(self.relocate(path, location="link.bin")).graph is not None

    def test_links_in_a_circle(self, path: Path) -> None:
        (path.parent / "a.bin").symlink_to("b.bin")
        (path.parent / "b.bin").symlink_to("a.bin")
        refused(self.relocate(path, location="a.bin"), "initialiser 'w'")

    @pytest.mark.parametrize(
        ("entries", "message"),
        [
            ({"location": ""}, "lies in another file whose name is missing"),
            ({"location": "a\0b"}, "lies in another file whose name is missing"),
            ({"location": "."}, "lies in '.', which is not there"),
            ({"offset": "-4"}, "has 72 external bytes at -4, its shape [2, 1, 3, 3] needs 72"),
            ({"offset": "10000000"}, "needs 10,000,072 bytes of weights.bin, which has"),
            ({"length": "71"}, "has 71 external bytes at 0, its shape [2, 1, 3, 3] needs 72"),
            ({"length": str(2**62)}, "has 4,611,686,018,427,387,904 external bytes"),
            ({"length": "many"}, "has an external offset or length that is no number"),
        ],
    )
    def test_entries_that_make_no_sense(
        self, path: Path, entries: dict[str, str], message: str
    ) -> None:
        refused(self.relocate(path, **entries), message)

    def test_a_pipe(self, path: Path) -> None:
        os.mkfifo(path.parent / "pipe")
        refused(self.relocate(path, location="pipe"), "which is not there")


class TestSize:
    def test_a_chain_of_ten_thousand_nodes(self) -> None:
        nodes = [make_node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(10_000)]
        model = make_model(nodes, {"t0": ["N", 2]}, ["t10000"])
        start = time.perf_counter()
        graph = graph_of(model)
        assert time.perf_counter() - start < LONG
        assert len(graph.nodes) == 10_001

    def test_ten_thousand_problems(self) -> None:
        nodes = [make_node("LpNormalization", [f"t{i}"], [f"t{i + 1}"]) for i in range(10_000)]
        start = time.perf_counter()
        assert len(check_onnx(make_model(nodes, {"t0": ["N", 2]}, ["t10000"])).problems) == 10_000
        assert time.perf_counter() - start < LONG

    def test_a_chain_of_ten_thousand_curves(self) -> None:
        nodes = [make_node("Tanh", [f"t{i}"], [f"t{i + 1}"]) for i in range(10_000)]
        start = time.perf_counter()
        graph = lower(graph_of(make_model(nodes, {"t0": ["N", 2]}, ["t10000"])))
        assert time.perf_counter() - start < LONG
        assert 0 < len(graph.approximations) < 10_000 / 50

    def test_functions_that_double_with_every_node(self) -> None:
        nodes = [make_node("Mul", [f"t{i}", f"t{i}"], [f"t{i + 1}"]) for i in range(200)]
        start = time.perf_counter()
        graph = exact_graph(graph_of(make_model(nodes, {"t0": ["N", 2]}, ["t200"])))
        assert time.perf_counter() - start < LONG
        curves = [n.op for n in graph.nodes if isinstance(n.op, Curve)]
        assert curves
        assert all(curve.function.size < 3 * MAX_SIZE for curve in curves)

    def test_ten_thousand_constants(self) -> None:
        nodes = [make_node("Identity", [f"t{i}"], [f"t{i + 1}"]) for i in range(10_000)]
        nodes.append(make_node("Add", ["x", "t10000"], ["y"], name="node"))
        model = make_model(nodes, {"x": ["N", 2]}, constants={"t0": np.ones(2, np.float32)})
        start = time.perf_counter()
        assert len(graph_of(model).nodes) == 2
        assert time.perf_counter() - start < LONG

    def test_ten_thousand_names_that_are_taken(self) -> None:
        nodes = [
            make_node("Sub", [f"t{i}", "x"], [f"t{i + 1}"], name="same") for i in range(10_000)
        ]
        model = make_model(nodes, {"x": ["N", 2], "t0": ["N", 2]}, ["t10000"])
        start = time.perf_counter()
        assert len(graph_of(model).nodes) == 20_002
        assert time.perf_counter() - start < LONG

    @pytest.mark.parametrize(
        "model",
        [
            one_node("Pad", (1, 4), int64(0, 0, 2**40, 0, 0, 2**40)),
            one_node("Expand", (1,), int64(1, 2**60)),
            one_node("Gather", (1, 2**20), np.zeros(2**20, np.int64), axis=1),
            one_node("Conv", (1, 4), np.ones((1, 1, 2), np.float32), pads=[2**31 - 1] * 2),
            one_node("AveragePool", (1, 4), kernel_shape=[2**31 - 1], pads=[2**31 - 2] * 2),
            one_node("Reshape", (4,), int64(0, 2**62, 2**62)),
            one_node("Unsqueeze", (4,), int64(2**62)),
            one_node("Flatten", (4,), axis=-(2**62)),
            one_node("Transpose", (4,), perm=[2**62, 0]),
        ],
        ids=lambda model: model.graph.node[0].op_type,
    )
    def test_numbers_that_would_fill_the_memory(
        self, model: onnx.ModelProto, modest_memory: None
    ) -> None:
        start = time.perf_counter()
        refused(model, "")
        assert time.perf_counter() - start < 2

    def test_values_that_double_with_each_node(self, modest_memory: None) -> None:
        nodes = [make_node("Concat", [f"t{i}", f"t{i}"], [f"t{i + 1}"], axis=1) for i in range(60)]
        refused(make_model(nodes, {"t0": ["N", 2]}, ["t60"]), "elements a sample, the limit is")

    def test_constants_that_double_with_each_node(self) -> None:
        nodes = [make_node("Concat", [f"t{i}", f"t{i}"], [f"t{i + 1}"], axis=0) for i in range(60)]
        nodes.append(make_node("Add", ["x", "t60"], ["y"]))
        model = make_model(nodes, {"x": ["N", 2]}, constants={"t0": np.ones(2, np.float32)})
        refused(model, "")


def test_mutations_of_a_valid_file() -> None:
    """Whatever bytes change, nothing but our own errors comes out."""
    content = small_model().SerializeToString()
    rng = np.random.default_rng(20261121)
    outcomes = {"imported": 0, "refused": 0}
    for _ in range(600):
        mutated = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            position = int(rng.integers(len(mutated)))
            kind = rng.integers(4)
            if kind == 0:
                mutated[position] = int(rng.integers(256))
            elif kind == 1:
                mutated[position] ^= 1 << int(rng.integers(8))
            elif kind == 2:
                del mutated[position : position + int(rng.integers(1, 9))]
            else:
                mutated[position:position] = rng.bytes(int(rng.integers(1, 9)))
        try:
            check_onnx(bytes(mutated))
            outcomes["imported"] += 1
        except SnnConvertError as error:
            assert error.render()
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 20, outcomes
