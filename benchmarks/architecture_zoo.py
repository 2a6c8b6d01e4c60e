"""The architectures of ``benchmarks/architectures.py``: builders with random weights.

Inputs and classifiers are small; depths and blocks are those of the original constructors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import library as torch_library
from torch import nn

CLASSES = 10


@cache
def _declare_compiled_operators() -> torch_library.Library:
    """Let torchvision be imported where its compiled operators do not load.

    Its wheel for CUDA beside torch's for processors lacks them; importing it then fails on the
    declarations of `nms` and `qnms`, which no network here uses.
    """
    library = torch_library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    folder = Path(str(find_spec("torchvision").origin)).parent  # type: ignore[union-attr]
    try:
        for compiled in folder.glob("_C*.so"):
            torch.ops.load_library(compiled)  # type: ignore[no-untyped-call]
    except OSError:
        for name in ("nms", "qnms"):
            signature = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            library.define(signature)  # type: ignore[no-untyped-call]
    return library


@dataclass(frozen=True)
class Architecture:
    """One network.

    Attributes
    ----------
    name, source : str
        `source` is "torchvision", "timm", or "own" for a small module of the tests.
    build : callable
        Returns the module.
    shape : tuple of int
        Of one sample.
    refused : bool
        Whether it holds something that no plain spiking network computes.
    """

    name: str
    source: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...] = (3, 32, 32)
    refused: bool = False


class Scores(nn.Module):
    """A segmentation network's scores, taken out of its dictionary of outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Any) -> Any:
        return self.network(x)["out"]


def _torchvision(name: str, **arguments: Any) -> nn.Module:
    _declare_compiled_operators()
    from torchvision import models

    options: dict[str, Any] = {"weights": None, "num_classes": CLASSES} | arguments
    network: nn.Module = models.get_model(name, **options)
    return network


def _small_head(name: str, channels: int) -> nn.Module:
    """Return VGG or AlexNet with one dense layer in place of their hundred million weights."""
    network = _torchvision(name)
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier = nn.Linear(channels, CLASSES)
    return network


def _resnet(block: str, layers: list[int], **arguments: Any) -> nn.Module:
    _declare_compiled_operators()
    from torchvision.models import resnet

    network: nn.Module = resnet.ResNet(
        getattr(resnet, block), layers, num_classes=CLASSES, **arguments
    )
    return network


def _segmentation(name: str) -> nn.Module:
    return Scores(_torchvision(name, weights_backbone=None))


def _timm(name: str, **arguments: Any) -> nn.Module:
    _declare_compiled_operators()
    import timm

    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=CLASSES, **arguments)
    return network


def _ghostnet_without_excitation() -> nn.Module:
    """Return GhostNet with the squeeze-and-excitation of its blocks left out."""
    _declare_compiled_operators()
    from timm.models.ghostnet import GhostNet

    settings = [
        [[3, 16, 16, 0, 1]],
        [[3, 48, 24, 0, 2]],
        [[3, 72, 24, 0, 1]],
        [[5, 72, 40, 0, 2]],
        [[5, 120, 40, 0, 1]],
        [[3, 240, 80, 0, 2]],
        [[3, 200, 80, 0, 1], [3, 184, 80, 0, 1], [3, 480, 112, 0, 1]],
        [[5, 672, 160, 0, 2]],
        [[5, 960, 160, 0, 1]],
    ]
    network: nn.Module = GhostNet(settings, num_classes=CLASSES, width=0.5)
    return network


def _own(name: str) -> Architecture:
    from small_networks import NETWORKS

    build, shape = NETWORKS[name]
    return Architecture(f"own_{name}", "own", build, shape)


def _vision(name: str, *shape: int, refused: bool = False, **arguments: Any) -> Architecture:
    def build() -> nn.Module:
        return _torchvision(name, **arguments)

    return Architecture(name, "torchvision", build, shape or (3, 32, 32), refused)


def _image(name: str, *shape: int, refused: bool = False, **arguments: Any) -> Architecture:
    def build() -> nn.Module:
        return _timm(name, **arguments)

    return Architecture(f"timm_{name}", "timm", build, shape or (3, 32, 32), refused)


def _made(name: str, build: Callable[[], nn.Module], *shape: int) -> Architecture:
    return Architecture(name, "torchvision", build, shape or (3, 32, 32))


def architectures() -> dict[str, Architecture]:
    """Return all of them by name."""
    found = [
        *_torchvision_classifiers(),
        *_torchvision_others(),
        *_timm_classifiers(),
        *_refused(),
        *(_own(name) for name in _own_names()),
    ]
    return {architecture.name: architecture for architecture in found}


def _own_names() -> list[str]:
    from small_networks import NETWORKS

    return list(NETWORKS)


def _torchvision_classifiers() -> list[Architecture]:
    return [
        _made("alexnet", lambda: _small_head("alexnet", 256), 3, 64, 64),
        _made("vgg11", lambda: _small_head("vgg11", 512)),
        _made("vgg16_bn", lambda: _small_head("vgg16_bn", 512)),
        _vision("resnet18"),
        _vision("resnet50"),
        _made(
            "resnext26_8x4d",
            lambda: _resnet("Bottleneck", [2, 2, 2, 2], groups=8, width_per_group=4),
        ),
        _made("wide_resnet26_2", lambda: _resnet("Bottleneck", [2, 2, 2, 2], width_per_group=128)),
        _vision("densenet121"),
        _vision("googlenet", 3, 64, 64, aux_logits=False, init_weights=False),
        _vision("inception_v3", 3, 96, 96, aux_logits=False, init_weights=False),
        _vision("squeezenet1_0", 3, 64, 64),
        _vision("squeezenet1_1", 3, 64, 64),
        _vision("shufflenet_v2_x0_5"),
        _vision("shufflenet_v2_x1_0"),
        _vision("mnasnet0_5"),
        _vision("mobilenet_v2", width_mult=0.5),
        _vision("regnet_x_400mf"),
    ]


def _torchvision_others() -> list[Architecture]:
    return [
        _made("fcn_resnet50", lambda: _segmentation("fcn_resnet50"), 3, 64, 64),
        _made("deeplabv3_resnet50", lambda: _segmentation("deeplabv3_resnet50"), 3, 64, 64),
        _vision("r3d_18", 3, 4, 16, 16),
        _vision("mc3_18", 3, 4, 16, 16),
        _vision("r2plus1d_18", 3, 4, 16, 16),
    ]


def _timm_classifiers() -> list[Architecture]:
    return [
        _image("mobilenetv1_100"),
        _image("mobilenetv2_050"),
        _image("efficientnet_lite0"),
        _image("tf_efficientnet_lite0"),
        _image("fbnetc_100"),
        _image("spnasnet_100"),
        _image("mixnet_s", refused=True),
        _image("dla34"),
        _image("dla60x_c"),
        _image("vovnet39a"),
        _image("hrnet_w18_small"),
        _image("regnetx_002"),
        _image("repvgg_a0"),
        _image("res2net50_26w_4s"),
        _image("selecsls42b", 3, 64, 64),
        _image("dpn48b"),
        _image("inception_v4", 3, 96, 96),
        _image("xception41", 3, 64, 64),
        _image("darknet53"),
        _image("cspresnet50"),
        _image("cspdarknet53"),
        _image("resnet10t"),
        _image("resmlp_12_224", 3, 32, 32, img_size=32),
        Architecture("timm_ghostnet_no_se", "timm", _ghostnet_without_excitation),
    ]


def _refused() -> list[Architecture]:
    small_vit = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3}
    return [
        _vision("mobilenet_v3_small", refused=True),
        _vision("mobilenet_v3_large", refused=True),
        _vision("efficientnet_b0", refused=True),
        _vision("regnet_y_400mf", refused=True),
        _vision("convnext_tiny", refused=True),
        _image("ghostnet_050", refused=True),
        _image("lcnet_050", refused=True),
        _image("ese_vovnet19b_slim", refused=True),
        _image("vit_tiny_patch16_224", refused=True, **small_vit),
        _image("mixer_s16_224", 3, 64, 64, refused=True, img_size=64),
    ]
