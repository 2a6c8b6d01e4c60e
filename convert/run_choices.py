"""What follows from how a network was made for a run of it: stops, diagnosis, what to advise."""

from __future__ import annotations

from snnconvert.backends.base import get_backend
from snnconvert.calibration.recognition import recognise
from snnconvert.convert.anytime import AnytimeRule
from snnconvert.convert.errors import UsageError, did_you_mean
from snnconvert.convert.spiking_model import SpikingModel
from snnconvert.reports.advice import Settings
from snnconvert.reports.anytime import why_not_anytime
from snnconvert.reports.diagnosis import MODES
from snnconvert.reports.scores import Judge


def chosen_rule(
    snn: SpikingModel, wanted: bool | AnytimeRule | None, judge: Judge, timesteps: int
) -> tuple[AnytimeRule | None, tuple[str, ...]]:
    """Return the rule to stop samples by, and why a network's own one is left out.

    Raises
    ------
    UsageError
        If a rule was asked for and there is none that fits.
    """
    if not isinstance(wanted, bool | AnytimeRule | None):
        raise UsageError(
            f"anytime must be True, False or a rule, not {wanted!r}",
            hint="snn.with_anytime(calibration rows, tolerance=...) makes a rule",
        )
    rule = wanted if isinstance(wanted, AnytimeRule) else snn.anytime
    if wanted is False or (wanted is None and rule is None):
        return None, ()
    if rule is None:
        raise UsageError(
            "the network has no rule by which samples may stop",
            hint="convert it with --anytime, or use snn.with_anytime(calibration rows)",
        )
    reason = why_not_anytime(judge)
    if not reason and rule.output != judge.layout.name:
        reason = (
            f"the anytime rule watches output {rule.output!r}, the report is about "
            f"{judge.layout.name!r}"
        )
    if not reason and rule.timesteps != timesteps:
        reason = f"the anytime rule is for {rule.timesteps} timesteps, the run has {timesteps}"
    if not reason:
        return rule, ()
    if wanted is None:
        return None, (f"no anytime readout: {reason}",)
    raise UsageError(reason, hint="leave out anytime, or calibrate a rule for this run")


def check_diagnosis(snn: SpikingModel, mode: str, timesteps: int) -> None:
    """Refuse a mode that does not exist, and a run whose windows a replay does not have.

    Raises
    ------
    UsageError
    """
    if mode not in MODES:
        raise UsageError(f"unknown mode {mode!r} of diagnosis", hint=did_you_mean(mode, MODES))
    if timesteps < 1:
        raise UsageError(f"timesteps must be at least 1, not {timesteps}")
    staged = snn.network.timesteps
    if staged is not None and staged != timesteps:
        raise UsageError(
            f"the network is staged for {staged} timesteps: a diagnosis of {timesteps} would be "
            "that of other windows",
            hint=f"leave out --diagnose, or convert it again with --timesteps {timesteps}",
        )


def settings_of(snn: SpikingModel, target: str, timesteps: int) -> Settings:
    """Return what advice depends on."""
    capabilities = get_backend(target).capabilities
    method = str(snn.calibration.get("method", "auto"))
    config = snn.calibration.get("config", {})
    neurons = dict.fromkeys(p.neuron for p in snn.network.populations)
    return Settings(
        timesteps=timesteps,
        method=method,
        corrected=bool({"corrections", "hard_reset"} & snn.calibration.keys()),
        per_channel=bool(config.get("per_channel", True)),
        dictated=recognise(snn.graph) is not None,
        schedule=snn.schedule,
        neuron=", ".join(neurons) or "if",
        reset=snn.network.reset,
        weight_bits=snn.network.weight_bits,
        target=target,
        windows=capabilities.windows,
        signed="signed" in capabilities.neurons,
        subtracts="subtract" in capabilities.resets,
    )
