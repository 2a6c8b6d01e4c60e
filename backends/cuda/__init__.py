"""The CPU target's network on a GPU: dense, many timesteps at a time, through torch.

Importing it is cheap; torch is loaded by the first use.
"""

from snnconvert.backends.cuda.simulation import DeviceSimulation

__all__ = ["DeviceSimulation"]
