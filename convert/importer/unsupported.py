"""Why an operator cannot be converted, and what a user can do about it."""

from __future__ import annotations

from snnconvert.convert.errors import Problem, did_you_mean
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import supported_operators
from snnconvert.convert.importer.structure import find_schema

_RECURRENCE = "recurrence needs state across inputs; rates carry one value a window"
_CONTROL = "which nodes run is decided by values; a spiking network is fixed"
_CURVED = "it bends a combination of several activations; curves are fitted to functions of one"
_NORMALISING = "it divides by statistics of each input: a product of activations"
_PRODUCT = "it multiplies activations with one another; rates add, they do not multiply"
_COMPARING = "it compares or combines activations as truth values; rates are numbers"
_QUANTISING = "it rounds activations; the conversion chooses its own levels"
_ORDER = "it looks for positions among activations; rates carry values"

_RELU_HINT = "train the model with Relu or Clip there"
_FLOAT_HINT = "quantise with QuantizeLinear and DequantizeLinear, or convert the float model"
_SPELLING_HINT = "write it with supported operators, listed in docs/operators.md"
_GATE_HINT = "use a network without attention and gates, or let it end before them"
_OUTSIDE_HINT = "compute it outside of the network, before or behind the spiking part"
_FEED_FORWARD_HINT = "use a network without recurrence, such as one of temporal convolutions"
_SIMPLIFY_HINT = "if a constant decides it, simplify the file before, for instance with onnxsim"

_REASONS: dict[tuple[str, ...], tuple[str, str]] = {
    ("LSTM", "GRU", "RNN", "LinearAttention"): (_RECURRENCE, _FEED_FORWARD_HINT),
    ("If", "Loop", "Scan", "SequenceMap"): (_CONTROL, _SIMPLIFY_HINT),
    (
        *("ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd"),
        "LpNormalization",
    ): (_CURVED, _RELU_HINT),
    ("LpPool", "GlobalLpPool"): (_CURVED, "train the model with AveragePool or MaxPool there"),
    (
        *("LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization"),
        *("MeanVarianceNormalization", "LRN"),
    ): (_NORMALISING, "train the model with BatchNormalization there"),
    ("Attention", "RotaryEmbedding", "Det", "GridSample"): (_PRODUCT, _GATE_HINT),
    (
        *("Equal", "And", "Or", "Xor"),
        *("Not", "IsNaN", "IsInf"),
    ): (_COMPARING, _OUTSIDE_HINT),
    ("Round", "Floor", "Ceil", "Mod"): (_QUANTISING, _FLOAT_HINT),
    ("ArgMin", "TopK", "NonZero", "NonMaxSuppression", "Unique", "Compress", "MaxRoiPool"): (
        _ORDER,
        _OUTSIDE_HINT,
    ),
}
_BY_NAME = {name: reason for names, reason in _REASONS.items() for name in names}


def unsupported_operator(node: OnnxNode) -> Problem:
    """Describe a node whose operator has no importer."""
    why, hint = _BY_NAME.get(node.op_type, ("", "")) if not node.domain else ("", "")
    if not why:
        why, hint = _unknown_operator(node)
    return node.problem(
        "unsupported-operator",
        f"{node.operator} cannot be converted to a rate-coded network",
        why=why,
        hint=hint,
    )


def _unknown_operator(node: OnnxNode) -> tuple[str, str]:
    if node.domain:
        return (
            f"operators of the domain {node.domain!r} are not ONNX's own",
            "export the model with plain ONNX operators, before any runtime has optimised it",
        )
    if find_schema(node.op_type, node.opset, "") is None:
        names = [entry.name for entry in supported_operators()]
        return (f"ONNX opset {node.opset} has no such operator", did_you_mean(node.op_type, names))
    return ("it is not among the supported operators", "docs/operators.md lists those that are")
