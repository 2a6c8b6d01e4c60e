"""The CPU simulator: layer by layer, many timesteps at once, exact.

Importing it is cheap; torch and Numba are loaded by the first run.
"""

from snnconvert.backends.cpu.backend import CpuBackend, CpuSimulation

__all__ = ["CpuBackend", "CpuSimulation"]
