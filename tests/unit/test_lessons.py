"""A lesson is done where each of its claims held and its lab was closed. That stays when it is opened again."""

import json
from types import SimpleNamespace

import pytest
from dockerlab import folders
from dockerlab.lab import workspace
from dockerlab.lab.lessons import Lesson, LessonRun, lessons, progress
from IPython.core.interactiveshell import InteractiveShell


@pytest.fixture(autouse=True)
def notebooks(tmp_path, monkeypatch):
    """Two lessons. The first has a set-up cell and two claims."""
    monkeypatch.setattr(folders, "NOTEBOOKS", tmp_path)
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path / "work"))
    write(tmp_path, "01_first", [("setup", "x = 1", []), ("a", "assert x", ["claim"]), ("b", "assert 1", ["claim"])])
    write(tmp_path, "02_second", [("a", "assert 2", ["claim"])])
    return tmp_path


def write(folder, lesson: str, cells: list[tuple[str, str, list[str]]]) -> None:
    content = [{"id": id_, "source": [source], "metadata": {"tags": tags}} for id_, source, tags in cells]
    (folder / f"{lesson}.ipynb").write_text(json.dumps({"cells": content}))


@pytest.fixture
def shell(monkeypatch):
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def finish(shell, cells: list[str], lesson: str = "01_first", *, ids: bool = True) -> None:
    """Open the lesson, run these of its cells, named by their ids, and close it."""
    _, lock = workspace.claim(lesson)
    run = LessonRun(lesson)
    known = {cell["id"]: "".join(cell["source"]) for cell in json.loads(source_of(lesson))["cells"]}
    for cell in cells:
        shell.run_cell(known.get(cell, cell), cell_id=cell if ids else None)
    run.close()
    lock.release()


def is_done(lesson: str) -> bool:
    (found,) = (done for each, done in progress().done.items() if each.name == lesson)
    return found


def shown() -> list[str]:
    """What the text says of each lesson, before its question."""
    return [line.partition(":")[0] for line in repr(progress()).splitlines()]


def source_of(lesson: str) -> str:
    return (folders.NOTEBOOKS / f"{lesson}.ipynb").read_text()


@pytest.mark.parametrize("ids", [True, False], ids=["cells with ids", "cells without"])
def test_a_lesson_whose_claims_all_held_is_done(shell, ids):
    assert shown() == ["○ 01 to do", "○ 02 to do"]
    finish(shell, ["setup", "a", "b"], ids=ids)
    assert shown() == ["✓ 01 done", "○ 02 to do"]


@pytest.mark.parametrize("cells", [[], ["setup", "a"], ["a", "b"]], ids=["none", "one of two", "one fails"])
def test_a_lesson_that_was_closed_too_early_is_not(shell, cells):
    finish(shell, cells)
    assert not is_done("01_first")


def test_what_failed_first_may_hold_later_and_the_other_way_round(shell):
    finish(shell, ["setup", "a", "b", "x = 0", "a"])
    assert not is_done("01_first")
    finish(shell, ["setup", "a", "b", "x = 0", "a", "x = 1", "a"])
    assert is_done("01_first")


def test_a_claim_whose_text_the_reader_changed_still_counts(shell):
    _, lock = workspace.claim("02_second")
    run = LessonRun("02_second")
    shell.run_cell("assert 2, 'mine'", cell_id="a")
    run.close()
    lock.release()
    assert is_done("02_second")


def test_it_stays_when_the_lesson_is_opened_again_and_goes_with_the_workspaces(shell, notebooks):
    finish(shell, ["setup", "a", "b"])
    finish(shell, [])
    assert is_done("01_first")
    assert workspace.remove_all() == {}
    assert not is_done("01_first")
    assert not (notebooks / "work").exists()


@pytest.mark.parametrize("there", [[], ["mine"], ["01_first", "mine"], ["01_first"]])
def test_a_folder_of_the_readers_gets_no_mark_and_one_of_an_earlier_version_does(shell, notebooks, there):
    done = notebooks / "work" / ".done"
    done.mkdir(parents=True)
    for name in there:
        (done / name).touch()
    finish(shell, ["a"], "02_second")
    marked = ["02_second"] if there == ["01_first"] else []
    assert sorted(path.name for path in done.iterdir()) == [*there, *marked]


def test_two_kernels_may_end_the_same_lesson(shell):
    _, lock = workspace.claim("01_first")
    finish(shell, ["setup", "a", "b"])  # in a folder of its own, beside
    lock.release()
    assert is_done("01_first")


@pytest.mark.parametrize("text", ["", "no JSON", "{}", '{"cells": [{}]}', '{"cells": 1}', "[]"])
def test_a_broken_or_missing_notebook_is_no_error_and_no_mark(notebooks, text):
    (notebooks / "work").mkdir()
    (notebooks / "01_first.ipynb").write_text(text)
    LessonRun("01_first").close()
    LessonRun("99_unknown").close()
    assert not any(progress().done.values())


def test_a_workspace_that_cannot_be_written_is_no_error(shell, notebooks):
    run = LessonRun("02_second")
    shell.run_cell("assert 2", cell_id="a")
    (notebooks / "work").write_text("a file where the folder should be")
    run.close()
    assert not is_done("02_second")


def test_a_lesson_that_was_renamed_is_to_do_and_an_unknown_mark_is_not_shown(shell, notebooks):
    finish(shell, ["setup", "a", "b"])
    (notebooks / "01_first.ipynb").rename(notebooks / "03_later.ipynb")
    (notebooks / "work" / ".done" / "99_unknown").touch()
    assert shown() == ["○ 02 to do", "○ 03 to do"]


def test_a_lesson_says_itself_what_it_asks_and_how_long_it_takes(notebooks):
    write_title(notebooks, "01_first", "# Does `this` < that?\n\n**Time:** 20 minutes, and 5 for the exercise.")
    write_title(notebooks, "02_second", "# Why?\n\n**Time:** 5 minutes. Go on.\n\n# No question")
    (notebooks / "03_broken.ipynb").write_text("{")
    assert lessons() == [
        Lesson("01_first", "Does `this` < that?", 20, 5),
        Lesson("02_second", "Why?", 5, 0),
        Lesson("03_broken", "", 0, 0),
    ]
    assert repr(progress()).splitlines()[0] == "○ 01 to do: Does `this` < that? 20 + 5 minutes"
    shown = progress()._repr_html_()
    assert '<a href="01_first.ipynb">Does <code>this</code> &lt; that?</a></td><td>20 + 5</td>' in shown
    assert "<td>○ 01 to do</td>" in shown


def write_title(folder, lesson: str, text: str) -> None:
    (folder / f"{lesson}.ipynb").write_text(json.dumps({"cells": [{"source": [text], "metadata": {}}]}))


def test_a_kernel_tells_one_run_of_a_lesson_of_its_cells_until_that_is_closed(shell):
    before = list(shell.events.callbacks["post_run_cell"])
    first = LessonRun("01_first")
    again = LessonRun("01_first")  # its first cell is run twice
    audit = LessonRun("audit")  # within the lesson
    audit.close()
    shell.run_cell("1", cell_id="a")
    assert (first._passed, again._passed) == (set(), {"a", "1"})
    again.close()
    again.close()
    first.close()
    assert shell.events.callbacks["post_run_cell"] == before


def test_outside_of_a_notebook_nothing_is_done(monkeypatch, notebooks):
    InteractiveShell.clear_instance()
    (notebooks / "work").mkdir()
    run = LessonRun("02_second")
    run._cell_ended(SimpleNamespace(success=True, info=SimpleNamespace(cell_id="other", raw_cell="x")))
    run.close()
    assert not is_done("02_second")
