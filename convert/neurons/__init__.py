"""Neuron models: one law each, as a closed form and as a plain NumPy step.

Every module of this package is scanned; a model registers itself with :func:`neuron_model`.
"""

from snnconvert.convert.neurons.registry import (
    NeuronModel,
    NeuronState,
    SpikeValues,
    get_neuron_model,
    model_name,
    neuron_model,
    neuron_models,
    neuron_of,
    spike_values,
)

__all__ = [
    "NeuronModel",
    "NeuronState",
    "SpikeValues",
    "get_neuron_model",
    "model_name",
    "neuron_model",
    "neuron_models",
    "neuron_of",
    "spike_values",
]
