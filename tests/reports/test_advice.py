"""What to change: options that the network does not use yet and its target has."""

from dataclasses import replace

import pytest

from snnconvert.reports.advice import Settings, advise, remedies
from snnconvert.reports.diagnosis import CAUSES
from snnconvert.reports.ladder import RUNGS


def options(rung: str, **settings: object) -> tuple[str, ...]:
    return advise(rung, 0.1, Settings(**settings)).options  # type: ignore[arg-type]


@pytest.mark.parametrize("rung", [name for name in RUNGS if name != "ann"])
def test_every_rung_has_advice(rung: str) -> None:
    advice = advise(rung, 0.25, Settings())
    assert (advice.rung, advice.lost) == (rung, 0.25)
    assert advice.options and advice.text.startswith(f"{advice.cause}; change ")


@pytest.mark.parametrize("cause", list(CAUSES))
def test_every_cause_has_remedies_but_an_exact_layer(cause: str) -> None:
    assert bool(remedies(cause, Settings())) is (cause != "none")


def test_more_timesteps_are_twice_as_many() -> None:
    assert options("quantised_ann", timesteps=12)[0] == "--timesteps 24"
    assert options("target", timesteps=12)[0] == "--timesteps 24"


def test_a_method_other_than_the_chosen_one_is_advised() -> None:
    assert "--method auto" in options("quantised_ann", method="max")
    assert "--method balance or percentile" in options("quantised_ann", method="auto")
    assert options("quantised_ann", dictated=True, timesteps=8) == ("--timesteps 16",)
    assert "leave out --per-layer" in options("quantised_ann", per_channel=False)[-1]


def test_timing_is_mended_by_what_is_not_used_yet() -> None:
    assert options("snn") == ("--schedule full or auto", "--neuron signed", "--timesteps 128")
    assert options("snn", schedule="4")[0] == "--schedule full"
    assert options("snn", neuron="signed") == ("--schedule full or auto", "--timesteps 128")
    assert options("snn", schedule="full") == ("--timesteps 128",)
    assert "--corrections auto" in options("snn", corrected=False)


def test_nothing_is_advised_that_the_target_lacks() -> None:
    assert options("snn", windows=False, signed=False) == ("--timesteps 128",)
    assert "--schedule full or auto" not in options("snn", reset="zero")


def test_bits_are_raised_up_to_the_most() -> None:
    assert options("integer_snn", weight_bits=4)[0] == "--weight-bits 6"
    assert options("integer_snn", weight_bits=15)[0] == "--weight-bits 16"
    assert options("integer_snn", weight_bits=16) == (
        "weights as they are (leave out --weight-bits)",
    )
    assert advise("integer_snn", 0.1, Settings(weight_bits=4)).cause == "weights have 4 bits"


def test_the_target_is_named() -> None:
    cause = advise("target", 0.1, replace(Settings(), target="loihi")).cause
    assert cause.startswith("the rules of target loihi")


def test_a_reset_to_zero_that_was_chosen_can_be_left() -> None:
    assert options("target", reset="zero") == ("--reset subtract", "--timesteps 128")
    assert "another --target" in options("target", reset="zero", subtracts=False)
