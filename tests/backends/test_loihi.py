"""The Loihi target as a user meets it: options, refusals, results, what it says of itself."""

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnconvert.backends.base import get_backend
from snnconvert.backends.loihi import LoihiBackend
from snnconvert.backends.loihi.scales import SMALLEST_EXPONENT
from snnconvert.convert.errors import (
    DataError,
    MissingExtraError,
    ParityError,
    UnsupportedModelError,
    UsageError,
)
from snnconvert.convert.linear import Convolution, Dense, FloatArray, Reshape, Scale
from snnconvert.convert.network import Connection, Input, Network, Population, Readout

ONE = np.ones(1)
needs_nengo_loihi = pytest.mark.skipif(
    importlib.util.find_spec("nengo_loihi") is None, reason="nengo-loihi is not installed"
)


def population(name: str, shape: tuple[int, ...], **changes: Any) -> Population:
    zero = np.zeros(1)
    plain = Population(name, shape, ONE, ONE, ONE, zero, zero, reset="zero")
    return replace(plain, **changes)


def net(weight: FloatArray | None = None, **changes: Any) -> Network:
    """Input (2, 5, 5) -> conv -> dense readout of 3; `changes` are the population's."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.3, (4, 2, 3, 3)) if weight is None else weight
    kernel = Convolution((2, 5, 5), weight, (1, 1), ((1, 1), (1, 1)), (1, 1))
    second = Convolution((4, 5, 5), rng.normal(0, 0.3, (4, 4, 3, 3)), (2, 2), ((1, 1),) * 2, (1, 1))
    return Network(
        "small",
        (
            Input("x", (2, 5, 5)),
            population("first", (4, 5, 5), **changes),
            population("second", (4, 3, 3)),
            Readout("y", (3,), bias=np.array([0.5, 0.0, -0.5]), scale=ONE),
        ),
        (
            Connection("x", "first", (kernel,)),
            Connection("first", "second", (second,)),
            Connection(
                "second",
                "y",
                (Reshape((4, 3, 3), (36,)), Dense((36,), rng.normal(size=(3, 36)))),
            ),
        ),
    )


@pytest.fixture
def x() -> FloatArray:
    return np.random.default_rng(1).uniform(-1, 1, (4, 2, 5, 5))


def problem_of(network: Network) -> Any:
    (problem,) = LoihiBackend().check(network)
    return problem


def test_importing_the_target_imports_neither_nengo_nor_nengo_loihi() -> None:
    code = (
        "import sys, snnconvert.backends.loihi as m; "
        "sys.exit(any(n in sys.modules for n in ('nengo', 'nengo_loihi', 'numba')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("missing", ["nengo", "nengo_loihi"])
def test_a_missing_extra_names_the_command_that_installs_it(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == missing else found(name)
    )
    with pytest.raises(MissingExtraError) as caught:
        get_backend("loihi")
    text = caught.value.render()
    assert f"target 'loihi' needs the package {missing.replace('_', '-')}" in text
    assert 'pip install "snnconvert[loihi]"' in text


@needs_nengo_loihi
class TestRefusals:
    def test_soft_reset(self) -> None:
        assert problem_of(net(reset="subtract")).message == (
            "target 'loihi' has no reset 'subtract'"
        )

    def test_windows_delays_and_events(self) -> None:
        backend = LoihiBackend()
        assert "no firing and bias windows" in problem_of(net(start=2)).message
        plain = net()
        delayed = replace(
            plain,
            connections=tuple(replace(c, delay=c.source == "first") for c in plain.connections),
        )
        assert "a delay of" in backend.check(delayed)[0].message
        events = plain.replace_nodes([replace(plain.inputs[0], encoding="events")])
        assert "no input encoding 'events'" in backend.check(events)[0].message

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_weights_biases_and_thresholds_that_are_not_finite(self, value: float) -> None:
        weight = np.full((4, 2, 3, 3), 0.1)
        weight[1, 0, 2, 2] = value
        assert problem_of(net(weight)).message == (
            "the weights 'x -> first' are infinite, NaN or not positive"
        )
        assert "the bias of 'first'" in problem_of(net(bias=np.array([value]))).message
        assert "the thresholds of 'first'" in problem_of(net(threshold=np.array([value]))).message

    def test_a_layer_that_fits_no_core(self) -> None:
        wide = Network(
            "wide",
            (
                Input("x", (5120,)),
                population("many", (5120,)),
                population("few", (4,)),
                Readout("y", (4,), bias=np.zeros(1), scale=ONE),
            ),
            (
                Connection("x", "many"),
                Connection("many", "few", (Dense((5120,), np.ones((4, 5120))),)),
                Connection("few", "y"),
            ),
        )
        with pytest.raises(UnsupportedModelError) as caught:
            LoihiBackend().emit(wide)
        text = caught.value.render()
        assert "one neuron of 'few' needs 5,120 input axons, a Loihi core has 4,096" in text
        assert "where: population 'few' of shape (4,)" in text

    def test_a_connection_too_weak_for_the_layers_scale(self) -> None:
        """nengo-loihi would make the weights of `second` up to three times too large."""
        pair = Network(
            "pair",
            (
                Input("x", (4,)),
                population("first", (4,)),
                population("second", (4,)),
                population("sum", (4,)),
                Readout("y", (4,), bias=np.zeros(1), scale=ONE),
            ),
            (
                Connection("x", "first"),
                Connection("x", "second"),
                Connection("first", "sum"),
                Connection("second", "sum", (Scale((4,), np.full(1, 1 / 256)),)),
                Connection("sum", "y"),
            ),
        )
        with pytest.raises(UnsupportedModelError) as caught:
            LoihiBackend().emit(pair)
        (problem,) = caught.value.problems
        assert problem.message == (
            "the synapses 'second' -> 'sum' are 256 times weaker than the strongest into the same "
            "layer, a Loihi core can hold a ratio below 128"
        )

    def test_an_error_of_nengo_loihi_names_the_layer(self) -> None:
        from snnconvert.backends.loihi.chip import _translated
        from snnconvert.backends.loihi.nengo_modules import nengo

        emitted = LoihiBackend().emit(net())
        with pytest.raises(UnsupportedModelError) as caught, _translated(emitted.layers):
            raise nengo.exceptions.BuildError(f"LoihiBlock({emitted.layers['second']}): too much")
        assert caught.value.problems[0].node == "second"
        assert "nengo-loihi cannot build layer 'second'" in caught.value.problems[0].message
        with pytest.raises(UnsupportedModelError) as caught, _translated(emitted.layers):
            raise AssertionError
        assert "AssertionError without a message" in caught.value.problems[0].message

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"input": "neuron"}, "unknown option 'neuron'; did you mean 'neurons'?"),
            ({"engine": "quick"}, "unknown option 'quick'"),
            ({"parity_samples": -1}, "parity_samples must be at least 0"),
            ({"timesteps": 0}, "timesteps at least 1"),
        ],
    )
    def test_options_out_of_range(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError, match=re.escape(message)):
            LoihiBackend().emit(net(), **options)

    def test_samples_that_cannot_be_written(self, x: FloatArray) -> None:
        with pytest.raises(DataError, match="hold NaN or infinite values"):
            LoihiBackend().emit(net()).run(x * np.nan, 8)
        with pytest.MonkeyPatch.context() as patch:  # finite samples may overflow on their way
            patch.setattr("snnconvert.backends.loihi.emitted.host_currents", lambda *_: x * np.inf)
            with pytest.raises(DataError, match="infinite currents or NaN in layer 'first'"):
                LoihiBackend().emit(net()).run(x, 8)
        positive = LoihiBackend().emit(net(), input="neurons", signed_input=False)
        with pytest.raises(DataError, match="neurons for positive values only"):
            positive.run(x, 8)
        assert positive.run(abs(x), 8).logits.shape == (8, 4, 3)

    def test_timesteps_below_one(self, x: FloatArray) -> None:
        with pytest.raises(UsageError, match="timesteps must be at least 1"):
            LoihiBackend().emit(net()).run(x, 0)


@needs_nengo_loihi
class TestResults:
    def test_shapes_latency_and_records(self, x: FloatArray) -> None:
        result = LoihiBackend().emit(net()).run(x, 20, record=("second",))
        assert result.latency == 2
        assert result.logits.shape == (20, 4, 3)
        assert set(result.spike_counts) == {"first", "second"}
        train = result.spikes["second"]
        assert train.shape == (22, 4, 4, 3, 3)
        np.testing.assert_array_equal(train.sum(axis=0), result.spike_counts["second"])
        assert result.details["current_overflows"] == {}
        assert result.details["clipped_currents"] == 0

    def test_outputs_are_the_mean_current_in_ann_units(self, x: FloatArray) -> None:
        """What the readout's weights make of the spikes that reach it within the window."""
        network = net()
        result = LoihiBackend().emit(network).run(x, 40, record=("second",))
        counts = result.spikes["second"][1:41].sum(axis=0).reshape(4, 36)
        weight = network.connections[-1].operators[-1].weight  # type: ignore[attr-defined]
        expected = counts @ weight.T / 40 + network["y"].bias  # type: ignore[union-attr]
        np.testing.assert_allclose(result.logits[-1], expected, atol=0.02)

    def test_a_share_of_the_window_is_left_out_where_the_readout_says_so(
        self, x: FloatArray
    ) -> None:
        plain = net()
        late = plain.replace_nodes([replace(plain.readouts[0], discard=0.5)])
        whole, half = (LoihiBackend().emit(n).run(x, 16).logits for n in (plain, late))
        np.testing.assert_allclose(half[15], (whole[15] * 16 - whole[7] * 8) / 8, atol=1e-9)
        rising = plain.replace_nodes([replace(plain.readouts[0], rising=True)])
        currents = np.diff(whole * np.arange(1, 17)[:, None, None], axis=0, prepend=0)
        expected = np.tensordot(rising.readouts[0].step_weights(16), currents, axes=1)
        weighted = LoihiBackend().emit(rising).run(x, 16).logits[15]
        np.testing.assert_allclose(weighted, expected, atol=1e-9)

    def test_input_neurons_follow_the_sign_of_the_input(self, x: FloatArray) -> None:
        result = LoihiBackend().emit(net(), input="neurons").run(x, 60)
        counts = result.spike_counts["x/neurons"]
        assert counts.shape == (4, 4, 5, 5)
        positive, negative = counts[:, :2], counts[:, 2:]
        assert not positive[x < 0].any() and not negative[x > 0].any()
        rates = (positive - negative) / 63
        assert np.corrcoef(rates.reshape(-1), x.reshape(-1))[0, 1] > 0.97

    def test_a_simulator_of_ones_own_gives_the_same_voltages(self, x: FloatArray) -> None:
        from snnconvert.backends.loihi.nengo_modules import nengo_loihi

        emitted = LoihiBackend().emit(net())
        ours = emitted._engine.run(emitted._biases({"x": x[2:3]})[0], 1, 15)
        with pytest.warns(RuntimeWarning, match="invalid value encountered in cast"):
            simulator = nengo_loihi.Simulator(emitted.network, target="sim", progress_bar=False)
        with simulator:
            emitted.present(x[2], simulator)
            simulator.run_steps(15)
            theirs = simulator.data[emitted.probes["y"]]
        np.testing.assert_array_equal(theirs, ours.voltages["y"][0])

    def test_the_network_needs_nothing_but_nengo_loihi(self) -> None:
        """Labels, one ensemble a layer, the chip's registers already as we need them."""
        emitted = LoihiBackend().emit(net())
        assert [e.label for e in emitted.network.all_ensembles] == ["first", "second", "y"]
        assert emitted.network.label == "small"
        for core in emitted.chip.cores:
            compartment = core.block.compartment
            assert (compartment.decay_u == 4095).all()
            assert compartment.vmin >= 1 - 2**23
            assert compartment.vmax == 2**23 - 1

    def test_a_difference_is_an_error(self, x: FloatArray, monkeypatch: pytest.MonkeyPatch) -> None:
        emitted = LoihiBackend().emit(net(), parity_samples=1)
        compartment = emitted._emulator.emulator.compartment
        monkeypatch.setattr(compartment, "vth", compartment.vth * 2)
        with pytest.raises(ParityError) as caught:
            emitted.parity(x, 20)
        assert "the engine and nengo-loihi's emulator differ in" in caught.value.render()
        assert "where: " in caught.value.render()

    def test_parity_can_be_left_out(self, x: FloatArray) -> None:
        assert LoihiBackend().emit(net(), parity_samples=0).parity(x, 8) is None

    def test_what_it_says_of_itself_is_json(self, x: FloatArray) -> None:
        emitted = LoihiBackend().emit(net(), parity_samples=1)
        result = emitted.run(x, 8)
        for document in (
            emitted.resources(),
            emitted.fidelity(),
            emitted.parity(x, 8),
            result.details,
        ):
            json.dumps(document, allow_nan=False)
        fidelity = emitted.fidelity()
        assert (fidelity["delay"], fidelity["reset"], fidelity["weight_bits"]) == (1, "zero", 8)
        assert fidelity["input"] == "host"
        assert fidelity["engine"].startswith("integer network")

    def test_resources_add_up(self) -> None:
        emitted = LoihiBackend().emit(net())
        found = emitted.resources()
        assert found["cores"] == sum(layer["cores"] for layer in found["layers"])
        assert found["compartments"] == sum(layer.size for layer in emitted.blueprint.layers)
        assert found["chips"] == 1
        assert [layer["name"] for layer in found["layers"]] == ["first", "second", "y"]
        assert found["utilisation"]["first"]["compartments"] == 100 / 1024
        for synapses in found["synapses"]:
            assert synapses["weight_bits"] == 8
            assert 0 < synapses["quantisation_error"] < 0.02

    def test_lost_bits_are_reported(self) -> None:
        emitted = LoihiBackend().emit(net(), timesteps=4000)
        readout = emitted.resources()["synapses"][-1]
        assert readout["exponent"] == emitted.fidelity()["readout_exponent"] <= -4
        assert readout["exponent"] >= SMALLEST_EXPONENT
        assert readout["weight_bits"] == 8 - readout["lost_bits"] == 9 + readout["exponent"]
        assert readout["quantisation_error"] > 0.02


@needs_nengo_loihi
@pytest.mark.slow
@pytest.mark.parametrize(("model", "cores"), [("fashion_cnn", 25), ("fashion_resnet", 30)])
def test_shipped_models_fit(model: str, cores: int, repository: Path) -> None:
    import snnconvert

    path = repository / "models" / f"{model}.onnx"
    snn = snnconvert.convert_model(path, target="loihi", timesteps=16, calibration_rows=50)
    found = LoihiBackend().emit(snn, parity_samples=0).resources()
    assert found["cores"] <= cores
    assert found["chips"] == 1


@needs_nengo_loihi
@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "calibration", "scale"),
    [
        ("mnist_avgpool_biasfree", "mnist_calibration", 1 / 255),
        ("mnist_maxpool_opset8", "mnist_calibration", None),
        ("nmnist_sumpool_biasfree", None, None),
    ],
)
def test_third_party_networks_fit_and_agree_with_the_emulator(
    model: str, calibration: str | None, scale: float | None, test_data: Path
) -> None:
    import snnconvert

    rng = np.random.default_rng(0)
    rows = (
        rng.poisson(0.3, (20, 2, 34, 34)).astype(np.float32)
        if calibration is None
        else np.load(test_data / "data" / f"{calibration}.npz")["x"][:20].astype(np.float32)
    )
    snn = snnconvert.convert_model(
        test_data / "models" / f"{model}.onnx", rows, target="loihi", timesteps=16, scale=scale
    )
    emitted = LoihiBackend().emit(snn, parity_samples=1)
    samples = rows[:1] * np.float32(scale or 1)
    found = emitted.parity(samples, 12)
    assert found is not None and found["differing_spikes"] == 0
    assert found["spikes"] > 1000
    assert emitted.resources()["chips"] == 1
