"""What may be searched on which target, and how a configuration is spelled."""

from typing import Any

import numpy as np
import pytest

from snnconvert.backends.base import Capabilities
from snnconvert.convert.errors import UsageError
from snnconvert.tuning.space import Configuration, Space, space_for

CPU = Capabilities(neurons=frozenset({"if", "signed", "graded"}))


def test_a_target_decides_what_is_searched() -> None:
    space = space_for(CPU, "subtract")
    assert space.neuron == ("if", "signed")
    assert space.schedule == ("none", "full", "1", "2")
    chip = Capabilities(resets=frozenset({"zero"}), windows=False, delays=False)
    plain = space_for(chip, "zero")
    assert (plain.neuron, plain.schedule) == (("if",), ("none",))
    assert space_for(CPU, "zero").neuron == ("if",)  # signed neurons cannot reset to zero


def test_what_a_user_gives_replaces_the_default() -> None:
    given: dict[str, list[Any]] = {
        "timesteps": [16, 8, 16],
        "neuron": ["graded:4"],
        "weight_bits": [8, 4],
        "granularity": ["group:2"],
        "method": [],
    }
    space = space_for(CPU, "subtract", given)
    assert space.timesteps == (8, 16)
    assert (space.neuron, space.weight_bits) == (("graded:4",), (8, 4))
    assert space.method[0] == "auto"
    for timesteps in (np.int64(4), 4, iter([4])):
        assert space_for(CPU, "subtract", {"timesteps": timesteps}).timesteps == (4,)
    assert space.first("graded:4", "none", 8).options["channel_group"] == 2


def test_timesteps_beyond_the_latency_are_left_out() -> None:
    assert space_for(CPU, "subtract", most_steps=16).timesteps == (2, 4, 8, 16)
    with pytest.raises(UsageError, match="latency of at most 1 steps, the least timesteps are 2"):
        space_for(CPU, "subtract", most_steps=1)


def test_values_may_be_given_as_python_has_them() -> None:
    given: dict[str, Any] = {
        "timesteps": np.array([4, 2]),
        "schedule": "none",
        "weight_bits": 8,
        "corrections": [("bias", "weights"), "none"],
        "method": None,
    }
    space = space_for(CPU, "subtract", given)
    assert space.timesteps == (2, 4) and type(space.timesteps[0]) is int
    assert (space.schedule, space.weight_bits) == (("none",), (8,))
    assert space.corrections == ("bias,weights", "none")
    assert space.method[0] == "auto"
    for timesteps in (np.int64(4), 4, iter([4])):
        assert space_for(CPU, "subtract", {"timesteps": timesteps}).timesteps == (4,)


def test_an_option_that_is_not_searched_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot search 'timestep'; did you mean 'timesteps'"):
        space_for(CPU, "subtract", {"timestep": [4]})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("timesteps", 4.0, "timesteps must be a whole number, not 4.0"),
        ("weight_bits", "8", "weight bits must be a whole number, not '8'"),
        ("timesteps", 0, "timesteps must be between 1 and 4096, not 0"),
        ("timesteps", 5000, "not 5000"),
        ("schedule", "ful", "unknown schedule 'ful'; did you mean 'full'"),
        ("neuron", "lif", "lif"),
        ("method", "gaus", "unknown calibration method 'gaus'; did you mean 'gauss'"),
        ("readout", "voltage", "unknown readout 'voltage'; known: membrane, count"),
        ("corrections", "bais", "unknown correction 'bais'; did you mean 'bias'"),
        ("granularity", "row", "unknown granularity 'row'; known: channel, layer, group:N"),
        ("granularity", "group:0", "unknown granularity 'group:0'"),
        ("weight_bits", 1, "1"),
    ],
)
def test_unknown_values_are_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        space_for(CPU, "subtract", {name: [value]})
    assert message in str(caught.value)


def test_neighbours_differ_in_one_option() -> None:
    space = space_for(CPU, "subtract", {"weight_bits": [None, 8]})
    middle = space.first("if", "none", 8)
    near = list(space.neighbours(middle))
    assert len(near) == len(set(near)) == 2 + 3 + 1 + 3 + 1 + 1 + 1
    for other in near:
        mine, theirs = middle.to_json(), other.to_json()
        assert sum(mine[name] != theirs[name] for name in mine) == 1
    assert {c.timesteps for c in near} == {4, 8, 16}


def test_the_size_is_that_of_the_product() -> None:
    assert Space((2, 4), schedule=("none", "full"), method=("auto", "mse", "max")).size == 12


def test_options_of_the_command_line() -> None:
    configuration = Configuration(8, "full", granularity="layer", weight_bits=6, method="gauss")
    assert configuration.command_options == {
        "timesteps": 8,
        "schedule": "full",
        "neuron": "if",
        "method": "gauss",
        "readout": "membrane",
        "corrections": "weights,thresholds,bias,potentials",
        "per-layer": True,
        "weight-bits": 6,
    }
    assert Configuration(8, granularity="group:4").command_options["channel-group"] == 4
    assert Configuration(8).command_options["corrections"] == "auto"
