"""What is installed: packages, data, entry points, versions; and how fast the program answers."""

import importlib.metadata
import json
import re
import resource
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

NOT_INSTALLED = {"benchmarks", "docs", "examples", "tests"}
HEAVY = ("matplotlib", "nengo", "nengo_loihi", "numba", "onnx", "onnxruntime", "scipy", "torch")


@pytest.fixture(scope="module")
def pyproject(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def package_files(source_files: list[Path]) -> list[Path]:
    """The Python files that belong in the wheel, relative to the root."""
    return [path for path in source_files if path.parts[0] not in NOT_INSTALLED]


@pytest.fixture(scope="module")
def tracked_files(repository: Path) -> list[Path]:
    """What git tracks and what it would (new files that are not ignored), relative to the root."""
    if not (repository / ".git").exists():
        pytest.skip("not a git checkout: the tracked files are unknown")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    names = [Path(name) for name in listed.stdout.split("\0") if name]
    return [name for name in names if (repository / name).is_file()]


def test_every_package_is_listed(pyproject: dict[str, Any], package_files: list[Path]) -> None:
    folders = {path.parent for path in package_files}
    found = {".".join(["snnconvert", *folder.parts]) for folder in folders}
    listed = pyproject["tool"]["setuptools"]["packages"]
    assert sorted(found) == sorted(listed), "tool.setuptools.packages in pyproject.toml"


def test_every_package_has_an_init(repository: Path, package_files: list[Path]) -> None:
    folders = {path.parent for path in package_files}
    missing = [folder for folder in folders if not (repository / folder / "__init__.py").is_file()]
    assert not missing


@pytest.fixture(scope="module")
def distributions(
    repository: Path, tracked_files: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the sdist, and the wheel built from it, of a copy without build leftovers."""
    copy = tmp_path_factory.mktemp("build") / "copy"
    for name in tracked_files:
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(repository / name, target)
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", copy / "dist", copy],
        check=True,
        capture_output=True,
        text=True,
    )
    return copy / "dist"


@pytest.mark.slow
def test_wheel_has_all_of_the_package_and_nothing_else(
    distributions: Path, package_files: list[Path], tracked_files: list[Path]
) -> None:
    data = [
        name
        for name in tracked_files
        if (name.parts[0] == "models" and name.suffix in {".onnx", ".npz"})
        or name.parts[:2] in {("reports", "templates"), ("reports", "report.schema.json")}
    ]
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    installed = {name for name in names if ".dist-info/" not in name}
    expected = [*package_files, *data, Path("py.typed")]
    assert installed == {f"snnconvert/{path.as_posix()}" for path in expected}
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]


@pytest.mark.slow
def test_wheel_ships_a_model_with_its_rows_and_the_report_template(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for model in ("fashion_cnn", "fashion_mobilenet", "fashion_resnet", "fashion_vgg"):
        for suffix in (".onnx", ".calibration.npz", ".eval.npz"):
            assert f"snnconvert/models/{model}{suffix}" in names
    assert [name for name in names if name.startswith("snnconvert/reports/templates/")]


@pytest.mark.slow
def test_sdist_has_what_its_own_tests_need(
    distributions: Path, package_files: list[Path], tracked_files: list[Path]
) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {Path(*Path(name).parts[1:]) for name in archive.getnames()}
    tests = [name for name in tracked_files if name.parts[0] == "tests"]
    read_by_tests = ["pyproject.toml", "constraints.txt", "README.md", "CHANGELOG.md", ".ci/run"]
    assert {*package_files, *tests, *map(Path, read_by_tests)} <= names


def test_entry_points_are_installed_as_declared(pyproject: dict[str, Any]) -> None:
    declared = pyproject["project"]["entry-points"]["snnconvert.backends"]
    installed = importlib.metadata.distribution("snnconvert").entry_points
    backends = installed.select(group="snnconvert.backends")
    assert {entry.name: entry.value for entry in backends} == declared
    (script,) = installed.select(group="console_scripts", name="snnconvert")
    assert callable(script.load())


@pytest.mark.parametrize("name", ["reference", "cpu", "nengo", "loihi"])
def test_backend_entry_point_loads_a_backend_of_its_name(name: str) -> None:
    (entry,) = importlib.metadata.entry_points(group="snnconvert.backends", name=name)
    assert entry.load().name == name


def test_version_is_the_newest_in_the_changelog(
    repository: Path, pyproject: dict[str, Any]
) -> None:
    changelog = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(\d[^\]]*)\]", changelog, flags=re.MULTILINE)
    assert versions[0] == pyproject["project"]["version"]
    assert importlib.metadata.version("snnconvert") == versions[0]


def loaded_by(code: str, folder: Path) -> set[str]:
    """Top-level modules that are loaded in a new interpreter once it has run ``code``."""
    tail = "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    finished = subprocess.run(
        [sys.executable, "-c", code + tail],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in json.loads(finished.stderr.splitlines()[-1])}


def test_import_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = loaded_by("import snnconvert", tmp_path)
    assert "snnconvert" in loaded
    assert not loaded & set(HEAVY)


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = """
import sys
from snnconvert.cli import main
sys.argv = ["snnconvert", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code
"""
    assert not loaded_by(code, tmp_path) & {*HEAVY, "numpy"}


def test_help_answers_in_a_blink(tmp_path: Path) -> None:
    seconds: list[float] = []
    # Processor time of the child, best of several: what a busy machine adds by making it wait, or
    # by slowing one run, says nothing about the command.
    while len(seconds) < 12 and min(seconds, default=1.0) >= 0.3:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        finished = subprocess.run(
            [sys.executable, "-m", "snnconvert", "--help"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        seconds.append(used)
        assert "--target" in finished.stdout
    assert min(seconds) < 0.3, [f"{one:.2f} s" for one in seconds]


def test_no_tracked_file_names_a_machine(repository: Path, tracked_files: list[Path]) -> None:
    # In pieces, so that this file does not find itself.
    folders = "|".join(["root", "work", "Users", "home/[a-z]+", "opt/[a-z]+"])
    hosts = "|".join(
        ["pypi" + r"\.org", "files" + r"\.pythonhosted", "--(?:extra-)?index" + "-url"]
    )
    pattern = re.compile(rf"(?<![\w.~-])/(?:{folders})/|{hosts}")
    found = []
    for name in tracked_files:
        try:
            lines = (repository / name).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # binary: a model, an array
        found += [f"{name}:{n}: {line}" for n, line in enumerate(lines, 1) if pattern.search(line)]
    assert not found, "\n".join(found)
