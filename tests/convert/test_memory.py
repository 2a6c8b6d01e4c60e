"""What is found once is found once."""

import numpy as np
import pytest

from snnconvert.calibration.activations import observe
from snnconvert.convert import conversion, pipeline
from snnconvert.convert.memory import Memory
from snnconvert.models import shipped_model_path


def test_a_key_is_asked_for_once() -> None:
    memory, asked = Memory(), []
    for key in ("a", "b", "a"):
        memory.once(key, lambda key=key: asked.append(key))  # type: ignore[misc]
    assert asked == ["a", "b"]


def test_conversions_that_share_a_memory_are_those_that_do_not(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    model, rows = shipped_model_path("fashion_cnn"), rng.random((6, 1, 28, 28), np.float32)
    observed = 0
    original = observe

    def counting(*arguments: object, **options: object) -> object:
        nonlocal observed
        observed += 1
        return original(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(conversion, "observe", counting)
    memory = Memory()
    for readout, timesteps in (("membrane", 4), ("membrane", 8), ("count", 4)):
        shared, alone = (
            pipeline.convert_model(
                model,
                rows,
                timesteps=timesteps,
                readout=readout,
                method="mse",
                memory=used,
            )
            for used in (memory, None)
        )
        for one, other in zip(shared.network.populations, alone.network.populations, strict=True):
            np.testing.assert_array_equal(one.threshold, other.threshold)
    assert observed == 3 + 2  # a memory keeps the statistics of each readout
