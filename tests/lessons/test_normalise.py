"""After `make notebooks`, a difference shows what has really changed, and a lesson that fails is not written."""

import base64
import copy

import execute
import normalise
import pytest
import toy
from nbformat.v4 import new_output
from toy import code

OLD_PNG, NEW_PNG = (base64.b64encode(name).decode() for name in (b"old", b"new"))


def figure(png: str, alt: str = "two stops"):
    return new_output("display_data", data={"image/png": png, "text/plain": alt})


@pytest.fixture
def old():
    cell = code("stop", "stop()", out="exit code 0, 0.41 s")
    cell.outputs.append(figure(OLD_PNG))
    return toy.lesson("good", cell, code("other", "other()", out="5 files"))


@pytest.fixture
def new(old):
    """The same lesson, run on another day by another JupyterLab."""
    new = copy.deepcopy(old)
    new.metadata.language_info.version = "3.14.1"
    stop = new.cells[2]
    stop.metadata.execution = {"iopub.execute_input": "2026-11-24T10:00:00Z"}
    stop.outputs = [new_output("stream", name="stdout", text="exit code 0, 0.57 s\n"), figure(NEW_PNG)]
    for cell in new.cells:
        if cell.cell_type == "code":
            cell.execution_count += 40
    return new


def test_nothing_has_changed_but_seconds_pixels_and_metadata(old, new):
    assert normalise.normalised(old, new) == old


def test_all_outputs_are_of_one_run_where_that_is_asked_for(old, new):
    """Or a picture would show other seconds than the text above it."""
    new.cells[3].outputs[0].text = "5 files \n"
    result = normalise.normalised(old, new, all_outputs=True)
    assert [cell.outputs for cell in result.cells[2:]] == [cell.outputs for cell in new.cells[2:]]


@pytest.mark.parametrize("what", ["text", "alt"])
def test_what_has_changed_is_taken_whole(old, new, what):
    outputs = new.cells[2].outputs
    if what == "text":
        outputs[0].text = "exit code 137, 0.57 s\n"
    else:
        outputs[1].data["text/plain"] = "three stops"
    result = normalise.normalised(old, new)
    assert result.cells[2].outputs == outputs
    assert result.cells[3] == old.cells[3]


def test_a_lesson_that_fails_is_named_and_left_as_it_was(tmp_path, capsys, monkeypatch):
    path = toy.write(tmp_path, "red", code("wrong", "raise ValueError('no')"))
    before = path.read_bytes()
    monkeypatch.setattr(normalise, "copy_of_lessons", lambda folder: folder)
    assert normalise.main([str(path)]) == 1
    assert "red.ipynb is left as it was; it failed at the cell wrong: ValueError: no" in capsys.readouterr().out
    assert path.read_bytes() == before


def test_a_second_run_changes_not_one_byte(tmp_path, monkeypatch, capsys):
    path = toy.write(tmp_path, "good", code("now", "import time\nprint(f'{time.time() % 60:.2f} s')\ntime.time() > 0"))
    monkeypatch.setattr(normalise, "copy_of_lessons", lambda folder: folder)
    assert normalise.main([str(path)]) == 0
    first = path.read_bytes()
    assert normalise.main([str(path)]) == 0
    assert path.read_bytes() == first
    assert "changed: now" in capsys.readouterr().out
    assert execute.read(path).cells[2].outputs[1].data["text/plain"] == "True"
