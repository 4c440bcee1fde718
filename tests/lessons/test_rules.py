"""Each rule on the form of a lesson accepts a good one, and refuses the hole that it is there for."""

import copy

import nbformat
import pytest
import rules
import toy
from execute import NOTEBOOKS, read
from nbformat.v4 import new_markdown_cell, new_output
from toy import claim, code


def broken(change) -> list[str]:
    """The rules that complain about a good lesson after a change of the notebook, or of one of its cells by its id."""
    notebook = copy.deepcopy(GOOD)
    change(notebook, {cell.id: cell for cell in notebook.cells})
    return [rule.__name__ for rule in rules.RULES for _ in rule(notebook, "good")]


FOLDED = "\n".join(f"<details><summary>{name}</summary>\n\n…\n\n</details>" for name in [*rules.HINTS, rules.SOLUTION])
TASK = """\
def measure(folder):
    raise NotYet("exit code 137.", "who is process 1.")


def exercise(lab, given):
    print("○ Not attempted")


exercise(None, {})"""
GOOD = toy.lesson(
    "good",
    claim(),
    code("write", "%%writefile start.sh\n#!/bin/sh\n!true\nls", out="Writing start.sh"),
    new_markdown_cell(f"## Your turn\n\n{FOLDED}", id="task-intro"),
    code("task", TASK, out="○ Not attempted"),
)


def test_a_good_lesson_has_no_problems(tmp_path):
    path = tmp_path / "good.ipynb"
    nbformat.write(GOOD, path)
    assert rules.problems(path) == []


def set_source(source):
    return lambda notebook, cells: cells["write"].update(source=source)


def add_output(kind, **content):
    return lambda notebook, cells: cells["claim"].outputs.append(new_output(kind, **content))


def replace(id, find, by):
    return lambda notebook, cells: cells[id].update(source=cells[id].source.replace(find, by))


HOLES = [
    ("ids", lambda notebook, cells: cells["claim"].pop("id")),
    ("ids", lambda notebook, cells: cells["claim"].update(id="setup")),
    ("metadata", lambda notebook, cells: notebook.metadata.language_info.update(version="3.11.7")),
    ("metadata", lambda notebook, cells: notebook.metadata.kernelspec.update(name="my-venv")),
    (
        "metadata",
        lambda notebook, cells: cells["claim"].metadata.update(execution={"shell": "2026-11-24"}),
    ),
    ("executed", lambda notebook, cells: cells["claim"].update(execution_count=None)),
    ("executed", lambda notebook, cells: cells["claim"].update(execution_count=7)),
    ("outputs", add_output("error", ename="E", evalue="", traceback=[])),
    ("outputs", add_output("stream", name="stderr", text="DeprecationWarning")),
    ("outputs", add_output("display_data", data={"application/vnd.jupyter.widget-view+json": {}})),
    ("outputs", add_output("display_data", data={"image/png": "AAAA", "text/plain": "<Figure>"})),
    ("outputs", add_output("stream", name="stdout", text="/home/ada/lab/x")),
    ("shell", set_source("!docker run --detach alpine")),
    ("shell", set_source("!docker build --tag web-$LAB .")),
    ("shell", set_source("!docker compose --project-name shop up --wait")),
    ("shell", set_source("!docker compose --file a.yaml -p shop up --wait")),
    ("shell", set_source("!COMPOSE_PROJECT_NAME=shop docker compose up --wait")),
    ("shell", set_source("import os\nos.environ['COMPOSE_PROJECT_NAME'] = 'shop'")),
    ("shell", set_source("%%writefile .env\nCOMPOSE_PROJECT_NAME=shop")),
    ("shell", set_source("%%writefile compose.yaml\nservices: {web: {image: a, container_name: web}}")),
    ("shell", set_source("!docker inspect web | head -n 1")),
    ("shell", set_source("!docker build --label $LABEL . 2>&1 | tee build.log")),
    ("shell", set_source("!docker build --label $LABEL . 2>&1 | tail")),
    ("shell", set_source("!false; true")),
    ("shell", set_source("!false || true")),
    ("shell", set_source("x = !false")),
    ("shell", set_source("%%bash\nfalse\ntrue")),
    ("shell", set_source("%sx false")),
    ("shell", set_source("import subprocess\nsubprocess.run(['false'], timeout=5)")),
    ("shell", set_source("import subprocess\nsubprocess.run(['true'], check=True)")),
    ("shell", set_source("import os\nos.system('false')")),
    ("tags", lambda notebook, cells: cells["claim"].metadata.tags.append("raises-exception")),
    ("tags", lambda notebook, cells: cells["claim"].metadata.tags.append("nbval-ignore-output")),
    ("folded", lambda notebook, cells: cells["claim"].metadata.update(jupyter=rules.FOLDED)),
    ("folded", set_source("predict('toy.answer')")),
    ("tags", set_source("# NBVAL_IGNORE_OUTPUT\nprint(1)")),
    ("exercises", replace("task-intro", rules.HINTS[0], "Hint")),
    ("exercises", replace("task-intro", rules.HINTS[2], rules.HINTS[1])),
    ("exercises", replace("task-intro", rules.SOLUTION, "The solution")),
    ("exercises", replace("task-intro", FOLDED, "")),
    ("exercises", replace("task-intro", "<details>", "<details open>")),
    ("exercises", replace("task", ', "who is process 1."', "")),
    (
        "exercises",
        replace("task", "exercise(None, {})", "exercise(None, {}), exercise(None, {}, folder='your_turn_2')"),
    ),
    ("anatomy", lambda notebook, cells: notebook.cells.insert(0, new_markdown_cell("# Another?", id="another"))),
    ("anatomy", lambda notebook, cells: cells["title"].update(source="# A statement\n\n**Predict.**")),
    ("anatomy", lambda notebook, cells: cells["title"].update(source="# Does it hold?")),
    ("anatomy", lambda notebook, cells: cells["setup"].update(source='open_lab("another")')),
    ("anatomy", lambda notebook, cells: cells["claim"].update(source='open_lab("good")\nassert True')),
    ("anatomy", lambda notebook, cells: cells["cleanup"].metadata.clear()),
    ("anatomy", lambda notebook, cells: cells["claim"].metadata.clear()),
    ("anatomy", lambda notebook, cells: cells["claim"].update(source="print(42)")),
]


LESSON = read(NOTEBOOKS / "03_exec_or_shell.ipynb")


def without(id):
    return lambda cells: cells.pop(next(number for number, cell in enumerate(cells) if cell.id == id))


@pytest.mark.parametrize(
    "change",
    [
        without("claim-shell"),
        without("predict-shell"),
        lambda cells: cells[0].update(source=cells[0].source + " word" * rules.MOST_WORDS),
        lambda cells: cells.extend(new_markdown_cell("") for _ in range(rules.MOST_CELLS)),
        lambda cells: cells[1].update(source=cells[1].source + "\nlab" * rules.MOST_LINES),
    ],
    ids=[
        "a claim that no cell holds",
        "a question that is not asked",
        "too many words",
        "too many cells",
        "a long cell",
    ],
)
def test_a_lesson_holds_what_its_module_claims_and_has_its_size(change):
    lesson = copy.deepcopy(LESSON)
    assert not [*rules.claims(lesson, "03_exec_or_shell")]
    change(lesson.cells)
    assert len([*rules.claims(lesson, "03_exec_or_shell")]) == 1


@pytest.mark.parametrize(("rule", "change"), HOLES, ids=[f"{rule}-{number}" for number, (rule, _) in enumerate(HOLES)])
def test_each_hole_is_seen_by_its_rule(rule, change):
    assert broken(change) == [rule]


def test_every_rule_has_been_seen_red():
    assert {rule for rule, _ in HOLES} | {"claims"} == {rule.__name__ for rule in rules.RULES}
