"""Random models out of every operator of the registry, against onnxruntime."""

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_grammar import Seeded, Sketch, compare, rules, sketch_model

from snnconvert.convert.importer.registry import supported_operators

STEPS = 6


def test_every_operator_has_a_rule() -> None:
    known = {operator.name for operator in supported_operators()}
    assert known == set(rules()), "tests/onnx_rules: a rule for each operator of the registry"


@pytest.mark.parametrize("name", sorted(rules()))
def test_every_rule_uses_its_operator(name: str) -> None:
    operators = set()
    for seed in range(40):
        model = sketch_model(Seeded(seed), 1, last=name).model()
        nodes = [(node.domain, node.op_type) for node in model.graph.node]
        operators |= {f"{domain}.{op}" if domain else op for domain, op in nodes}
        if name in operators:
            return
    pytest.fail(f"the rule for {name} makes {sorted(operators)}")


@pytest.mark.parametrize("name", sorted(rules()))
def test_an_operator_behind_others(name: str) -> None:
    compare(sketch_model(Seeded(len(name)), 3, last=name), seed=0)


class Drawn:
    """Choices that hypothesis makes, and makes smaller where a test fails."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data

    def integer(self, low: int, high: int) -> int:
        return self.data.draw(st.integers(low, high))


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(data=st.data())
def test_random_graphs(data: st.DataObject) -> None:
    compare(sketch_model(Drawn(data), STEPS), seed=data.draw(st.integers(0, 100)))


def test_models_are_valid() -> None:
    """So that a refusal is the importer's fault."""
    for seed in range(60):
        _check(sketch_model(Seeded(seed), STEPS))


def test_a_shape_that_onnx_does_not_infer() -> None:
    """Opset 13 does not follow a free batch through Shape and Reshape."""
    sketch = Sketch(Seeded(0), 13)
    rules()["Shape"].rule(sketch)
    _check(sketch)


def _check(sketch: Sketch) -> None:
    model = sketch.model()
    if not any(node.domain for node in model.graph.node):
        onnx.checker.check_model(_complete(model, sketch), full_check=True)


def _complete(model: onnx.ModelProto, sketch: Sketch) -> onnx.ModelProto:
    """Give the outputs the types that the checker asks for: as inferred, else as sketched."""
    inferred = onnx.shape_inference.infer_shapes(model)
    types = {info.name: info for info in inferred.graph.value_info}
    outputs = [types.get(o.name, o) for o in inferred.graph.output]
    for output in outputs:
        tensor = output.type.tensor_type
        if not tensor.HasField("shape"):
            tensor.CopyFrom(sketch.types[output.name].tensor_type)
            tensor.shape.dim[0].dim_param = "N"
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    return model


def test_seeded_models_repeat() -> None:
    first, second = (sketch_model(Seeded(7), STEPS) for _ in range(2))
    assert first.model() == second.model()
    assert all(np.array_equal(a, second.constants[k]) for k, a in first.constants.items())
