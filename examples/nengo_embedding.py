"""A converted network as the eye of a larger Nengo model that sees one image after the other.

    python examples/nengo_embedding.py [--images 40] [--timesteps 32]

The larger model shows each image for so many steps. A node of its own turns the logits into a
class, and an ensemble of ordinary Nengo neurons holds how sure the network is. The same is done
twice: with neurons that restart at each image and with neurons that carry their charge on.
"""

import argparse
from pathlib import Path

import nengo
import numpy as np
import numpy.typing as npt

import snnconvert
from snnconvert.backends.nengo import NengoBackend

Floats = npt.NDArray[np.floating]


def confidence(t: float, logits: Floats) -> float:
    """Return the share of the best class (softmax)."""
    shares = np.exp(logits - logits.max())
    return float(shares.max() / shares.sum())


def watch(
    snn: snnconvert.SpikingModel, images: Floats, timesteps: int, *, restart: bool
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the class and the decoded confidence at the end of each image."""
    classes = snn.network.readouts[0].shape[0]
    with nengo.Network(label="larger model", seed=1) as larger:
        eye = NengoBackend().emit(snn, probes=False, restart_every=timesteps if restart else None)
        shown = nengo.processes.PresentInput(images.reshape(len(images), -1), timesteps * eye.dt)
        screen = nengo.Node(shown, label="screen")
        decision = nengo.Node(
            lambda t, logits: np.argmax(logits), size_in=classes, label="decision"
        )
        share = nengo.Node(confidence, size_in=classes, label="share")
        sure = nengo.Ensemble(100, dimensions=1, label="sure")
        nengo.Connection(screen, eye.input, synapse=None)
        nengo.Connection(eye.output, decision, synapse=None)
        nengo.Connection(eye.output, share, synapse=None)
        nengo.Connection(share, sure, synapse=None)
        decisions, sureness = nengo.Probe(decision), nengo.Probe(sure, synapse=0.01)
    with nengo.Simulator(larger, dt=eye.dt, progress_bar=False) as simulator:
        simulator.run_steps(len(images) * timesteps)
        last = slice(timesteps - 1, None, timesteps)
        return simulator.data[decisions][last, 0].astype(int), simulator.data[sureness][last, 0]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--timesteps", type=int, default=32)
    options = parser.parse_args()
    model = snnconvert.shipped_model_path("fashion_cnn") or Path("fashion_cnn.onnx")
    rows = np.load(model.with_name("fashion_cnn.eval.npz"))
    images, labels = rows["x"][: options.images], rows["y"][: options.images]
    snn = snnconvert.convert_model(model, target="nengo", timesteps=options.timesteps)
    for restart in (True, False):
        classes, sure = watch(snn, images, options.timesteps, restart=restart)
        name = "restarting at each image" if restart else "carrying charge on"
        accuracy = (classes == labels).mean()
        print(f"{name}: accuracy {accuracy:.3f}, mean confidence {sure.mean():.2f}")


if __name__ == "__main__":
    main()
