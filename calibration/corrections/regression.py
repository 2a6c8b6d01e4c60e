"""Refit the connections into a node: one linear regression each, in closed form.

What a node lacks is brought nearer to zero by the change of the weights and of the bias that

    minimise  sum (e - D r - d)^2 + ridge |D|^2

with r the mean of what arrives and e what is missing, summed over rows and positions: normal
equations of the size of one kernel, so that some hundred rows determine it. The ridge is the one
of a few that predicts held-out rows best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.replay import FITTED, HELD_OUT, FedNode, ReplayState
from snnconvert.convert.linear import Chain, Convolution, Dense, FloatArray, apply_chain
from snnconvert.convert.network import Connection

RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
"""Strengths that are tried, as shares of the mean square of what arrives."""

LARGEST_KERNEL = 4608
"""Inputs of one output beyond which the normal equations are not worth their size."""

PATCHES = 2**22
"""Numbers of patches that are laid out at a time."""


def refit_connections(
    node: FedNode,
    state: ReplayState,
    missing: Callable[[FedNode], FloatArray],
    rows: slice,
    *,
    weights: FloatArray | None = None,
) -> FedNode:
    """Refit the connections into a node; return it with the bias that goes with them.

    Parameters
    ----------
    node : Population or Readout
    state : ReplayState
        Its network takes the new connections.
    missing : callable
        Returns what a node lacks of its currents, (n, *shape) float32, under the connections that
        were refitted before.
    rows : slice
        Those that make the correction, once every other row has chosen the ridge.
    weights : (frames,) array, optional
        Shares of the frames in the means (default: equal).
    """
    for connection in state.network.incoming(node.name):
        if state.is_analog(connection) or not can_refit(connection):
            continue
        sent = apply_chain(connection.operators[:-1], state.mean_sent(connection.source, weights))
        found = _regress(Patches(connection.operators[-1]), sent, missing(node), rows)
        if found is not None:
            state.replace_connection(connection, moved_chain(connection.operators, found.weight))
            node = replace(node, bias=np.asarray(node.bias + found.bias))
    return node


def can_refit(connection: Connection) -> bool:
    """Tell whether a connection ends in a kernel, small enough for normal equations."""
    if not connection.operators:
        return False
    last = connection.operators[-1]
    if isinstance(last, Convolution):
        return int(np.prod(last.weight.shape[1:])) <= LARGEST_KERNEL
    return isinstance(last, Dense) and last.weight.shape[1] <= LARGEST_KERNEL


def kernel_of(connection: Connection) -> Convolution | Dense:
    """Return the operator of a connection that can be refitted."""
    last = connection.operators[-1]
    assert isinstance(last, Convolution | Dense)
    return last


def moved_chain(operators: Chain, change: FloatArray) -> Chain:
    """Return a chain with its last weights changed."""
    last = operators[-1]
    assert isinstance(last, Convolution | Dense)
    return (*operators[:-1], replace(last, weight=last.weight + change))


@dataclass(frozen=True, eq=False)
class Change:
    """What is added to the weights of an operator and to the bias behind it."""

    weight: FloatArray
    bias: FloatArray


class Patches:
    """Lay out what one output of an operator sees: (groups, positions, inputs) and back."""

    def __init__(self, operator: object) -> None:
        assert isinstance(operator, Convolution | Dense)
        self.operator = operator
        self.groups = operator.groups if isinstance(operator, Convolution) else 1
        self.inputs = int(np.prod(operator.weight.shape[1:]))
        self.outputs = operator.weight.shape[0] // self.groups

    def seen(self, x: FloatArray) -> FloatArray:
        """Return the inputs of every output position."""
        if isinstance(self.operator, Dense):
            return np.moveaxis(x, self.operator.axis % (x.ndim - 1) + 1, -1).reshape(
                1, -1, self.inputs
            )
        windows = self.operator.window.view(x)
        rank = len(self.operator.strides)
        n, channels = windows.shape[:2]
        split = windows.reshape(n, self.groups, channels // self.groups, *windows.shape[2:])
        places, taps = range(3, 3 + rank), range(3 + rank, 3 + 2 * rank)
        return split.transpose(1, 0, *places, 2, *taps).reshape(self.groups, -1, self.inputs)

    def wanted(self, error: FloatArray) -> FloatArray:
        """Return the outputs, in the same order."""
        axis = self.output_axis(error.ndim)
        last = np.moveaxis(error, axis, -1)
        split = last.reshape(-1, self.groups, self.outputs)
        return split.transpose(1, 0, 2)

    def change(self, solved: FloatArray) -> Change:
        """Return (groups, inputs + 1, outputs) as a change of the weights and of the bias."""
        weight = solved[:, :-1].transpose(0, 2, 1).reshape(self.operator.weight.shape)
        bias = solved[:, -1].reshape(-1)
        shape = [1] * len(self.operator.output_shape)
        shape[self.output_axis(len(shape) + 1) - 1] = len(bias)
        return Change(weight, bias.reshape(shape))

    def output_axis(self, rank: int) -> int:
        """Return the axis of the outputs, the batch counted."""
        return self.operator.axis % (rank - 1) + 1 if isinstance(self.operator, Dense) else 1


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums of products over rows and positions; the last input is a constant 1."""

    inputs: npt.NDArray[np.float64]
    products: npt.NDArray[np.float64]
    power: float

    @classmethod
    def of(cls, patches: Patches, sent: FloatArray, error: FloatArray) -> Moments:
        """Add up what arrives (n, ...) and what is missing behind it (n, *shape)."""
        size = patches.inputs + 1
        inputs = np.zeros((patches.groups, size, size))
        products = np.zeros((patches.groups, size, patches.outputs))
        positions = error[0].size // (patches.groups * patches.outputs)
        step = max(PATCHES // (positions * patches.inputs * patches.groups), 1)
        power = 0.0
        for first in range(0, len(sent), step):
            seen = patches.seen(sent[first : first + step])
            seen = np.concatenate([seen, np.ones_like(seen[..., :1])], axis=-1)
            wanted = patches.wanted(error[first : first + step])
            turned = seen.transpose(0, 2, 1)
            inputs += turned @ seen
            products += turned @ wanted
            power += float(np.square(wanted, dtype=np.float64).sum())
        return cls(inputs, products, power)

    def with_rows_of(self, other: Moments) -> Moments:
        """Return the sums over the rows of both."""
        return Moments(
            self.inputs + other.inputs, self.products + other.products, self.power + other.power
        )

    def change(self, ridge: float, level: float) -> FloatArray:
        """Return the change of least squared error; the constant is hardly held back."""
        strength = np.full(self.inputs.shape[-1], ridge * level)
        strength[-1] = 1e-9 * level
        return np.asarray(np.linalg.solve(self.inputs + np.diag(strength), self.products))

    def residual(self, change: FloatArray) -> float:
        """Return the squared error that a change leaves."""
        explained = 2 * (change * self.products).sum() - (change * (self.inputs @ change)).sum()
        return float(self.power - explained)


def _regress(patches: Patches, sent: FloatArray, error: FloatArray, rows: slice) -> Change | None:
    """Return the change that predicts held-out rows best; None where none does better."""
    fitted = Moments.of(patches, sent[FITTED], error[FITTED])
    held_out = Moments.of(patches, sent[HELD_OUT], error[HELD_OUT])
    level = float(np.einsum("gii->", fitted.inputs[:, :-1, :-1])) / (
        patches.groups * patches.inputs
    )
    if level == 0.0:
        return None
    left = {ridge: held_out.residual(fitted.change(ridge, level)) for ridge in RIDGES}
    ridge = min(left, key=left.__getitem__)
    if left[ridge] >= held_out.power:
        return None
    best = (fitted if rows == FITTED else fitted.with_rows_of(held_out)).change(ridge, level)
    return patches.change(best)
