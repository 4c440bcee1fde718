"""A lesson starts from an empty folder each time, and never loses what the reader wrote."""

import os

import pytest
from dockerlab import workspace
from dockerlab.errors import WorkspaceUnwritable

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

    assert workspace.remove_all() == [root / "attempted" / "your_turn"]
    assert not (root / "untouched").exists()
    assert not (root / "attempted" / "project").exists()
    assert (root / "attempted" / "your_turn" / "Dockerfile").read_text() == "FROM mine\n"


def test_removing_all_leaves_an_open_lesson_alone(root):
    folder, lock = workspace.claim("open")
    (folder / "project").mkdir()
    assert workspace.remove_all() == [folder]
    assert (folder / "project").exists()
    lock.release()


def test_removing_all_leaves_no_empty_folder(root):
    _, lock = workspace.claim("01")
    lock.release()
    assert workspace.remove_all() == []
    assert not root.exists()


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

    assert workspace.remove_all() == [folder / "your_turn_2"]
    assert not (folder / "your_turn").exists()

    again, lock = workspace.claim("01")
    workspace.lay_out(again / "your_turn", GIVEN)
    assert not workspace.is_attempted(again / "your_turn")
    assert workspace.is_attempted(again / "your_turn_2")
    lock.release()
