import numpy as np
import onnx_models
import pytest
from onnx_models import FREE, int64, make_model, make_node, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx


@pytest.mark.parametrize("opset", [7, 11, 13])
@pytest.mark.parametrize(("channels", "size"), [(8, 2), (9, 3), (3, 1)])
def test_both_ways(opset: int, channels: int, size: int, rng: np.random.Generator) -> None:
    shape = (channels, 2, 3)
    for mode in ({"mode": "DCR"}, {"mode": "CRD"}) if opset >= 11 else ({},):
        model = one_node("DepthToSpace", shape, opset=opset, blocksize=size, **mode)
        onnx_models.assert_agrees(model, rng)
    spread = (2, 2 * size, 3 * size)
    onnx_models.assert_agrees(one_node("SpaceToDepth", spread, opset=opset, blocksize=size), rng)


def test_a_channel_shuffle(rng: np.random.Generator) -> None:
    """Reshape, Transpose, Reshape: one wiring."""
    nodes = [
        make_node("Reshape", ["x", "split"], ["a"]),
        make_node("Transpose", ["a"], ["b"], perm=[0, 2, 1, 3, 4]),
        make_node("Reshape", ["b", "joined"], ["y"]),
    ]
    constants = {"split": int64(0, 2, 3, 4, 5), "joined": int64(0, -1, 4, 5)}
    model = make_model(nodes, {"x": [FREE, 6, 4, 5]}, constants=constants)
    assert onnx_models.assert_agrees(model, rng).batch_fixed is None


@pytest.mark.parametrize(
    ("operator", "shape", "attributes", "message"),
    [
        ("DepthToSpace", (6, 2, 2), {"blocksize": 2}, "6 channels do not fill blocks of 2 by 2"),
        ("DepthToSpace", (4, 2), {"blocksize": 2}, "blocks of 2 do not fit an input of shape"),
        ("DepthToSpace", (4, 2, 2), {"blocksize": 0}, "blocks of 0 do not fit an input of shape"),
        ("DepthToSpace", (4, 2, 2), {"blocksize": 2, "mode": "X"}, "mode 'X' is none of DCR, CRD"),
        ("SpaceToDepth", (1, 3, 4), {"blocksize": 2}, "3 by 4 positions are no blocks of 2 by 2"),
    ],
)
def test_blocks_that_do_not_fit(
    operator: str, shape: tuple[int, ...], attributes: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelFileError, match=message):
        import_onnx(one_node(operator, shape, **attributes))
