"""The original network in onnxruntime: any number of rows, any batch, any number type."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import make_model, make_node

from snnconvert.convert.ann import AnnSession
from snnconvert.convert.errors import DataError, ModelFileError
from snnconvert.convert.threads import default_threads

WEIGHT = np.arange(6, dtype=np.float32).reshape(3, 2) / 4


def model(batch: int | str = "N", kind: int = TensorProto.FLOAT) -> bytes:
    """Two inputs; y = (a + b) @ W in float32, z = -y."""
    nodes = [
        helper.make_node("Cast", ["a"], ["af"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["af", "b"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["y"]),
        helper.make_node("Neg", ["y"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("a", kind, [batch, 3]),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, [batch, 3]),
        ],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 2]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, [batch, 2]),
        ],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(proto.SerializeToString())


def samples(rows: int) -> dict[str, npt.NDArray[np.float64]]:
    whole = np.random.default_rng(0).integers(0, 9, (2, rows, 3)).astype(np.float64)
    return {"a": whole[0], "b": whole[1]}


def expected(rows: int) -> npt.NDArray[np.float64]:
    given = samples(rows)
    return np.asarray((given["a"] + given["b"]) @ WEIGHT)


@pytest.mark.parametrize("rows", [1, 3, 4, 9])
@pytest.mark.parametrize("batch", ["N", 1, 4])
def test_any_number_of_rows_whatever_the_batch(batch: int | str, rows: int) -> None:
    session = AnnSession(model(batch), threads=1)
    assert session.output_names == ("y", "z")
    assert session.batch == (None if batch == "N" else batch)
    found = session.run(samples(rows), batch_size=2)
    np.testing.assert_array_equal(found["y"], expected(rows))
    np.testing.assert_array_equal(found["z"], -expected(rows))


@pytest.mark.parametrize(
    "kind", [TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.UINT8, TensorProto.INT64]
)
def test_rows_are_cast_to_what_the_model_takes(kind: int) -> None:
    found = AnnSession(model(kind=kind)).run(samples(3))
    np.testing.assert_array_equal(found["y"], expected(3))


def test_rows_for_whole_numbers_are_rounded() -> None:
    given = samples(3)
    given["a"] = given["a"] - 1e-6
    found = AnnSession(model(kind=TensorProto.UINT8)).run(given)
    np.testing.assert_array_equal(found["y"], expected(3))


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (TensorProto.UINT8, 0.25, "(uint8, 0 to 255), the rows hold 0.25"),
        (TensorProto.UINT8, -1, "(uint8, 0 to 255), the rows hold -1"),
        (TensorProto.INT8, 200, "(int8, -128 to 127), the rows hold 200"),
        (TensorProto.INT32, 1.5, "(int32, -2,147,483,648 to 2,147,483,647), the rows hold 1.5"),
    ],
)
def test_rows_that_an_input_of_whole_numbers_does_not_take(
    kind: int, value: float, message: str
) -> None:
    given = samples(3)
    given["a"][1, 2] = value
    with pytest.raises(DataError) as caught:
        AnnSession(model(kind=kind)).run(given)
    assert caught.value.message == f"input 'a' takes whole numbers {message}"
    assert caught.value.hint.startswith("give raw rows of that type, without --scale")


def test_dequantised_weights_leave_the_activations_alone(rng: np.random.Generator) -> None:
    """By itself, onnxruntime 1.31 rounds them to 8 bits before such a product."""
    nodes = [
        make_node("DequantizeLinear", ["q", "scale"], ["w"]),
        make_node("MatMul", ["x", "w"], ["y"]),
    ]
    weights = rng.integers(-128, 128, (32, 8)).astype(np.int8)
    constants = {"q": weights, "scale": np.array(0.05, np.float32)}
    session = AnnSession(
        make_model(nodes, {"x": ["N", 32]}, constants=constants).SerializeToString()
    )
    x = rng.standard_normal((5, 32)).astype(np.float32)
    np.testing.assert_allclose(
        session.run({"x": x})["y"], x @ (weights * 0.05), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("scales", [(0.2, 0.03), (0.03, 0.2)])
def test_of_two_pairs_of_quantisers_both_round(
    scales: tuple[float, float], rng: np.random.Generator
) -> None:
    """By itself, onnxruntime 1.31 leaves out the first."""
    nodes = []
    for i, (source, target) in enumerate([("x", "d"), ("d", "y")]):
        nodes.append(make_node("QuantizeLinear", [source, f"s{i}", "z"], [f"q{i}"]))
        nodes.append(make_node("DequantizeLinear", [f"q{i}", f"s{i}", "z"], [target]))
    constants = {f"s{i}": np.array(scale, np.float32) for i, scale in enumerate(scales)}
    constants["z"] = np.array(0, np.uint8)
    session = AnnSession(
        make_model(nodes, {"x": ["N", 4]}, constants=constants).SerializeToString()
    )
    x = rng.uniform(0, 9, (50, 4)).astype(np.float32)
    y = x
    for i in range(2):
        scale = constants[f"s{i}"]
        y = np.clip(np.rint(y / scale), 0, 255).astype(np.float32) * scale
    np.testing.assert_allclose(session.run({"x": x})["y"], y, rtol=1e-6)


def test_a_model_that_onnxruntime_does_not_load() -> None:
    for data in (b"", b"not a model", model()[:50]):
        with pytest.raises(ModelFileError, match="onnxruntime does not load the model") as caught:
            AnnSession(data)
        assert caught.value.why
        assert "\n" not in caught.value.why


def test_a_number_type_that_numpy_has_not() -> None:
    nodes = [helper.make_node("Cast", ["a"], ["y"], to=TensorProto.FLOAT)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("a", TensorProto.BFLOAT16, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
    )
    proto = onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelFileError, match="input 'a' takes bfloat16") as caught:
        AnnSession(proto.SerializeToString())
    assert caught.value.hint == "export the model in float32"


def test_a_model_that_onnxruntime_loads_with_basic_optimisations_only(
    rng: np.random.Generator,
) -> None:
    nodes = [
        make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        make_node("Transpose", ["d"], ["y"], perm=[0, 2, 1]),
    ]
    constants = {"s": np.array(0.25, np.float32), "z": np.array(3, np.int8)}
    model = make_model(nodes, {"x": ["N", 2, 3]}, constants=constants, opset=21)
    x = rng.integers(-16, 16, (4, 2, 3)).astype(np.float32) / 4
    outputs = AnnSession(model.SerializeToString()).run({"x": x})
    np.testing.assert_array_equal(outputs["y"], x.transpose(0, 2, 1))


@pytest.mark.parametrize(
    ("wish", "asked", "threads"), [("1", 0, 1), ("3", 2, 2), ("5", 0, 5), ("many", 0, None)]
)
def test_threads(
    monkeypatch: pytest.MonkeyPatch, wish: str, asked: int, threads: int | None
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", wish)
    session = AnnSession(model(), threads=asked)
    found = session._session.get_session_options().intra_op_num_threads
    assert found == (default_threads() if threads is None else threads)


@pytest.mark.parametrize(
    ("batch", "rows", "threads", "parts", "beside", "each"),
    [
        ("N", 41, 2, [4] * 10 + [1], 2, 1),
        ("N", 41, 9, [4] * 10 + [1], 4, 3),
        ("N", 10, 3, [3, 3, 3, 1], 3, 1),
        ("N", 1, 3, [1], 1, 3),
        (4, 41, 3, [4] * 11, 3, 1),
        (12, 41, 3, [12] * 4, 1, 3),
    ],
)
def test_parts_of_a_batch_run_side_by_side(
    batch: int | str,
    rows: int,
    threads: int,
    parts: list[int],
    beside: int,
    each: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They share the threads, are the same for any number, and rows come back in their order.

    No more rows at once than were asked for, but for a model's own batch.
    """
    session, asked = AnnSession(model(batch), threads=threads), []
    plain, together = session._with(each), threading.Barrier(beside, timeout=10)
    assert plain.get_session_options().intra_op_num_threads == each

    class Watched:
        def run(self, names: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            asked.append(len(feeds["a"]))
            if len(asked) <= beside:
                together.wait()
            return list(plain.run(names, feeds))

    monkeypatch.setattr(session, "_session", Watched())
    found = session.run(samples(rows), batch_size=16)
    np.testing.assert_array_equal(found["y"], expected(rows))
    assert sorted(asked, reverse=True) == parts


def test_several_threads_may_ask_one_session() -> None:
    """Few rows and many take sessions of their own, one of which is there at a time."""
    session = AnnSession(model(), threads=3)

    def ask(rows: int) -> bool:
        found = session.run(samples(rows), batch_size=16)["y"]
        return np.array_equal(found, expected(rows))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, [1, 41, 2, 1, 41, 3] * 8))


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    rows = np.ones((5, 3), np.float32)
    AnnSession(model()).run(
        {"a": rows, "b": rows},
        batch_size=8,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(2, 5), (4, 5), (5, 5)]
