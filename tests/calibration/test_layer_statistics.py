import json

import numpy as np
import pytest

from snnconvert.calibration.layer_statistics import LayerStatistics


@pytest.mark.parametrize(
    ("shape", "axis", "broadcast"),
    [((5,), 0, (5,)), ((5, 4, 3), 0, (5, 1, 1)), ((4, 3, 5), 2, (1, 1, 5)), ((), 0, ())],
)
def test_one_entry_a_channel(
    rng: np.random.Generator, shape: tuple[int, ...], axis: int, broadcast: tuple[int, ...]
) -> None:
    z = rng.standard_normal((20, *shape)).astype(np.float32)
    statistics = LayerStatistics(shape, axis)
    statistics.update(z[:7])
    statistics.update(z[7:])
    others = tuple(a for a in range(z.ndim) if not shape or a != axis + 1)
    channels = shape[axis] if shape else 1
    assert statistics.rows == 20
    assert statistics.channels == channels
    np.testing.assert_array_equal(statistics.maximum, np.maximum(z.max(axis=others), 0).ravel())
    np.testing.assert_allclose(
        statistics.positive_fraction, (z > 0).mean(axis=others).reshape(channels)
    )
    np.testing.assert_allclose(
        statistics.moments.mean, z.mean(axis=others, dtype=np.float64).reshape(channels)
    )
    assert statistics.along_channels(np.arange(channels, dtype=float)).shape == broadcast


def test_a_ceiling_cuts_activations_but_not_pre_activations() -> None:
    statistics = LayerStatistics((2,), ceiling=6.0)
    statistics.update(np.array([[10.0, -2.0], [2.0, 5.0]], np.float32))
    assert statistics.maximum.tolist() == [6.0, 5.0]
    assert statistics.moments.mean.tolist() == [6.0, 1.5]


def test_halves_merge_to_the_whole(rng: np.random.Generator) -> None:
    z = rng.standard_normal((20, 3, 4)).astype(np.float32)
    first, second, whole = (LayerStatistics((3, 4)) for _ in range(3))
    first.update(z[:11])
    second.update(z[11:])
    whole.update(z[::-1])
    first.merge(second)
    assert first.to_json() == whole.to_json()
    np.testing.assert_array_equal(first.histogram.counts, whole.histogram.counts)
    assert first.rows == 20


def test_dead_channels_and_the_summary() -> None:
    statistics = LayerStatistics((3, 2))
    statistics.update(np.array([[[1, -1], [0, -3], [2, 4]]], np.float32))
    assert statistics.dead.tolist() == [False, True, False]
    summary = statistics.to_json()
    assert json.loads(json.dumps(summary)) == summary
    assert summary["channels"] == 3
    assert summary["dead_channels"] == 1
    assert summary["positive_fraction"] == 0.5
    assert summary["largest_activation"] == 4.0
