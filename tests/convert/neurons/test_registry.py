"""Names of neuron models: what they say, and what is wrong with them."""

import numpy as np
import pytest

from snnconvert.convert.errors import UsageError
from snnconvert.convert.neurons import SpikeValues, spike_values


@pytest.mark.parametrize(
    ("name", "values", "dtype", "binary", "unit"),
    [
        ("if", SpikeValues(0, 1), np.bool_, True, True),
        ("signed", SpikeValues(-1, 1), np.int8, False, True),
        ("graded:1", SpikeValues(0, 1), np.bool_, True, True),
        ("graded:2", SpikeValues(0, 2), np.int8, False, False),
        ("graded:127", SpikeValues(0, 127), np.int8, False, False),
        ("graded:128", SpikeValues(0, 128), np.int16, False, False),
        ("graded:255", SpikeValues(0, 255), np.int16, False, False),
    ],
)
def test_what_a_spike_can_be(
    name: str, values: SpikeValues, dtype: type, binary: bool, unit: bool
) -> None:
    assert spike_values(name) == values
    assert values.dtype == np.dtype(dtype)
    assert np.iinfo(np.int16).max >= values.highest
    assert (values.binary, values.unit) == (binary, unit)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lif", "unknown neuron model 'lif'"),
        ("graded", "neuron model 'graded' needs the largest payload of a spike"),
        ("graded:", "neuron model 'graded' needs the largest payload of a spike"),
        ("graded:0", "needs a whole number K from 1 to 255, not '0'"),
        ("graded:256", "needs a whole number K from 1 to 255, not '256'"),
        ("graded:2.5", "needs a whole number K from 1 to 255, not '2.5'"),
        ("graded:-3", "needs a whole number K from 1 to 255, not '-3'"),
        ("graded:3:4", "needs a whole number K from 1 to 255, not '3:4'"),
        ("if:2", "neuron model 'if' takes no parameter, 'if:2' was given"),
        ("signed:pair", "neuron model 'signed' takes no parameter, 'signed:pair' was given"),
    ],
)
def test_names_that_say_nothing_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        spike_values(name)
    assert message in caught.value.message
    assert caught.value.hint
