"""Neuron models: one law each, as a closed form and as a plain NumPy step.

Every module of this package is scanned; a model registers itself with :func:`neuron_model`.
"""

from snnconvert.convert.neurons.registry import (
    NeuronModel,
    get_neuron_model,
    neuron_model,
    neuron_models,
)

__all__ = ["NeuronModel", "get_neuron_model", "neuron_model", "neuron_models"]
