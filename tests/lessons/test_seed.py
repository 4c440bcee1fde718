"""The proof of the proof: a fault that is not noticed, or noticed in the wrong way, makes the test of it fail."""

import json

import pytest
import seed
import toy
from execute import Red
from faults import Fault
from rules import code_cells
from seed import Unproven, prove
from toy import code

MEASURE = "app = 'shuts down'\nlimit = 5"
CLAIM = "found = app\nassert found == 'shuts down', f'the application {found}'\nassert limit"
AFTER = "print(1 / len(app))\nassert limit < 10, limit"


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    (tmp_path / "seen_green.json").write_text("{}")
    monkeypatch.setattr(seed, "SEEN_GREEN", tmp_path / "seen_green.json")
    cells = code("measure", MEASURE), code("claim", CLAIM, "claim"), code("after", AFTER, "claim")
    toy.write(tmp_path, "toy", *cells)
    return tmp_path


def here(notebook, folder):
    """Execute a toy as `execute` does, with no kernel, which takes a second to start."""
    names = {}
    for cell in code_cells(notebook):
        try:
            exec(cell.source, names)
        except Exception as error:
            return Red(cell.id, tuple(cell.metadata.get("tags", [])), type(error).__name__, str(error))
    return None


def test_a_fault_that_the_lesson_notices_is_proven(notebooks):
    prove(Fault("toy", "is killed", "app = 'shuts down'", "app = 'is killed'", "claim"), notebooks)
    assert list(json.loads(seed.SEEN_GREEN.read_text()).values()) == ["toy: claim"]


@pytest.mark.parametrize(
    ("complaint", "find", "replace", "red_at"),
    [
        ("did not notice", "limit = 5", "limit = 6", ("claim", "after")),
        ("claims nothing: measure", "limit = 5", "limit = 1 / 0", "after"),
        ("another cell than after: claim", "found = app", "found = 'nothing'", "after"),
        ("does not tell the reader", "limit = 5", "pass", "claim"),  # a NameError
        ("occurs 0 times", "limit = 6", "limit = 7", "claim"),
        ("occurs 3 times", "app", "is killed", "claim"),
        ("changes the claim", "assert limit < 10", "assert limit < 0", "after"),
    ],
)
def test_any_other_end_is_a_failure(notebooks, monkeypatch, complaint, find, replace, red_at):
    monkeypatch.setattr(seed, "execute", here)
    monkeypatch.setattr(seed, "sweep_up", lambda: None)
    monkeypatch.setattr(seed, "seen_green", lambda: {seed.digest(short) for short in [seed.shorten(fault, lesson)]})
    fault = Fault("toy", "a mistake", find, replace, red_at)
    lesson = seed.read(notebooks / "toy.ipynb")
    with pytest.raises(Unproven, match=complaint):
        prove(fault, notebooks)


def test_what_is_left_of_a_lesson_is_green_without_the_fault(notebooks):
    """A cell needs what another one has done, and no name tells: its red would be no fault's."""
    made = code("made", "from pathlib import Path\nPath('made').touch()\nassert True", "claim")
    needs = code("needs", "number = 1\nassert Path('made').exists(), 'it is not there'\nassert number == 1", "claim")
    toy.write(notebooks, "toy", made, needs)
    with pytest.raises(Unproven, match="red without the fault, too: needs: AssertionError"):
        prove(Fault("toy", "two", "number = 1", "number = 2", "needs"), notebooks)
    assert json.loads(seed.SEEN_GREEN.read_text()) == {}
