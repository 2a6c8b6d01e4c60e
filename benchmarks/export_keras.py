"""Write Keras networks as ONNX by tf2onnx and by Keras itself: ``export_keras.py FOLDER``.

Needs ``tensorflow-cpu`` and ``tf2onnx``. Seeded random weights; batch norms get statistics that
are no identity.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from keras import applications, layers

IMAGE = (32, 32, 3)
BARE: dict[str, Any] = {"weights": None, "classes": 10}


def convolutional() -> Any:
    """Return convolutions with batch norm, both poolings, dropout and a softmax."""
    return keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Conv2D(12, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(max_value=6.0),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(16, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def separable() -> Any:
    """Return depthwise and separable convolutions with zero padding."""
    return keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.ZeroPadding2D(),
            layers.DepthwiseConv2D(3, strides=2),
            layers.ReLU(),
            layers.SeparableConv2D(12, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )


def residual() -> Any:
    """Return a residual block and a concatenation."""
    x = keras.Input(IMAGE)
    first = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    second = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(first))
    added = layers.ReLU()(layers.Add()([first, second]))
    joined = layers.Concatenate()([added, first])
    return keras.Model(x, layers.Dense(10)(layers.GlobalMaxPooling2D()(joined)))


def autoencoder() -> Any:
    """Return strided convolutions down, transposed ones and upsampling up."""
    return keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(12, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu"),
            layers.UpSampling2D(),
            layers.Conv2D(3, 3, padding="same"),
        ]
    )


def signal() -> Any:
    """Return a 1-d network."""
    return keras.Sequential(
        [
            keras.Input((32, 2)),
            layers.Conv1D(8, 5, padding="same", activation="relu"),
            layers.MaxPooling1D(2),
            layers.Conv1D(8, 3, dilation_rate=2, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(5),
        ]
    )


def leaky() -> Any:
    """Return activations that are no plain ReLU."""
    return keras.Sequential(
        [
            keras.Input((12,)),
            layers.Dense(16),
            layers.LeakyReLU(0.1),
            layers.Dense(16),
            layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25)),
            layers.Dense(4),
        ]
    )


NETWORKS: dict[str, Callable[[], Any]] = {
    "keras_convolutional": convolutional,
    "keras_separable": separable,
    "keras_residual": residual,
    "keras_autoencoder": autoencoder,
    "keras_signal": signal,
    "keras_leaky": leaky,
    "keras_mobilenet": lambda: applications.MobileNet(IMAGE, alpha=0.25, **BARE),
    "keras_mobilenet_v2": lambda: applications.MobileNetV2(IMAGE, alpha=0.35, **BARE),
    "keras_resnet50": lambda: applications.ResNet50(input_shape=IMAGE, **BARE),
    "keras_densenet121": lambda: applications.DenseNet121(input_shape=IMAGE, **BARE),
}


def settle(network: Any, rng: np.random.Generator) -> None:
    """Give batch norms statistics near those of random samples, in order from the input."""
    x = rng.standard_normal((8, *network.input_shape[1:])).astype(np.float32)
    norms = [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
    network(x, training=True)
    for norm in norms:
        variance = np.maximum(norm.moving_variance.numpy(), 1e-2)
        mean = norm.moving_mean.numpy()
        norm.moving_mean.assign(mean + 0.2 * np.sqrt(variance) * rng.standard_normal(mean.shape))
        norm.moving_variance.assign(variance * np.exp(0.3 * rng.standard_normal(mean.shape)))


def main(folder: Path) -> None:
    """Write each network by both exporters; one that gives up is named."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, build in NETWORKS.items():
        keras.utils.set_random_seed(0)
        network = build()
        settle(network, np.random.default_rng(0))
        signature = [tf.TensorSpec((None, *network.input_shape[1:]), tf.float32, name="input")]
        try:
            function = tf.function(lambda x, network=network: network(x, training=False))
            proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=17)
            (folder / f"{name}.tf2onnx.onnx").write_bytes(proto.SerializeToString())
        except Exception as error:
            print(f"{name}: tf2onnx: {type(error).__name__}: {error}", file=sys.stderr)
        try:
            network.export(folder / f"{name}.keras.onnx", format="onnx", verbose=False)
        except Exception as error:
            print(f"{name}: keras: {type(error).__name__}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
