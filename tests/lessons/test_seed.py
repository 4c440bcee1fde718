"""The proof of the proof: a fault that is not noticed, or noticed in the wrong way, makes the test of it fail."""

import pytest
import seed
import toy
from execute import Red
from faults import Fault
from rules import code_cells
from seed import Unproven, prove
from toy import code

MEASURE = "app = 'shuts down'\nlimit = 5"
CLAIM = "assert app == 'shuts down', f'the application {app}'\nassert limit"
AFTER = "print(1 / len(app))\nassert limit < 10, limit"


@pytest.fixture
def notebooks(tmp_path):
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


@pytest.mark.parametrize(
    ("complaint", "find", "replace", "red_at"),
    [
        ("did not notice", "limit = 5", "limit = 6", None),
        ("claims nothing: measure", "limit = 5", "limit = 1 / 0", None),
        ("another cell than claim: after", "limit = 5", "limit = 50", "claim"),
        ("does not tell the reader", "limit = 5", "pass", None),  # a NameError
        ("occurs 0 times", "limit = 6", "limit = 7", None),
        ("occurs 2 times", "shuts down", "is killed", None),
        ("changes the claim", "assert limit < 10", "assert limit < 0", None),
    ],
)
def test_any_other_end_is_a_failure(notebooks, monkeypatch, complaint, find, replace, red_at):
    monkeypatch.setattr(seed, "execute", here)
    monkeypatch.setattr(seed, "sweep", lambda: None)
    with pytest.raises(Unproven, match=complaint):
        prove(Fault("toy", "a mistake", find, replace, red_at), notebooks)
