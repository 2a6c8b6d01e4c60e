"""The .snn file: what was saved comes back bit by bit, anything else is a clear error."""

import contextlib
import io
import json
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import Case, cases

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert import artifact
from snnconvert.convert.artifact import FORMAT, MANIFEST, MODEL, read_artifact, write_artifact
from snnconvert.convert.errors import ArtifactError, OutputError
from snnconvert.convert.linear import (
    Convolution,
    Dense,
    LinearOperator,
    Matrix,
    ReduceSum,
    Reshape,
    Scale,
    Select,
    SumPool,
    Transpose,
    TransposedConvolution,
    Window,
)
from snnconvert.convert.network import Connection, Input, Network, Population, Readout, Relay

ONES = np.ones((1, 1, 1))
WINDOW = Window((2, 2), (1, 2), ((0, 1), (1, -1)), (1, 1))
OPERATORS: tuple[LinearOperator, ...] = (
    Convolution((2, 3, 4), np.arange(8.0).reshape(2, 2, 2, 1), (1, 1), ((1, 0), (0, 0)), (1, 1), 1),
    TransposedConvolution(
        (2, 3, 4), np.arange(4.0).reshape(2, 1, 2, 1) / 3, (2, 1), ((2, 1), (0, 0)), (1, 1), 2
    ),
    SumPool((2, 3, 4), WINDOW),
    Select((2, 3, 2), (None, np.array([-1, 2, 0, 1, -1, 0]), None)),
    Transpose((2, 6, 2), (2, 0, 1)),
    Scale((2, 2, 6), np.array(0.1)),
    ReduceSum((2, 2, 6), (1,)),
    Reshape((2, 1, 6), (3, 4)),
    Matrix((3, 4), sp.csr_array(np.tri(8, 12) / 3), (8,)),
    Dense((8,), np.full((3, 8), 0.1, np.float32), -1),
)


def network() -> Network:
    population = Population(
        "p", (2, 3, 4), ONES / 3, ONES, ONES, np.zeros(()), 0.5 * ONES, "zero", 1, 7, 2, None, "if"
    )
    return Network(
        "every kind",
        (
            Input("x", (2, 3, 4), "events", 1, 9, 0.3, 2.0**-16),
            Relay("r", (2, 3, 4)),
            population,
            Readout("y", (3,), np.zeros(3), np.asarray(0.25), 2, tensor="y:0"),
        ),
        (
            Connection("x", "r"),
            Connection("r", "p", (), 3),
            Connection("p", "y", OPERATORS),
        ),
        timesteps=16,
        weight_bits=8,
    )


def assert_identical(one: Any, other: Any) -> None:
    """Compare two objects field by field, arrays bit by bit."""
    assert type(one) is type(other), (one, other)
    if isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()
    elif isinstance(one, sp.csr_array):
        assert one.shape == other.shape
        for name in ("data", "indices", "indptr"):
            assert_identical(getattr(one, name), getattr(other, name))
    elif is_dataclass(one):
        for field in fields(one):
            assert_identical(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_identical(one[key], other[key])
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_identical(a, b)
    else:
        assert repr(one) == repr(other)


def round_trip(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    write_artifact(folder / "n.snn", content, b"onnx")
    found, model = read_artifact(folder / "n.snn")
    assert model == b"onnx"
    return found


# What comes back


def test_every_kind_of_node_and_operator(tmp_path: Path) -> None:
    chain = network().connections[-1].operators
    assert {type(operator) for operator in chain} == set(LinearOperator.__subclasses__())
    assert_identical(round_trip(tmp_path, {"network": network()})["network"], network())


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases())
def test_any_network_simulates_identically(tmp_path: Path, case: Case) -> None:
    loaded = round_trip(tmp_path, {"network": case.network})["network"]
    assert_identical(
        *(
            vars(ReferenceSimulation(n).run(case.samples, case.timesteps, record=("*",)))
            for n in (case.network, loaded)
        )
    )


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**70),
        0.1,
        -0.0,
        5e-324,
        float("inf"),
        float("-inf"),
        float("nan"),
        "",
        "Größe \N{SNOWMAN} \x00 \ud800",
        (),
        ((1, "a"), (None,)),
        {},
        {"a": {"array": 3}, "type": "x", "float": "y", "csr": (), "dict": 0},
    ],
)
def test_plain_values(tmp_path: Path, value: Any) -> None:
    assert_identical(round_trip(tmp_path, {"v": value})["v"], value)


@pytest.mark.parametrize(
    "array",
    [
        np.array([0.1, -0.0, np.inf, -np.inf, np.nan, 5e-324]),
        np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::-1],
        np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
        np.array(3.5),
        np.zeros((0, 4), np.int32),
        np.array([True, False]),
        np.broadcast_to(np.array(2.0), (3, 3)),
    ],
)
def test_arrays_bit_by_bit(tmp_path: Path, array: Any) -> None:
    assert_identical(round_trip(tmp_path, {"v": array})["v"], array)


def test_lists_come_back_as_tuples_and_numpy_numbers_as_numbers(tmp_path: Path) -> None:
    content = {"list": [1, [2.5]], "float": np.float64(0.1), "int": np.int32(7)}
    assert round_trip(tmp_path, content) == {"list": (1, (2.5,)), "float": 0.1, "int": 7}


def test_a_numpy_number_in_a_network_stays_an_array(tmp_path: Path) -> None:
    readout = Readout("y", (1,), np.float64(0.5), np.float64(1.0))  # type: ignore[arg-type]
    assert_identical(round_trip(tmp_path, {"r": readout})["r"].bias, np.asarray(0.5))


def test_what_cannot_be_stored_is_no_silent_loss(tmp_path: Path) -> None:
    for value in (object(), {1, 2}, b"bytes", 1j):
        with pytest.raises(TypeError, match="cannot be stored in a"):
            write_artifact(tmp_path / "n.snn", {"v": value}, b"")
    with pytest.raises(ValueError, match="Object arrays"):
        write_artifact(tmp_path / "n.snn", {"v": np.array([object()])}, b"")
    assert not list(tmp_path.iterdir())


def test_the_file_holds_no_pickle(tmp_path: Path) -> None:
    write_artifact(tmp_path / "n.snn", {"network": network()}, b"onnx")
    with zipfile.ZipFile(tmp_path / "n.snn") as archive:
        names = archive.namelist()
        assert names[:2] == [MANIFEST, MODEL]
        assert all(re.fullmatch(r"arrays/\d+\.npy", name) for name in names[2:])
        for name in names[2:]:
            np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
        json.loads(archive.read(MANIFEST))
        with pytest.raises(pickle.UnpicklingError):
            pickle.loads(archive.read(MANIFEST))


# Saving


def test_the_file_has_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_artifact(tmp_path / "n.snn", {}, b"")
    assert (tmp_path / "n.snn").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_saving_again_replaces_the_file(tmp_path: Path) -> None:
    round_trip(tmp_path, {"v": 1})
    assert round_trip(tmp_path, {"v": 2}) == {"v": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["n.snn"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*n\.snn; .*No such file"):
        write_artifact(tmp_path / "missing" / "n.snn", {}, b"")


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*; .*Not a directory"):
        write_artifact(tmp_path / "file" / "n.snn", {}, b"")


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "n.snn").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_artifact(tmp_path / "n.snn", {}, b"")
    assert [p.name for p in tmp_path.iterdir()] == ["n.snn"]


@pytest.mark.parametrize("step", [(np, "save"), (Path, "replace"), (zipfile.ZipFile, "close")])
@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt(), ValueError()])
def test_a_failed_save_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, step: tuple[Any, str]
) -> None:
    write_artifact(tmp_path / "n.snn", {"v": "old"}, b"")

    def fail(*_: object, **__: object) -> None:
        raise error

    expected = OutputError if isinstance(error, OSError) else type(error)
    with monkeypatch.context() as patched:
        patched.setattr(*step, fail)
        with pytest.raises(expected):
            write_artifact(tmp_path / "n.snn", {"v": np.zeros(3)}, b"")
    assert read_artifact(tmp_path / "n.snn")[0] == {"v": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["n.snn"]


def test_what_could_not_be_read_again_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "SIZE_LIMIT", 1000)
    with pytest.raises(OutputError, match="the network is too large"):
        write_artifact(tmp_path / "n.snn", {"v": np.zeros(200)}, b"")
    assert not list(tmp_path.iterdir())


# Files that are no such file


def manifest(content: Any) -> bytes:
    return json.dumps({"format": FORMAT, "content": content}).encode()


def zipped(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def refused(path: Path) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        read_artifact(path)
    assert str(path) in caught.value.message
    return caught.value


def test_no_such_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "n.snn").message == f"no such file: {tmp_path / 'n.snn'}"
    assert refused(tmp_path).message == f"{tmp_path} is a folder"


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "n.snn", {})

    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(zipfile, "ZipFile", forbidden)
    error = refused(path)
    assert (error.message, error.why) == (f"cannot read {path}", "Permission denied")


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04", bytes(1000)])
def test_not_a_zip_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "n.snn"
    path.write_bytes(data)
    error = refused(path)
    assert error.message == f"{path} is damaged or not a .snn file"
    assert error.why == "BadZipFile: File is not a zip file"
    assert "snnconvert MODEL.onnx, which takes the ONNX model" in error.hint


def test_no_manifest(tmp_path: Path) -> None:
    error = refused(zipped(tmp_path / "n.snn", {MODEL: b""}))
    assert "There is no item named 'manifest.json'" in error.why


def test_no_model(tmp_path: Path) -> None:
    error = refused(zipped(tmp_path / "n.snn", {MANIFEST: manifest({"dict": []})}))
    assert "There is no item named 'model.onnx'" in error.why


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_that_is_no_json(tmp_path: Path, text: bytes) -> None:
    error = refused(zipped(tmp_path / "n.snn", {MANIFEST: text, MODEL: b""}))
    assert error.message.endswith("is damaged or not a .snn file")


@pytest.mark.parametrize(
    "text", [b"3", b"null", b"[]", b"{}", b'{"format": "1"}', b'{"format": 0}', b'{"format": -3}']
)
def test_a_manifest_without_a_format(tmp_path: Path, text: bytes) -> None:
    error = refused(zipped(tmp_path / "n.snn", {MANIFEST: text, MODEL: b""}))
    assert error.message.endswith("is not a .snn file: its manifest has no format version")


def test_a_newer_format(tmp_path: Path) -> None:
    text = json.dumps({"format": FORMAT + 1, "content": {"new": "things"}}).encode()
    error = refused(zipped(tmp_path / "n.snn", {MANIFEST: text, MODEL: b""}))
    assert f"has format {FORMAT + 1}, this version of snnconvert reads up to" in error.message
    assert error.hint == "install a newer snnconvert"


def npy(array: Any, *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickled)
    return buffer.getvalue()


def npy_header(text: str) -> bytes:
    header = text.encode() + b" " * (118 - len(text)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


class Unpickled:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return pytest.fail, ("a pickle was run",)


CSR = {"csr": [{"array": 0}, {"array": 1}, {"array": 2}], "shape": [2, 2]}
HOSTILE: dict[str, tuple[Any, list[bytes]]] = {
    "content that is no dictionary": (3, []),
    "pairs that are none": ({"dict": [1]}, []),
    "no content": (None, []),
    "a missing array": ({"dict": [["v", {"array": 7}]]}, []),
    "an array's number that is none": ({"dict": [["v", {"array": "../../x"}]]}, []),
    "a pickled array": (
        {"dict": [["v", {"array": 0}]]},
        [npy(np.array([Unpickled()]), pickled=True)],
    ),
    "a bare pickle": ({"dict": [["v", {"array": 0}]]}, [pickle.dumps(Unpickled())]),
    "an array cut short": ({"dict": [["v", {"array": 0}]]}, [npy(np.zeros(9))[:-1]]),
    "an array of a size that nothing holds": (
        {"dict": [["v", {"array": 0}]]},
        [npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (2**60,)}")],
    ),
    "an array beyond all memory": (
        {"dict": [["v", {"array": 0}]]},
        [npy_header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**59},)}}")],
    ),
    "an unknown type": ({"dict": [["v", {"type": "os.system", "fields": {}}]]}, []),
    "a builtin's name": ({"dict": [["v", {"type": "eval", "fields": {"x": "1"}}]]}, []),
    "a type that is no name": ({"dict": [["v", {"type": ["Relay"], "fields": {}}]]}, []),
    "fields that are none": ({"dict": [["v", {"type": "Relay", "fields": [1]}]]}, []),
    "no fields": ({"dict": [["v", {"type": "Relay"}]]}, []),
    "unknown fields": ({"dict": [["v", {"type": "Relay", "fields": {"x": 1}}]]}, []),
    "a float that is none": ({"dict": [["v", {"float": "eval(1)"}]]}, []),
    "a sparse matrix of too few parts": ({"dict": [["v", {"csr": [], "shape": [1, 1]}]]}, []),
    "a sparse matrix whose indices lie outside": (
        {"dict": [["v", CSR]]},
        [npy(np.ones(2)), npy(np.array([0, 10**6])), npy(np.array([0, 1, 2]))],
    ),
    "a sparse matrix whose rows overlap": (
        {"dict": [["v", CSR]]},
        [npy(np.ones(2)), npy(np.array([0, 1])), npy(np.array([0, 2, 1]))],
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_content(tmp_path: Path, case: str) -> None:
    content, arrays = HOSTILE[case]
    entries = {f"arrays/{i}.npy": data for i, data in enumerate(arrays)}
    refused(zipped(tmp_path / "n.snn", {MANIFEST: manifest(content), MODEL: b""} | entries))
    assert [p.name for p in tmp_path.iterdir()] == ["n.snn"]


def test_an_unknown_type_is_named(tmp_path: Path) -> None:
    content, _ = HOSTILE["an unknown type"]
    error = refused(zipped(tmp_path / "n.snn", {MANIFEST: manifest(content), MODEL: b""}))
    assert error.why == "TypeError: unknown kind of object 'os.system'"


def typed(kind: str, **values: Any) -> Any:
    return {"dict": [["v", {"type": kind, "fields": values}]]}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (typed("Relay", name=3, shape=[1]), "Relay.name cannot be 3"),
        (typed("Relay", name="r", shape="abc"), "Relay.shape cannot be 'abc'"),
        (typed("Relay", name="r", shape=[1.5]), "Relay.shape cannot be (1.5,)"),
        (typed("Relay", name="r", shape=[True]), "Relay.shape cannot be (True,)"),
        (typed("Dense", input_shape=[3], weight=[1]), "Dense.weight cannot be (1,)"),
        (typed("Dense", input_shape=[3], weight={"array": 0}), "an array of <U3"),
        (typed("Input", name="x", shape=[1], encoding="code"), "Input.encoding cannot be 'code'"),
        (typed("Input", name="x", shape=[1], bound="1"), "Input.bound cannot be '1'"),
        (typed("Input", name="x", shape=[1], stop="1"), "Input.stop cannot be '1'"),
        (typed("Connection", source="a", target="b", operators=[3]), "Connection.operators"),
        (typed("Network", name="n", nodes=[3], connections=[]), "Network.nodes cannot be (3,)"),
        (typed("Network", name="n", nodes=["x" * 99], connections=[]), "cannot be a tuple"),
        (typed("Relay", name="r"), "missing 1 required positional argument: 'shape'"),
    ],
)
def test_fields_of_another_type(tmp_path: Path, content: Any, why: str) -> None:
    entries = {MANIFEST: manifest(content), MODEL: b"", "arrays/0.npy": npy(np.array(["abc"]))}
    error = refused(zipped(tmp_path / "n.snn", entries))
    assert error.why.startswith("TypeError: ")
    assert why in error.why


def relay(name: str, shape: list[int]) -> Any:
    return {"type": "Relay", "fields": {"name": name, "shape": shape}}


def connection(source: str, target: str, *operators: Any) -> Any:
    stored = {"source": source, "target": target, "operators": list(operators)}
    return {"type": "Connection", "fields": stored}


def reshape(before: list[int], after: list[int]) -> Any:
    return {"type": "Reshape", "fields": {"input_shape": before, "shape": after}}


@pytest.mark.parametrize(
    ("nodes", "joined", "why"),
    [
        ([relay("a", [2]), relay("a", [2])], [], "node names are not unique"),
        ([relay("a", [2])], [connection("a", "b")], "'b'"),
        ([relay("a", [2]), relay("b", [2])], [connection("b", "a")], "does not follow the order"),
        ([relay("a", [2]), relay("b", [3])], [connection("a", "b")], "brings shape (2,)"),
        (
            [relay("a", [2]), relay("b", [3])],
            [connection("a", "b", reshape([3], [3]))],
            "has a Reshape for shape (3,) where (2,) arrives",
        ),
    ],
)
def test_networks_that_are_none(
    tmp_path: Path, nodes: list[Any], joined: list[Any], why: str
) -> None:
    content = typed("Network", name="n", nodes=nodes, connections=joined)
    entries = {MANIFEST: manifest(content), MODEL: b""}
    assert why in refused(zipped(tmp_path / "n.snn", entries)).why


def test_names_that_leave_the_archive_go_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    entries = {MANIFEST: manifest({"dict": [["v", 1]]}), MODEL: b"onnx"}
    entries |= {"../evil": b"!", "/tmp/evil-snn": b"!", "arrays/../../evil": b"!"}
    assert read_artifact(zipped(folder / "n.snn", entries)) == ({"v": 1}, b"onnx")
    assert [p.name for p in tmp_path.rglob("*")] == ["inner", "n.snn"]


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "SIZE_LIMIT", 10**6)
    entries = {MANIFEST: manifest({"dict": []}), MODEL: bytes(2 * 10**6)}
    path = zipped(tmp_path / "n.snn", entries)
    assert path.stat().st_size < 10**4
    assert "claims to unpack to 2000" in refused(path).message


def test_a_manifest_that_is_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "MANIFEST_LIMIT", 1000)
    entries = {MANIFEST: b"[" + b"0," * 10**6 + b"0]", MODEL: b""}
    assert "at most 1000 are read" in refused(zipped(tmp_path / "n.snn", entries)).message


def test_a_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    path = zipped(tmp_path / "n.snn", {MANIFEST: b'{"format": 1}' + b" " * 10**6, MODEL: b""})
    data = path.read_bytes().replace((10**6 + 13).to_bytes(4, "little"), b"\x0d\x00\x00\x00")
    path.write_bytes(data)
    assert "Bad CRC-32" in refused(path).why


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("healthy") / "n.snn"
    write_artifact(path, {"network": network(), "more": {"a": [1.5, None]}}, b"onnx" * 50)
    return path.read_bytes()


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_an_error_or_without_effect(
    tmp_path: Path, healthy: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(healthy)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "n.snn"
    path.write_bytes(damaged)
    try:
        content, model = read_artifact(path)
    except ArtifactError:
        return
    assert model == b"onnx" * 50
    assert_identical(content["network"], network())


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.999])
def test_a_truncated_file(tmp_path: Path, healthy: bytes, share: float) -> None:
    path = tmp_path / "n.snn"
    path.write_bytes(healthy[: int(len(healthy) * share)])
    assert refused(path).message.endswith("is damaged or not a .snn file")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["array", "csr", "dict", "float", "shape", "type", "fields"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read_or_refused(tmp_path: Path, content: Any) -> None:
    entries = {MANIFEST: manifest({"dict": [["v", content]]}), MODEL: b""}
    path = zipped(tmp_path / "n.snn", entries)
    with contextlib.suppress(ArtifactError):
        assert set(read_artifact(path)[0]) == {"v"}
