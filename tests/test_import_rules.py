"""Who may import what: the invariants of ARCHITECTURE.md, read from the source by ast."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

# Programs run by hand, beside the library: they train, measure and show.
SCRIPTS = ("models/*", "benchmarks/*", "docs/*", "examples/*")


@dataclass(frozen=True)
class Only:
    """Only files that match ``places`` may import ``modules``. A star matches slashes too."""

    modules: tuple[str, ...]
    places: tuple[str, ...]
    why: str

    def covers(self, path: str) -> bool:
        return not matches(path, (*self.places, *SCRIPTS))


@dataclass(frozen=True)
class Never:
    """Files that match ``places`` may not import ``modules``."""

    modules: tuple[str, ...]
    places: tuple[str, ...]
    why: str

    def covers(self, path: str) -> bool:
        return matches(path, self.places)


IMPORT_RULES = (
    Only(
        ("onnx",),
        (
            "convert/ops/*",
            "convert/importer/*",
            "convert/onnx_import.py",
            "calibration/activations.py",
        ),
        "the rest of the program knows the Graph, not the file format",
    ),
    Only(("nengo",), ("backends/nengo/*", "backends/loihi/*"), "Nengo is an extra"),
    Only(("nengo_loihi",), ("backends/loihi/*",), "NengoLoihi is an extra"),
    # backends/cuda is the same network on torch's other devices.
    Only(
        ("torch",),
        (
            *("backends/cpu/*", "backends/cuda/*"),
            *("calibration/corrections/descent.py", "calibration/corrections/behind.py"),
        ),
        "importing it takes longer than most conversions",
    ),
    Only(("click", "rich"), ("cli.py",), "only the command line talks to a person"),
    Never(
        ("onnx", "snnconvert.convert.graph", "snnconvert.calibration"),
        ("backends/*",),
        "a backend reads the Network only",
    ),
    Never(
        (
            *("io", "os", "pathlib", "shutil", "subprocess", "tempfile", "urllib"),
            *("onnx", "onnxruntime"),
        ),
        ("convert/passes/*",),
        "a pass does no input or output",
    ),
)

# Names of builtins, and attributes as they are written, that print or exit.
PRINTING = frozenset({"print", "sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"})
EXITING = frozenset({"exit", "quit", "sys.exit", "os._exit", "os.abort", "SystemExit"})
READING = frozenset(
    {"open", "np.load", "np.save", "np.savez", "np.savez_compressed", "np.fromfile", "np.memmap"}
)


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each import; ``from a import b`` may mean the module ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and dotted(node.func) in {
            "importlib.import_module",
            "import_module",
            "__import__",
        }:
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield node.lineno, argument.value


def dotted(node: ast.AST) -> str:
    """The name as it is written, ``sys.exit``; empty for what is not a plain chain of names."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def used(tree: ast.AST, names: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Line and name of each use, also uncalled: ``report=print`` prints as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and dotted(node) in names:
            yield node.lineno, dotted(node)
        elif isinstance(node, ast.ImportFrom) and node.module:
            written = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from ((node.lineno, name) for name in written if name in names)


def is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def problems(path: str, source: str) -> list[str]:
    """Every rule that the file breaks, as ``path:line: what: why``."""
    tree = ast.parse(source)
    found = [
        (node.lineno, "relative import: absolute imports only")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    for line, name in imported(tree):
        for rule in IMPORT_RULES:
            if rule.covers(path) and any(is_within(name, module) for module in rule.modules):
                found.append((line, f"imports {name}: {rule.why}"))
    if not matches(path, ("cli.py", *SCRIPTS)):
        found += [
            (line, f"{name}: only the command line prints") for line, name in used(tree, PRINTING)
        ]
    if not matches(path, ("cli.py", "__main__.py", *SCRIPTS)):
        found += [
            (line, f"{name}: only the command line exits") for line, name in used(tree, EXITING)
        ]
    if matches(path, ("convert/passes/*",)):
        found += [
            (line, f"{name}: a pass does no input or output") for line, name in used(tree, READING)
        ]
    return [f"{path}:{line}: {text}" for line, text in sorted(found)]


def test_the_source_follows_the_rules(repository: Path, source_files: list[Path]) -> None:
    found = [
        problem
        for path in source_files
        for problem in problems(path.as_posix(), (repository / path).read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_every_place_that_a_rule_names_exists(source_files: list[Path]) -> None:
    paths = [path.as_posix() for path in source_files]
    places = {place for rule in IMPORT_RULES for place in rule.places}
    assert not [place for place in places if not any(fnmatch(path, place) for path in paths)]


@pytest.mark.parametrize(
    ("path", "source", "problem"),
    [
        ("backends/cpu/kernels.py", "import onnx", "imports onnx: a backend"),
        (
            "backends/cpu/kernels.py",
            "from onnx.helper import x",
            "imports onnx.helper.x: a backend",
        ),
        ("backends/base.py", "from snnconvert.convert import graph", "a backend reads the Network"),
        ("backends/base.py", "from snnconvert.convert.graph import Graph", "a backend reads"),
        ("backends/base.py", "from snnconvert import calibration", "a backend reads"),
        ("backends/base.py", "import snnconvert.calibration.methods", "a backend reads"),
        ("backends/base.py", "def f():\n    import onnx", "base.py:2: imports onnx"),
        ("backends/cpu/__init__.py", "import nengo", "Nengo is an extra"),
        ("backends/nengo/__init__.py", "import nengo_loihi", "NengoLoihi is an extra"),
        ("backends/reference.py", "from torch import nn", "takes longer"),
        ("calibration/methods/mse.py", "import torch", "takes longer"),
        ("calibration/sources.py", "import onnx", "not the file format"),
        ("convert/graph.py", "import importlib\nimportlib.import_module('onnx')", "py:2: imports"),
        ("convert/passes/fold.py", "from pathlib import Path", "no input or output"),
        ("convert/passes/fold.py", "import onnxruntime", "no input or output"),
        ("convert/passes/fold.py", "open('x')", "open: a pass does no input"),
        ("convert/passes/fold.py", "np.load('x')", "np.load: a pass does no input"),
        ("convert/pipeline.py", "print(1)", "only the command line prints"),
        ("convert/pipeline.py", "f(report=print)", "only the command line prints"),
        ("convert/pipeline.py", "sys.stderr.write('')", "only the command line prints"),
        ("convert/pipeline.py", "from sys import stderr", "only the command line prints"),
        ("convert/pipeline.py", "import rich.console", "talks to a person"),
        ("convert/pipeline.py", "sys.exit(1)", "only the command line exits"),
        ("convert/pipeline.py", "raise SystemExit", "only the command line exits"),
        ("convert/pipeline.py", "from . import graph", "absolute imports only"),
        ("cli.py", "from .convert import graph", "absolute imports only"),
    ],
)
def test_a_broken_rule_is_found(path: str, source: str, problem: str) -> None:
    assert problem in "\n".join(problems(path, source))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("cli.py", "import sys\nprint(1)\nsys.exit(2)"),
        ("__main__.py", "from snnconvert.cli import main\nraise SystemExit(main())"),
        ("models/train_fashion.py", "import onnx, torch\nprint(1)"),
        ("benchmarks/accuracy.py", "import torch\nprint(1)"),
        ("backends/cpu/dense.py", "import torch"),
        ("backends/loihi/blocks.py", "import nengo, nengo_loihi"),
        ("backends/nengo/__init__.py", "from snnconvert.backends.nengo import neurons"),
        ("backends/base.py", "from snnconvert.convert.network import Network"),
        ("convert/ops/gemm.py", "import onnx"),
        ("convert/onnx_import.py", "from onnx import helper"),
        ("calibration/activations.py", "import onnx, onnxruntime"),
        ("calibration/activations.py", "import onnxruntime"),
        ("convert/passes/fold.py", "printed = np.exp(exit_code)"),
    ],
)
def test_what_is_allowed_is_left_alone(path: str, source: str) -> None:
    assert problems(path, source) == []
