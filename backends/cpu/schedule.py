"""When values can arrive: spans of steps, and the pieces in which nothing changes.

Windows and delays make many steps of a staged network idle. Every node gets the span in which it
can send something; a chunk of steps is cut where an arrival, a bias or the firing window begins or
ends, so that each piece is either skipped or computed with the same terms throughout.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from snnconvert.convert.network import Connection, Input, Network, Population, Readout


@dataclass(frozen=True)
class Span:
    """Steps ``start <= t < stop``; empty where ``stop <= start``."""

    start: int
    stop: int

    def __bool__(self) -> bool:
        return self.start < self.stop

    def covers(self, step: int) -> bool:
        """Tell whether `step` is inside."""
        return self.start <= step < self.stop

    def within(self, other: Span) -> Span:
        """Return the steps that are in both."""
        return Span(max(self.start, other.start), min(self.stop, other.stop))

    def delayed(self, steps: int) -> Span:
        """Return the span `steps` later."""
        return Span(self.start + steps, self.stop + steps)


def window(start: int, stop: int | None, steps: int) -> Span:
    """Return the window of a run of `steps` steps (stop None: to the end)."""
    return Span(start, steps if stop is None else min(stop, steps))


def sending_spans(network: Network, steps: int, frames: Mapping[str, int]) -> dict[str, Span]:
    """Return the span in which each node can send something other than zero.

    Parameters
    ----------
    network : Network
    steps : int
        Length of the run.
    frames : mapping of str to int
        Number of frames of each event input.
    """
    spans: dict[str, Span] = {}
    for node in network.nodes:
        if isinstance(node, Input | Population):
            spans[node.name] = window(node.start, node.stop, steps)
        elif not isinstance(node, Readout):
            arriving = [spans[c.source].delayed(c.delay) for c in network.incoming(node.name)]
            spans[node.name] = _hull(arriving, steps)
        if node.name in frames:
            last = spans[node.name].start + frames[node.name]
            spans[node.name] = Span(spans[node.name].start, min(spans[node.name].stop, last))
    return spans


def _hull(spans: Iterable[Span], steps: int) -> Span:
    filled = [span for span in spans if span]
    if not filled:
        return Span(0, 0)
    return Span(min(s.start for s in filled), min(max(s.stop for s in filled), steps))


def pieces(chunk: Span, spans: Iterable[Span]) -> Iterator[Span]:
    """Cut a chunk where a span begins or ends."""
    cuts = {chunk.start, chunk.stop}
    for span in spans:
        cuts |= {edge for edge in (span.start, span.stop) if chunk.covers(edge)}
    ordered = sorted(cuts)
    yield from (Span(a, b) for a, b in itertools.pairwise(ordered))


def is_analog(network: Network, connection: Connection) -> bool:
    """Tell whether a connection brings a current that is constant while its input is open."""
    source = network[connection.source]
    return isinstance(source, Input) and source.encoding == "current"
