import numpy as np
from onnx_models import make_model, make_node

from snnconvert.convert.ann import AnnSession


def test_dequantised_weights_leave_the_activations_alone(rng: np.random.Generator) -> None:
    """By itself, onnxruntime 1.31 rounds them to 8 bits before such a product."""
    nodes = [
        make_node("DequantizeLinear", ["q", "scale"], ["w"]),
        make_node("MatMul", ["x", "w"], ["y"]),
    ]
    weights = rng.integers(-128, 128, (32, 8)).astype(np.int8)
    constants = {"q": weights, "scale": np.array(0.05, np.float32)}
    session = AnnSession(
        make_model(nodes, {"x": ["N", 32]}, constants=constants).SerializeToString()
    )
    x = rng.standard_normal((5, 32)).astype(np.float32)
    np.testing.assert_allclose(
        session.run({"x": x})["y"], x @ (weights * 0.05), rtol=1e-4, atol=1e-4
    )
