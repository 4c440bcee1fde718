"""Execute lessons anew, and write them so that a difference shows what has really changed.

    python tests/lessons/normalise.py [--all-outputs] [NOTEBOOK …]

Each lesson is run by a fresh kernel in a copy of the folder. At the first cell that fails it stops, names the cell, and
leaves the committed notebook as it was. Where an output differs only in what `sanitize.cfg` replaces (seconds, the
engine, the folder), the committed one stays, and its picture with it. With `--all-outputs` all are new, so that the
seconds in texts and pictures are those of one run.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import rules
import sanitize
from dockerlab import engine
from dockerlab.claims.question import WIDGET
from dockerlab.lab import cleanup
from execute import copy_of_lessons, execute, lessons, read
from nbformat import NotebookNode
from rules import code_cells


def normalised(old: NotebookNode, new: NotebookNode, *, all_outputs: bool = False) -> NotebookNode:
    """The notebook to commit.

    Args:
        old: the committed one.
        new: the same, executed.
        all_outputs: take all new ones, of cells that say the same, too.
    """
    result = copy.deepcopy(new)
    result.metadata = nbformat.from_dict(rules.METADATA)
    for cell in result.cells:
        folded = {"jupyter": rules.FOLDED} if cell.metadata.get("jupyter") == rules.FOLDED else {}
        tags = {"tags": cell.metadata.tags} if cell.metadata.get("tags") else {}
        cell.metadata = nbformat.from_dict(folded | tags)
    for number, (cell, before) in enumerate(zip(code_cells(result), code_cells(old), strict=True), start=1):
        if not all_outputs and sanitize.same(before.outputs, cell.outputs):
            cell.outputs = copy.deepcopy(before.outputs)
        cell.outputs = merged(cell.outputs)
        cell.execution_count = number
        for output in cell.outputs:
            output.get("data", {}).pop(WIDGET, None)  # there is no kernel to hear it
            if output.output_type == "execute_result":
                output.execution_count = number
    return result


def merged(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Pieces of one stream that follow each other as one: where a command's output is cut differs from run to run."""
    found: list[NotebookNode] = []
    for output in outputs:
        if found and output.output_type == "stream" and found[-1].get("name") == output.name:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, default=lessons(), help="default: all lessons")
    parser.add_argument("--all-outputs", action="store_true", help="take new outputs where only seconds differ, too")
    options = parser.parse_args(arguments)

    for path in options.notebooks:
        began = time.perf_counter()
        old = read(path)
        new = copy.deepcopy(old)
        with tempfile.TemporaryDirectory(prefix="dockerlab-notebooks-") as folder:
            red = execute(new, copy_of_lessons(Path(folder)))
        if red:
            with contextlib.closing(engine.find().client()) as client:
                cleanup.sweep(client)
            print(f"{path.name} is left as it was; it failed at the cell {red}")
            return 1
        result = normalised(old, new, all_outputs=options.all_outputs)
        changed = [cell.id for cell, before in zip(result.cells, old.cells, strict=True) if cell != before]
        nbformat.write(result, path)
        print(f"{path.name}: {time.perf_counter() - began:.0f} s, changed: {', '.join(changed) or 'nothing'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
