"""A few hundred damaged files; ``benchmarks/fuzz.py`` takes a hundred thousand."""

import onnx
import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from mutation import mutate, valid_models

from snnconvert.convert.checking.check import check_model
from snnconvert.convert.errors import SnnConvertError
from snnconvert.models import shipped_model_path

INPUTS = 400


@pytest.fixture(scope="module")
def models() -> list[bytes]:
    path = shipped_model_path("fashion_cnn")
    assert path is not None
    made: list[bytes] = valid_models(40, [path])
    return made


def test_damaged_files_meet_our_errors_only(models: list[bytes]) -> None:
    accepted = refused = 0
    for seed in range(INPUTS):
        try:
            accepted += not check_model(mutate(seed, models))
        except SnnConvertError as error:
            assert error.message
            refused += 1
    assert accepted > 20
    assert refused > INPUTS / 4


def test_mutations_repeat_and_reach_all_depths(models: list[bytes]) -> None:
    altered = [mutate(seed, models) for seed in range(60)]
    assert altered == [mutate(seed, models) for seed in range(60)]
    assert not set(altered) & set(models)
    readable = 0
    for content in altered:
        try:
            onnx.ModelProto.FromString(content)
            readable += 1
        except DecodeError:
            pass
    assert 10 < readable < 60
