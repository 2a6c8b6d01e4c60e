"""The Loihi target: a network that nengo-loihi builds, discretises and runs on its emulator.

Importing this package imports neither nengo nor nengo-loihi; emitting a network does.
"""

from snnconvert.backends.loihi.backend import LoihiBackend

__all__ = ["LoihiBackend"]
