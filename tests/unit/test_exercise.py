"""A check has three states, judges by what was measured, and never overwrites an attempt."""

from types import SimpleNamespace

import pytest
from dockerlab.claims.exercise import NotYet
from dockerlab.claims.exercise import lay_out as exercise
from dockerlab.errors import BuildFailed

GIVEN = {"Dockerfile": "FROM scratch\n", "app/main.py": "app = None\n"}


@pytest.fixture
def lab(tmp_path):
    return SimpleNamespace(workspace=tmp_path)


def good(folder):
    return "it stops at once"


def test_untouched_files_are_not_attempted_and_nothing_is_measured(lab):
    def measure(folder):
        raise AssertionError("measured")

    assert exercise(lab, GIVEN).check(measure).state == "not attempted"


@pytest.mark.parametrize("act", ["change", "add", "remove"])
def test_any_difference_is_an_attempt(lab, act):
    task = exercise(lab, GIVEN)
    match act:
        case "change":
            (task.folder / "Dockerfile").write_text("FROM scratch\nCMD x\n")
        case "add":
            (task.folder / "start.sh").write_text("exec x\n")
        case "remove":
            (task.folder / "app" / "main.py").unlink()
    assert task.check(good).state == "done"


def test_a_compiled_file_is_not_an_attempt(lab):
    task = exercise(lab, GIVEN)
    (task.folder / "app" / "__pycache__").mkdir()
    (task.folder / "app" / "__pycache__" / "main.pyc").write_bytes(b"x")
    assert task.check(good).state == "not attempted"


NOT_YET = NotYet("exit code 137.", "who is process 1.")
FAILED = BuildFailed("exit code 137.", "Look next at who is process 1.")


@pytest.mark.parametrize("error", [NOT_YET, FAILED])
def test_what_was_observed_is_told_and_what_to_look_at(lab, error):
    def measure(folder):
        raise error

    task = exercise(lab, GIVEN)
    (task.folder / "Dockerfile").write_text("FROM other\n")
    check = task.check(measure)
    assert check.state == "not yet"
    assert repr(check) == "◐ Not yet. In your version: exit code 137.\nLook next at who is process 1."


def test_a_mistake_in_the_check_itself_is_not_the_readers(lab):
    task = exercise(lab, GIVEN)
    (task.folder / "Dockerfile").write_text("FROM other\n")
    with pytest.raises(KeyError):
        task.check(lambda folder: {}["missing"])


def test_an_attempt_is_kept_when_the_lesson_runs_again(lab):
    task = exercise(lab, GIVEN)
    (task.folder / "Dockerfile").write_text("FROM mine\n")
    exercise(lab, GIVEN)
    assert (task.folder / "Dockerfile").read_text() == "FROM mine\n"


def test_a_second_exercise_is_attempted_and_checked_by_itself(lab):
    first = exercise(lab, GIVEN)
    second = exercise(lab, GIVEN, folder="your_turn_2")
    (second.folder / "Dockerfile").write_text("FROM mine\n")
    assert repr(first.check(good)) == "○ Not attempted: the files in your_turn are as they were given."
    assert repr(second.check(good)) == "● Done. In your version: it stops at once"


def test_a_folder_that_would_not_be_kept_is_refused(lab):
    with pytest.raises(ValueError, match="my_turn"):
        exercise(lab, GIVEN, folder="my_turn")


def test_its_files_are_links_where_the_reader_s_copies_are(lab, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path))
    task = exercise(lab, GIVEN)
    assert "<code>app/main.py</code>" in task._repr_html_()
    (tmp_path / "03_exec_or_shell.ipynb").touch()
    assert '<a href="your_turn/app/main.py">app/main.py</a>' in task._repr_html_()
