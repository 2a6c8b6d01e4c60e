"""The search on objectives whose best is known."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from snnconvert.tuning.budget import Budget
from snnconvert.tuning.figures import Figures
from snnconvert.tuning.goal import parse_goal
from snnconvert.tuning.search import Search, Trial
from snnconvert.tuning.space import Configuration, Space

SPACE = Space(
    timesteps=(2, 4, 8, 16, 32, 64),
    schedule=("none", "full", "1", "2"),
    neuron=("if", "signed"),
    method=("auto", "gauss", "balance", "percentile"),
    readout=("membrane", "count"),
    granularity=("channel", "layer"),
)
ANN = 0.95
DEPTH = 5
SLOWNESS = {"if": 6.0, "signed": 3.0}
LOSS = {"auto": 0.01, "gauss": 0.0, "balance": 0.02, "percentile": 0.03}


def figures(configuration: Configuration, T: int) -> Figures:
    """Accuracy that saturates with T: `signed` and `full` faster, `gauss` higher."""
    staged = configuration.schedule == "full"
    accuracy = ANN * (1 - math.exp(-T / (1.5 if staged else SLOWNESS[configuration.neuron])))
    accuracy -= LOSS[configuration.method] + 0.05 * (configuration.granularity == "layer")
    holdoff = {"none": 0, "full": configuration.timesteps, "1": 1, "2": 2}[configuration.schedule]
    neurons = 10 + (configuration.readout == "count")
    accuracy = max(accuracy, 0.0)
    return Figures(accuracy, accuracy, ANN, DEPTH * holdoff + T, 100.0 * T, 1e-6 * T, neurons)


def measure(configuration: Configuration, rung: int) -> Trial:
    curve = tuple(figures(configuration, t) for t in range(1, configuration.timesteps + 1))
    return Trial(configuration, rung, 10 * 3**rung, curve[-1], curve)


def search(
    goal: str,
    trials: int,
    measure: Callable[[Configuration, int], Trial] = measure,
    *,
    minimise: str | None = None,
    space: Space = SPACE,
    rungs: int = 3,
    seed: int = 0,
) -> Search:
    run = Search(space, parse_goal(goal, minimise), measure, rungs, Budget(trials), seed)
    run.run()
    return run


def everything() -> list[Configuration]:
    space = SPACE
    return [
        Configuration(T, schedule, neuron, method, readout, "auto", granularity)
        for T, schedule, neuron, method, readout, granularity in product(
            space.timesteps,
            space.schedule,
            space.neuron,
            space.method,
            space.readout,
            space.granularity,
        )
    ]


GOALS = [
    ("accuracy>=ANN-0.5", None),
    ("accuracy>=ANN-2", None),
    ("accuracy>=ANN-2", "synops"),
    ("accuracy>=50%", "energy"),
    ("agreement>=80%", None),
    ("latency<=32", None),
    ("latency<=8", None),
    ("synops<=900", None),
    ("accuracy>=ANN-2 and neurons<=10", None),
    ("accuracy>=100%", None),
]


@pytest.mark.parametrize(("goal", "minimise"), GOALS)
def test_the_known_best_of_768_is_found_in_48_trials(goal: str, minimise: str | None) -> None:
    run = search(goal, 48, minimise=minimise)
    assert SPACE.size == len(everything()) == 768
    best = min(run.goal.rank(figures(c, c.timesteps)) for c in everything())
    chosen = run.best(run.last)[0].figures
    assert chosen is not None
    assert run.goal.rank(chosen)[:2] == best[:2]


@pytest.mark.parametrize("trials", [1, 2, 5, 12, 48, 200])
@pytest.mark.parametrize("rungs", [1, 2, 3])
def test_the_budget_is_kept_and_something_is_chosen(trials: int, rungs: int) -> None:
    run = search("accuracy>=ANN-2", trials, rungs=rungs)
    assert run.best(run.last)
    assert len(run.trials) == run.budget.done <= trials


def test_the_same_seed_makes_the_same_trials_and_another_draws_others() -> None:
    keys = [list(search("latency<=16", 40, seed=seed).trials) for seed in (0, 0, 1)]
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]


def test_nothing_is_measured_twice() -> None:
    measured: list[tuple[Configuration, int]] = []

    def noting(configuration: Configuration, rung: int) -> Trial:
        measured.append((configuration, rung))
        return measure(configuration, rung)

    search("accuracy>=ANN-1", 100, noting)
    assert len(measured) == len(set(measured))


def test_most_trials_are_on_few_rows() -> None:
    rungs = [rung for _, rung in search("accuracy>=ANN-1", 48).trials]
    assert rungs.count(0) > rungs.count(2)
    assert rungs == sorted(rungs) or rungs.index(2) > rungs.index(1)


def test_a_run_of_many_steps_says_which_fewer_are_worth_one() -> None:
    """The curve of T = 64 reaches the goal at 16: 32 is never run, nor what is far below."""
    plain = replace(SPACE, schedule=("none",), neuron=("if",), method=("gauss",))
    plain = replace(plain, readout=("membrane",), granularity=("channel",))
    run = search("accuracy>=ANN-10", 48, space=plain)
    assert sorted({c.timesteps for c, rung in run.trials if rung == 0}) == [16, 64]
    assert run.best(2)[0].configuration.timesteps == 16


def test_what_cannot_be_converted_is_passed_over() -> None:
    def refusing(configuration: Configuration, rung: int) -> Trial:
        if configuration.schedule != "none" or configuration.readout == "count":
            return Trial(configuration, rung, 1, None, problem="no windows")
        return measure(configuration, rung)

    run = search("accuracy>=ANN-2", 48, refusing)
    chosen = run.best(2)[0]
    assert chosen.configuration == Configuration(16, "none", "signed", "gauss")
    assert all(t.figures is not None for t in run.front(list(run.trials.values())))
    refused = [t for t in run.trials.values() if t.figures is None]
    assert refused and {t.problem for t in refused} == {"no windows"}


def test_where_nothing_can_be_converted_the_search_ends() -> None:
    run = search("accuracy>=ANN-2", 48, lambda c, r: Trial(c, r, 1, None, problem="no"))
    assert run.best(run.last) == []


def test_a_choice_that_fails_on_all_rows_gives_way() -> None:
    """Few rows flatter short runs: the last rung takes that back and goes on to longer ones."""

    def flattering(configuration: Configuration, rung: int) -> Trial:
        trial = measure(configuration, rung)
        if rung == 2:
            return trial
        curve = tuple(replace(f, accuracy=min(f.accuracy + 0.1, 1.0)) for f in trial.curve)
        return replace(trial, figures=curve[-1], curve=curve)

    run = search("accuracy>=ANN-1", 48, flattering)
    chosen = run.best(2)[0].figures
    assert chosen is not None and run.goal.met(chosen)


def test_fewer_bits_win_between_equals() -> None:
    space = Space((8,), weight_bits=(None, 8, 4))
    assert search("accuracy>=50%", 20, space=space).best(2)[0].configuration.weight_bits == 4
