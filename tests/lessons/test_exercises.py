"""Each exercise, tried as readers try it: left as it is, answered wrongly in several ways, and solved.

All attempts at one exercise are made in one run of what it needs of its lesson. The solution that is tried is the one
that the reader finds in the lesson, so there is no second copy to go stale.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

import nbformat
import pytest
import rules
from answers import WRONG, Edit, Wrong
from dockerlab import folders
from dockerlab.claims.exercise import LessonExercise
from execute import NOTEBOOKS, copy_of_lessons, lessons, read
from nbformat import NotebookNode
from rules import calls, code_cells
from seed import run as run_lesson
from shorten import names_of_none, shortened

WITH_EXERCISE = [path.stem for path in lessons() if path.stem != "00_start_here"]
AT_LEAST = 3
"""Wrong answers to each exercise."""

Files = Mapping[str, str | list[Edit] | None]


@dataclass
class Tried:
    """One attempt at an exercise, in a run of the lesson.

    Attributes:
        name: the wrong answer's; or what else it was.
        state: what the check has to say.
        cells: the exercise's cells, executed once more for this attempt.
        feedback: what the check has to tell, as a pattern.
        only_solved: the lines of the solution that neither the given files nor this attempt have.
    """

    name: str
    state: str
    cells: list[NotebookNode]
    feedback: str = ""
    only_solved: set[str] = field(default_factory=set)

    @property
    def told(self) -> str:
        check = self.cells[-1]
        return "".join(output.get("data", {}).get("text/plain", "") for output in check.get("outputs", []))


@dataclass(frozen=True)
class Part:
    """The cells of a lesson that are one exercise: from the one that lays it out to the one that checks it.

    Attributes:
        folder: ``your_turn``.
        variable: that the lesson keeps the exercise in: ``task``.
    """

    folder: str
    variable: str
    cells: list[NotebookNode]


def parts(notebook: NotebookNode) -> list[Part]:
    """The exercises of a lesson."""
    cells = code_cells(notebook)
    return _of_module(cells) or _of_notebook(cells)


def _of_module(cells: list[NotebookNode]) -> list[Part]:
    """Those of a module, `task = exercise("03", 2)`: the number is the folder's."""
    found = []
    for cell in cells:
        for call in calls(cell.source):
            if ast.unparse(call.func) == "exercise" and isinstance(call.args[0], ast.Constant):
                number = call.args[1].value if len(call.args) > 1 else 1
                variable = cell.source.split(" = ")[0]
                (check,) = (each for each in cells if each.source == f"{variable}.check()")
                folder = "your_turn" if number == 1 else f"your_turn_{number}"
                found.append(Part(folder, variable, [cell, check]))
    return found


def _of_notebook(cells: list[NotebookNode]) -> list[Part]:
    """Those whose files are given in the notebook itself."""
    named = [{ast.unparse(call.func).split(".")[-1]: call for call in calls(cell.source)} for cell in cells]
    found = []
    for first in (number for number, called in enumerate(named) if "exercise" in called):
        last = next(number for number in range(first, len(cells)) if "check" in named[number])
        folder = [k.value.value for k in named[first]["exercise"].keywords if k.arg == "folder"] or ["your_turn"]
        variable = ast.unparse(named[last]["check"].func).split(".")[0]
        found.append(Part(folder[0], variable, cells[first : last + 1]))
    return found


def of_module(lesson: str, folder: str) -> LessonExercise:
    """The exercise of a lesson's module that is laid out in a folder."""
    module = importlib.import_module(f"dockerlab.claims.lesson_{lesson[:2]}")
    return module.EXERCISES[int(folder.removeprefix("your_turn").strip("_") or 1) - 1]


def solution(lesson: str, notebook: NotebookNode, folder: str) -> dict[str, str]:
    """The files of an exercise's solution: in its `<details>`, each is a path in backticks and a fenced block."""
    if rules.has_module(lesson):
        return {f"{folder}/{name}": text for name, text in of_module(lesson, folder).solution.items()}
    prose = "\n".join(rules.markdown(notebook))
    details = re.findall(r"<details><summary>A solution</summary>(.*?)</details>", prose, re.DOTALL)
    block = re.compile(rf"^`({folder}/[^`\n]+)`:?\s*\n+```[\w-]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
    found = [files for text in details if (files := dict(block.findall(text)))]
    assert len(found) == 1, f"{len(found)} solutions are found for {folder}"
    return found[0]


def hints(lesson: str, notebook: NotebookNode, folder: str) -> str:
    """All hints of an exercise; of a lesson without a module, of all its exercises."""
    if rules.has_module(lesson):
        return "\n".join(of_module(lesson, folder).hints)
    prose = "\n".join(rules.markdown(notebook))
    return "\n".join(re.findall(r"<details><summary>Hint.*?</details>", prose, re.DOTALL))


def run(source: str) -> NotebookNode:
    return nbformat.v4.new_code_cell(source)


def again(part: Part) -> list[NotebookNode]:
    return [run(cell.source) for cell in part.cells]


def changed(part: Part, files: Files) -> NotebookNode:
    """A cell that gives the exercise anew, and changes it as a reader would."""
    own = {path.removeprefix(f"{part.folder}/"): change for path, change in files.items()}
    return run(f"""\
import shutil
shutil.rmtree({part.variable}.folder)
TEXTS = dict({part.variable}.given)
for name, change in {own!r}.items():
    if isinstance(change, list):
        for find, replace in change:
            assert TEXTS[name].count(find) == 1, (name, find, TEXTS[name])
            TEXTS[name] = TEXTS[name].replace(find, replace)
    else:
        TEXTS[name] = change
TEXTS = {{name: text for name, text in TEXTS.items() if text is not None}}
for name, text in TEXTS.items():
    (path := {part.variable}.folder / name).parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())""")


def kept(part: Part) -> NotebookNode:
    """A cell that fails if the attempt is not there as it was written."""
    return run(f"""\
found = {{path.relative_to({part.variable}.folder).as_posix(): path.read_bytes().decode()
         for path in {part.variable}.folder.rglob("*") if path.is_file()}}
assert found == TEXTS, (found, TEXTS)""")


def lines(texts: Mapping[str, str | list[Edit] | None]) -> set[str]:
    """The lines of some files that say something: with more than a few letters."""
    whole = [
        "\n".join(replace for _, replace in text) if isinstance(text, list) else text or "" for text in texts.values()
    ]
    return {line.strip() for text in whole for line in text.splitlines() if len(line.strip()) > 5}


@pytest.mark.parametrize("lesson", WITH_EXERCISE)
def test_the_solution_can_be_read_from_the_lesson(lesson):
    notebook = read(NOTEBOOKS / f"{lesson}.ipynb")
    assert all(solution(lesson, notebook, part.folder) for part in parts(notebook))


@pytest.mark.parametrize("lesson", WITH_EXERCISE)
def test_each_exercise_has_wrong_answers(lesson):
    for part in parts(read(NOTEBOOKS / f"{lesson}.ipynb")):
        own = [wrong for wrong in WRONG[lesson] if wrong.folder == part.folder]
        assert len(own) >= AT_LEAST, f"{lesson}, {part.folder}: {len(own)} wrong answers: add to answers.py"


def test_every_wrong_answer_belongs_to_an_exercise_and_has_a_name_of_its_own():
    assert WRONG.keys() <= set(WITH_EXERCISE)
    for lesson, answers in WRONG.items():
        folders = {part.folder for part in parts(read(NOTEBOOKS / f"{lesson}.ipynb"))}
        for wrong in answers:
            assert {path.split("/")[0] for path in wrong.files} == {wrong.folder}, wrong
            assert wrong.folder in folders, wrong
        assert len({wrong.name for wrong in answers}) == len(answers)


EXERCISES = [
    pytest.param(lesson, part.folder, id=f"{lesson}-{part.folder}")
    for lesson in WITH_EXERCISE
    for part in parts(read(NOTEBOOKS / f"{lesson}.ipynb"))
]


def shortened_for(lesson: str, name: str, notebook: NotebookNode) -> NotebookNode:
    """What an exercise and the clean-up need of their lesson."""
    (ids,) = ([cell.id for cell in part.cells] for part in parts(notebook) if part.folder == name)
    return shortened(lesson, notebook, [*ids, code_cells(notebook)[-1].id])


@pytest.mark.parametrize(("lesson", "name"), EXERCISES)
def test_what_is_left_for_an_exercise_uses_no_name_that_is_gone(lesson, name):
    assert not names_of_none(shortened_for(lesson, name, read(NOTEBOOKS / f"{lesson}.ipynb")))


@pytest.mark.prove
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("lesson", "name"), EXERCISES)
def test_each_attempt_is_told_what_was_observed_in_it(lesson, name, tmp_path, record_property, monkeypatch):
    folder = copy_of_lessons(tmp_path)
    notebook = read(folder / f"{lesson}.ipynb")
    solved, told_hints = solution(lesson, notebook, name), hints(lesson, notebook, name)
    notebook = shortened_for(lesson, name, notebook)
    (part,) = (part for part in parts(notebook) if part.folder == name)
    attempts, told_given = lay_attempts(notebook, part, solved, WRONG.get(lesson, []))
    # An earlier run of the lesson has left an attempt: a file of the reader's, and nothing of what is given.
    monkeypatch.setattr(folders, "NOTEBOOKS", folder)  # a mark names its folder's place from there
    for made in (folder / "workspace", folder / "workspace" / lesson):
        assert folders.make(made)
    (left := folder / "workspace" / lesson / name).mkdir()
    (left / "notes.txt").write_text("mine\n")
    red = run_lesson(notebook, folder)
    for attempt in attempts:
        print(f"--- {attempt.name}\n{attempt.told}")
    assert red is None, red
    given = json.loads(ast.literal_eval(told_given.outputs[0]["data"]["text/plain"]))
    judge(attempts, lines(given))
    record_property("wrong answers", sum(bool(attempt.feedback) for attempt in attempts))
    for line in lines(solved) - lines(given):
        assert line not in told_hints, f"a hint gives the solution away: {line}"


def lay_attempts(
    notebook: NotebookNode, part: Part, solved: Files, answers: list[Wrong]
) -> tuple[list[Tried], NotebookNode]:
    """Add the cells that make the attempts after an exercise's own. Return the attempts, and the cell that tells what
    was given."""
    task = part.variable
    attempts = [Tried("a file from an earlier run", "◐", part.cells)]
    added = [
        run(f"assert ({task}.folder / 'notes.txt').read_text() == 'mine\\n'; import shutil"),
        run(f"assert [*{task}.folder.iterdir()] == [{task}.folder / 'notes.txt']; shutil.rmtree({task}.folder)"),
    ]
    attempts.append(Tried("as it was given", "○", again(part)))
    given = run(f"import json; json.dumps(dict({task}.given))")
    added += [*attempts[-1].cells, given]
    for wrong in answers:
        if wrong.folder == part.folder:
            hidden = lines(solved) - lines(wrong.files)
            attempts.append(Tried(wrong.name, "◐", again(part), wrong.feedback, hidden))
            added += [changed(part, wrong.files), *attempts[-1].cells, kept(part)]
    attempts.append(Tried("the solution", "●", again(part)))
    added += [changed(part, solved), *attempts[-1].cells, kept(part)]
    at = next(number for number, cell in enumerate(notebook.cells) if cell is part.cells[-1]) + 1
    notebook.cells[at:at] = added
    return attempts, given


def judge(attempts: list[Tried], given: set[str]) -> None:
    """Hold what the checks told against what they have to tell."""
    for attempt in attempts:
        assert attempt.told[:1] == attempt.state, f"{attempt.name}: {attempt.told}"
        assert re.search(attempt.feedback, attempt.told, re.DOTALL), f"{attempt.name}: {attempt.told}"
        for line in attempt.only_solved - given:
            assert line not in attempt.told, f"{attempt.name}: the feedback gives the solution away: {line}"
    wrong = [attempt for attempt in attempts if attempt.feedback]
    for one, other in combinations(wrong, 2):
        assert one.told != other.told, f"{one.name} and {other.name} are told the same: {one.told}"
    for one in wrong:
        for other in wrong:
            if other is not one:
                assert not re.search(one.feedback, other.told, re.DOTALL), f"{other.name} is told what {one.name} is"
