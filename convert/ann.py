"""Run the original network in onnxruntime: the ANN that a spiking network is compared with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.convert.errors import DataError, ModelFileError
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.rows import Samples, row_count
from snnconvert.convert.threads import default_threads, in_turn

Progress: TypeAlias = Callable[[int, int], None]

ERRORS_ONLY = 3
ALTERING = ["DoubleQDQPairsRemover"]
"""Optimisers that change what a network computes: this one takes away the first of two pairs of
quantisers, with its rounding and saturation, whatever ``session.disable_quant_qdq`` says."""

PARTS = 4
"""Parts of a batch, at most so many of which are computed side by side: the same for any number of
threads, so that results are."""

NEARLY_WHOLE = 1e-3
"""What single precision may leave of a whole number after preprocessing."""

_NUMBERS = {"float": "float32", "double": "float64", "float16": "float16", "bool": "bool"} | {
    f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
"""NumPy's name of each element type that onnxruntime names."""


class AnnSession:
    """An ONNX model in onnxruntime, on the CPU.

    Parameters
    ----------
    model : bytes
        A self-contained ONNX model.
    threads : int
        0: ``OMP_NUM_THREADS`` where it is set, which onnxruntime itself does not heed, else all
        processors.

    Notes
    -----
    Threads within an operator wait for one another: by spinning, which on a busy machine took up to
    a third more processor time, or asleep, which takes a tenth more on an idle one. Where there are
    enough rows, several parts of a batch are computed side by side.

    Raises
    ------
    ModelFileError
        If onnxruntime does not load the model, or takes numbers that NumPy has not.
    """

    def __init__(self, model: bytes, *, threads: int = 0) -> None:
        self._model, self._threads = model, threads or default_threads()
        self._loading = threading.Lock()
        self._session, self._each = _load(model, _options(self._threads)), self._threads
        self.inputs = {i.name: i for i in self._session.get_inputs()}
        self._dtypes = {name: _dtype(name, info.type) for name, info in self.inputs.items()}
        self.output_names = tuple(o.name for o in self._session.get_outputs())
        extents = [i.shape[0] for i in self.inputs.values() if i.shape]
        self.batch: int | None = next((e for e in extents if isinstance(e, int)), None)

    def run(
        self, samples: Samples, *, batch_size: int = 100, progress: Progress | None = None
    ) -> dict[str, FloatArray]:
        """Return every output for all samples.

        Parameters
        ----------
        samples : dict of (N, *shape) arrays
            Cast to what the model takes; read in batches.
        batch_size : int
            Rows that are computed at the same time, in parts; at least the model's own batch.
        progress : callable, optional
            Called with the samples done and in all.

        Returns
        -------
        dict of (N, *shape) arrays

        Raises
        ------
        DataError
            If an input of whole numbers gets others: the spiking network would see what they
            were, and the model what they are rounded to.
        """
        count = row_count(samples)
        size = self.batch or -(-min(batch_size, count) // PARTS) or 1
        beside = max(min(self._threads, -(-count // size), batch_size // size), 1)
        compute = partial(_compute, self._with(-(-self._threads // beside)))
        parts, done = [], 0
        for part in in_turn(compute, self._batches(samples, size), beside):
            parts.append(part)
            done += len(part[0])
            if progress is not None:
                progress(done, count)
        return {
            name: np.concatenate([part[i] for part in parts])
            for i, name in enumerate(self.output_names)
        }

    def _with(self, threads: int) -> Any:
        """Return the session with so many threads; no other is kept, each holds all weights."""
        with self._loading:  # or another thread would find none
            if threads != self._each:
                self._session = None
                self._session, self._each = _load(self._model, _options(threads)), threads
            return self._session

    def _batches(self, samples: Samples, size: int) -> Iterator[tuple[Samples, int]]:
        """Yield what the model takes, and how many of its rows are samples."""
        count = row_count(samples)
        for start in range(0, count, size):
            feeds = {}
            for name, dtype in self._dtypes.items():
                rows = _as_input(name, np.asarray(samples[name][start : start + size]), dtype)
                missing = size - len(rows) if self.batch else 0
                feeds[name] = np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)])
            yield feeds, min(size, count - start)


def _compute(session: Any, batch: tuple[Samples, int]) -> list[npt.NDArray[Any]]:
    feeds, count = batch
    return [array[:count] for array in session.run(None, feeds)]


def _options(threads: int) -> Any:
    """Return how sessions run, so that they compute what the model says."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Else onnxruntime 1.31 rounds activations to 8 bits before a MatMul of dequantised weights:
    # outputs were off by up to 1 %. 1 asks for float32; older versions ignore the entry.
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    # Else quantised layers are fused to integer kernels, which round the biases too.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    # Else sums of products of integers overflow 16 bits on processors without VNNI.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def _load(model: bytes, options: Any) -> Any:
    """Load a model, without far-reaching optimisations where those fail.

    onnxruntime 1.31 does not load a Transpose behind a signed DequantizeLinear of opset 21: it
    moves the pair of quantisers behind it and gives the new ones a zero point of another type.
    """
    import onnxruntime

    choices: dict[str, Any] = {
        "providers": ["CPUExecutionProvider"],
        "disabled_optimizers": ALTERING,
    }
    try:
        return onnxruntime.InferenceSession(model, options, **choices)
    except Exception:  # its exceptions share no base but Exception
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        return onnxruntime.InferenceSession(model, options, **choices)
    except Exception as error:
        raise ModelFileError(
            "onnxruntime does not load the model", why=str(error).splitlines()[0]
        ) from error


def _dtype(name: str, kind: str) -> np.dtype[Any]:
    """Return NumPy's type for onnxruntime's ``tensor(float)`` and the like."""
    element = kind.removeprefix("tensor(").removesuffix(")")
    if element not in _NUMBERS:
        raise ModelFileError(
            f"input {name!r} takes {element}, which NumPy has not",
            hint="export the model in float32",
        )
    return np.dtype(_NUMBERS[element])


def _as_input(name: str, rows: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Cast rows to the type of an input; only whole numbers within its range to whole numbers."""
    if dtype.kind == "f":
        return rows.astype(dtype)
    lowest, highest = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    whole = np.rint(rows)
    odd = (np.abs(rows - whole) > NEARLY_WHOLE) | (whole < lowest) | (whole > highest)
    if odd.any():
        raise DataError(
            f"input {name!r} takes whole numbers ({dtype}, {lowest:,} to {highest:,}), the rows "
            f"hold {rows[odd].flat[0]:g}",
            why="the model would run on rounded numbers, the spiking network on these",
            hint="give raw rows of that type, without --scale, --mean and --std, or take a tensor "
            "behind the cast to float as input with --inputs",
        )
    return np.asarray(whole.astype(dtype))
