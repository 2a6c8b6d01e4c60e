"""Tune the connections into a population by gradient descent on the outputs that follow from it.

The regression of ``weights.py`` brings the currents of each channel nearest to the ANN's, as if
every error counted alike. Here the errors count by what they do: the population's spikes are
decoded, the ANN's own layers behind it make outputs of the decoded values, and what those lack of
the ANN's outputs is led back to the weights. Roundings of channels and positions then may cancel in
what is made of them, which no fit of one channel sees.

Spikes have no slope. The gradient goes straight through them, from the decoded values to the mean
currents (Bengio et al. 2013, "Estimating or propagating gradients through stochastic neurons"),
but where the neuron hides an error: silent while the ANN is, or at its highest rate while the ANN
is beyond.

The steps are taken in coordinates in which what arrives at a kernel is white. Rates are positive
and go together: plain steps mostly move the mean of a channel to and fro.

The weight calibration of Li et al. 2021 ("A free lunch from ANN", section 3.3, "advanced
pipeline") tunes each layer to its own activations alone, as is done here where a network is not
staged; the outputs then still say when to stop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import torch

from snnconvert.backends.cpu.dense import Weighted, exact_torch, torch_threads, weighted
from snnconvert.backends.cpu.layout import from_stored, stored_shape, to_stored
from snnconvert.calibration.corrections.behind import Behind
from snnconvert.calibration.corrections.regression import (
    Moments,
    Patches,
    can_refit,
    kernel_of,
    moved_chain,
)
from snnconvert.calibration.corrections.weights import hidden_errors
from snnconvert.calibration.replay import Drive, ReplayState, pieces
from snnconvert.convert.linear import FloatArray, apply_chain
from snnconvert.convert.network import Connection, Input, Population
from snnconvert.convert.neurons import spike_values
from snnconvert.convert.threads import Found, Piece, on_threads

STEPS = 60
"""Steps of the descent at most."""

CHECK = 15
"""Steps after which rows that make none are asked whether to stop here."""

STOPPING = slice(1, None, 4)
"""Rows that are asked: half of those that make no steps."""

BATCH = 32
"""Rows of a step."""

RATE = 0.05
"""First length of a step, as a share of a Newton step for errors as large as the layer's own."""

RIDGE = 1e-2
"""Added to the moments of what arrives, as a share of its mean square."""

OUTPUTS = 1.0
"""Weight of the outputs' error beside the layer's own, as large in the first step at 1.

Only where all charge comes first. Else a spike answers to when its charge came, and mean currents
that mend one answer spoil others: ResNet-8 at T = 16 lost 3 % of the logit error by it.
"""

IntVector = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What the ANN has, and what it makes of a layer's values.

    Attributes
    ----------
    behind : Behind
    activations, preactivations : (n, *shape) float32 arrays
        Of the population.
    outputs : dict of (n, *shape) float32 arrays
        By readout.
    """

    behind: Behind
    activations: FloatArray
    preactivations: FloatArray
    outputs: Mapping[str, FloatArray]


def descend(
    population: Population,
    state: ReplayState,
    lesson: Lesson,
    rows: slice,
    order: np.random.Generator,
    *,
    steps: int | None = None,
) -> tuple[Population, int]:
    """Tune the connections into a population; return it with the bias that goes with them.

    Parameters
    ----------
    population : Population
        With reset by subtraction.
    state : ReplayState
        Its network takes the new connections.
    lesson : Lesson
    rows : slice
        Those that make the steps.
    order : Generator
        Draws the rows of each step.
    steps : int, optional
        Steps to take. Default: as many as held-out rows find best.

    Returns
    -------
    population : Population
    steps : int
        Those that were taken.
    """
    if steps == 0:
        return population, 0
    with torch_threads(1), exact_torch():
        layer = _Layer.of(population, state, lesson, rows)
        if layer is None:
            return population, 0
        taken = _walk(layer, np.arange(state.n)[rows], order, steps)
        return layer.finish(), taken


def _on_threads(work: Callable[[Piece], Found], pieces: Iterable[Piece]) -> list[Found]:
    """Work on pieces on threads of ours, whose number changes no sum, each of which is torch's."""
    return on_threads(work, pieces, begin=partial(torch.set_num_threads, 1))


def _walk(layer: _Layer, rows: IntVector, order: np.random.Generator, steps: int | None) -> int:
    """Take the steps, and go back to the best of those that were checked."""
    size = min(BATCH, len(rows))
    held_out = np.arange(layer.state.n)[STOPPING]
    best, least, taken = layer.coordinates(), math.inf, 0
    if steps is None:
        least = layer.error(held_out)
    queue: IntVector = np.empty(0, np.intp)
    scale: float | None = None
    for step in range(STEPS if steps is None else steps):
        if len(queue) < size:
            queue = order.permutation(rows)
        batch, queue = np.sort(queue[:size]), queue[size:]
        scale = layer.step(batch, RATE * (1 + math.cos(math.pi * step / STEPS)) / 2, scale)
        if steps is None and (step + 1) % CHECK == 0 and (error := layer.error(held_out)) < least:
            best, least, taken = layer.coordinates(), error, step + 1
    if steps is None:
        layer.go_back(best)
        return taken
    return steps


class _Kernel:
    """One connection that is tuned: its change, in coordinates in which what arrives is white."""

    def __init__(
        self, connection: Connection, apply: Weighted, sent: FloatArray, fitted: slice
    ) -> None:
        self.connection, self.apply = connection, apply
        operator = kernel_of(connection)
        self.patches = Patches(operator)
        self.sent = torch.from_numpy(np.ascontiguousarray(sent, np.float32))
        nothing = np.zeros((len(sent[fitted]), *operator.output_shape), np.float32)
        moments = Moments.of(self.patches, sent[fitted], nothing).inputs
        moments /= moments[:, -1:, -1:]
        self.root = torch.from_numpy(_inverse_root(moments).astype(np.float32))
        shape = (self.patches.groups, self.root.shape[-1], self.patches.outputs)
        self.place(torch.zeros(shape))

    def place(self, coordinates: torch.Tensor) -> None:
        """Note where the descent stands, and what that adds to the weights and to the bias."""
        self.coordinates = coordinates
        change = self.patches.change((self.root @ coordinates).numpy())
        self.weight = torch.from_numpy(np.ascontiguousarray(change.weight))
        self.bias = np.ascontiguousarray(change.bias)

    def move(self, rows: IntVector, errors: torch.Tensor, rate: float) -> None:
        """Take a step against errors (n, *shape) of what comes out."""
        parts = _on_threads(lambda part: self._slope(rows[part], errors[part]), pieces(len(rows)))
        self.place(self.coordinates - rate * torch.stack(parts).sum(dim=0))

    def _slope(self, rows: IntVector, errors: torch.Tensor) -> torch.Tensor:
        """Return the slope by the coordinates of what errors are the slope of."""
        weight = torch.zeros(self.patches.operator.weight.shape, requires_grad=True)
        with torch.enable_grad():
            applied = self.apply(self.sent[rows], weight)
        (by_weight,) = torch.autograd.grad(applied, [weight], errors)
        by_weight = by_weight.reshape(self.patches.groups, self.patches.outputs, -1)
        by_bias = torch.from_numpy(self.patches.wanted(errors.numpy())).sum(dim=1, keepdim=True)
        return self.root.transpose(1, 2) @ torch.cat([by_weight.transpose(1, 2), by_bias], dim=1)


def _inverse_root(moments: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return C with C C^T the inverse of the moments, those of the constant input unchanged."""
    size = moments.shape[-1]
    level = np.einsum("gii->", moments[:, :-1, :-1]) / (len(moments) * (size - 1))
    ridge = np.full(size, max(RIDGE * level, 1e-12))
    ridge[-1] = 1e-9
    lower = np.linalg.cholesky(moments + np.diag(ridge))
    return np.linalg.inv(lower).transpose(0, 2, 1)


@dataclass(frozen=True, eq=False)
class _Response:
    """What a population makes of its currents, (n, *shape) each.

    Attributes
    ----------
    decoded : float32 tensor
        What its spikes stand for.
    missing : float32 tensor
        Mean current, as far as the rate can follow it, less what the ANN has.
    hidden : bool tensor
        Where no spike shows an error.
    """

    decoded: torch.Tensor
    missing: torch.Tensor
    hidden: torch.Tensor


@dataclass(eq=False)
class _Layer:
    """A population under the changes of the connections into it."""

    population: Population
    state: ReplayState
    lesson: Lesson
    kernels: Sequence[_Kernel]
    drive: Drive

    @classmethod
    def of(
        cls, population: Population, state: ReplayState, lesson: Lesson, rows: slice
    ) -> _Layer | None:
        """Lay out what the descent needs; None where no connection can be tuned."""
        kernels = []
        for connection in state.network.incoming(population.name):
            if state.is_analog(connection) or not can_refit(connection):
                continue
            apply = weighted(kernel_of(connection))
            sent = apply_chain(connection.operators[:-1], state.mean_sent(connection.source))
            if apply is not None and sent.any():
                kernels.append(_Kernel(connection, apply, sent, rows))
        if not kernels:
            return None
        layer = cls(population, state, lesson, kernels, state.drive(population))
        _ = layer.beside, layer.powers  # computed here once, not by every thread
        return layer

    @cached_property
    def beside(self) -> dict[str, torch.Tensor]:
        """Values of the other nodes that the layers behind read, (n, *shape)."""
        names = self.lesson.behind.needed(self.population.name)
        return {name: self._mean_value(name) for name in names if name != self.population.name}

    def _mean_value(self, name: str) -> torch.Tensor:
        node, state = self.state.nodes[name], self.state
        analog = isinstance(node, Input) and node.encoding == "current"
        value = state.rows[name] if analog else state.mean_sent(name)
        return torch.from_numpy(np.ascontiguousarray(value, np.float32))

    def coordinates(self) -> list[torch.Tensor]:
        """Return where the descent stands."""
        return [kernel.coordinates for kernel in self.kernels]

    def go_back(self, coordinates: Sequence[torch.Tensor]) -> None:
        """Take up a place where the descent was."""
        for kernel, found in zip(self.kernels, coordinates, strict=True):
            kernel.place(found)

    def finish(self) -> Population:
        """Put the changes into the network; return the population with its bias."""
        bias = self.population.bias
        for kernel in self.kernels:
            weight = kernel.weight.numpy().astype(np.float64)
            operators = moved_chain(kernel.connection.operators, weight)
            self.state.replace_connection(kernel.connection, operators)
            bias = bias + kernel.bias.astype(np.float64)
        return replace(self.population, bias=np.asarray(bias))

    def error(self, rows: IntVector) -> float:
        """Return what the outputs of some rows lack: their squares, relative."""
        batches = (rows[first : first + BATCH] for first in range(0, len(rows), BATCH))
        return sum(map(self._error, batches)) / len(rows)

    def _error(self, batch: IntVector) -> float:
        decoded = self._response(batch).decoded

        def piece(part: slice) -> float:
            with torch.no_grad():
                return float(self._lacking(decoded[part], batch[part]))

        return sum(_on_threads(piece, pieces(len(batch))))

    def step(self, batch: IntVector, rate: float, scale: float | None) -> float | None:
        """Take one step; return the scale of the outputs' slopes, found in the first."""
        response = self._response(batch)
        wanted = response.missing
        if self.drive.whole:
            slopes = self._slopes(response.decoded, batch)
            if scale is None:
                largest = float(slopes.square().mean().sqrt())
                scale = float(wanted.square().mean().sqrt()) / largest if largest else 0.0
            wanted = wanted + OUTPUTS * scale * slopes
        wanted = torch.where(response.hidden, 0.0, wanted)
        for kernel in self.kernels:
            positions = wanted.numel() // (kernel.patches.groups * kernel.patches.outputs)
            kernel.move(batch, wanted, rate / positions)
        return scale

    def _slopes(self, decoded: torch.Tensor, batch: IntVector) -> torch.Tensor:
        """Return the slopes of the outputs' error by the decoded values."""

        def piece(part: slice) -> torch.Tensor:
            values = decoded[part].clone().requires_grad_()
            with torch.enable_grad():
                lacking = self._lacking(values, batch[part])
            (slopes,) = torch.autograd.grad(lacking, [values], materialize_grads=True)
            return slopes

        return torch.cat(_on_threads(piece, pieces(len(batch))))

    def _lacking(self, values: torch.Tensor, rows: IntVector) -> torch.Tensor:
        """Return the sum over rows of the squares that the outputs lack, relative."""
        name, lesson = self.population.name, self.lesson
        beside = {other: value[rows] for other, value in self.beside.items()}
        lacking = values.sum() * 0.0  # outputs need not depend on them
        for readout, found in lesson.behind.outputs(name, beside | {name: values}).items():
            missing = found - torch.from_numpy(lesson.outputs[readout][rows])
            lacking = lacking + missing.square().sum() / self.powers[readout]
        return lacking

    @cached_property
    def powers(self) -> dict[str, float]:
        """Mean over rows of the sum of squares of each output."""
        return {
            name: max(float(np.square(values, dtype=np.float64).sum()) / len(values), 1e-30)
            for name, values in self.lesson.outputs.items()
        }

    def _response(self, rows: IntVector) -> _Response:
        """Return what the population makes of some rows under the changes."""
        shift = sum((kernel.bias for kernel in self.kernels), np.zeros(1, np.float32))
        moved = replace(self.population, bias=np.asarray(self.population.bias + shift))
        drive = self.drive.of_rows(rows)
        for kernel in self.kernels:
            drive = replace(drive, sums=drive.sums + self._arriving(kernel, rows))
        current = drive.mean_current().reshape(-1, *stored_shape(moved.shape))
        mean = np.asarray(from_stored(current, moved.shape) + moved.bias, np.float32)
        highest = (spike_values(moved.neuron).highest * moved.amplitude).astype(np.float32)
        wanted = np.minimum(self.lesson.activations[rows], highest)
        hidden = hidden_errors(moved, mean, self.lesson.preactivations[rows])
        return _Response(
            torch.from_numpy(drive.decoded(moved)),
            torch.from_numpy(np.clip(mean, 0.0, highest) - wanted),
            torch.from_numpy(hidden),
        )

    def _arriving(self, kernel: _Kernel, rows: IntVector) -> FloatArray:
        """Return what changed weights add to the currents (frames, n, size), as stored."""
        source, leading = kernel.connection.source, kernel.connection.operators[:-1]

        def piece(rows: IntVector) -> FloatArray:
            train = self.state.sent_of_rows(source, rows)
            frames = apply_chain(leading, train.reshape(-1, *train.shape[2:]))
            with torch.no_grad():
                sent = torch.from_numpy(np.ascontiguousarray(frames))
                currents = kernel.apply(sent, kernel.weight)
            stored = to_stored(currents.numpy(), self.population.shape)
            return stored.reshape(-1, len(rows), self.population.size)

        return np.concatenate(_on_threads(piece, [rows[p] for p in pieces(len(rows))]), axis=1)
