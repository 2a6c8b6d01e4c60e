"""The laws of the Pareto front."""

from hypothesis import given
from hypothesis import strategies as st

from snnconvert.tuning.figures import Figures
from snnconvert.tuning.pareto import dominates, figures_point, pareto_front

points = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), max_size=20)
Points = list[tuple[int, int, int]]


def front_of(items: Points) -> Points:
    return pareto_front(items, point=lambda item: item)


@given(points)
def test_nothing_on_the_front_is_dominated(items: Points) -> None:
    front = front_of(items)
    assert not any(dominates(other, one) for one in front for other in items)


@given(points)
def test_everything_else_is_dominated_or_equal_to_a_member(items: Points) -> None:
    front = front_of(items)
    for item in items:
        assert item in front or any(dominates(member, item) for member in front)


@given(points, st.randoms())
def test_the_order_does_not_matter(items: Points, random: object) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert set(front_of(shuffled)) == set(front_of(items))
    assert len(set(front_of(items))) == len(front_of(items))


@given(points)
def test_the_front_of_the_front_is_the_front(items: Points) -> None:
    assert front_of(front_of(items)) == front_of(items)


@given(points)
def test_dominance_is_a_strict_order(items: Points) -> None:
    for a in items[:6]:
        assert not dominates(a, a)
        for b in items[:6]:
            assert not (dominates(a, b) and dominates(b, a))
            for c in items[:6]:
                assert dominates(a, c) or not (dominates(a, b) and dominates(b, c))


def test_what_is_minimised_counts() -> None:
    one = Figures(0.9, 0.9, 0.9, 8, 100.0, 2.0, 10)
    assert figures_point(one) == (-0.9, 8.0, 100.0, 0.0)
    assert figures_point(one, "neurons") == (-0.9, 8.0, 100.0, 10.0)
