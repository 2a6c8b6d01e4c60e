"""Budgets: trials or time."""

from typing import Any

import pytest

from snnconvert.convert.errors import UsageError
from snnconvert.tuning.budget import DEFAULT_TRIALS, Budget, parse_budget


@pytest.mark.parametrize(
    ("given", "trials", "seconds"),
    [
        (None, DEFAULT_TRIALS, None),
        (7, 7, None),
        ("7", 7, None),
        ("90s", None, 90.0),
        ("1.5 min", None, 90.0),
        ("2m", None, 120.0),
        ("0.5h", None, 1800.0),
    ],
)
def test_forms(given: Any, trials: int | None, seconds: float | None) -> None:
    budget = parse_budget(given)
    assert (budget.trials, budget.seconds) == (trials, seconds)


@pytest.mark.parametrize("given", [0, -1, "", "ten", "10 trials", "0s", "1.5", "inf", "1e3"])
def test_anything_else_is_refused(given: Any) -> None:
    with pytest.raises(UsageError) as caught:
        parse_budget(given)
    assert "is neither a number of trials nor a time" in caught.value.message
    assert caught.value.hint == "write 40, 90s, 10min or 1h"


def test_what_is_spent() -> None:
    budget = Budget(trials=4)
    budget.done = 3
    assert budget.spent == 0.75
    times = iter([100.0, 103.0])
    assert Budget(trials=None, seconds=12.0, clock=lambda: next(times)).spent == 0.25
