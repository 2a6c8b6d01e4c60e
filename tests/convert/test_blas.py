"""NumPy's matrix products on one thread: set, put back, and left alone where it cannot be."""

import numpy as np
import pytest

from snnconvert.backends import base
from snnconvert.convert import blas
from snnconvert.convert.network import Network


class Library:
    """Stands in for OpenBLAS."""

    def __init__(self) -> None:
        self.threads, self.told = 4, list[int]()

    def get(self) -> int:
        return self.threads

    def put(self, threads: int) -> None:
        self.threads = threads
        self.told.append(threads)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    found = Library()
    monkeypatch.setattr(blas, "_thread_functions", lambda: (found.get, found.put))
    return found


def test_the_threads_are_put_back(library: Library) -> None:
    with blas.one_blas_thread():
        assert library.threads == 1
    assert library.told == [1, 4]


def test_the_threads_are_put_back_after_an_error(library: Library) -> None:
    with pytest.raises(KeyboardInterrupt), blas.one_blas_thread():
        raise KeyboardInterrupt
    assert library.threads == 4


def test_whoever_leaves_last_puts_them_back(library: Library) -> None:
    first, second = blas.one_blas_thread(), blas.one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert library.threads == 1
    second.__exit__(None, None, None)
    assert library.threads == 4


def test_a_network_is_prepared_on_one_thread(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(base, "snap", lambda network: seen.append(library.threads))
    base.prepare(Network("empty", (), ()))
    assert (seen, library.threads) == ([1], 4)


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "FOLDERS", ("nowhere",))
    blas._thread_functions.cache_clear()
    with blas.one_blas_thread():
        assert blas._thread_functions() is None
    blas._thread_functions.cache_clear()


def test_the_library_of_the_wheel() -> None:
    library = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    if library != "scipy-openblas":  # that of the wheels, of which the setting must be found
        pytest.skip(f"this NumPy is no wheel with OpenBLAS, it multiplies with {library}")
    found = blas._thread_functions()
    assert found is not None
    before = found[0]()
    with blas.one_blas_thread():
        assert found[0]() == 1
    assert found[0]() == before
