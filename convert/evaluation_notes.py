"""What a reader should know of an evaluation beside its figures: warnings and notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snnconvert.calibration.stored_rows import StoredRows
from snnconvert.convert.spiking_model import SpikingModel
from snnconvert.reports.evaluation import Measurement

RANGE_RATIO = 4.0
"""Evaluation rows may be larger or smaller than calibration rows by this factor."""


def range_warnings(snn: SpikingModel, rows: StoredRows) -> Iterator[str]:
    """Yield a warning where evaluation rows are of another magnitude than calibration rows."""
    for node in snn.network.inputs:
        largest = rows.largest[node.name]
        if not node.bound / RANGE_RATIO <= largest <= node.bound * RANGE_RATIO:
            yield (
                f"input {node.name!r}: calibration rows reach {node.bound:g}, evaluation rows "
                f"{largest:g}; were both preprocessed alike?"
            )


def run_warnings(measured: Measurement) -> Iterator[str]:
    """Yield a warning for silent layers, and for what the target clipped or wrapped."""
    silent = [layer.name for layer in measured.layers if layer.spikes == 0]
    if silent:
        listed = ", ".join(silent)
        yield f"no neuron fired in {len(silent)} of {len(measured.layers)} layers: {listed}"
    for name, counted in measured.details.items():
        total = sum(counted.values()) if isinstance(counted, Mapping) else counted
        if isinstance(total, int) and not isinstance(total, bool) and total > 0:
            what = name.replace("_", " ")
            yield f"the target's arithmetic clipped or wrapped: {total:,} {what} (fidelity.run)"


def run_notes(
    snn: SpikingModel, timesteps: int, asked: int | None, measured: Measurement
) -> Iterator[str]:
    """Yield what differs from what was asked for, or from what the network was made for."""
    if asked is not None and measured.samples < asked:
        yield f"{asked:,} samples were asked for, the data hold {measured.samples:,}"
    if timesteps != snn.timesteps:
        yield (
            f"a run of {timesteps} timesteps; the thresholds were chosen for {snn.timesteps}, and "
            "others may be better here"
        )
