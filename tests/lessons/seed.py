"""Make a seeded fault in a copy of a lesson, execute it, and look where it turned red."""

from __future__ import annotations

import ast
import contextlib
from pathlib import Path

from dockerlab import clean, engine
from dockerlab.errors import LabError
from execute import execute, read
from faults import Fault
from nbformat import NotebookNode
from rules import asserts, code_cells


class Unproven(AssertionError):
    """The lesson did not notice the fault, noticed it in the wrong way, or the fault could not be made."""


def prove(fault: Fault, notebooks: Path) -> None:
    """Raise Unproven unless the lesson turns red as it should: at a claim, with a message.

    Args:
        notebooks: a copy of the folder of the lessons.
    """
    notebook = read(notebooks / f"{fault.lesson}.ipynb")
    make(fault, notebook)
    try:
        red = execute(notebook, notebooks)
    finally:
        sweep()
    if red is None:
        raise Unproven(f"{fault}: the lesson did not notice")
    if "claim" not in red.tags:
        raise Unproven(f"{fault}: red at a cell that claims nothing: {red}")
    if fault.red_at not in (None, red.cell):
        raise Unproven(f"{fault}: red at another cell than {fault.red_at}: {red}")
    if red.error not in {"AssertionError", *names(LabError)} or not red.message:
        raise Unproven(f"{fault}: the error does not tell the reader what was seen: {red}")


def make(fault: Fault, notebook: NotebookNode) -> None:
    """Change the lesson's code.

    Raises:
        Unproven: the text is not there, or not only once; or the change is in an assertion.
    """
    found = [cell for cell in code_cells(notebook) for _ in range(cell.source.count(fault.find))]
    if len(found) != 1:
        raise Unproven(f"{fault}: what it replaces must occur once, and occurs {len(found)} times")
    before = claims(notebook)
    found[0].source = found[0].source.replace(fault.find, fault.replace)
    if claims(notebook) != before:
        raise Unproven(f"{fault}: it changes the claim, and so proves nothing about it")


def claims(notebook: NotebookNode) -> list[str]:
    return [ast.unparse(found.test) for cell in code_cells(notebook) for found in asserts(cell.source)]


def names(error: type[Exception]) -> set[str]:
    """The names of an exception and of all that are derived from it."""
    return {error.__name__}.union(*(names(derived) for derived in error.__subclasses__()))


def sweep() -> None:
    """Remove what the lesson left: it stopped in the middle, and its kernel is dead."""
    with contextlib.suppress(LabError), contextlib.closing(engine.find().client()) as client:
        clean.sweep(client)
