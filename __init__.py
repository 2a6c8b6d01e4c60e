"""Convert trained ONNX networks into rate-coded spiking networks.

>>> import snnconvert
>>> snnconvert.__version__
'0.1.0'

The names below are loaded when they are first used: importing the package loads no framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnconvert.backends.base import backend_names, get_backend
    from snnconvert.calibration.preprocessing import Preprocessing
    from snnconvert.convert.checking.check import check_model
    from snnconvert.convert.errors import SnnConvertError
    from snnconvert.convert.network import Network
    from snnconvert.convert.pipeline import convert_model
    from snnconvert.convert.spiking_model import SpikingModel, load
    from snnconvert.models import shipped_model_path, shipped_models
    from snnconvert.reports.evaluation import Evaluation
    from snnconvert.tuning.result import TuningResult
    from snnconvert.tuning.tune import tune_model

__version__ = "0.1.0"

_HOME = {
    "Evaluation": "snnconvert.reports.evaluation",
    "Network": "snnconvert.convert.network",
    "Preprocessing": "snnconvert.calibration.preprocessing",
    "SnnConvertError": "snnconvert.convert.errors",
    "SpikingModel": "snnconvert.convert.spiking_model",
    "TuningResult": "snnconvert.tuning.result",
    "backend_names": "snnconvert.backends.base",
    "check_model": "snnconvert.convert.checking.check",
    "convert_model": "snnconvert.convert.pipeline",
    "get_backend": "snnconvert.backends.base",
    "load": "snnconvert.convert.spiking_model",
    "shipped_model_path": "snnconvert.models",
    "shipped_models": "snnconvert.models",
    "tune_model": "snnconvert.tuning.tune",
}

__all__ = [
    "Evaluation",
    "Network",
    "Preprocessing",
    "SnnConvertError",
    "SpikingModel",
    "TuningResult",
    "__version__",
    "backend_names",
    "check_model",
    "convert_model",
    "get_backend",
    "load",
    "shipped_model_path",
    "shipped_models",
    "tune_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'snnconvert' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
