"""Read a network that ``peer_file.py`` wrote, and the task to run it on. NumPy alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

STARTS_AT = 0.5
"""Voltage of every neuron before the first step; the threshold is 1."""


@dataclass(frozen=True, eq=False)
class Operator:
    """One linear operator.

    Attributes
    ----------
    kind : {"conv2d", "linear", "scale", "reshape", "sum_pool2d", "slice_pad"}
    arguments : dict
        Arrays and numbers by name.
    """

    kind: str
    arguments: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Connection:
    """Operators from one node to the next, applied in order."""

    source: str
    operators: tuple[Operator, ...]


@dataclass(frozen=True, eq=False)
class Node:
    """An input, a layer of neurons, or the output.

    Attributes
    ----------
    name : str
    kind : {"input", "neurons", "output"}
    shape : tuple of int
        Without batch.
    incoming : tuple of Connection
        Their results add up.
    bias : float32 array
        Broadcasts against the shape; added in every step.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    incoming: tuple[Connection, ...]
    bias: Array


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be simulated.

    Attributes
    ----------
    nodes : tuple of Node
        Every connection leads from an earlier to a later one.
    images : (n, *shape) float32 array
        The analog current of every step.
    timesteps, threads : int
    """

    nodes: tuple[Node, ...]
    images: Array
    timesteps: int
    threads: int

    @property
    def layers(self) -> tuple[Node, ...]:
        """The layers of neurons."""
        return tuple(node for node in self.nodes if node.kind == "neurons")


def read_task(folder: Path) -> Task:
    """Read ``network.json``, ``arrays.npz`` and ``task.npz`` from a folder."""
    with np.load(folder / "arrays.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    description = json.loads((folder / "network.json").read_text("utf-8"))
    with np.load(folder / "task.npz") as stored:
        return Task(
            tuple(_node(entry, arrays) for entry in description["nodes"]),
            stored["images"],
            int(stored["timesteps"]),
            int(stored["threads"]),
        )


def write_task(folder: Path, images: Array, timesteps: int, threads: int) -> None:
    """Write ``task.npz`` beside the network."""
    np.savez(folder / "task.npz", images=images, timesteps=timesteps, threads=threads)


def _node(entry: dict[str, Any], arrays: dict[str, Array]) -> Node:
    incoming = tuple(
        Connection(c["source"], tuple(_operator(op, arrays) for op in c["operators"]))
        for c in entry["incoming"]
    )
    bias = arrays[entry["bias"]] if "bias" in entry else np.zeros(1, np.float32)
    return Node(entry["name"], entry["kind"], tuple(entry["shape"]), incoming, bias)


def _operator(entry: dict[str, Any], arrays: dict[str, Array]) -> Operator:
    arguments = {name: value for name, value in entry.items() if name != "kind"}
    for name in ("weight", "factor"):
        if name in arguments:
            arguments[name] = arrays[arguments[name]]
    return Operator(entry["kind"], arguments)
