"""Small trained networks that ship with the package, found by name."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent


def shipped_models() -> tuple[str, ...]:
    """Return the names of the networks that ship with the package, sorted.

    Examples
    --------
    >>> shipped_models()
    ('fashion_cnn', 'fashion_mobilenet', 'fashion_resnet', 'fashion_vgg')
    """
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.onnx")))


def shipped_model_path(name: str) -> Path | None:
    """Return the ONNX file of one shipped network, or None where none has that name.

    Parameters
    ----------
    name : str
        One of `shipped_models`, without the suffix.

    Returns
    -------
    Path or None
        ``NAME.onnx``; ``NAME.calibration.npz`` and ``NAME.eval.npz`` lie beside it.

    Examples
    --------
    >>> shipped_model_path("fashion_cnn").name
    'fashion_cnn.onnx'
    """
    return _FOLDER / f"{name}.onnx" if name in shipped_models() else None
