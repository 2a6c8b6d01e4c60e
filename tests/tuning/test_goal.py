"""The grammar of goals, what they say of figures, and every error."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.convert.errors import UsageError
from snnconvert.tuning.figures import COSTS, SHARES, Figures
from snnconvert.tuning.goal import Bound, Goal, parse_goal

FIGURES = Figures(
    accuracy=0.9, agreement=0.95, ann_accuracy=0.92, latency=20, synops=1e5, energy=1e-6, neurons=64
)

shares = st.builds(Bound, st.sampled_from(SHARES), st.floats(0, 1))
relative = st.builds(Bound, st.just("accuracy"), st.floats(0, 100), st.just(True))
costs = st.builds(Bound, st.sampled_from(COSTS), st.floats(1e-12, 1e15))
goals = st.lists(
    st.one_of(shares, relative, costs), min_size=1, max_size=4, unique_by=lambda b: b.name
)


@given(goals)
def test_what_is_written_is_read_again(bounds: list[Bound]) -> None:
    goal = parse_goal(Goal(tuple(bounds)).text)
    assert goal.bounds == tuple(bounds)
    assert (goal.minimise is None) == all(bound.name in COSTS for bound in bounds)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_with_a_hint(text: str) -> None:
    try:
        goal = parse_goal(text)
    except UsageError as error:
        assert (error.message and error.hint) or "more than 0" in error.message
    else:
        assert parse_goal(goal.text).bounds == goal.bounds


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("accuracy>=ANN-0.5", [Bound("accuracy", 0.5, True)]),
        (" Accuracy ≥ ann - 2 points ", [Bound("accuracy", 2.0, True)]),
        ("accuracy>=ANN", [Bound("accuracy", 0.0, True)]),
        ("accuracy>=ANN-0.5%", [Bound("accuracy", 0.5, True)]),
        ("accuracy>=0.9", [Bound("accuracy", 0.9)]),
        ("accuracy>=90%", [Bound("accuracy", 0.9)]),
        ("agreement>=99 %", [Bound("agreement", 0.99)]),
        ("latency<=32 and energy<=1e-6", [Bound("latency", 32.0), Bound("energy", 1e-6)]),
        ("synops<=2e6, neurons≤500", [Bound("synops", 2e6), Bound("neurons", 500.0)]),
    ],
)
def test_spellings(text: str, bounds: list[Bound]) -> None:
    assert list(parse_goal(text).bounds) == bounds


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "lacks a figure in ''", "write for example"),
        ("accuracy>=0.9 and", "lacks a figure in ''", "write for example"),
        (">=0.9", "lacks a figure in '>=0.9'", "write for example"),
        ("acuracy>=1", "unknown figure 'acuracy'", "did you mean 'accuracy'?"),
        ("accuracy<=0.9", "has '<=' after 'accuracy'", "write accuracy>=VALUE"),
        ("accuracy>0.9", "has '>' after 'accuracy'", "write accuracy>=VALUE"),
        ("latency>=8", "has '>=' after 'latency'", "write latency<=VALUE"),
        ("latency 8", "has no comparison after 'latency'", "write latency<=VALUE"),
        ("accuracy>=90", "90 is no share of 1", "90 % is written 90% or 0.9"),
        ("accuracy>=101%", "101% is no share of 1", "write for example"),
        ("accuracy>=", "'' is no accuracy", "write for example"),
        ("accuracy>=-0.1", "'-0.1' is no accuracy", "write for example"),
        ("accuracy>=ANN+1", "'ANN+1' is no accuracy", "ANN-0.5 is half a point below"),
        ("accuracy>=ANN-200", "200 points below the ANN", "write for example"),
        ("agreement>=ANN-1", "with itself", "write agreement>=99%"),
        ("latency<=8ms", "'8ms' is no number", "without a unit, in steps: latency<=1000"),
        ("energy<=1e-6J", "'1e-6J' is no number", "in J"),
        ("latency<=0", "latency must be more than 0", ""),
        ("synops<=1e999", "synops must be more than 0, and finite", ""),
        ("latency<=8, latency<=9", "bounds the latency twice", "give one bound"),
    ],
)
def test_errors(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_goal(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_what_is_minimised() -> None:
    assert parse_goal("accuracy>=0.9").minimise == "latency"
    assert parse_goal("accuracy>=0.9", "energy").minimise == "energy"
    with pytest.raises(UsageError, match="cannot minimise 'latensy'; did you mean 'latency'"):
        parse_goal("accuracy>=0.9", "latensy")
    with pytest.raises(UsageError, match="says nothing of the accuracy"):
        parse_goal("latency<=8", "synops")


def test_the_text_says_everything() -> None:
    assert str(parse_goal("accuracy>=ANN-0.5,latency<=32")) == (
        "accuracy>=ANN-0.5 and latency<=32, least latency"
    )
    assert str(parse_goal("synops<=1e6")) == "synops<=1000000, most accurate"


def test_shortfalls() -> None:
    def shortfall(text: str) -> float:
        return parse_goal(text).shortfall(FIGURES)

    assert shortfall("accuracy>=ANN-2") == 0  # 0.92 - 0.02 is not 0.9 in floats
    assert math.isclose(shortfall("accuracy>=ANN-0.5"), 0.015)
    assert math.isclose(shortfall("agreement>=99%"), 0.04)
    assert math.isclose(shortfall("latency<=16"), 0.25)
    assert math.isclose(shortfall("latency<=16 and agreement>=99%"), 0.29)
    assert shortfall("latency<=20 and neurons<=64 and energy<=1e-6") == 0


def test_the_rank_puts_the_goal_first_then_the_cost() -> None:
    goal = parse_goal("accuracy>=85%")
    fast = Figures(0.86, 0.9, 0.92, 4, 9e9, 1.0, 1)
    near = Figures(0.84, 0.9, 0.92, 1, 1.0, 1e-9, 1)
    far = Figures(0.5, 0.9, 0.92, 1, 1.0, 1e-9, 1)
    assert sorted([far, near, FIGURES, fast], key=goal.rank) == [fast, FIGURES, near, far]
    assert sorted([fast, FIGURES], key=parse_goal("latency<=32").rank) == [FIGURES, fast]
