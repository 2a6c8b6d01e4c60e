"""Work of layers, and the machine's peaks."""

import numpy as np
import peaks
import pytest
from kernel_choice import needs_tiles
from peaks import (
    ACTIVE,
    VECTORS,
    measure_peaks,
    row_adder,
    row_adder_arrays,
    tile_multiplier,
)
from roofline import layers_of, line, profiled, whole

from snnconvert.backends.base import RunResult
from snnconvert.backends.cpu.kernels.tiles import SHAPES
from snnconvert.convert.linear import Dense
from snnconvert.convert.network import Connection, Input, Network, Population, Readout

ONE = np.ones(1)


@pytest.fixture
def network() -> Network:
    weight = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    return Network(
        "small",
        (
            Input("x", (4,)),
            Population("a", (3,), ONE, ONE, ONE, ONE, ONE),
            Readout("y", (2,), ONE, ONE),
        ),
        (
            Connection("x", "a", (Dense((4,), np.ones((3, 4))),)),
            Connection("a", "y", (Dense((3,), weight),)),
        ),
    )


def test_work_is_spikes_times_fan_out(network: Network) -> None:
    counts = np.array([[1, 2, 3], [0, 1, 0]])
    result = RunResult({"y": np.zeros((5, 2, 2))}, {"a": counts})
    profile = [("a", "analog", 0.25), ("y", "rows", 0.5), ("y", "dense", 0.25)]
    first, last = layers_of(network, result, profile, 5, {"y": 3})
    assert (first.name, first.kernel, first.seconds) == ("a", "analog", 0.25)
    assert (first.synops, first.dense, first.density) == (0, 2 * 12, 0)  # once, not every step
    assert (last.name, last.kernel, last.seconds) == ("y", "rows + dense", 0.75)
    assert last.synops == 1 * 2 + 3 * 1 + 3 * 2
    assert last.dense == 2 * 5 * 6
    assert (first.products, last.products) == (0, 3 * last.dense)
    assert last.density == 7 / (3 * 5 * 2)
    assert whole([first, last]).seconds == 1.0


def test_rates_are_shares_of_the_peaks(network: Network) -> None:
    result = RunResult({"y": np.zeros((5, 1, 2))}, {"a": np.array([[1, 2, 3]])})
    (layer,) = layers_of(network, result, [("y", "rows", 1e-9)], 5, {})
    machine = peaks.Peaks(1, 60e9, {"float32": 20e9}, 300e9)
    found = line(layer, machine, "float32", 2e-9).split()
    rates = ["10.00", "50.0%", "30.0", "50%"]
    assert found == ["y", "rows", "0.00", "50.0%", "0.400", *rates]
    (layer,) = layers_of(network, result, [("y", "tiles", 1e-9)], 5, {"y": 2})
    assert line(layer, machine, "float32", 2e-9).split()[5:] == [*rates, "60.0", "20%"]


def test_an_engine_without_times_is_named() -> None:
    with pytest.raises(SystemExit, match=r"CpuSimulation\.profile is missing"):
        profiled(object(), {}, 4)


@pytest.mark.parametrize("name", VECTORS)
def test_the_adder_adds_the_rows_of_the_list(name: str) -> None:
    rows, active, out = row_adder_arrays(name)
    rows[:] = np.arange(rows.size).reshape(rows.shape) % 7
    row_adder(name)(rows.ctypes.data, active.ctypes.data, 5, out.ctypes.data)
    picked = active[:5] // rows.strides[0]
    assert np.array_equal(out, rows[picked].sum(axis=0))
    assert len(active) == ACTIVE


def test_peaks_are_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "MATRIX", 32)
    monkeypatch.setattr(peaks, "PICKED", ACTIVE)
    monkeypatch.setattr(peaks, "ROUNDS", 1)
    monkeypatch.setattr(peaks, "PRODUCTS", 8)
    found = measure_peaks(2)
    assert found.threads == 2
    assert found.multiply_adds > 0
    assert set(found.adds) == set(VECTORS)
    assert min(found.adds.values()) > 0
    assert found.products is None or found.products > 0


@needs_tiles
def test_the_multiplier_runs_and_gives_the_tiles_back() -> None:
    tile_multiplier()(SHAPES, 3)
    tile_multiplier()(SHAPES, 3)
