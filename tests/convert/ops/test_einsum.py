import numpy as np
import onnx_models
import pytest
from onnx_models import float32, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx

EQUATIONS = [
    ("nij,jk->nik", (3, 4), (4, 5)),
    ("nij,ijk->nk", (3, 4), (3, 4, 5)),
    ("nij,ijk->nik", (3, 4), (3, 4, 5)),
    ("nchw,cd->ndhw", (2, 3, 4), (2, 5)),
    ("n i j, j -> n i j", (3, 4), (4,)),
    ("nij,ij->nji", (3, 4), (3, 4)),
    ("nij,k->nkij", (3, 4), (2,)),
    ("nij,k->ni", (3, 4), (2,)),
    ("...j,jk->...k", (3, 4), (4, 2)),
    ("nhqd,hkd->nhqk", (2, 3, 4), (2, 5, 4)),
    ("bchw,cowh->bohw", (2, 3, 4), (2, 5, 4, 3)),
    ("bij,bjk->bik", (3, 4), (1, 4, 5)),
]


@pytest.mark.parametrize(("equation", "shape", "constant"), EQUATIONS)
def test_a_constant(
    equation: str, shape: tuple[int, ...], constant: tuple[int, ...], rng: np.random.Generator
) -> None:
    weight = float32(rng, *constant)
    model = one_node("Einsum", shape, weight, equation=equation, fixed_batch=1)
    onnx_models.assert_agrees(model, rng)
    left, _, right = equation.partition("->")
    turned = f"{','.join(reversed(left.split(',')))}->{right}"
    onnx_models.assert_agrees(
        one_node("Einsum", weight, shape, equation=turned, fixed_batch=1), rng
    )


@pytest.mark.parametrize("equation", ["nij->nji", "nij->ni", "...->...", "n...->n..."])
def test_one_operand(equation: str, rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Einsum", (3, 4), equation=equation), rng)


def test_two_activations() -> None:
    model = one_node("Einsum", (3, 4), (4, 5), equation="nij,njk->nik")
    text = onnx_models.only_problem(model, "product-of-activations")
    assert "Einsum of several activations" in text


@pytest.mark.parametrize("equation", ["nij,j->ij", "nij,j->inj", "nij,j", "nij,n->nij"])
def test_the_batch(equation: str, rng: np.random.Generator) -> None:
    shape, size = ((3, 4), 4) if ",n" not in equation else ((3, 4), 2)
    model = one_node("Einsum", shape, float32(rng, size), equation=equation, fixed_batch=2)
    assert onnx_models.only_problem(model, "batch-axis")


def test_what_is_not_there_yet(rng: np.random.Generator) -> None:
    model = one_node("Einsum", (3, 3), equation="nii->ni")
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "Einsum 'nii->ni' takes a diagonal" in text
    model = one_node("Einsum", (3,), float32(rng, 3), float32(rng, 3), equation="ni,i,i->ni")
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "Einsum of 3 operands" in text


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("nij->ni", "equation 'nij->ni' does not fit 2 operands"),
        ("ni,jk->ni", "does not fit operands of"),
        ("nij,kj->nik", "does not fit the operands' shapes"),
        ("nij,jk->nikl", "has a result that its operands do not give"),
    ],
)
def test_equations_that_do_not_fit(equation: str, message: str, rng: np.random.Generator) -> None:
    with pytest.raises(ModelFileError, match=message):
        import_onnx(one_node("Einsum", (3, 4), float32(rng, 4, 5), equation=equation))
