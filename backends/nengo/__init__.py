"""The Nengo target: a labelled ``nengo.Network`` to run or to embed in a larger model.

Importing this package does not import nengo; building the backend's first network does.
"""

from snnconvert.backends.nengo.backend import NengoBackend

__all__ = ["NengoBackend"]
