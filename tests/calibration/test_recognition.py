import numpy as np
import pytest
from graphs import Sketch

from snnconvert.calibration.recognition import (
    QuantisedNetwork,
    draw_rows,
    input_ranges,
    recognise,
)
from snnconvert.convert.graph import Relu
from snnconvert.convert.quantiser import Quantise


def dictated(levels: int) -> Relu:
    return Relu(1.0, threshold=np.ones((1,)), levels=levels)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [((15,), (15,)), ((15, 15), (15,)), ((255, 15), (15, 255)), ((15, None), None), ((), None)],
)
def test_all_thresholds_must_come_from_quantisers(
    levels: tuple[int | None, ...], expected: tuple[int, ...] | None
) -> None:
    sketch = Sketch()
    value = sketch.input((4,))
    for number in levels:
        op = Relu() if number is None else dictated(number)
        value = sketch.add(op, (sketch.dense(value, 4),), (4,))
    found = recognise(sketch.graph(value))
    assert (None if found is None else found.levels) == expected


def test_a_ramp_of_a_curve_is_no_quantiser() -> None:
    sketch = Sketch()
    ramp = sketch.add(Relu(1.0, threshold=np.ones((1,))), (sketch.input((4,)),), (4,))
    assert recognise(sketch.graph(ramp)) is None


def test_neurons_of_pooling_trees_follow() -> None:
    sketch = Sketch()
    own = sketch.add(dictated(7), (sketch.input((4,)),), (4,))
    tree = sketch.add(Relu(follows="pool"), (own,), (4,))
    found = recognise(sketch.graph(tree))
    assert found is not None
    assert (found.levels, found.populations) == ((7,), 1)


@pytest.mark.parametrize(("highest", "steps"), [(1, 255), (2, 128), (15, 17), (300, 1)])
def test_timesteps_follow_from_the_finest(highest: int, steps: int) -> None:
    assert QuantisedNetwork((15, 255), 3).timesteps(highest) == steps


def test_notes() -> None:
    network = QuantisedNetwork((15, 255), 3)
    assert network.notes(255) == (
        "a quantised network: 3 quantisers (16, 256 levels) dictate the thresholds; at 255 "
        "timesteps those of 256 levels alone can be exact",
    )
    assert network.notes(100)[0].endswith("at 100 timesteps none can be exact")
    (note,) = QuantisedNetwork((15,), 2).notes(5, highest=3, dropped=4)
    assert note == (
        "a quantised network: 2 quantisers (16 levels) dictate the thresholds; staged (schedule "
        "full) it is exact, but for halves, which neurons round up and onnxruntime rounds to "
        "even; the rounding of 4 further quantisers is left out"
    )
    (note,) = QuantisedNetwork((3,), 1).notes(15, dropped=1)
    assert note.endswith(
        "at 15 timesteps none can be exact; the rounding of 1 further quantiser is left out"
    )


def test_rows_are_drawn_from_the_input_quantisers(rng: np.random.Generator) -> None:
    sketch = Sketch()
    ones = np.ones((1,))
    known, other = sketch.input((4,), "a"), sketch.input((4,), "b")
    op = Quantise(0.5 * ones, -8 * ones, 7 * ones, 8 * ones)
    total = sketch.sum(sketch.add(op, (known,), (4,)), other)
    graph = sketch.graph(total)
    assert input_ranges(graph) == {"a": (-4.0, 3.5)}
    rows = draw_rows(graph, rng)
    assert (rows["a"].min(), rows["a"].max()) == (-4, 3.5)
    assert (rows["b"].min(), rows["b"].max()) == (0, 1)
    assert len(np.unique(rows["a"])) > 40
