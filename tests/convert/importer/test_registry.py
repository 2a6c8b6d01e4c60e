from collections.abc import Iterator
from pathlib import Path

import pytest

from snnconvert.convert.importer import registry
from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import find_importer, operator, supported_operators


@pytest.fixture
def other_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    supported_operators()  # so that the scan does not fall into the test
    monkeypatch.setattr(registry, "_REGISTRY", {})
    yield


def old(node: OnnxNode, build: GraphBuilder) -> None:
    """Do it the old way."""


def new(node: OnnxNode, build: GraphBuilder) -> None:
    """Do it the new way."""


@pytest.mark.usefixtures("other_registry")
class TestRegistering:
    def test_the_newest_meaning_that_the_opset_knows(self) -> None:
        operator("Thing", since=13)(new)
        operator("Thing", since=8)(old)
        assert find_importer("Thing", 7) is None
        assert find_importer("Thing", 8) is find_importer("Thing", 12) is old
        assert find_importer("Thing", 13) is find_importer("Thing", 99) is new
        assert find_importer("Other", 13) is None

    def test_twice_is_an_error(self) -> None:
        operator("Thing", since=8)(old)
        with pytest.raises(ValueError, match="operator 'Thing' is registered twice for opset 8"):
            operator("Thing", since=8)(new)

    def test_the_table(self) -> None:
        operator("Thing", since=13)(new)
        operator("Thing", since=8)(old)
        (row,) = supported_operators()
        assert (row.name, row.since, row.summary) == ("Thing", (8, 13), "Do it the new way.")


def test_every_operator_says_what_becomes_of_it() -> None:
    rows = supported_operators()
    assert {"Conv", "Gemm", "MaxPool", "Reshape", "Softmax"} <= {row.name for row in rows}
    assert [row.name for row in rows] == sorted(row.name for row in rows)
    assert all(row.summary.endswith(".") for row in rows)


def test_every_module_has_its_test(repository: Path) -> None:
    modules = {path.stem for path in (repository / "convert" / "ops").glob("[a-z]*.py")}
    tests = {path.stem for path in (repository / "tests" / "convert" / "ops").glob("test_*.py")}
    assert modules and {f"test_{module}" for module in modules} == tests
