"""Agreement of staged quantised networks with onnxruntime, by bit width.

    python benchmarks/quantised.py [--rows N]

Quantises the shipped networks to 2, 3, 4 and 8 bits (QDQ behind every Relu, weights of 8 bits, of
4 with activations of 4), and to 8 bits with onnxruntime's own static quantiser in both of its
formats. Prints for each: T, the share of rows with the same answer, against onnxruntime as the
file stands and with its integer kernels, and the largest share of other integers in a layer. The
spiking network is computed by the law of a staged run, which the CPU simulator equals spike for
spike.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from snnconvert.models import shipped_model_path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

NETWORKS = ("fashion_cnn", "fashion_resnet")
CALIBRATION_ROWS = 100


class _Reader:
    """Calibration rows for onnxruntime's quantiser."""

    def __init__(self, name: str, rows: np.ndarray[Any, Any]) -> None:
        self.batches = iter([{name: rows}])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.batches, None)


def _static(path: Path, form: str, rows: np.ndarray[Any, Any]) -> ModelProto:
    """Return the network as onnxruntime's static quantiser writes it."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        prepared, result = Path(folder) / "prepared.onnx", Path(folder) / "quantised.onnx"
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        name = onnx.load(prepared).graph.input[0].name
        quantize_static(
            prepared, result, _Reader(name, rows), quant_format=QuantFormat[form],
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True,
        )  # fmt: skip
        return onnx.load(result)


def _cases(path: Path, rows: np.ndarray[Any, Any]) -> Iterator[tuple[str, ModelProto]]:
    from quantised_models import with_quantisers

    model = onnx.load(path)
    for bits in (2, 3, 4, 8):
        weight_bits = 4 if bits == 4 else 8
        yield f"{bits} bits", with_quantisers(model, bits, rows, weight_bits=weight_bits)
    for form in ("QDQ", "QOperator"):
        yield f"static {form}", _static(path, form, rows)


def main() -> None:
    from quantised_models import compare

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1000)
    arguments = parser.parse_args()
    print(f"{'network':16} {'quantised':16} {'T':>4} {'file':>7} {'kernels':>7} {'integers':>9}")
    for name in NETWORKS:
        path = shipped_model_path(name)
        assert path is not None
        calibration, rows = (
            np.load(path.with_name(f"{name}.{kind}.npz"))["x"].astype(np.float32)
            for kind in ("calibration", "eval")
        )
        for label, model in _cases(path, calibration[:CALIBRATION_ROWS]):
            plain = compare(model, rows[: arguments.rows])
            fused = compare(model, rows[: arguments.rows], fused=True)
            other = max(plain.differing.values())
            print(
                f"{name:16} {label:16} {plain.levels:4} {plain.argmax:7.2%} {fused.argmax:7.2%} "
                f"{other:9.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
