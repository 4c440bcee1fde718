"""What of a lesson a cell needs: by the names in it, and no more."""

import pytest
import toy
from execute import NOTEBOOKS, read
from nbformat.v4 import new_notebook
from rules import code_cells
from shorten import UNNAMED, digest, shortened
from toy import code

CELLS = [
    code("setup", "lab = open_lab('toy')"),
    code("files", "from pathlib import Path\nPath('a').write_text('a');"),
    code("measure", "def ask(what):\n    return answers[what]\n\n\nLIMIT = 3\nanswers = {'one': lab.run()}", "claim"),
    code("changes", "answers['two'] = 2\nassert answers", "claim"),
    code("calls", "other = lab.run()\nother.stop()", "claim"),
    code("shows", "figure = lab.draw(answers)\nprint(answers)", "claim"),
    code("claim", "found = ask('one')\nassert found < LIMIT", "claim"),
    code("alone", "other = 1\nassert other", "claim"),
    code("rebinds", "answers = lab.run()\nassert answers", "claim"),
    code("last", "assert answers < LIMIT", "claim"),
]


def left_for(*ids: str, whole: tuple[str, ...] = ()) -> dict[str, str]:
    notebook = new_notebook(cells=CELLS)
    return {cell.id: cell.source for cell in shortened("toy", notebook, ids, whole).cells}


@pytest.mark.parametrize(
    ("claim", "left"),
    [
        pytest.param("claim", ["setup", "files", "measure", "changes", "claim"], id="by a function that it calls"),
        pytest.param("alone", ["setup", "files", "alone"], id="what binds a name does not need it"),
        pytest.param("last", ["setup", "files", "measure", "rebinds", "last"], id="the last value of a name"),
    ],
)
def test_what_stays(claim, left):
    assert list(left_for(claim)) == left


def test_a_cell_that_is_left_out_leaves_what_costs_nothing():
    assert left_for("last")["measure"] == "LIMIT = 3"
    assert left_for("claim")["measure"] == CELLS[2].source


def test_a_changed_cell_stays_whole_whatever_needs_it():
    assert left_for("alone", whole=("shows",))["shows"] == CELLS[5].source


def test_a_change_of_what_stays_is_another_lesson():
    notebook = new_notebook(cells=CELLS)
    before = digest(shortened("toy", notebook, ["alone"]))
    changed = [*CELLS[:2], toy.code("measure", "LIMIT = 4", "claim"), *CELLS[3:]]
    assert digest(shortened("toy", new_notebook(cells=changed), ["alone"])) == before
    changed = [*CELLS[:7], toy.code("alone", "other = 2\nassert other", "claim")]
    assert digest(shortened("toy", new_notebook(cells=changed), ["alone"])) != before


@pytest.mark.parametrize("lesson", UNNAMED)
def test_what_has_no_name_is_of_the_lesson(lesson):
    cells = {cell.id for cell in code_cells(read(NOTEBOOKS / f"{lesson}.ipynb"))}
    assert UNNAMED[lesson].keys() | set().union(*UNNAMED[lesson].values()) <= cells
