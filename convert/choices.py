"""What a caller chose for a conversion, checked before the long work."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from snnconvert.backends.base import Backend
from snnconvert.calibration.anytime import check_tolerance
from snnconvert.calibration.corrections import parse_corrections
from snnconvert.calibration.methods import CalibrationMethod, get_method
from snnconvert.calibration.schedules import parse_schedule
from snnconvert.convert.curves.fit_ramps import DEFAULT_ERROR, MAX_RAMPS, RampBudget
from snnconvert.convert.errors import MissingExtraError, UsageError, did_you_mean
from snnconvert.convert.network import Reset
from snnconvert.convert.neurons import get_neuron_model, spike_values
from snnconvert.convert.quantize import check_weight_bits
from snnconvert.convert.snap import MAXIMUM_STEPS

READOUTS = ("membrane", "count")
WHOLE_NUMBERS = ("timesteps", "weight_bits", "channel_group", "seed")


@dataclass(frozen=True, eq=False, kw_only=True)
class Choices:
    """Options of :func:`snnconvert.convert_model`, which describes them.

    Raises
    ------
    UsageError
        If one cannot be used, or two exclude each other.
    """

    backend: Backend
    method: str
    timesteps: int | None
    percentile: float | None
    per_channel: bool
    channel_group: int | None
    neuron: str
    reset: Reset
    schedule: str | int
    readout: str
    corrections: str | tuple[str, ...]
    weight_calibration: bool
    weight_bits: int | None
    ramps: int | None
    curve_error: float | None
    anytime: float | None
    score_output: str | None
    seed: int

    def __post_init__(self) -> None:
        self._check_numbers()
        if self.weight_bits is not None:
            check_weight_bits(self.weight_bits)
        if self.readout not in READOUTS:
            raise UsageError(
                f"unknown readout {self.readout!r}", hint=did_you_mean(self.readout, READOUTS)
            )
        get_neuron_model(self.neuron)
        if self.anytime is not None:
            check_tolerance(self.anytime)
        self._check_ramps()
        self._check_weight_calibration()
        parse_corrections(self.corrections)
        self.calibrator(self.timesteps or 1)
        parse_schedule(self.schedule, self.timesteps or 1)

    def _check_numbers(self) -> None:
        numbers = {name: getattr(self, name) for name in WHOLE_NUMBERS}
        for name, number in numbers.items():
            if number is not None and not isinstance(number, int | np.integer):
                raise UsageError(f"{name} must be a whole number, not {number!r}")
        if self.timesteps is not None and self.timesteps < 1:
            raise UsageError(f"timesteps must be at least 1, not {self.timesteps}")
        if self.timesteps is not None and self.timesteps > MAXIMUM_STEPS:
            raise UsageError(f"timesteps must be at most {MAXIMUM_STEPS}, not {self.timesteps}")
        if self.seed < 0:
            raise UsageError(f"seed must be at least 0, not {self.seed}")

    def _check_weight_calibration(self) -> None:
        if not self.weight_calibration:
            return
        if self.reset == "zero":
            raise UsageError(
                "weight calibration needs neurons that reset by subtraction, these reset to zero",
                why="what a neuron loses in a reset to zero depends on when its charge came",
                hint="leave out weight calibration, or choose the reset subtract on a target "
                "that has it",
            )
        if find_spec("torch") is None:
            raise MissingExtraError(
                "weight calibration needs torch, which is not installed",
                hint="pip install torch, or leave out weight_calibration",
            )

    def _check_ramps(self) -> None:
        ramps, error = self.ramps, self.curve_error
        if ramps is not None and error is not None:
            raise UsageError("ramps and curve_error cannot be combined: either fixes the other")
        if ramps is not None and not isinstance(ramps, int | np.integer):
            raise UsageError(f"ramps must be a whole number, not {ramps!r}")
        if ramps is not None and not 1 <= ramps <= MAX_RAMPS:
            raise UsageError(f"ramps must be between 1 and {MAX_RAMPS}, not {ramps}")
        if error is not None and not 0 < error < 1:
            raise UsageError(f"curve_error must be between 0 and 1, not {error}")

    @property
    def levels_per_step(self) -> int:
        """The most that a neuron can send in one step."""
        return spike_values(self.neuron).highest

    @property
    def v_init(self) -> float:
        """Initial voltage as a share of the threshold.

        Half of it turns floor into round; a neuron reset to zero starts as it resets.
        """
        return 0.5 if self.reset == "subtract" else 0.0

    def calibrator(self, timesteps: int) -> CalibrationMethod:
        """Return the threshold method for runs of T steps."""
        return get_method(
            self.method,
            timesteps=timesteps,
            levels_per_step=self.levels_per_step,
            percentile=self.percentile,
            per_channel=self.per_channel,
            channel_group=self.channel_group,
            reset=self.reset,
        )

    def ramp_budget(self, timesteps: int) -> RampBudget:
        """Return how closely ramps stand in for curves in runs of T steps."""
        error = DEFAULT_ERROR if self.curve_error is None else self.curve_error
        return RampBudget(self.ramps, error, timesteps * self.levels_per_step)


def chosen_reset(backend: Backend, reset: Reset | None) -> Reset:
    """Return the reset that was asked for, else the target's own.

    Raises
    ------
    UsageError
        If there is no such reset.
    """
    if reset is None:
        return backend.default_reset
    if reset not in ("subtract", "zero"):
        raise UsageError(f"unknown reset {reset!r}", hint="known: subtract, zero")
    return reset
