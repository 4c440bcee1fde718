"""The reader's own copies of the lessons: what follows the committed lesson, and what is theirs."""

import json
import re
import sys
from pathlib import Path

import pytest
from dockerlab import cli, engine, folders
from dockerlab.engine.own import embedded
from dockerlab.errors import EngineMissing, LabError, WorkspaceUnwritable
from dockerlab.lab import copies, workspace
from typer.testing import CliRunner

FIRST, SECOND = "00_first.ipynb", "01_second.ipynb"
OUTPUT = {"output_type": "stream", "name": "stdout", "text": ["1\n"]}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    """The reader's folder, which does not exist yet, of a laboratory with two lessons."""
    monkeypatch.setattr(folders, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.delenv("DOCKERLAB_WORKSPACE")
    folders.NOTEBOOKS.mkdir()
    for name in (FIRST, SECOND):
        commit(name, "print(1)")
    return tmp_path / "workspace"


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """No engine, and a cache folder of its own: `clean --everything` would remove those of whoever runs the tests."""

    def missing():
        raise EngineMissing("No Docker engine was found.")

    monkeypatch.setenv("DOCKERLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded, "_daemons", list)
    monkeypatch.setattr(embedded, "_orphans", lambda here: [])
    monkeypatch.setattr(engine, "find", missing)


def commit(name: str, *sources: str, metadata: dict | None = None) -> None:
    cells = [
        {
            "cell_type": "code",
            "id": f"c{n}",
            "metadata": {},
            "source": [source],
            "outputs": [OUTPUT],
            "execution_count": n,
        }
        for n, source in enumerate(sources, 1)
    ]
    cells.insert(0, {"cell_type": "markdown", "id": "title", "metadata": {}, "source": ["# Größe\n", "of it"]})
    notebook = {"cells": cells, "metadata": metadata or {}, "nbformat": 4, "nbformat_minor": 5}
    (folders.NOTEBOOKS / name).write_text(json.dumps(notebook))


def change(path: Path, **cell) -> bytes:
    """Change the last cell as JupyterLab saves it, and return all that is in the file."""
    notebook = json.loads(path.read_text())
    notebook["cells"][-1] |= cell
    path.write_text(json.dumps(notebook))
    return path.read_bytes()


def source(path: Path) -> str:
    return "".join(json.loads(path.read_text())["cells"][-1]["source"])


def clean() -> str:
    assert folders.cache().is_relative_to(folders.NOTEBOOKS.parent), "it would remove the reader's own"
    return str(CliRunner().invoke(cli.app, ["clean", "--everything"]).output)


def test_a_copy_is_the_lesson_without_outputs_and_counts(root):
    before = {path: path.read_bytes() for path in folders.NOTEBOOKS.iterdir()}
    assert copies.update() == {}
    assert sorted(path.name for path in root.iterdir()) == [folders.MARK, copies.HIDDEN, FIRST, SECOND]
    title, cell = json.loads((root / FIRST).read_text())["cells"]
    assert "".join(title["source"]) == "# Größe\nof it"
    assert (cell["id"], cell["source"]) == ("c1", ["print(1)"])
    assert (cell["outputs"], cell["execution_count"]) == ([], None)
    assert {path: path.read_bytes() for path in folders.NOTEBOOKS.iterdir()} == before


def test_a_copy_that_nobody_touched_follows_the_lesson_and_one_that_was_deleted_comes_back(root):
    copies.update()
    (root / SECOND).unlink()
    commit(FIRST, "print(2)")
    assert copies.update() == {}
    assert source(root / FIRST) == "print(2)"
    assert source(root / SECOND) == "print(1)"
    (folders.NOTEBOOKS / FIRST).unlink()
    assert copies.update() == {}
    assert not (root / FIRST).exists()


def test_what_jupyterlab_changes_by_itself_is_not_the_readers(root):
    copies.update()
    notebook = json.loads((root / FIRST).read_text())
    notebook["metadata"]["language_info"] = {"version": "3.13.9"}
    (root / FIRST).write_text(json.dumps(notebook, indent=4))
    change(root / FIRST, source="print(1)", metadata={"scrolled": True}, execution_count=1)
    commit(FIRST, "print(2)")
    assert copies.update() == {}
    assert source(root / FIRST) == "print(2)"


@pytest.mark.parametrize("cell", [{"source": ["print('mine')"]}, {"outputs": [OUTPUT]}], ids=["source", "outputs"])
def test_what_the_reader_changed_or_ran_stays_and_a_newer_version_is_told(root, cell):
    copies.update()
    mine = change(root / FIRST, **cell)
    assert copies.update() == {}, "the lesson is as it was"
    commit(FIRST, "print(2)")
    commit(SECOND, "print(2)")
    for _ in range(2):
        (told,) = copies.update().items()
        assert told[0] == root / FIRST
        assert re.search(r"newer version .* rename or delete yours, and start again$", told[1])
        assert (root / FIRST).read_bytes() == mine
        assert source(root / SECOND) == "print(2)"
    (root / FIRST).rename(root / "mine.ipynb")
    assert copies.update() == {}
    assert source(root / FIRST) == "print(2)"
    assert (root / "mine.ipynb").read_bytes() == mine


@pytest.mark.parametrize("there", ["a notebook", "no notebook", "a folder", "a link"])
def test_a_file_of_the_readers_with_a_lessons_name_stays(root, there, tmp_path):
    folders.make(root)
    outside = tmp_path / "outside.ipynb"
    outside.write_bytes((folders.NOTEBOOKS / FIRST).read_bytes())
    change(outside, source="mine")
    match there:
        case "a notebook":
            outside.rename(root / FIRST)
        case "no notebook":
            (root / FIRST).write_text("mine")
        case "a folder":
            (root / FIRST).mkdir()
        case "a link":
            (root / FIRST).symlink_to(outside)
    before = [path.lstat() for path in (root / FIRST, outside) if path.exists()]
    (told,) = copies.update().items()
    assert told[0] == root / FIRST
    assert told[1].startswith("it is not the lab's copy")
    clean()
    assert [path.lstat() for path in (root / FIRST, outside) if path.exists()] == before


@pytest.mark.parametrize("unknown", ["broken digests", "a folder of the reader's by that name"])
def test_where_it_is_not_known_what_was_written_all_stays_and_what_is_missing_comes(root, unknown):
    copies.update()
    if unknown == "broken digests":
        (root / copies.HIDDEN / "digests.json").write_text('{"00_first.ipynb": 1}')
    else:
        (root / copies.HIDDEN / folders.MARK).unlink()
    (root / SECOND).unlink()
    assert copies.update() == {}, "it is as the lesson is"
    commit(FIRST, "print(2)")
    assert list(copies.update()) == [root / FIRST]
    assert (source(root / FIRST), source(root / SECOND)) == ("print(1)", "print(1)")


def test_a_lesson_that_cannot_be_read_is_told_and_nothing_is_written(root):
    (folders.NOTEBOOKS / SECOND).write_text('{"cells": [')
    with pytest.raises(LabError, match=rf"{SECOND} cannot be read"):
        copies.update()
    assert not root.exists()


def test_a_folder_that_cannot_be_written_is_told(root):
    root.write_text("a file where the folder should be")
    with pytest.raises(WorkspaceUnwritable, match="workspace, cannot be written"):
        copies.update()


# --- clean ------------------------------------------------------------------------------------------------------------


def checkpoint(path: Path) -> Path:
    """What Jupyter keeps of a copy."""
    kept = path.parent / copies.CHECKPOINTS / f"{path.stem}-checkpoint.ipynb"
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(path.read_bytes())
    return kept


def test_clean_leaves_what_the_reader_touched_and_nothing_else(root):
    copies.update()
    mine = change(root / FIRST, outputs=[OUTPUT])
    kept = checkpoint(root / FIRST)
    checkpoint(root / SECOND)
    assert f"Kept {root / FIRST}: you have changed it." in clean()
    assert sorted(root.rglob("*")) == sorted([root / folders.MARK, root / FIRST, kept.parent, kept])
    assert (root / FIRST).read_bytes() == mine
    copies.update()
    assert (root / FIRST).read_bytes() == mine
    for path in (root / FIRST, kept):
        path.unlink()
    clean()
    assert not root.exists()


def test_in_a_folder_that_the_lab_did_not_make_copies_follow_and_clean_removes_none(root):
    root.mkdir()
    (root / "mine.txt").write_text("mine")
    copies.update()
    commit(FIRST, "print(2)")
    copies.update()
    assert source(root / FIRST) == "print(2)"
    before = {path: path.stat() for path in root.rglob("*")}
    assert f"Kept {root}: it holds what the lab did not make: mine.txt." in clean()
    assert {path: path.stat() for path in root.rglob("*")} == before


# --- the earlier place of the workspaces ------------------------------------------------------------------------------


def test_attempts_in_the_earlier_place_come_along_and_stay_there(root, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setenv("DOCKERLAB_WORKSPACE", str(folders.NOTEBOOKS / "workspace"))
        old, lock = workspace.claim("00_first")
        for name in ("your_turn", "your_turn_2"):
            workspace.lay_out(old / name, {"Dockerfile": "FROM scratch\n"})
        (old / "your_turn" / "Dockerfile").write_text("FROM mine\n")
        lock.release()
    assert folders.is_ours(old)
    new, lock = workspace.claim("00_first")
    assert new == root / "00_first"
    assert folders.others(new) == [".given.json", ".lock", "your_turn"]
    assert (new / "your_turn" / "Dockerfile").read_text() == "FROM mine\n"
    (new / "your_turn" / "Dockerfile").write_text("FROM scratch\n")
    lock.release()
    _, lock = workspace.claim("00_first")
    lock.release()
    assert (new / "your_turn" / "Dockerfile").read_text() == "FROM scratch\n"
    assert (old / "your_turn" / "Dockerfile").read_text() == "FROM mine\n"
    assert f"Kept {old / 'your_turn'}: you have changed it." in clean()
    assert folders.others(old) == [".given.json", ".lock", "your_turn"]
    assert not root.exists()


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_starts_jupyterlab_in_the_readers_folder(root, tmp_path, monkeypatch):
    started = []
    monkeypatch.chdir(tmp_path)  # the command changes the folder; this changes it back
    monkeypatch.setattr(cli.os, "execve", lambda *given: started.append(given))
    monkeypatch.setattr(engine, "shell_environment", lambda: {"PATH": "/engine:/bin", "DOCKER_HOST": "unix:///s"})
    copies.update()
    change(root / FIRST, source="mine")
    commit(FIRST, "print(2)")
    result = CliRunner().invoke(cli.app, ["lab", "--", "--no-browser"])
    assert result.exit_code == 0, result.output
    assert f"Kept {root / FIRST}: you have changed it, and there is a newer version" in result.output
    ((program, command, environment),) = started
    assert (program, command[1:3], command[-2:]) == (
        sys.executable,
        ["-m", "jupyterlab"],
        [str(root / FIRST), "--no-browser"],
    )
    assert f"--ServerApp.root_dir={root}" in command
    assert Path.cwd() == root, "where terminals begin"
    assert environment["DOCKER_HOST"] == "unix:///s"
    assert environment["PATH"].startswith("/engine:/bin:")
