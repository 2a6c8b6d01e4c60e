"""Run the samples through the target in batches and gather what the report says of them.

No more than a batch is ever held here of the rows, the outputs after every timestep and the spike
counts. What grows with the rows is what the metrics add up for each (one number of a class), and
all outputs where a user's function reads them. After every batch the state may be kept: a run
that was interrupted goes on behind it and ends with the same figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy.typing as npt

from snnconvert.backends.base import Emitted, RunResult, check_timesteps
from snnconvert.convert.anytime import AnytimeRule
from snnconvert.convert.blas import one_blas_thread
from snnconvert.convert.errors import DataError, ResumeError, UsageError
from snnconvert.convert.fingerprint import fingerprint
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Network
from snnconvert.convert.rows import Samples, row_count, some_rows
from snnconvert.convert.threads import on_threads
from snnconvert.reports.anytime import AnytimeRecorder, operations_until
from snnconvert.reports.checkpoint import Checkpoint, Nowhere, Resumable
from snnconvert.reports.evaluation import Measurement
from snnconvert.reports.layers import (
    COUNTED_ROWS,
    LayerRecorder,
    recorders,
    recorders_by_activation,
)
from snnconvert.reports.operations import InputActivity, count_operations
from snnconvert.reports.scores import Judge, OutputTally

Array: TypeAlias = npt.NDArray[Any]
Activations: TypeAlias = Callable[[Mapping[str, Array]], Iterator[tuple[str, FloatArray]]]
Progress: TypeAlias = Callable[[int, int], None]

REBUILDS = 8
"""How often a target may rebuild itself before its last build is taken as it is."""

COMPARED_ROWS = 64
"""Samples at most on which every layer is compared with the ANN's activation."""

LEAST_COMPARED_ROWS = 16
COMPARED_PAIRS = 4_000_000
"""Pairs of a neuron and a sample, beyond which so few samples are enough: what they have in common
is the layer's error, and its neurons tell it as well as more samples would."""


def evaluate(
    emitted: Emitted,
    samples: Samples,
    judges: Sequence[Judge],
    *,
    timesteps: int,
    batch_size: int,
    ann_macs: float,
    lowered_values: Activations | None = None,
    compared_rows: int | None = None,
    anytime: AnytimeRule | None = None,
    progress: Progress | None = None,
    anytime_progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> Measurement:
    """Run all samples on the target, batch by batch, and compare them with the ANN.

    Parameters
    ----------
    emitted : Emitted
        The network on its target.
    samples : dict of (N, *shape) arrays
        Preprocessed, by input name; read in batches.
    judges : sequence of Judge
        For every output its labels and the ANN's on the same samples; the headline first.
    timesteps : int
        Readout window T.
    batch_size : int
        Samples simulated at once; no more outputs than a batch's are ever held.
    ann_macs : float
        Multiply-adds of the ANN, see ``operations.ann_macs``.
    lowered_values : callable, optional
        Yields (population or its graph node, ANN activation) for samples that it is given.
    compared_rows : int, optional
        How many of the first samples it is given; default: as many as `enough_rows` says.
    anytime : AnytimeRule, optional
        By which each sample's answer may come before T; for the headline and `timesteps`.
    progress : callable, optional
        Called with (samples done, samples in all).
    anytime_progress : callable, optional
        The same, for the second run of samples that stop.
    checkpoint : Checkpoint, optional
        Where the state is kept after every batch, and where an earlier run's is found.

    Returns
    -------
    Measurement
        The same for every batch size (sums of floats up to rounding).

    Raises
    ------
    DataError
        If samples and ANN outputs do not belong together.
    UsageError
        If `timesteps` or `batch_size` is out of range.
    """
    _check(samples, judges, batch_size)
    checkpoint = Nowhere() if checkpoint is None else checkpoint
    for attempt in range(REBUILDS):
        network = emitted.executable
        compared = enough_rows(network) if compared_rows is None else compared_rows
        compared = compared if lowered_values is not None else 0
        gathered = _Gathered(network, judges, timesteps, compared, anytime)
        gathered.take_up(checkpoint, progress)
        last = attempt == REBUILDS - 1
        for here in gathered.batches(batch_size):
            gathered.run(here, emitted, samples, lowered_values)
            if emitted.executable is network:
                gathered.keep(checkpoint)
            elif not last:  # the target rebuilt itself for what the batch needed:
                break  # all rows run on the new one
            if progress is not None:
                progress(gathered.done, gathered.rows)
        else:
            break
    return gathered.result(emitted, samples, batch_size, ann_macs, anytime_progress)


def enough_rows(network: Network) -> int:
    """Return on how many of the first samples the layers are compared with the ANN's."""
    within = COMPARED_PAIRS // max(network.neurons, 1)
    return min(max(within, LEAST_COMPARED_ROWS), COMPARED_ROWS)


class _Gathered(Resumable):
    """Everything that a measurement adds up, batch by batch."""

    growing = ("done", "_tallies", "_activity", "_recording", "_details", "_seconds", "_stopping")

    def __init__(
        self,
        network: Network,
        judges: Sequence[Judge],
        timesteps: int,
        compared: int,
        anytime: AnytimeRule | None,
    ) -> None:
        self.done, self.rows = 0, judges[0].count
        self._network, self._timesteps = network, timesteps
        self._steps = check_timesteps(network, timesteps)
        self._compared = min(compared, self.rows)
        self._tallies = [OutputTally(judge, timesteps) for judge in judges]
        self._activity = InputActivity(network, self._steps)
        self._recording = recorders(network, self._steps, self._compared)
        self._details: dict[str, Any] = {}
        self._seconds = 0.0
        self._stopping = None if anytime is None else AnytimeRecorder(anytime, judges[0])
        self._fingerprint = ""

    def take_up(self, checkpoint: Checkpoint, progress: Progress | None) -> None:
        """Go on behind what an earlier run kept, where that ran on the same network."""
        if isinstance(checkpoint, Nowhere):
            return
        self._fingerprint = fingerprint(self._network)
        kept = checkpoint.state
        if kept is not None and kept["executable"] == self._fingerprint:
            try:
                self.restore(kept["gathered"])
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                raise ResumeError(
                    "the partial results do not fit this evaluation",
                    why=f"{type(error).__name__}: {error}",
                    hint="remove the resume file to start anew",
                ) from error
            if progress is not None:
                progress(self.done, self.rows)

    def keep(self, checkpoint: Checkpoint) -> None:
        """Keep what was gathered, and from which network."""
        if not isinstance(checkpoint, Nowhere):  # which would not look at the copy
            checkpoint.keep({"executable": self._fingerprint, "gathered": self.state()})

    def batches(self, size: int) -> Iterator[slice]:
        """Yield the batches that are left."""
        while self.done < self.rows:
            yield slice(self.done, min(self.done + size, self.rows))

    def run(
        self,
        here: slice,
        emitted: Emitted,
        samples: Samples,
        lowered_values: Activations | None,
    ) -> None:
        """Simulate a batch and add it up."""
        batch = some_rows(samples, here)
        began = time.perf_counter()
        result = emitted.run(batch, self._timesteps)
        self._seconds += time.perf_counter() - began
        for tally in self._tallies:
            layout = tally.judge.layout
            tally.add(here, result.outputs[layout.readout or layout.name])
        if self._stopping is not None:
            headline = self._tallies[0].judge.layout
            self._stopping.add(result.outputs[headline.readout or headline.name])
        self._activity.add(batch)
        self._record(result)
        if lowered_values is not None and here.start < self._compared:
            rows = min(here.stop, self._compared) - here.start
            _compare(self._recording, result, batch, rows, lowered_values)
        _add_details(self._details, result.details)
        self.done = here.stop

    def _record(self, result: RunResult) -> None:
        """Add a batch to the statistics of the layers."""

        def add(name: str) -> None:
            counts, events = result.spike_counts[name], result.events.get(name)
            self._recording[name].add(counts, events, result.totals.get(name))

        if self.done >= COUNTED_ROWS and result.totals.keys() == self._recording.keys():
            for name in self._recording:  # nothing that would be worth a thread
                add(name)
        else:
            on_threads(add, self._recording)

    def result(
        self,
        emitted: Emitted,
        samples: Samples,
        batch_size: int,
        ann_macs: float,
        progress: Progress | None,
    ) -> Measurement:
        """Return the figures of all rows."""
        latency = self._steps - self._timesteps
        scores = tuple(tally.result(latency) for tally in self._tallies)
        stopped = None
        if self._stopping is not None:
            until = operations_until(
                self._stopping.stops,
                emitted,
                samples,
                latency=latency,
                batch_size=batch_size,
                ann_macs=ann_macs,
                progress=progress,
            )
            stopped = self._stopping.result(self._tallies[0], scores[0], latency, until)
        return Measurement(
            samples=self.rows,
            outputs=scores,
            layers=tuple(recorder.result() for recorder in self._recording.values()),
            operations=count_operations(
                self._network,
                {name: recorder.total for name, recorder in self._recording.items()},
                self._activity,
                samples=self.rows,
                steps=self._steps,
                ann_macs=ann_macs,
            ),
            seconds=self._seconds,
            standings=self._tallies[0],
            details=self._details,
            anytime=stopped,
        )


def _check(samples: Samples, judges: Sequence[Judge], batch_size: int) -> None:
    if batch_size < 1:
        raise UsageError(f"batch size must be at least 1, not {batch_size}")
    lengths = {name: len(x) for name, x in samples.items()}
    rows = row_count(samples)
    if not rows:
        raise DataError("no samples to evaluate")
    for name, length in lengths.items():
        if length != rows:
            raise DataError(f"input {name!r} has {length:,} samples, the first input {rows:,}")
    for judge in judges:
        if judge.count != rows:
            raise DataError(f"the ANN's outputs are for {judge.count:,} samples, not {rows:,}")


def _add_details(total: dict[str, Any], batch: Mapping[str, Any]) -> None:
    for name, value in batch.items():
        if isinstance(value, Mapping):
            _add_details(total.setdefault(name, {}), value)
        elif name in total and isinstance(value, int) and not isinstance(value, bool):
            total[name] += value
        else:
            total.setdefault(name, value)


def _compare(
    recording: Mapping[str, LayerRecorder],
    result: RunResult,
    batch: Mapping[str, Array],
    rows: int,
    lowered_values: Activations,
) -> None:
    """Compare the first rows of a batch with the ANN's activations."""
    known = recorders_by_activation(recording)

    def compare(named: tuple[str, FloatArray]) -> None:
        name, activation = named
        counts = result.spike_counts[known[name].population.name]
        known[name].compare(counts[:rows], activation)

    with one_blas_thread():
        found = lowered_values({name: x[:rows] for name, x in batch.items()})
        on_threads(compare, [named for named in found if named[0] in known])
