"""Small torch networks in the manner of well-known ones, with seeded random weights.

Each is a few blocks of its family, narrow enough for a test. Batch norms get the statistics of
random inputs, varied a little, so that activations stay in range and no norm is an identity.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Builder = Callable[[], nn.Module]


def unit(
    inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return convolution, batch norm, ReLU."""
    padding = kernel // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def linear_unit(inputs: int, outputs: int, kernel: int = 1, *, groups: int = 1) -> nn.Sequential:
    """Return convolution and batch norm without an activation."""
    padding = kernel // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, 1, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


def head(channels: int, classes: int = 5) -> nn.Sequential:
    """Return global average pooling and a classifier."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class Residual(nn.Module):
    """ResNet: ``relu(x + f(x))`` with a projection where the stride is 2."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        wide = channels * stride
        self.first = unit(channels, wide, stride=stride)
        self.second = linear_unit(wide, wide, 3)
        self.shortcut = (
            nn.Identity() if stride == 1 else nn.Conv2d(channels, wide, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


class Dense(nn.Module):
    """DenseNet: norm and ReLU in front of each convolution, everything kept by concatenation."""

    def __init__(self, channels: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(channels + i * growth),
                nn.ReLU(),
                nn.Conv2d(channels + i * growth, growth, 3, padding=1, bias=False),
            )
            for i in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        return torch.cat(features, 1)


class Inception(nn.Module):
    """GoogLeNet: four branches side by side, one of them max-pooled, one average-pooled."""

    def __init__(self, channels: int, wide: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                unit(channels, wide, 1),
                nn.Sequential(unit(channels, wide, 1), unit(wide, wide, 5)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), unit(channels, wide, 1)),
                nn.Sequential(
                    nn.AvgPool2d(3, 1, 1, count_include_pad=False), unit(channels, wide, 1)
                ),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Shuffle(nn.Module):
    """ShuffleNet v2: half of the channels pass, the other half is convolved, then a shuffle."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            unit(half, half, 1), linear_unit(half, half, 3, groups=half), unit(half, half, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = x.chunk(2, dim=1)
        joined = torch.cat((kept, self.branch(changed)), dim=1)
        n, channels, height, width = joined.shape
        grouped = joined.reshape(n, 2, channels // 2, height, width).transpose(1, 2)
        return grouped.reshape(n, channels, height, width)


class InvertedResidual(nn.Module):
    """MobileNet v2: wide depthwise convolution between linear bottlenecks, ReLU6."""

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.body = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            linear_unit(wide, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.body(x))


class Ghost(nn.Module):
    """GhostNet: half of the channels by a convolution, the others cheaply from those."""

    def __init__(self, channels: int, wide: int) -> None:
        super().__init__()
        self.wide = wide
        half = -(-wide // 2)
        self.primary = unit(channels, half, 1)
        self.cheap = unit(half, half, 3, groups=half)

    def forward(self, x: Tensor) -> Tensor:
        first = self.primary(x)
        return torch.cat([first, self.cheap(first)], dim=1)[:, : self.wide]


class OneShot(nn.Module):
    """VoVNet: all intermediate values concatenated once at the end."""

    def __init__(self, channels: int, wide: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(unit(channels if i == 0 else wide, wide) for i in range(layers))
        self.join = unit(channels + layers * wide, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.layers:
            features.append(layer(features[-1]))
        return torch.add(self.join(torch.cat(features, 1)), x)


class TwoResolutions(nn.Module):
    """HRNet: two resolutions in parallel that exchange sums; the coarse one is upsampled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = unit(channels, 2 * channels, stride=2)
        self.fine, self.coarse = unit(channels, channels), unit(2 * channels, 2 * channels)
        self.up = nn.Sequential(
            linear_unit(2 * channels, channels), nn.Upsample(scale_factor=2, mode="nearest")
        )
        self.again = nn.Conv2d(channels, 2 * channels, 3, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine, coarse = self.fine(x), self.coarse(self.down(x))
        return torch.relu(fine + self.up(coarse)), torch.relu(coarse + self.again(fine))


class HighResolution(nn.Module):
    """Stem, one exchange, classifier on both resolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.exchange = unit(3, 6), TwoResolutions(6)
        self.fine, self.coarse = head(6), head(12)

    def forward(self, x: Tensor) -> Tensor:
        fine, coarse = self.exchange(self.stem(x))
        return torch.add(self.fine(fine), self.coarse(coarse))


class UNet(nn.Module):
    """U-Net: down by max-pooling, up by transposed convolution, bypasses by concatenation."""

    def __init__(self, channels: int = 6, classes: int = 3) -> None:
        super().__init__()
        self.down1, self.down2 = unit(3, channels), unit(channels, 2 * channels)
        self.bottom = unit(2 * channels, 4 * channels)
        self.up2 = nn.ConvTranspose2d(4 * channels, 2 * channels, 2, 2)
        self.up1 = nn.ConvTranspose2d(2 * channels, channels, 2, 2)
        self.join2, self.join1 = unit(4 * channels, 2 * channels), unit(2 * channels, channels)
        self.classify = nn.Conv2d(channels, classes, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.down1(x)
        middle = self.down2(self.pool(fine))
        middle = self.join2(torch.cat([middle, self.up2(self.bottom(self.pool(middle)))], 1))
        fine = self.join1(torch.cat([fine, self.up1(middle)], 1))
        return torch.as_tensor(self.classify(fine))


class FullyConvolutional(nn.Module):
    """FCN: scores on a coarse grid, bilinearly enlarged to the input's size."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(unit(3, 8, stride=2), unit(8, 16, stride=2))
        self.score = nn.Conv2d(16, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.score(self.body(x))
        return nn.functional.interpolate(
            scores, size=x.shape[-2:], mode="bilinear", align_corners=False
        )


class Tokens(nn.Module):
    """Mixer without a product of activations: linear maps along patches and along channels."""

    def __init__(self, patches: int, channels: int) -> None:
        super().__init__()
        self.across = nn.Sequential(
            nn.Linear(patches, 2 * patches), nn.ReLU(), nn.Linear(2 * patches, patches)
        )
        self.within = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.ReLU(), nn.Linear(2 * channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.across(x.transpose(1, 2)).transpose(1, 2)
        return torch.add(x, self.within(x))


class Mixer(nn.Module):
    """Patches by a strided convolution, two mixing blocks, mean over the patches."""

    def __init__(self, channels: int = 12) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, channels, 4, 4)
        self.blocks = nn.Sequential(Tokens(16, channels), Tokens(16, channels))
        self.classify = nn.Linear(channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return torch.as_tensor(self.classify(self.blocks(tokens).mean(dim=1)))


class Fire(nn.Module):
    """SqueezeNet: a narrow layer feeds two side by side."""

    def __init__(self, channels: int, narrow: int, wide: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(nn.Conv2d(channels, narrow, 1), nn.ReLU())
        self.point = nn.Sequential(nn.Conv2d(narrow, wide, 1), nn.ReLU())
        self.spread = nn.Sequential(nn.Conv2d(narrow, wide, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.squeeze(x)
        return torch.cat([self.point(squeezed), self.spread(squeezed)], 1)


def autoencoder() -> nn.Module:
    """Return strided convolutions down, transposed ones up, with output padding and dilation."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(12, 8, 3, 2, 1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 3, 3, 2, 2, output_padding=1, dilation=2),
    )


def signal() -> nn.Module:
    """Return a 1-d network with dilations and max-pooling."""
    return nn.Sequential(
        nn.Conv1d(2, 8, 7, 2, 3),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Conv1d(8, 8, 3, padding=2, dilation=2),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(8, 12, 3, padding=1, groups=4),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(12, 5),
    )


def volume() -> nn.Module:
    """Return a 3-d network."""
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1),
        nn.BatchNorm3d(4),
        nn.ReLU(),
        nn.MaxPool3d(2),
        nn.Conv3d(4, 6, (1, 3, 3), padding=(0, 1, 1)),
        nn.ReLU(),
        nn.AvgPool3d(2),
        nn.Flatten(),
        nn.Linear(24, 5),
    )


def perceptron() -> nn.Module:
    """Return dense layers with batch norm and dropout."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(48, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(32, 24),
        nn.ReLU(),
        nn.Linear(24, 5),
    )


IMAGE = (3, 16, 16)
NETWORKS: dict[str, tuple[Builder, tuple[int, ...]]] = {
    "residual": (
        lambda: nn.Sequential(unit(3, 6), Residual(6), Residual(6, 2), head(12)),
        IMAGE,
    ),
    "dense": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), Dense(6, 4, 3), unit(18, 8, 1), nn.AvgPool2d(2), head(8)
        ),
        IMAGE,
    ),
    "inception": (
        lambda: nn.Sequential(
            unit(3, 8, stride=2), Inception(8, 4), nn.MaxPool2d(3, 2, ceil_mode=True), head(16)
        ),
        IMAGE,
    ),
    "squeeze": (
        lambda: nn.Sequential(
            unit(3, 8, stride=2),
            Fire(8, 4, 8),
            nn.Dropout(),
            nn.Conv2d(16, 5, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        IMAGE,
    ),
    "shuffle": (
        lambda: nn.Sequential(unit(3, 8, stride=2), Shuffle(8), Shuffle(8), head(8)),
        IMAGE,
    ),
    "inverted": (
        lambda: nn.Sequential(
            unit(3, 6, stride=2), InvertedResidual(6, 3), InvertedResidual(6, 2), head(6)
        ),
        IMAGE,
    ),
    "ghost": (lambda: nn.Sequential(unit(3, 8, stride=2), Ghost(8, 11), head(11)), IMAGE),
    "one_shot": (lambda: nn.Sequential(unit(3, 8, stride=2), OneShot(8, 4, 3), head(8)), IMAGE),
    "high_resolution": (HighResolution, IMAGE),
    "unet": (UNet, IMAGE),
    "fully_convolutional": (FullyConvolutional, IMAGE),
    "autoencoder": (autoencoder, IMAGE),
    "mixer": (Mixer, IMAGE),
    "signal": (signal, (2, 32)),
    "volume": (volume, (1, 4, 8, 8)),
    "perceptron": (perceptron, (3, 4, 4)),
}
"""By name: the builder, and the shape of one sample."""


def build_network(build: Builder, shape: tuple[int, ...], seed: int = 0) -> nn.Module:
    """Return a network with seeded weights, ready to be exported."""
    torch.manual_seed(seed)
    network = build()
    settle(network, torch.randn(16, *shape))
    return network


def settle(network: nn.Module, samples: Tensor) -> None:
    """Give batch norms statistics near those of `samples`; leave the network in inference mode."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    network.train()
    with torch.no_grad():
        network(samples)
        for norm in norms:
            _vary(norm)
    network.eval()


def _vary(norm: _BatchNorm) -> None:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    variance.clamp_(min=1e-2)
    mean += 0.2 * variance.sqrt() * torch.randn_like(mean)
    variance *= torch.exp(0.3 * torch.randn_like(variance))
    if norm.affine:
        norm.weight.copy_(0.7 + 0.6 * torch.rand_like(norm.weight))
        norm.bias.copy_(0.3 * torch.randn_like(norm.bias))
