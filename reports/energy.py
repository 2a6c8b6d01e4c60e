"""Energy: published constants times counted operations. An estimate, never a measurement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from snnconvert.reports.operations import Operations

PICO = 1e-12
NANO = 1e-9

HOROWITZ = 'Horowitz, "Computing\'s energy problem", ISSCC 2014: 45 nm, 0.9 V'
KERAS_SPIKING = "KerasSpiking 0.3.0, keras_spiking/model_energy.py, there after"
DAVIES = f"{KERAS_SPIKING} Davies et al. 2018 (IEEE Micro 38)"
HOEPPNER = f"{KERAS_SPIKING} Höppner et al. 2019 (IEEE TCAS-I 66)"
DEGNAN = f"{KERAS_SPIKING} Degnan et al. 2016 (IEEE TVLSI 24)"

CAVEAT = (
    "Estimates, not measurements: published constants times the operations counted above. The "
    "45 nm figures price arithmetic alone, those of a device include its own memory. Left out "
    "everywhere: off-chip traffic, idle power and the host."
)
"""Printed wherever the figures are."""


@dataclass(frozen=True)
class EnergyModel:
    """What each kind of operation is taken to cost.

    Attributes
    ----------
    name : str
        What runs on what.
    what : str
        Which operations are counted, with the constants in words.
    source : str
        Who published them.
    ann_mac, mac, ac, synop, neuron_update : float
        Joules an operation: the ANN's multiply-adds, and the spiking network's effective MACs,
        effective ACs, synaptic operations and neuron updates.
    """

    name: str
    what: str
    source: str
    ann_mac: float = 0.0
    mac: float = 0.0
    ac: float = 0.0
    synop: float = 0.0
    neuron_update: float = 0.0

    def joules(self, operations: Operations) -> float:
        """Return the estimate for one sample."""
        return (
            self.ann_mac * operations.ann_macs
            + self.mac * operations.effective_macs
            + self.ac * operations.effective_acs
            + self.synop * operations.synops
            + self.neuron_update * operations.neuron_updates
        )


BASELINE = EnergyModel(
    name="ANN, 32-bit float, 45 nm",
    what="4.6 pJ a multiply-add (3.7 + 0.9)",
    source=HOROWITZ,
    ann_mac=4.6 * PICO,
)
"""What every ratio refers to."""

ENERGY_MODELS = (
    BASELINE,
    EnergyModel(
        name="ANN, 8-bit integers, 45 nm",
        what="0.23 pJ a multiply-add (0.2 + 0.03); assumes that the ANN survives 8 bits",
        source=HOROWITZ,
        ann_mac=0.23 * PICO,
    ),
    EnergyModel(
        name="ANN on a GPU (GTX Titan Black)",
        what="0.3 nJ a multiply-add, in large batches",
        source=DEGNAN,
        ann_mac=0.3 * NANO,
    ),
    EnergyModel(
        name="SNN, 32-bit float, 45 nm",
        what="0.9 pJ an effective AC, 4.6 pJ an effective MAC; neuron updates not counted",
        source=HOROWITZ,
        mac=4.6 * PICO,
        ac=0.9 * PICO,
    ),
    EnergyModel(
        name="SNN on Loihi",
        what="27.1 pJ a synaptic operation (23.6 + 3.5), 81 pJ a neuron update",
        source=DAVIES,
        synop=(23.6 + 3.5) * PICO,
        neuron_update=81 * PICO,
    ),
    EnergyModel(
        name="SNN on SpiNNaker 2",
        what="450 pJ a synaptic operation, 2.19 nJ a neuron update",
        source=HOEPPNER,
        synop=450 * PICO,
        neuron_update=2.19 * NANO,
    ),
    EnergyModel(
        name="SNN on SpiNNaker",
        what="13.3 nJ a synaptic operation, 26 nJ a neuron update",
        source=HOEPPNER,
        synop=13.3 * NANO,
        neuron_update=26 * NANO,
    ),
)
"""The estimates of a report, in its order."""


@dataclass(frozen=True)
class EnergyEstimate:
    """One estimate for one sample.

    Attributes
    ----------
    model : str
        What runs on what.
    joules : float
    ratio : float or None
        To the ANN in 32-bit float at 45 nm (`BASELINE`); None where the ANN has no multiply-adds.
    what, source : str
        The operations counted with their constants, and who published them.
    """

    model: str
    joules: float
    ratio: float | None
    what: str
    source: str


def estimate_energy(
    operations: Operations, models: Iterable[EnergyModel] = ENERGY_MODELS
) -> tuple[EnergyEstimate, ...]:
    """Return the estimate of every model."""
    reference = BASELINE.joules(operations)
    return tuple(
        EnergyEstimate(
            model=model.name,
            joules=(joules := model.joules(operations)),
            ratio=joules / reference if reference > 0 else None,
            what=model.what,
            source=model.source,
        )
        for model in models
    )
