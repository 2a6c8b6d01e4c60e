"""Spans in which something can be sent, and the pieces of a chunk."""

import numpy as np

from snnconvert.backends.cpu.schedule import Span, pieces, sending_spans, window
from snnconvert.convert.network import Connection, Input, Network, Population, Readout, Relay

ONE = np.ones(())


def test_a_chunk_is_cut_where_a_span_begins_or_ends() -> None:
    cut = pieces(Span(4, 12), [Span(0, 6), Span(6, 9), Span(2, 40), Span(11, 30)])
    assert list(cut) == [Span(4, 6), Span(6, 9), Span(9, 11), Span(11, 12)]


def test_spans_at_the_edges_cut_nothing() -> None:
    assert list(pieces(Span(4, 8), [Span(4, 8), Span(0, 4), Span(8, 9)])) == [Span(4, 8)]


def test_a_window_ends_with_the_run() -> None:
    assert window(2, None, 9) == Span(2, 9)
    assert window(2, 5, 9) == Span(2, 5)
    assert window(2, 50, 9) == Span(2, 9)
    assert not window(12, None, 9)


def test_what_can_be_sent_when() -> None:
    population = Population("p", (1,), ONE, ONE, ONE, ONE, ONE, start=5, stop=8)
    network = Network(
        "staged",
        (
            Input("x", (1,), start=1, stop=4),
            Input("e", (1,), "events", start=2),
            population,
            Relay("late", (1,)),
            Relay("both", (1,)),
            Relay("idle", (1,)),
            Readout("y", (1,), ONE, ONE),
        ),
        (
            Connection("x", "p"),
            Connection("p", "late", delay=3),
            Connection("x", "both"),
            Connection("late", "both", delay=1),
            Connection("both", "y"),
        ),
    )
    assert sending_spans(network, 10, {"e": 3}) == {
        "x": Span(1, 4),
        "e": Span(2, 5),
        "p": Span(5, 8),
        "late": Span(8, 10),
        "both": Span(1, 10),
        "idle": Span(0, 0),
    }
    assert sending_spans(network, 10, {"e": 30})["e"] == Span(2, 10)
