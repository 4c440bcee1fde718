"""A lesson starts from an empty folder each time, and never loses what the reader wrote."""

import os
import shutil

import pytest
from audits import contents
from dockerlab.errors import WorkspaceUnwritable
from dockerlab.lab import workspace

GIVEN = {"Dockerfile": "FROM scratch\n"}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path / "work"))
    return tmp_path / "work"


def test_a_second_run_starts_empty_but_for_the_readers_files():
    folder, lock = workspace.claim("01")
    (folder / "project" / "app").mkdir(parents=True)
    workspace.lay_out(folder / "your_turn", GIVEN)
    (folder / "your_turn" / "Dockerfile").write_text("FROM mine\n")
    lock.release()

    again, lock = workspace.claim("01")
    assert again == folder
    assert not (again / "project").exists()
    assert (again / "your_turn" / "Dockerfile").read_text() == "FROM mine\n"
    lock.release()


def test_an_exercise_that_changed_replaces_one_that_nobody_touched():
    folder, lock = workspace.claim("01")
    workspace.lay_out(folder / "your_turn", {"old": "1"})
    workspace.lay_out(folder / "your_turn", {"new": "2"})
    assert [path.name for path in (folder / "your_turn").iterdir()] == ["new"]
    assert not workspace.is_attempted(folder / "your_turn")
    lock.release()


def test_an_exercise_that_changed_leaves_an_attempt_alone():
    folder, lock = workspace.claim("01")
    workspace.lay_out(folder / "your_turn", {"old": "1"})
    (folder / "your_turn" / "old").write_text("mine")
    workspace.lay_out(folder / "your_turn", {"new": "2"})
    assert (folder / "your_turn" / "old").read_text() == "mine"
    assert workspace.is_attempted(folder / "your_turn")
    lock.release()


def test_a_lesson_open_in_another_kernel_keeps_its_folder():
    first, lock = workspace.claim("01")
    (first / "file").touch()
    second, other = workspace.claim("01")
    assert second.name == "01-2"
    assert (first / "file").exists()
    lock.release()
    other.release()


def test_a_folder_that_cannot_be_made_is_told_with_its_remedy(root):
    root.write_text("a file where the folder should be")
    with pytest.raises(WorkspaceUnwritable, match="DOCKERLAB_WORKSPACE"):
        workspace.claim("01")


@pytest.mark.skipif(os.name == "nt", reason="file modes")
def test_a_read_only_file_system_is_told(monkeypatch):
    # /proc takes no folder from anyone, root included, which is who runs these tests in a container.
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", "/proc/work")
    with pytest.raises(WorkspaceUnwritable, match="/proc/work"):
        workspace.claim("01")


def test_removing_all_keeps_an_attempt_and_says_where(root):
    for name in ["untouched", "attempted"]:
        folder, lock = workspace.claim(name)
        (folder / "project").mkdir()
        workspace.lay_out(folder / "your_turn", GIVEN)
        lock.release()
    (root / "attempted" / "your_turn" / "Dockerfile").write_text("FROM mine\n")

    assert workspace.remove_all() == {root / "attempted" / "your_turn": "you have changed it"}
    assert not (root / "untouched").exists()
    assert not (root / "attempted" / "project").exists()
    assert (root / "attempted" / "your_turn" / "Dockerfile").read_text() == "FROM mine\n"


def test_removing_all_leaves_an_open_lesson_alone(root):
    folder, lock = workspace.claim("open")
    (folder / "project").mkdir()
    assert workspace.remove_all() == {folder: "a lesson has it open"}
    assert (folder / "project").exists()
    lock.release()


def test_removing_all_leaves_no_empty_folder(root):
    _, lock = workspace.claim("01")
    lock.release()
    assert workspace.remove_all() == {}
    assert not root.exists()


CHANGES = ["a link", "an empty folder", "all a link", "all a file", "a broken note", "a link to the same", "a pipe"]


@pytest.mark.parametrize("act", CHANGES)
def test_whatever_the_reader_makes_of_an_exercise_is_kept(root, tmp_path, act):
    folder, lock = workspace.claim("01")
    exercise = workspace.lay_out(folder / "your_turn", GIVEN)
    assert not workspace.is_attempted(exercise)
    match act:
        case "a link":
            (exercise / "link").symlink_to(tmp_path / "nowhere")
        case "an empty folder":
            (exercise / "folder").mkdir()
        case "all a link":
            exercise.rename(tmp_path / "mine")
            exercise.symlink_to(tmp_path / "mine")
        case "all a file":
            shutil.rmtree(exercise)
            exercise.write_text("mine")
        case "a broken note":
            (folder / ".given.json").write_text("{")
        case "a link to the same":
            (exercise / "Dockerfile").rename(tmp_path / "mine")
            (exercise / "Dockerfile").symlink_to(tmp_path / "mine")
        case "a pipe":
            os.mkfifo(exercise / "pipe")
    before = contents(tmp_path)
    lock.release()
    assert workspace.remove_all() == {exercise: "you have changed it"}
    _, lock = workspace.claim("01")
    if act == "all a file":
        with pytest.raises(WorkspaceUnwritable, match="is not a folder"):
            workspace.lay_out(exercise, {"new": "1"})
    else:
        workspace.lay_out(exercise, {"new": "1"})
    lock.release()
    assert {name: contents(tmp_path).get(name) for name in before if "your_turn" in name} == {
        name: what for name, what in before.items() if "your_turn" in name
    }


def test_a_second_exercise_has_a_folder_of_its_own():
    folder, lock = workspace.claim("01")
    for name in ["your_turn", "your_turn_2"]:
        workspace.lay_out(folder / name, GIVEN)
    (folder / "your_turn_2" / "Dockerfile").write_text("FROM mine\n")
    assert not workspace.is_attempted(folder / "your_turn")
    assert workspace.is_attempted(folder / "your_turn_2")
    lock.release()

    again, lock = workspace.claim("01")
    workspace.lay_out(again / "your_turn_2", GIVEN)
    assert (again / "your_turn_2" / "Dockerfile").read_text() == "FROM mine\n"
    lock.release()


def test_a_copy_that_a_check_makes_is_not_the_readers():
    folder, lock = workspace.claim("01")
    (folder / "your_turn_copy").mkdir()
    with pytest.raises(ValueError, match="your_turn_copy"):
        workspace.lay_out(folder / "your_turn_copy", GIVEN)
    lock.release()
    again, lock = workspace.claim("01")
    assert not (again / "your_turn_copy").exists()
    lock.release()


def test_removing_all_keeps_of_two_exercises_the_attempted_one(root):
    folder, lock = workspace.claim("01")
    for name in ["your_turn", "your_turn_2"]:
        workspace.lay_out(folder / name, GIVEN)
    (folder / "your_turn_2" / "Dockerfile").write_text("FROM mine\n")
    lock.release()

    assert workspace.remove_all() == {folder / "your_turn_2": "you have changed it"}
    assert not (folder / "your_turn").exists()

    again, lock = workspace.claim("01")
    workspace.lay_out(again / "your_turn", GIVEN)
    assert not workspace.is_attempted(again / "your_turn")
    assert workspace.is_attempted(again / "your_turn_2")
    lock.release()


@pytest.mark.parametrize("name", ["", ".", "..", "../thesis", "/thesis", "03/your_turn", "03_exec_or_shell\n"])
def test_a_name_that_leads_elsewhere_is_refused_and_nothing_is_emptied(name, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path / "workspace"))
    workspace.claim("03_exec_or_shell")[1].release()
    (tmp_path / "workspace" / "03_exec_or_shell" / "your_turn").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WorkspaceUnwritable, match="is not the name of a lesson"):
        workspace.claim(name)
    assert sorted(tmp_path.rglob("*")) == before
