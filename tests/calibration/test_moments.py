import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from snnconvert.calibration.moments import Moments

ROWS = st.lists(
    st.tuples(*[st.floats(-(2.0**100), 2.0**100, width=32)] * 2), min_size=1, max_size=20
)


def of_rows(rows: list[tuple[float, float]]) -> Moments:
    moments = Moments(1)
    for row in rows:
        moments.update(np.array([row], np.float32))
    return moments


@given(ROWS, st.randoms(use_true_random=False))
def test_order_does_not_change_a_bit(rows: list[tuple[float, float]], order: object) -> None:
    shuffled = list(rows)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    a, b = of_rows(rows), of_rows(shuffled)
    assert a.mean.tobytes() == b.mean.tobytes()
    assert a.variance.tobytes() == b.variance.tobytes()


@given(ROWS, st.integers(0, 20))
def test_merging_equals_one_pass(rows: list[tuple[float, float]], cut: int) -> None:
    first, second = of_rows(rows[:cut]), of_rows(rows[cut:])
    first.merge(second)
    whole = of_rows(rows)
    assert first.mean.tobytes() == whole.mean.tobytes()
    assert first.variance.tobytes() == whole.variance.tobytes()
    assert first.count == whole.count


def test_agree_with_numpy(rng: np.random.Generator) -> None:
    scale = np.array([1e-3, 1.0, 1e3])[:, None]
    rows = [(rng.standard_normal((3, 50)) + 0.3) * scale for _ in range(200)]
    moments = Moments(3)
    for row in rows:
        moments.update(row)
    values = np.concatenate(rows, axis=1)
    np.testing.assert_allclose(moments.mean, values.mean(axis=1), rtol=1e-8)
    np.testing.assert_allclose(moments.variance, values.var(axis=1), rtol=1e-8)


def test_no_values() -> None:
    assert Moments(2).mean.tolist() == [0.0, 0.0]
    assert Moments(2).variance.tolist() == [0.0, 0.0]
