"""Make a seeded fault in a copy of a lesson, execute what its claim needs, and look where it turned red.

What is left of a lesson is green without the fault. That is executed, too, and then remembered in `seen_green.json`, by
what was executed: it is not executed again before the lesson's code, or what is left of it, is another.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
from pathlib import Path

from dockerlab import engine
from dockerlab.errors import LabError
from dockerlab.lab import cleanup
from execute import Red, execute, read
from faults import Fault
from nbformat import NotebookNode
from rules import assertions, code_cells
from shorten import digest, shortened

SEEN_GREEN = Path(__file__).parent / "seen_green.json"
"""By digest: which lessons, up to which cell, were seen green as they are shortened for a fault."""


class Unproven(AssertionError):
    """The lesson did not notice the fault, noticed it in the wrong way, or the fault could not be made."""


def prove(fault: Fault, notebooks: Path) -> None:
    """Raise Unproven unless the lesson turns red as it should: at a claim, with a message.

    Args:
        notebooks: a copy of the folder of the lessons.
    """
    short = shorten(fault, read(notebooks / f"{fault.lesson}.ipynb"))
    if digest(short) not in seen_green():
        if red := run(copy.deepcopy(short), notebooks):
            seen = f"{fault}: what its claim needs of the lesson is red without the fault, too: {red}"
            raise Unproven(f"{seen}. Is there something that it needs, and has no name of? It belongs to UNNAMED.")
        remember(short, fault)
    make(fault, short)
    red = run(short, notebooks)
    if red is None:
        raise Unproven(f"{fault}: the lesson did not notice")
    if fault.error:
        if (red.cell, red.error) != (fault.red_at, fault.error):
            raise Unproven(f"{fault}: not {fault.error} at {fault.red_at}, but {red}")
        return
    if "claim" not in red.tags:
        raise Unproven(f"{fault}: red at a cell that claims nothing: {red}")
    if red.cell not in fault.claims:
        raise Unproven(f"{fault}: red at another cell than {' or '.join(fault.claims)}: {red}")
    if red.error not in {"AssertionError", *names(LabError)} or not red.message:
        raise Unproven(f"{fault}: the error does not tell the reader what was seen: {red}")


def run(notebook: NotebookNode, notebooks: Path) -> Red | None:
    """Execute a lesson in a workspace that is empty, and take away from the engine what it leaves there."""
    try:
        return execute(notebook, notebooks)
    finally:
        sweep_up()
        shutil.rmtree(notebooks / "workspace", ignore_errors=True)


def shorten(fault: Fault, notebook: NotebookNode) -> NotebookNode:
    """What the fault and its claim need of the lesson, without the fault."""
    found = changed_cells(fault, notebook)
    return shortened(fault.lesson, notebook, fault.claims, [cell.id for cell in found])


def changed_cells(fault: Fault, notebook: NotebookNode) -> list[NotebookNode]:
    """The cells that the fault's text is in; each as often as it is."""
    return [cell for cell in code_cells(notebook) for _ in range(cell.source.count(fault.find))]


def seen_green() -> dict[str, str]:
    return json.loads(SEEN_GREEN.read_text())


def remember(notebook: NotebookNode, fault: Fault) -> None:
    """Write down that it was green. Two processes that do so at once lose one of both, which is then executed again."""
    seen = seen_green() | {digest(notebook): f"{fault.lesson}: {fault.claims[-1]}"}
    new = SEEN_GREEN.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps(dict(sorted(seen.items(), key=lambda item: item[::-1])), indent=1) + "\n")
    new.replace(SEEN_GREEN)


def make(fault: Fault, notebook: NotebookNode) -> None:
    """Change the lesson's code.

    Raises:
        Unproven: the text is not there, or not only once; or the change is in an assertion.
    """
    found = changed_cells(fault, notebook)
    if len(found) != 1:
        raise Unproven(f"{fault}: what it replaces must occur once, and occurs {len(found)} times")
    before = claims(notebook)
    found[0].source = found[0].source.replace(fault.find, fault.replace)
    if claims(notebook) != before:
        raise Unproven(f"{fault}: it changes the claim, and so proves nothing about it")


def claims(notebook: NotebookNode) -> list[str]:
    return [found for cell in code_cells(notebook) for found in assertions(cell.source)]


def names(error: type[Exception]) -> set[str]:
    """The names of an exception and of all that are derived from it."""
    return {error.__name__}.union(*(names(derived) for derived in error.__subclasses__()))


def sweep_up() -> None:
    """Remove what the lesson left: it stopped in the middle, and its kernel is dead."""
    with contextlib.suppress(LabError), contextlib.closing(engine.find().client()) as client:
        cleanup.sweep(client)
