"""The form of a committed lesson. Each rule takes a notebook and yields what is wrong with it.

It closes a hole through which a broken lesson would pass, or a needless difference would be committed.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
from dockerlab.claims.lesson import claims_of, has_module
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}
"""The metadata of every committed notebook: no version, no path, no time."""

FOLDED = {"source_hidden": True}
METADATA_OF_CELLS = [{"tags": []}, {"tags": [], "jupyter": FOLDED}]
"""What cells may have beside their tags: JupyterLab shows a folded one as a bar, and its output."""

MOST_CELLS, MOST_WORDS, MOST_LINES = 45, 2_000, 20
"""Of a lesson: cells; words, without code; lines of a cell that writes no file."""

HINTS = ["Hint 1: where to look", "Hint 2: what decides", "Hint 3: what to change"]
SOLUTION = "A solution"

PIPE = re.compile(r"\bdocker (logs\b.*\| (grep|tail)|build\b.*\| (grep|tee))\b")
"""What may stand behind a pipe. `grep` fails where it finds nothing, and what reads `tee`'s file fails where the build
did."""

PROJECT = re.compile(r"(?:docker compose\b.*\s(?:--project-name|-p)[ =]|COMPOSE_PROJECT_NAME\W*=\W*)([\w$.-]+)")
"""What names a project, other than the variable that each lab sets to ``shop-$LAB``."""

Rule = Callable[[NotebookNode, str], Iterator[str]]
RULES: list[Rule] = []


def problems(path: Path) -> list[str]:
    """Everything that is wrong with the form of one notebook."""
    notebook = nbformat.v4.reads(path.read_text())  # `nbformat.read` would repair what we look for
    return [f"{rule.__name__}: {problem}" for rule in RULES for problem in rule(notebook, path.stem)]


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


@rule
def ids(notebook: NotebookNode, name: str) -> Iterator[str]:
    """Without ids, each run gives the cells new ones, and nothing can be said about a cell by its name."""
    found = [cell.get("id") for cell in notebook.cells]
    if None in found:
        yield f"cell {found.index(None)} has no id"
    elif doubled := sorted({item for item in found if found.count(item) > 1}):
        yield f"more than one cell is called {', '.join(doubled)}"


@rule
def metadata(notebook: NotebookNode, name: str) -> Iterator[str]:
    """Versions, times and the state of somebody's window make a difference that nobody meant."""
    if notebook.metadata != METADATA:
        yield f"the notebook's metadata is {json.dumps(notebook.metadata)}; `make notebooks` normalises it"
    if extra := [cell.get("id") for cell in notebook.cells if {**cell.metadata, "tags": []} not in METADATA_OF_CELLS]:
        yield f"there is more than tags in the metadata of {', '.join(extra)}; `make notebooks` removes it"


@rule
def folded(notebook: NotebookNode, name: str) -> Iterator[str]:
    """What the reader needs is on screen: predictions and claims are folded cells of their own, and nothing else is."""
    for cell in notebook.cells:
        is_folded = cell.metadata.get("jupyter") == FOLDED
        called = {ast.unparse(call.func) for call in calls(cell.source)} if cell.cell_type == "code" else set()
        if is_folded != bool(called & {"predict", "claim"}):
            yield f"{cell.id} is {'' if is_folded else 'not '}folded: predictions and claims are, and nothing else is"


@rule
def executed(notebook: NotebookNode, name: str) -> Iterator[str]:
    """A cell that has never run has no output to compare with: nbval passes it, whatever it does."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"the cells were not run in order, by a fresh kernel: {counts}"


@rule
def outputs(notebook: NotebookNode, name: str) -> Iterator[str]:
    """An error, a warning, a widget, a figure without words; or a path that tells whose machine it was."""
    for cell in code_cells(notebook):
        kinds = {output.get("name", output.output_type) for output in cell.outputs}
        formats = {kind for output in cell.outputs for kind in output.get("data", {})}
        if "error" in kinds:
            yield f"{cell.id} shows an error"
        if "stderr" in kinds:
            yield f"{cell.id} shows something on stderr"
        if any("widget" in kind for kind in formats):
            yield f"{cell.id} shows a widget, which no reader of the page can see, and which nbval does not compare"
        for output in cell.outputs:
            if "image/png" in output.get("data", {}) and not output.metadata.get("image/png", {}).get("alt"):
                yield f"{cell.id} shows a figure without an alternative text"
        # A cache mount's path in a Dockerfile is the container's, not anybody's home.
        if found := re.search(r"/home/\w+/|/Users/\w+/|\\Users\\|/root/(?!\.cache/(pip|uv))", json.dumps(cell.outputs)):
            yield f"{cell.id} shows a path of somebody's machine: {found.group()}"


@rule
def shell(notebook: NotebookNode, name: str) -> Iterator[str]:
    """`%%bash` looks at its last command only, and `subprocess.run` looks only where it is told to."""
    for cell in code_cells(notebook):
        code = TransformerManager().transform_cell(cell.source)
        for named in PROJECT.findall(code):
            if not named.endswith("-$LAB"):
                yield f"{cell.id} names a Compose project {named}: nothing would find what it makes; leave the name out"
        if "container_name:" in code:
            yield f"{cell.id} has a `container_name`, which two learners cannot both have"
        for method, magic in re.findall(r"^.*\bget_ipython\(\)\.(\w+)\('(\w*)", code, re.MULTILINE):
            if (method, magic) != ("run_cell_magic", "writefile") and method != "system":
                yield f"{cell.id} uses {magic if 'magic' in method else method}: use a ! command, which raises"
        for command in re.findall(r"^.*\bget_ipython\(\)\.system\(.*$", code, re.MULTILINE):
            made = re.search(r"\bdocker (run|create|build|(?:network|volume) create)\b", command)
            if made and "--label $LABEL" not in command:
                yield f"{cell.id} has a `docker {made[1]}` without --label $LABEL: nothing would find what it makes"
            for log in re.findall(r"\| tee (\S+?\.log)", command):
                if sum(cell.source.count(log) for cell in code_cells(notebook)) < 2:
                    yield f"{cell.id} hides behind `tee {log}` whether the build failed: nothing reads that file"
            if re.search(r"[|;&]", command.replace("2>&1", "")) and not PIPE.search(command):
                yield f"{cell.id} has a ! command whose failure is hidden by what follows it: {command.strip()}"
        for call in calls(code):
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            match ast.unparse(call.func):
                case "subprocess.run" if keywords.get("check") != "True" or "timeout" not in keywords:
                    yield f"{cell.id} calls subprocess.run without check=True or timeout="
                case "os.system" | "subprocess.call" | "subprocess.Popen" as function:
                    yield f"{cell.id} calls {function}: use subprocess.run(…, check=True, timeout=…)"


@rule
def tags(notebook: NotebookNode, name: str) -> Iterator[str]:
    """`raises-exception` passes a cell that raises nothing, and the other tags of nbval stop it from comparing."""
    for cell in code_cells(notebook):
        for tag in cell.metadata.get("tags", []):
            if tag not in {"claim", "cleanup", "predict"}:
                yield f"{cell.id} has the tag {tag}; catch and assert, or sanitise"
        if found := re.search(r"^\s*#\s*(NBVAL|PYTEST)_\w+", cell.source, re.MULTILINE):
            yield f"{cell.id} has the comment {found.group().strip()}; catch and assert, or sanitise"


@rule
def anatomy(notebook: NotebookNode, name: str) -> Iterator[str]:
    """One question, one set-up cell, predictions, claims that are checked, and a clean-up at the end."""
    prose = re.sub(r"^```.*?^```", "", "\n".join(markdown(notebook)), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^# (.*)$", prose, re.MULTILINE)
    if len(headings) != 1 or not headings[0].endswith("?"):
        yield f"there must be one H1, a question: {headings}"
    cells = code_cells(notebook)
    if "**Predict" not in prose and not any("predict" in cell.metadata.get("tags", []) for cell in cells):
        yield "nothing is predicted"
    set_up = [cell.id for cell in cells for call in calls(cell.source) if ast.unparse(call.func) == "open_lab"]
    if not cells or set_up != [cells[0].id] or f'open_lab("{name}")' not in cells[0].source:
        yield f'open_lab("{name}") must be called once, in the first code cell; it is called in {set_up}'

    tagged = {tag: [cell for cell in cells if tag in cell.metadata.get("tags", [])] for tag in ("claim", "cleanup")}
    if tagged["cleanup"] != cells[-1:]:
        yield "the last code cell, and no other, must have the tag cleanup"
    if not tagged["claim"]:
        yield "no cell has the tag claim"
    for cell in tagged["claim"]:
        if not assertions(cell.source):
            yield f"{cell.id} has the tag claim, and asserts nothing"


@rule
def claims(notebook: NotebookNode, name: str) -> Iterator[str]:
    """A lesson holds each of its claims once, and asks its question before; and it is as long as a reader stays."""
    if not has_module(name):
        return
    known = claims_of(name)
    asked = [ids for cell in code_cells(notebook) for ids in _first_arguments(cell, "predict")]
    held = [ids for cell in code_cells(notebook) for ids in _first_arguments(cell, "claim")]
    if held != list(known):
        yield f"the lesson holds {', '.join(held)}, and its module has {', '.join(known)}"
    if asked != [each.id for each in known.values() if each.question]:
        yield f"the lesson asks {', '.join(asked)}: each question of its module once, in the order of the claims"
    if len(notebook.cells) > MOST_CELLS:
        yield f"it has {len(notebook.cells)} cells, and {MOST_CELLS} are the most"
    prose = re.sub(r"^```.*?^```", "", "\n".join(markdown(notebook)), flags=re.MULTILINE | re.DOTALL)
    if (words := len(prose.split())) > MOST_WORDS:
        yield f"it has {words} words, and {MOST_WORDS} are the most"
    for cell in code_cells(notebook):
        if len(lines := cell.source.splitlines()) > MOST_LINES and not lines[0].startswith("%%writefile"):
            yield f"{cell.id} has {len(lines)} lines, and {MOST_LINES} are the most"


def _first_arguments(cell: NotebookNode, function: str) -> list[str]:
    return [ast.literal_eval(call.args[0]) for call in calls(cell.source) if ast.unparse(call.func) == function]


@rule
def exercises(notebook: NotebookNode, name: str) -> Iterator[str]:
    """Three hints, each a step closer, then a solution, all of them folded; and feedback in two parts."""
    cells = code_cells(notebook)
    number = sum(ast.unparse(call.func) == "exercise" for cell in cells for call in calls(cell.source))
    if not number or has_module(name):  # the module's exercises cannot be without hints and a solution
        return
    prose = "\n".join(markdown(notebook))
    folded = [
        text for text in re.findall(r"<summary>(.*?)</summary>", prose) if re.match("hint|.*solution", text, re.I)
    ]
    if folded != number * [*HINTS, SOLUTION]:
        yield f"each exercise has to have {', '.join([*HINTS, SOLUTION])}, in this order; there are {', '.join(folded)}"
    if re.search(r"<details\s[^>]*open", prose):
        yield "something folded is open from the start"
    for cell in cells:
        for call in calls(cell.source):
            if ast.unparse(call.func) == "NotYet" and len(call.args) != 2:
                yield f"{cell.id} tells what was observed, and not what to look at next: {ast.unparse(call)}"


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def markdown(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def assertions(source: str) -> list[str]:
    """What a cell asserts, as text: the conditions, and each call of `claim`."""
    conditions = [ast.unparse(node.test) for node in nodes(source) if isinstance(node, ast.Assert)]
    return conditions + [ast.unparse(call) for call in calls(source) if ast.unparse(call.func) == "claim"]


def calls(source: str) -> list[ast.Call]:
    return [node for node in nodes(source) if isinstance(node, ast.Call)]


@functools.cache  # each rule asks for each cell
def nodes(source: str) -> tuple[ast.AST, ...]:
    """The parts of a cell's code. What a cell writes to a file is text, and has none."""
    return tuple(ast.walk(ast.parse(TransformerManager().transform_cell(source))))
