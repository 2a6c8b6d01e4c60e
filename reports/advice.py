"""What to change where a rung of the ladder loses most, given how the network was made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MOST_BITS = 16


@dataclass(frozen=True)
class Settings:
    """How the network was made, and what its target can do.

    Attributes
    ----------
    timesteps : int
        Of the run.
    method : str
        Threshold method.
    corrected : bool
        Whether corrections were tried.
    per_channel : bool
        Thresholds by channel, not by layer.
    dictated : bool
        The file's quantisers dictate the thresholds.
    schedule, neuron, reset : str
    weight_bits : int or None
    target : str
    windows : bool
        Whether the target can stage layers in time.
    signed : bool
        Whether it has signed neurons.
    subtracts : bool
        Whether it can reset by subtraction.
    """

    timesteps: int = 64
    method: str = "auto"
    corrected: bool = True
    per_channel: bool = True
    dictated: bool = False
    schedule: str = "none"
    neuron: str = "if"
    reset: str = "subtract"
    weight_bits: int | None = None
    target: str = "cpu"
    windows: bool = True
    signed: bool = True
    subtracts: bool = True


DEFAULTS = Settings()


@dataclass(frozen=True)
class Advice:
    """What to change for the largest loss of a ladder.

    Attributes
    ----------
    rung : str
        Where it is lost.
    lost : float
        By how much the metric is worse there than one rung above.
    cause : str
        What the rung stands for, in this network.
    options : tuple of str
        Options to change, what helps most first.
    """

    rung: str
    lost: float
    cause: str
    options: tuple[str, ...]

    @property
    def text(self) -> str:
        """The options as a sentence."""
        return f"{self.cause}; change {', or '.join(self.options)}"


def advise(rung: str, lost: float, settings: Settings) -> Advice:
    """Return what to change for a loss at a rung other than the ANN."""
    cause, options = _ADVICE[rung](settings)
    return Advice(rung, lost, cause, options)


_Advised = tuple[str, tuple[str, ...]]


def _levels(settings: Settings) -> _Advised:
    more = f"--timesteps {2 * settings.timesteps}"
    if settings.dictated:
        return "the run has not the levels of the file's quantisers", (more,)
    options = [more]
    if settings.method != "auto":
        options.append("--method auto")
    else:
        options.append("--method balance or percentile")
    if not settings.per_channel:
        options.append("thresholds by channel (leave out --per-layer)")
    cause = f"thresholds clip, and {settings.timesteps} steps are few levels"
    return cause, tuple(options)


def _timing(settings: Settings) -> _Advised:
    options = []
    staged = settings.schedule != "none"
    if settings.windows and settings.reset == "subtract" and settings.schedule != "full":
        options.append("--schedule full" if staged else "--schedule full or auto")
    if settings.signed and settings.neuron == "if" and settings.schedule != "full":
        options.append("--neuron signed")
    if not settings.corrected:
        options.append("--corrections auto")
    options.append(f"--timesteps {2 * settings.timesteps}")
    return "spikes arrive unevenly, and late in deep layers", tuple(options)


def _bits(settings: Settings) -> _Advised:
    bits = settings.weight_bits
    options = []
    if bits is not None and bits < MOST_BITS:
        options.append(f"--weight-bits {min(bits + 2, MOST_BITS)}")
    if not settings.per_channel:
        options.append("thresholds by channel (leave out --per-layer)")
    options.append("weights as they are (leave out --weight-bits)")
    told = "a few" if bits is None else str(bits)
    return f"weights have {told} bits", tuple(options)


def _target(settings: Settings) -> _Advised:
    more = f"--timesteps {2 * settings.timesteps}"
    if settings.reset == "zero" and settings.subtracts:
        cause = "a reset to zero throws away what is above the threshold"
        return cause, ("--reset subtract", more)
    return (
        f"the rules of target {settings.target}: its reset, delays, input and number formats",
        (more, "another --target"),
    )


_CAUSES: dict[str, Callable[[Settings], tuple[str, ...]]] = {
    "clipping": lambda s: ("--method max, or a higher --percentile",),
    "rounding": lambda s: _levels(s)[1],
    "timing": lambda s: _timing(s)[1],
    "weight_bits": lambda s: _bits(s)[1],
    "silent": lambda s: (
        "lower thresholds (--method mse, or a lower --percentile)",
        f"--timesteps {2 * s.timesteps}",
    ),
    "none": lambda s: (),
}


def remedies(cause: str, settings: Settings) -> tuple[str, ...]:
    """Return the options to change where a layer loses by a cause."""
    return _CAUSES[cause](settings)


_ADVICE: dict[str, Callable[[Settings], _Advised]] = {
    "quantised_ann": _levels,
    "snn": _timing,
    "integer_snn": _bits,
    "target": _target,
}
