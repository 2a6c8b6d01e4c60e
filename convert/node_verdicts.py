"""What became of each node of the ONNX file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

Fate: TypeAlias = Literal["converted", "folded", "approximated", "refused", "unjudged", "unused"]

FATES: tuple[Fate, ...] = (
    "converted",
    "folded",
    "approximated",
    "refused",
    "unjudged",
    "unused",
)


@dataclass(frozen=True)
class NodeVerdict:
    """What became of one node of the ONNX file.

    Attributes
    ----------
    position : int
        From 1, in the file with its functions expanded.
    name : str
        Unique; the node's own name where it has one.
    operator : str
        With its domain, unless that is ONNX's own.
    fate : str
        "converted": exact, as neurons or synapses of its own. "folded": merged into other nodes'
        synapses, computed beforehand, or a copy. "approximated": converted, but not exact.
        "refused": it cannot be converted. "unjudged": it reads what a refused node should give.
        "unused": no output that was asked for needs it.
    detail : str
        What was approximated, folded or refused; "" where the fate says it all.
    built : tuple of str
        Graph nodes that stand for it.
    """

    position: int
    name: str
    operator: str
    fate: Fate
    detail: str = ""
    built: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what a user may rely on as a JSON-ready dictionary."""
        return {key: value for key, value in asdict(self).items() if key != "built"}
