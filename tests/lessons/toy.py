"""Small notebooks, as if committed, to plant holes in."""

from __future__ import annotations

from pathlib import Path

import nbformat
import rules
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

SET_UP = 'open_lab = print\nopen_lab("{name}")'
CLEAN_UP = "print('cleaned up')"


def code(id: str, source: str, *tags: str, out: str = "") -> NotebookNode:
    """A code cell that has printed `out`."""
    outputs = [new_output("stream", name="stdout", text=out + "\n")] if out else []
    return new_code_cell(source, id=id, outputs=outputs, metadata={"tags": list(tags)} if tags else {})


def lesson(name: str, *cells: NotebookNode) -> NotebookNode:
    """A lesson that follows every rule, around these code cells."""
    notebook = new_notebook(metadata=rules.METADATA)
    notebook.cells = [
        new_markdown_cell("# Does it hold?\n\n**Predict.** a) yes b) no", id="title"),
        code("setup", SET_UP.format(name=name), out=name),
        *cells,
        code("cleanup", CLEAN_UP, "cleanup", out="cleaned up"),
    ]
    for number, cell in enumerate(rules.code_cells(notebook), start=1):
        cell.execution_count = number
    return notebook


def claim(id: str = "claim") -> NotebookNode:
    return code(id, "answer = 6 * 7\nprint(answer)\nassert answer == 42, f'the answer is {answer}'", "claim", out="42")


def write(folder: Path, name: str, *cells: NotebookNode) -> Path:
    path = folder / f"{name}.ipynb"
    nbformat.write(lesson(name, *cells), path)
    return path
