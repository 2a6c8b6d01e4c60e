"""README's commands are what CI runs, and what they name exists."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

COMMANDS = ("quick-start", "tests")


def readme_command(repository: Path, name: str) -> str:
    """The fenced block after ``<!-- command: NAME -->`` in README.md."""
    text = (repository / "README.md").read_text(encoding="utf-8")
    block = rf"^<!-- command: {re.escape(name)} -->\n+```sh\n(.*?)^```$"
    found = re.findall(block, text, flags=re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"README.md has {len(found)} blocks marked {name!r}, not one"
    return str(found[0]).strip()


def words(repository: Path, name: str) -> list[str]:
    return shlex.split(readme_command(repository, name))


@pytest.mark.parametrize("name", COMMANDS)
def test_ci_reads_the_command_that_readme_shows(repository: Path, name: str) -> None:
    printed = subprocess.run(
        ["bash", repository / ".ci" / "run", "--print", name],
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.strip() == readme_command(repository, name)


def test_ci_refuses_a_command_that_readme_does_not_have(repository: Path) -> None:
    printed = subprocess.run(
        ["bash", repository / ".ci" / "run", "--print", "no-such-command"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert printed.returncode == 1
    assert "no ```sh block after <!-- command: no-such-command -->" in printed.stderr


def test_ci_runs_the_test_command_and_nothing_kept_beside_it(repository: Path) -> None:
    script = (repository / ".ci" / "run").read_text(encoding="utf-8")
    assert 'tests=$(readme_command "$clone" tests)' in script
    assert 'bash -euo pipefail -c "$tests"' in script
    assert "pytest" not in script, "CI's test command stands in README.md only"


def test_ci_is_executable(repository: Path) -> None:
    assert (repository / ".ci" / "run").stat().st_mode & 0o111 == 0o111


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_one_line_that_makes_an_environment_and_uses_the_pins(
    repository: Path, name: str
) -> None:
    command = readme_command(repository, name)
    assert "\n" not in command
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -c constraints.txt ")


@pytest.mark.parametrize(
    ("name", "extra", "program"),
    [("quick-start", ".[loihi]", ".venv/bin/snnconvert"), ("tests", ".[dev]", ".venv/bin/pytest")],
)
def test_each_command_installs_the_extra_that_its_program_needs(
    repository: Path, name: str, extra: str, program: str
) -> None:
    command = words(repository, name)
    assert extra in command
    assert program in command


def test_the_quick_start_converts_a_model_that_the_repository_has(repository: Path) -> None:
    models = [word for word in words(repository, "quick-start") if word.endswith(".onnx")]
    assert models == ["models/fashion_cnn.onnx"]
    assert (repository / models[0]).is_file()


def pins(repository: Path) -> dict[str, str]:
    """Version by package name; every line of constraints.txt is ``name==version`` or a comment."""
    found: dict[str, str] = {}
    for line in (repository / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([a-z0-9-]+)==([0-9]+(?:\.[0-9]+)*)", line)
            assert match, f"constraints.txt: {line!r} is not name==version"
            assert match[1] not in found, f"constraints.txt pins {match[1]} twice"
            found[match[1]] = match[2]
    return found


def test_pinned_versions_satisfy_every_requirement(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    requirements = [*project["dependencies"], *(line for extra in extras for line in extra)]
    pinned = pins(repository)
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        if name == project["name"]:
            continue
        assert name in pinned, f"constraints.txt does not pin {name}"
        assert pinned[name] in requirement.specifier, f"{requirement} excludes {pinned[name]}"


def test_torch_is_pinned_without_a_local_label(repository: Path) -> None:
    # `+cpu` exists on some machines only; the plain version matches such a build as well.
    assert pins(repository)["torch"] == "2.13.0"
