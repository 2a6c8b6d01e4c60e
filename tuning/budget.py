"""How long a search may take: so many trials, or so much time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from snnconvert.convert.errors import UsageError

DEFAULT_TRIALS = 48

UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


@dataclass
class Budget:
    """Counts trials, or seconds.

    Attributes
    ----------
    trials : int or None
        Configurations that may be measured.
    seconds : float or None
        Time after which no measurement begins.
    """

    trials: int | None = DEFAULT_TRIALS
    seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    @property
    def spent(self) -> float:
        """The share that is gone; 1 or more: all of it."""
        if self.seconds is not None:
            return (self.clock() - self.began) / self.seconds
        assert self.trials is not None
        return self.done / self.trials

    def __str__(self) -> str:
        if self.seconds is not None:
            return f"{self.seconds:g} s"
        return f"{self.trials} trials"


def parse_budget(budget: int | str | None) -> Budget:
    """Return the budget that a number of trials, or a time such as "10min", stands for.

    Raises
    ------
    UsageError
        If it is neither.

    Examples
    --------
    >>> str(parse_budget(20)), str(parse_budget("2min")), str(parse_budget("1.5 h"))
    ('20 trials', '120 s', '5400 s')
    """
    text = str(DEFAULT_TRIALS if budget is None else budget).strip()
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|m|h)?", text)
    amount = float(found[1]) if found else 0.0
    if found is None or amount <= 0 or (found[2] is None and "." in text):
        raise UsageError(
            f"budget {text!r} is neither a number of trials nor a time",
            hint="write 40, 90s, 10min or 1h",
        )
    if found[2] is None:
        return Budget(trials=int(amount))
    return Budget(trials=None, seconds=amount * UNITS[found[2]])
