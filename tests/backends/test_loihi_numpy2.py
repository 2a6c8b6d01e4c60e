"""The stand-in for NumPy does what NumPy 1 did with ``copy=False``."""

from types import ModuleType

import numpy as np
import pytest

from snnconvert.backends.loihi import numpy2


@pytest.fixture
def np1() -> numpy2.NumPy1Array:
    return numpy2.NumPy1Array()


def test_nothing_is_copied_where_type_and_rank_fit(np1: numpy2.NumPy1Array) -> None:
    x = np.arange(6, dtype=np.float32)
    assert np1.array(x, copy=False, dtype=np.float32) is x
    assert np.shares_memory(np1.array(x, copy=False, dtype=np.float32, ndmin=2), x)


@pytest.mark.parametrize("given", [[1, 2, 3], np.arange(3), np.arange(6)[::2].astype(np.int64)])
def test_lists_and_other_types_are_copied(np1: numpy2.NumPy1Array, given: object) -> None:
    made = np1.array(given, copy=False, dtype=np.float32, ndmin=2)
    assert made.dtype == np.float32
    assert made.shape == (1, 3)
    np.testing.assert_array_equal(made[0], np.asarray(given))


def test_a_copy_is_made_on_request_and_by_default(np1: numpy2.NumPy1Array) -> None:
    x = np.arange(3)
    assert not np.shares_memory(np1.array(x), x)
    assert not np.shares_memory(np1.array(x, copy=True), x)


def test_order_is_honoured_and_all_other_names_are_numpys(np1: numpy2.NumPy1Array) -> None:
    assert np1.array(np.ones((2, 3)), copy=False, order="F").flags.f_contiguous
    assert np1.zeros is np.zeros
    assert np1.float32 is np.float32


def test_numpy_itself_refuses_what_the_stand_in_allows() -> None:
    with pytest.raises(ValueError, match="Unable to avoid copy"):
        np.array([1.0], copy=False)


@pytest.mark.parametrize(
    ("numpy_version", "nengo_loihi_version", "needed"),
    [
        ("2.4.6", "1.1.0", True),
        ("2.0.0rc1", "1.0.0", True),
        ("1.26.4", "1.1.0", False),
        ("2.4.6", "1.2.0.dev0", False),
        ("2.4.6", "2.0.0", False),
    ],
)
def test_it_is_used_only_where_the_versions_clash(
    numpy_version: str, nengo_loihi_version: str, needed: bool
) -> None:
    assert numpy2.is_needed(numpy_version, nengo_loihi_version) is needed


def test_rebinding_twice_changes_nothing() -> None:
    module = ModuleType("victim")
    vars(module)["np"] = np
    numpy2.rebind(module)
    first = vars(module)["np"]
    numpy2.rebind(module)
    assert vars(module)["np"] is first
    np.testing.assert_array_equal(first.array([1, 2], copy=False), [1, 2])


def test_nengo_loihi_is_rebound_and_numpy_is_not() -> None:
    pytest.importorskip("nengo_loihi")
    from snnconvert.backends.loihi.nengo_modules import nengo_loihi

    expected = numpy2.is_needed(np.__version__, nengo_loihi.__version__)
    for module in (nengo_loihi.block, nengo_loihi.neurons):
        assert isinstance(module.np, numpy2.NumPy1Array) is expected
    assert isinstance(np, ModuleType)
