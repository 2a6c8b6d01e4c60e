"""The parts of random graphs, against all of them that there are."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_models import make_model, make_node

from snnconvert.convert.checking.largest_part import Part, parts_without
from snnconvert.convert.importer.functions import inline_functions
from snnconvert.convert.importer.structure import Structure, read_structure


def structure_of(sources: list[tuple[int, ...]]) -> Structure:
    """Return a graph whose node i reads those nodes; -1 is the input. Loose ends are outputs."""

    def tensor(i: int) -> str:
        return "x" if i < 0 else f"t{i}"

    nodes = [
        make_node("Sum", [tensor(s) for s in read], [tensor(i)], name=f"n{i}")
        for i, read in enumerate(sources)
    ]
    used = {s for read in sources for s in read}
    outputs = [tensor(i) for i in range(len(sources)) if i not in used]
    model = inline_functions(make_model(nodes, {"x": ["N", 3]}, outputs))
    return read_structure(model, None, None)


def found(structure: Structure, refused: set[int]) -> list[Part]:
    tensors = {name for node in structure.nodes for name in node.outputs} | {"x"}
    return list(parts_without(structure, {i + 1 for i in refused}, tensors))


def largest(sources: list[tuple[int, ...]], refused: set[int]) -> int:
    """Try every way to have the refused nodes in front of a part or behind it."""
    count = len(sources)
    ancestors: list[set[int]] = []
    for i, read in enumerate(sources):
        ancestors.append({i}.union(*(ancestors[s] for s in read if s >= 0)))
    best = 0
    for choice in product((True, False), repeat=len(refused)):
        front = {r for r, first in zip(sorted(refused), choice, strict=True) if first}
        before = set().union(*(ancestors[r] for r in front))
        behind = {i for i in range(count) if ancestors[i] & (refused - front)}
        if not before & behind:
            best = max(best, count - len(before | behind))
    return best


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[tuple[int, ...]], set[int]]:
    """Graphs with skip connections, one node behind the other, and some refused nodes."""
    count = draw(st.integers(2, 9))
    sources: list[tuple[int, ...]] = []
    for i in range(count):
        skips = draw(st.lists(st.integers(-1, i - 1), max_size=2))
        sources.append(tuple(dict.fromkeys([i - 1, *skips])))
    return sources, draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=4))


@given(rows())
def test_the_first_part_is_the_largest_where_nodes_follow_one_another(
    graph: tuple[list[tuple[int, ...]], set[int]],
) -> None:
    sources, refused = graph
    parts = found(structure_of(sources), refused)
    assert max((p.size for p in parts), default=0) == largest(sources, refused)
    assert [p.size for p in parts] == sorted((p.size for p in parts), reverse=True)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[int, ...]], set[int]]:
    count = draw(st.integers(1, 9))
    sources = [
        tuple(draw(st.sets(st.integers(-1, i - 1), min_size=1, max_size=3))) for i in range(count)
    ]
    return sources, draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=4))


@given(graphs())
def test_every_part_is_a_part_without_refused_nodes(
    graph: tuple[list[tuple[int, ...]], set[int]],
) -> None:
    sources, refused = graph
    whole = structure_of(sources)
    tensors = {name for node in whole.nodes for name in node.outputs} | {"x"}
    for part in found(whole, refused):
        assert 0 < part.size <= largest(sources, refused)
        assert set(part.inputs) | set(part.outputs) <= tensors
        producer = {f"t{i}": i for i in range(len(sources))}
        inside: set[int] = set()
        waiting = [producer[name] for name in part.outputs]
        while waiting:
            node = waiting.pop()
            if node not in inside:
                inside.add(node)
                read = [f"t{s}" if s >= 0 else "x" for s in sources[node]]
                waiting += [producer[name] for name in read if name not in part.inputs]
        assert len(inside) == part.size and not inside & refused


def test_of_equal_parts_the_one_with_fewer_tensors_comes_first() -> None:
    sources = [(-1,), (-1, 0), (0, 1), (2,), (3,)]
    parts = found(structure_of(sources), {2})
    assert [(p.inputs, p.outputs) for p in parts] == [(("t2",), ("t4",)), (("x",), ("t0", "t1"))]


@pytest.mark.parametrize("refused", [set(range(0, 3000, 3)), {1500}])
def test_long_rows_are_searched_in_time_that_grows_with_their_length(refused: set[int]) -> None:
    whole = structure_of([(i - 1,) for i in range(3000)])
    first = found(whole, refused)[0]
    assert first.size == (2 if len(refused) > 1 else 1500)
    assert np.all([name.startswith("t") for name in first.outputs])
