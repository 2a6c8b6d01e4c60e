"""The output folder is written whole or not at all, and what is foreign stays."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from snnconvert.convert import output_folder
from snnconvert.convert.errors import OutputError
from snnconvert.convert.output_folder import HIDDEN, MARKER, OutputFolder

FILES = {"network.snn": "n", "report.html": "h"}


def write(path: Path, files: dict[str, str] | None = None, *, force: bool = False) -> None:
    with OutputFolder(path, force=force) as temporary:
        for name, text in (FILES if files is None else files).items():
            (temporary / name).write_text(text)


def tree(path: Path) -> dict[str, str | None]:
    """Every file's text by relative path (None: a folder), hidden ones too."""
    return {
        str(entry.relative_to(path)): None if entry.is_dir() else entry.read_text()
        for entry in sorted(path.rglob("*"))
    }


def written(files: dict[str, str] | None = None) -> dict[str, str | None]:
    files = FILES if files is None else files
    return {MARKER: json.dumps({"files": sorted(files)}), **files}


def refused(path: Path, *, force: bool = False) -> OutputError:
    with pytest.raises(OutputError) as caught, OutputFolder(path, force=force):
        pytest.fail("the folder was entered")
    return caught.value


# A new folder


def test_a_new_folder_appears_complete(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with OutputFolder(out) as temporary:
        (temporary / "a").write_text("1")
        assert not out.exists()
        assert temporary.parent == tmp_path
    assert tree(tmp_path) == {
        "out": None,
        **{f"out/{name}": text for name, text in written({"a": "1"}).items()},
    }


def test_missing_parents_are_made(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "out")
    assert tree(tmp_path / "a" / "b" / "out") == written()


def test_its_permissions_are_a_new_folders(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write(tmp_path / "out")
        (tmp_path / "plain").mkdir()
    finally:
        os.umask(old)
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("out"))
    assert tree(tmp_path / "out") == written()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), OutputFolder(tmp_path / "a" / "out") as temporary:
        (temporary / "half").write_text("1")
        (temporary / "folder").mkdir()
        raise error
    assert tree(tmp_path) == {}


# A folder that is there


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o700)
    inode = out.stat().st_ino
    write(out)
    assert tree(out) == written()
    assert (out.stat().st_ino, out.stat().st_mode & 0o777) == (inode, 0o700)


def test_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path())
    assert Path(MARKER).exists()
    assert tree(tmp_path) == written()


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    write(tmp_path / "out")
    write(tmp_path / "out", {"b": "2"})
    assert (tmp_path / "out").is_symlink()
    assert tree(tmp_path / "disk") == written({"b": "2"})


def test_a_link_to_nothing_is_followed_too(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("disk")
    write(tmp_path / "out")
    assert tree(tmp_path / "disk") == written()


def test_a_second_run_replaces_its_files_and_removes_old_ones(tmp_path: Path) -> None:
    write(tmp_path / "out", {"both": "old", "old": "old"})
    write(tmp_path / "out", {"both": "new", "new": "new"})
    assert tree(tmp_path / "out") == written({"both": "new", "new": "new"})


def test_what_a_run_reads_is_not_taken_away(tmp_path: Path) -> None:
    """The network in a folder of ours is evaluated, and the report goes into the same folder."""
    out = tmp_path / "out"
    write(out, {"network.snn": "read", "report.json": "old", "curve": "old"})
    read = [out / "network.snn", out / "report.json", tmp_path / "rows.npz", tmp_path / "gone"]
    read[2].write_text("rows")
    for _ in range(2):  # it stays ours: the next run does not take it for a foreign file
        with OutputFolder(out, inputs=read) as temporary:
            (temporary / "report.json").write_text("new")
        assert tree(out) == written({"network.snn": "read", "report.json": "new"})
    (tmp_path / "link").symlink_to(out / "network.snn")
    with OutputFolder(out, inputs=[tmp_path / "link"]) as temporary:
        (temporary / "new").write_text("")
    assert tree(out) == written({"network.snn": "read", "new": ""})


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_second_run_leaves_the_first(tmp_path: Path, error: type[BaseException]) -> None:
    write(tmp_path / "out")
    before = tree(tmp_path)
    with pytest.raises(error), OutputFolder(tmp_path / "out") as temporary:
        (temporary / "report.html").write_text("half")
        raise error
    assert tree(tmp_path) == before


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize(("there", "step"), [(False, 0), *((True, i) for i in range(7))])
def test_a_failure_while_moving_files_restores_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, there: bool, step: int
) -> None:
    if there:
        write(tmp_path / "out", {"report.html": "old", "stale": "old"})
        (tmp_path / "out" / "network.snn").write_text("foreign")
    before = tree(tmp_path)
    rename, calls = Path.rename, iter(range(99))

    def failing(self: Path, target: Path) -> Path:
        if next(calls) == step:
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)):
        write(tmp_path / "out", force=True)
    assert tree(tmp_path) == before


# Foreign files


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    error = refused(tmp_path)
    assert error.message == f"{tmp_path} holds 1 file that snnconvert did not write"
    assert error.where == "thesis.tex"
    assert error.hint == "choose another --output, or --force to write into it all the same"
    assert tree(tmp_path) == {"thesis.tex": "years of work"}


def test_many_foreign_files_are_counted_and_some_named(tmp_path: Path) -> None:
    for i in range(7):
        (tmp_path / f"{i}").touch()
    error = refused(tmp_path)
    assert "holds 7 files" in error.message
    assert error.where == "0, 1, 2, 3, 4, ..."


@pytest.mark.parametrize("foreign", ["notes.txt", ".hidden", "folder/inner"])
def test_foreign_files_beside_ours_are_refused_too(tmp_path: Path, foreign: str) -> None:
    out = tmp_path / "out"
    write(out)
    (out / foreign).parent.mkdir(exist_ok=True)
    (out / foreign).touch()
    before = tree(tmp_path)
    assert refused(out).where == foreign.split("/")[0]
    assert tree(tmp_path) == before


def test_force_keeps_foreign_files_and_removes_old_ones_of_ours(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, {"both": "old", "old": "old"})
    (out / "notes.txt").write_text("mine")
    (out / "folder").mkdir()
    (out / "folder" / "deep").write_text("mine")
    write(out, {"both": "new"}, force=True)
    kept = {"notes.txt": "mine", "folder": None, "folder/deep": "mine"}
    assert tree(out) == written({"both": "new"}) | kept
    refused(out)


def test_force_replaces_a_foreign_file_of_our_name(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("foreign")
    write(tmp_path, force=True)
    assert tree(tmp_path) == written()


def test_a_foreign_folder_of_our_name_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    (tmp_path / "report.html" / "inner").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=r"holds 'report\.html', which snnconvert did not write"):
        write(tmp_path, force=True)
    assert tree(tmp_path) == before


def test_a_foreign_file_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError) as caught, OutputFolder(tmp_path / "out") as temporary:
        (temporary / "report.html").write_text("ours")
        (tmp_path / "out" / "report.html").write_text("foreign")
    assert "holds 'report.html'" in caught.value.message
    assert caught.value.hint == "move it away, or choose another --output"
    assert tree(tmp_path / "out") == {"report.html": "foreign"}


def test_another_foreign_file_that_came_meanwhile_is_no_hindrance(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with OutputFolder(out) as temporary:
        (temporary / "report.html").write_text("ours")
        (out / "notes.txt").write_text("mine")
    assert tree(out) == written({"report.html": "ours"}) | {"notes.txt": "mine"}


def test_a_folder_that_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(OutputError), OutputFolder(out) as temporary:
        (temporary / "report.html").write_text("ours")
        out.mkdir()
        (out / "report.html").write_text("foreign")
    assert tree(tmp_path) == {"out": None, "out/report.html": "foreign"}


@pytest.mark.parametrize(
    "marker", ["", "{", "[]", "3", '{"files": 3}', '{"files": [["a"]]}', '{"files": "notes.txt"}']
)
def test_a_damaged_marker_makes_nothing_ours(tmp_path: Path, marker: str) -> None:
    (tmp_path / MARKER).write_text(marker)
    (tmp_path / "notes.txt").touch()
    assert refused(tmp_path).where == "notes.txt"


def test_a_marker_reaches_no_other_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "thesis.tex").write_text("years of work")
    (out / MARKER).write_text(json.dumps({"files": ["../thesis.tex", "..", ""]}))
    write(out)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert tree(out) == written()


def test_what_a_killed_run_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / f"{HIDDEN}12345678").mkdir()
    write(tmp_path)
    assert (tmp_path / "report.html").exists()


# What cannot be written


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    for force in (False, True):
        error = refused(tmp_path / "out", force=force)
        assert error.message == f"{tmp_path / 'out'} is a file, not a folder"
        assert error.hint == "choose another --output"
    assert tree(tmp_path) == {"out": "mine"}


@pytest.mark.parametrize("inner", ["out", "a/b/out"])
def test_a_file_as_parent(tmp_path: Path, inner: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / inner
    error = refused(path)
    assert error.message == f"cannot write {path}"
    assert "Not a directory" in error.why or "File exists" in error.why
    assert error.hint == "choose another --output"
    assert tree(tmp_path) == {"file": ""}


@pytest.mark.parametrize("name", ["x" * 300, "a/" + "x" * 300])
def test_a_name_that_is_too_long(tmp_path: Path, name: str) -> None:
    assert "File name too long" in refused(tmp_path / name).why
    assert tree(tmp_path) == {}


def test_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert re.search("loop|symbolic links", refused(tmp_path / "a" / "out").why)


def denied(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("there", [True, False])
def test_no_permission_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """Known before the work begins, also for a folder that is there."""
    path = tmp_path / "out"
    if there:
        path.mkdir()
    make: Callable[..., None] = Path.mkdir

    def mkdir(self: Path, *args: object, **options: object) -> None:
        if self.name.startswith(HIDDEN):
            denied()
        make(self, *args, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    error = refused(path)
    assert (error.message, "Permission denied" in error.why) == (f"cannot write {path}", True)


def test_a_temporary_name_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make: Callable[..., None] = Path.mkdir

    def mkdir(self: Path, *args: object, **options: object) -> None:
        if self.name.startswith(HIDDEN):
            raise FileNotFoundError(2, "No such file or directory", str(self))
        make(self, *args, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    why = refused(tmp_path / "out").why
    assert why == f"nothing can be made in {tmp_path}: No such file or directory"


def test_no_permission_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "iterdir", denied)
    assert "Permission denied" in refused(tmp_path).why


def test_the_hidden_folders_name_is_new_each_time(tmp_path: Path) -> None:
    with OutputFolder(tmp_path / "a") as one, OutputFolder(tmp_path / "b") as two:
        assert one != two
        assert one.name.startswith(output_folder.HIDDEN)
