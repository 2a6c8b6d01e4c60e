"""The simulator beside other simulators: same network, images, T and threads, in one run.

    python benchmarks/speed_peers.py --python spikingjelly=ENV/bin/python [--python norse=...]
        [--network resnet20] [--batch 100] [--timesteps 32] [--threads 2] [--repeat 5] [--json FILE]

Each peer runs in an environment of its own (benchmarks/README.md says how to make it), as a process
that builds the network once, written as the peer's documentation recommends
(``peers/with_NAME.py``), warms up and then simulates whenever it is asked: ours with float32,
16-bit and 8-bit weights, the ANN, the peer, ... Printed are each peer's time, the median and
quartiles of the ratios ``peer / ours`` of the rounds, the share of images with the same answer as
ours, and its spikes relative to ours. Where a peer offers several ways to run, each has a line: its
fastest counts. The peers know no integer weights, so all run the float32 network. Brian2 and Nengo,
which have no batches, run ``--single`` images one after the other: their time an image is compared
with ours in the batch, and, in a second line, with ours for as many images.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from interleave import Times, interleave
from machine import describe, machine_facts, write_results
from peer_file import write_matrices, write_network
from speed import WEIGHTS, ann_session
from speed_networks import (
    DESIGN_TIMESTEPS,
    NAMES,
    SHIPPED,
    MissingFilesError,
    Subject,
    subject,
    third_party_files,
)

import snnconvert
from snnconvert.convert.snap import round_input

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers"))

PEERS = ("spikingjelly", "snntorch", "sinabs", "norse", "nengo", "brian2")
WITHOUT_BATCHES = ("nengo", "brian2")
GOALS = {"float32": 4.0, "int16": 8.0, "int8": 8.0}
"""How many times as fast as the fastest peer."""
NENGO_GOAL = 100.0
ALIKE = ", as many images"
"""Marks our runs of as many images as a peer without batches runs."""


class Peer:
    """The process of a peer.

    Attributes
    ----------
    ready : dict
        Versions and variants.
    """

    def __init__(self, name: str, python: str, folder: Path) -> None:
        self.name = name
        command = [python, str(HERE / "peers" / f"with_{name}.py"), str(folder)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            self.ready = self._answer()
        except PeerFailedError:
            self.close()
            raise

    def seconds(self, variant: str) -> float:
        """Let it simulate once and return its time."""
        assert self._process.stdin is not None
        self._process.stdin.write(variant + "\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def close(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise PeerFailedError(f"{self.name} ended with exit code {self._process.returncode}")
        found: dict[str, Any] = json.loads(line)
        return found


class PeerFailedError(Exception):
    """A peer's process ended before it answered."""


@contextmanager
def started(name: str, python: str, folder: Path) -> Iterator[Peer]:
    """Start a peer's process and end it afterwards."""
    peer = Peer(name, python, folder)
    try:
        yield peer
    finally:
        peer.close()


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    Attributes
    ----------
    network : str
    batch : int
        Images that we run at once.
    images : int
        How many of them the peer runs: all, or a few where it has no batches.
    timesteps, threads : int
    """

    network: str
    batch: int
    images: int
    timesteps: int
    threads: int


def compare(name: str, python: str, network: Subject, setting: Setting, repeat: int) -> list[Any]:
    """Run a peer beside ours and return a result for each of its variants, ready for JSON."""
    samples, few = network.rows(setting.batch), network.rows(setting.images)
    ours = {
        weights: snnconvert.get_backend("cpu").emit(
            network.network(weight_bits=bits), threads=setting.threads
        )
        for weights, bits in WEIGHTS.items()
    }
    result = ours["float32"].run(few, setting.timesteps)
    session = ann_session(network.snn.model_bytes, setting.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_task(name, folder, network, ours["float32"].executable, few, setting)
        with started(name, python, folder) as peer:
            variants = list(peer.ready["variants"])
            times = interleave(
                {
                    **{
                        weights + kind: _running(simulation, rows, setting.timesteps)
                        for kind, rows in {"": samples, ALIKE: few}.items()
                        for weights, simulation in ours.items()
                        if rows is samples or setting.images < setting.batch
                    },
                    "ann": lambda: session.run(None, samples),
                    **{v: _asking(peer, v) for v in variants},
                },
                repeat=repeat,
            )
            return [
                _result(name, variant, peer, times, setting, result, folder) for variant in variants
            ]


def _running(simulation: Any, samples: Any, timesteps: int) -> Any:
    return lambda: simulation.run(samples, timesteps)


def _asking(peer: Peer, variant: str) -> Any:
    return lambda: peer.seconds(variant)


def _write_task(
    name: str, folder: Path, network: Subject, executable: Any, samples: Any, setting: Setting
) -> None:
    from neutral import write_task

    write_network(executable, folder)
    (node,) = executable.inputs
    images = round_input(node, samples[node.name])  # the very numbers that our simulator sees
    write_task(folder, np.asarray(images, np.float32), setting.timesteps, setting.threads)
    if name == "brian2":
        write_matrices(executable, folder)
    if name == "nengo":
        network.snn.save(folder / "network.snn")


def _result(
    name: str, variant: str, peer: Peer, times: Times, setting: Setting, ours: Any, folder: Path
) -> dict[str, Any]:
    with np.load(folder / f"{variant}.npz") as stored:
        outputs, spikes = stored["outputs"], stored["spikes"]
    expected = ours.logits[-1]
    counts = sum(c.reshape(len(c), -1).sum(axis=1) for c in ours.spike_counts.values())
    share = setting.images / setting.batch
    return {
        "peer": name,
        "variant": variant,
        "versions": peer.ready["versions"],
        "network": setting.network,
        "batch": setting.batch,
        "images": setting.images,
        "timesteps": setting.timesteps,
        "threads": setting.threads,
        "seconds": times.spread(variant).to_json(),
        "ann_times_a_timestep": times.ratio(variant, "ann", share * setting.timesteps).to_json(),
        "ours_seconds": {w: times.spread(w).to_json() for w in WEIGHTS},
        "times_as_fast": {w: times.ratio(variant, w, share).to_json() for w in WEIGHTS},
        "times_as_fast_alike": {
            w: times.ratio(variant, w + ALIKE).to_json()
            for w in WEIGHTS
            if w + ALIKE in times.seconds
        },
        "same_answers": float((outputs.argmax(1) == expected.argmax(1)).mean()),
        "largest_difference": float(np.abs(outputs - expected).max()),
        "spikes_relative": float(spikes.sum() / max(counts.sum(), 1)),
    }


HEADER = (
    f"{'peer':14} {'variant':12} {'images':>6} {'ms/image':>9} {'ANN t/step':>10}  "
    + "".join(f"{'/ ' + w:24}" for w in WEIGHTS)
    + f"{'same':>5} {'spikes':>7}"
)


def line(result: dict[str, Any]) -> str:
    """Return the row of the table."""
    found = (
        f"{result['peer']:14} {result['variant']:12} {result['images']:6} "
        f"{1e3 * result['seconds']['median'] / result['images']:9.2f} "
        f"{result['ann_times_a_timestep']['median']:10.2f}  {_ratios(result['times_as_fast'])}"
        f"{result['same_answers']:5.2f} {result['spikes_relative']:7.4f}"
    )
    if result["times_as_fast_alike"]:
        alike = f"  beside ours with {result['images']} at once"
        found += f"\n{alike:54}{_ratios(result['times_as_fast_alike'])}"
    return found


def _ratios(spreads: dict[str, Any]) -> str:
    return "".join(
        f"{r['median']:7.1f} ({r['low']:.1f}..{r['high']:.1f})".ljust(24) for r in spreads.values()
    )


def verdicts(results: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    """Return the goals that these results speak to, as sentences, and whether each is reached."""
    found = []
    batched = [r for r in results if r["peer"] not in WITHOUT_BATCHES]
    for weights, goal in GOALS.items() if batched else ():
        medians = [r["times_as_fast"][weights]["median"] for r in batched]
        times = min(medians)
        fastest = batched[medians.index(times)]
        found.append(
            (
                f"{weights}: {times:.1f} times as fast as the fastest ({fastest['peer']}, "
                f"{fastest['variant']}), goal {goal:g}",
                times >= goal,
            )
        )
    for result in results:
        if result["peer"] == "nengo":
            times = result["times_as_fast"]["float32"]["median"]
            sentence = f"float32: {times:.0f} times as fast as Nengo, goal {NENGO_GOAL:g}"
            found.append((sentence, times >= NENGO_GOAL))
    return found


def pythons(entries: list[str]) -> dict[str, str]:
    """Return interpreters by peer from ``NAME=PATH``.

    Raises
    ------
    ValueError
        If one has another form or names no peer.
    """
    found = {}
    for entry in entries:
        name, sign, path = entry.partition("=")
        if not sign or not path or name not in PEERS:
            raise ValueError(f"--python {entry}: NAME=PATH with a NAME of {', '.join(PEERS)}")
        found[name] = path
    return found


def main() -> int:
    """Compare with the peers whose interpreters are given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PATH", required=True)
    default = "resnet20" if third_party_files() else SHIPPED[0]
    parser.add_argument("--network", choices=NAMES, default=default)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--single", type=int, default=1, help="images of peers without batches")
    parser.add_argument("--timesteps", type=int, default=DESIGN_TIMESTEPS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    try:
        interpreters = pythons(options.python)
        network = subject(options.network)
    except (ValueError, MissingFilesError) as error:
        parser.error(str(error))
    facts = machine_facts()
    print(describe(facts))
    print(f"{options.network}, T = {options.timesteps}, {options.threads} threads")
    print(HEADER)
    results: list[dict[str, Any]] = []
    failed = False
    for name, python in interpreters.items():
        images = options.single if name in WITHOUT_BATCHES else options.batch
        setting = Setting(
            options.network, options.batch, images, options.timesteps, options.threads
        )
        try:
            found = compare(name, python, network, setting, options.repeat)
        except (PeerFailedError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
            continue
        results += found
        for result in found:
            print(line(result), flush=True)
    reached = verdicts(results)
    for sentence, true in reached:
        print(f"{sentence}: {'reached' if true else 'MISSED'}")
    write_results(options.json, "speed_peers", results, facts)
    return 1 if failed or not all(true for _, true in reached) else 0


if __name__ == "__main__":
    sys.exit(main())
