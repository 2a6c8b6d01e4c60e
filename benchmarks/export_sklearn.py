"""Write multi-layer perceptrons of scikit-learn as ONNX: ``export_sklearn.py FOLDER``.

Needs ``scikit-learn`` and ``skl2onnx``. Trained for a few iterations on seeded random rows: the
files are for the importer, their accuracy means nothing.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

FEATURES = 12


def main(folder: Path) -> None:
    """Write the files."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, FEATURES)).astype(np.float32)
    labels = (x @ rng.standard_normal((FEATURES, 4))).argmax(axis=1)
    values = np.abs(x @ rng.standard_normal(FEATURES))
    settings = {"hidden_layer_sizes": (24, 16), "max_iter": 20, "random_state": 0}
    models = {
        "mlp_regressor": (MLPRegressor(**settings), values),
        "mlp_regressor_scaled": (make_pipeline(StandardScaler(), MLPRegressor(**settings)), values),
        "mlp_regressor_min_max": (make_pipeline(MinMaxScaler(), MLPRegressor(**settings)), values),
        "mlp_regressor_tanh": (MLPRegressor(activation="tanh", **settings), values),
        "mlp_regressor_logistic": (MLPRegressor(activation="logistic", **settings), values),
        "mlp_classifier": (MLPClassifier(**settings), labels),
        "mlp_classifier_binary": (MLPClassifier(**settings), labels % 2),
    }
    for name, (model, target) in models.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # twenty iterations do not converge
            model.fit(x, target)
        options = {"zipmap": False} if "classifier" in name else None
        onnx = to_onnx(model, x[:1], options=options, target_opset=17)
        if options is not None:  # the label is looked up in a table of classes
            onnx = select_model_inputs_outputs(onnx, outputs=["probabilities"])
        (folder / f"{name}.skl2onnx.onnx").write_bytes(onnx.SerializeToString())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
