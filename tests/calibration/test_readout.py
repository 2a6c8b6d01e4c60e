import numpy as np
import pytest

from snnconvert.backends.base import RunResult
from snnconvert.calibration.readout import READINGS, Reading, choose_reading, logit_error
from snnconvert.convert.network import Connection, Input, Network, Readout

T = 16


def network(**fields: float) -> Network:
    readout = Readout("out", (2,), np.zeros(2), np.array(fields.get("scale", 1.0)))
    return Network("net", (Input("x", (2,)), readout), (Connection("x", "out"),))


def run(currents: np.ndarray, scale: float = 1.0) -> RunResult:
    """The result of a run in which a readout received currents (T, N, 2)."""
    steps = np.arange(1, T + 1)[:, None, None]
    return RunResult({"out": np.cumsum(currents, axis=0) * scale / steps}, {})


@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("transient", [0, 4, 8, 12])
def test_steps_that_mislead_are_left_out(
    rng: np.random.Generator, transient: int, scale: float
) -> None:
    target = rng.standard_normal((5, 2))
    currents = np.tile(target / scale, (T, 1, 1))
    currents[:transient] = -3.0
    chosen, errors = choose_reading(network(scale=scale), run(currents, scale), {"out": target}, T)
    assert chosen.readouts[0].discard == transient / T
    assert not chosen.readouts[0].rising
    assert list(errors) == [str(reading) for reading in READINGS]
    assert errors[f"{transient / T:g}"] == pytest.approx(0.0, abs=1e-12)
    assert all(errors[str(r)] > 0.03 for r in READINGS if r.discard < transient / T)


def test_weights_rise_where_first_steps_mislead_less_and_less(rng: np.random.Generator) -> None:
    target = rng.standard_normal((5, 2))
    misled = rng.standard_normal((T, 5, 2)) / np.arange(1, T + 1)[:, None, None]
    expected = {"out": target}
    chosen, errors = choose_reading(network(), run(target + misled), expected, T)
    assert chosen.readouts[0].rising
    best = Reading(chosen.readouts[0].discard, rising=True)
    assert errors[str(best)] == min(errors.values()) < errors["0"]
    assert str(best).endswith(", rising")


def test_nothing_is_left_out_without_need(rng: np.random.Generator) -> None:
    target = rng.standard_normal((5, 2))
    chosen, _ = choose_reading(network(), run(np.tile(target, (T, 1, 1))), {"out": target}, T)
    assert chosen.readouts[0].discard == 0.0


def test_a_common_gain_is_no_error(rng: np.random.Generator) -> None:
    target = rng.standard_normal((5, 2))
    assert logit_error(3 * target, target) == pytest.approx(0.0, abs=1e-12)
    assert logit_error(np.zeros((5, 2)), target) == pytest.approx(1.0)
    shifted = target + 1.0
    gain = (target * shifted).sum() / (shifted**2).sum()
    expected = np.linalg.norm(target - gain * shifted) / np.linalg.norm(target)
    assert logit_error(shifted, target) == pytest.approx(expected)
