"""Which lessons are done on this machine: each of their claims held here, and then their lab was closed.

The mark of a lesson is an empty file of its name. Kernels that end at the same time do not meet at one file, and there
is nothing in it that could be broken. It goes with the workspaces, when all of them are removed.
"""

from __future__ import annotations

import contextlib
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from .. import folders
from . import notebook


def _mark(lesson: str) -> Path:
    return folders.workspaces() / ".done" / lesson


def _is_done(lesson: str) -> bool:
    earlier = folders.earlier_workspaces()
    return _mark(lesson).is_file() or bool(earlier and (earlier / ".done" / lesson).is_file())


class LessonRun:
    """What one kernel has run of a lesson since its lab was opened. Outside of a notebook: nothing."""

    _listening: ClassVar[dict[str, LessonRun]] = {}  # to the kernel's cells: one for each lesson that is open

    def __init__(self, lesson: str) -> None:
        self.lesson = lesson
        self._passed: set[str] = set()
        self._shell: Any = None
        if earlier := self._listening.get(lesson):
            earlier._stop_listening()
        if shell := notebook.shell():
            shell.events.register("post_run_cell", self._cell_ended)
            self._shell = shell
            self._listening[lesson] = self

    def _stop_listening(self) -> None:
        if self._shell:
            self._shell.events.unregister("post_run_cell", self._cell_ended)
            self._shell = None
            del self._listening[self.lesson]

    def _cell_ended(self, result: Any) -> None:
        cell = {result.info.cell_id or result.info.raw_cell, result.info.raw_cell}
        self._passed = self._passed | cell if result.success else self._passed - cell

    def close(self) -> None:
        """Mark the lesson as done, if each cell that makes a claim has been run, and had no error the last time.

        What cannot be read or written leaves no mark, and is no error: the lesson itself has ended well.
        """
        self._stop_listening()
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            claims = _claims(folders.NOTEBOOKS / f"{self.lesson}.ipynb")
            if claims and all(self._passed & claim for claim in claims):
                mark = _mark(self.lesson)
                if folders.make(mark.parent) or _is_of_an_earlier_version(mark.parent):
                    mark.open("a").close()  # what is there already stays as it is


def _is_of_an_earlier_version(folder: Path) -> bool:
    """Whether a folder without a mark has marks of lessons in it, and nothing else."""
    found = [] if folder.is_symlink() else [*folder.iterdir()]
    return bool(found) and all(path.match("[0-9][0-9]_*") and not path.lstat().st_size for path in found)


def _claims(path: Path) -> list[set[str]]:
    """The id and the source of each cell that makes a claim: not every program that runs notebooks gives ids."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [
        {cell["id"], "".join(cell["source"])} for cell in cells if "claim" in cell.get("metadata", {}).get("tags", [])
    ]


class Progress:
    """The lessons, and which of them are done on this machine. A notebook shows it with a link to each lesson.

    Attributes:
        done: whether a lesson is done, by its name: ``03_exec_or_shell``. In the order of the lessons.
    """

    def __init__(self, done: Mapping[str, bool]) -> None:
        self.done = dict(done)

    def __repr__(self) -> str:
        return " · ".join(_state(lesson, done) for lesson, done in self.done.items())

    def _repr_html_(self) -> str:
        links = [
            f'<a href="{html.escape(lesson)}.ipynb">{_state(lesson, done)}</a>' for lesson, done in self.done.items()
        ]
        return f"<p>{' · '.join(links)}</p>"


def _state(lesson: str, done: bool) -> str:
    """In words, too: neither a sign nor a colour alone says it."""
    number = lesson.partition("_")[0]
    return f"✓ {number} done" if done else f"○ {number} to do"


def progress() -> Progress:
    """Which of the lessons are done on this machine: each of their claims held here, and their lab was closed."""
    lessons = sorted(path.stem for path in folders.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    return Progress({lesson: _is_done(lesson) for lesson in lessons})
