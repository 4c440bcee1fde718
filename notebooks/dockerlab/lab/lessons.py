"""The lessons: what each asks, how long it takes, and whether it is done on this machine.

A lesson is done when each of its claims held here, and then its lab was closed. The mark of a lesson is an empty file
of its name. Kernels that end at the same time do not meet at one file, and there is nothing in it that could be broken.
It goes with the workspaces, when all of them are removed.
"""

from __future__ import annotations

import contextlib
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Lesson:
    """A lesson, as its notebook's first cell has it.

    Attributes:
        name: ``03_exec_or_shell``.
        question: its heading.
        minutes: how long it takes, without exercises.
        exercise_minutes: how long they take; 0 where it has none.
    """

    name: str
    question: str
    minutes: int
    exercise_minutes: int

    @property
    def number(self) -> str:
        """``03``."""
        return self.name.partition("_")[0]

    @property
    def time(self) -> str:
        """In minutes: ``30 + 15``."""
        return f"{self.minutes} + {self.exercise_minutes}" if self.exercise_minutes else str(self.minutes)


def lessons() -> list[Lesson]:
    """All lessons, in their order. What a broken notebook does not tell is empty, or 0."""
    return [_lesson(path) for path in sorted(folders.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))]


def _lesson(path: Path) -> Lesson:
    try:
        title = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    except (OSError, ValueError, LookupError, TypeError):
        title = ""
    question = re.search(r"^# (.*)$", title, re.MULTILINE)
    time = re.search(r"\*\*Time:\*\* (\d+) minutes(?:, and (\d+) for the exercises?)?\.", title)
    minutes, exercise = time.groups(default="0") if time else ("0", "0")
    return Lesson(path.stem, question[1] if question else "", int(minutes), int(exercise))


class Progress:
    """The lessons, and which of them are done on this machine. A notebook shows a table with a link to each lesson.

    Attributes:
        done: whether a lesson is done, by the lesson. In the order of the lessons.
    """

    def __init__(self, done: Mapping[Lesson, bool]) -> None:
        self.done = dict(done)

    def __repr__(self) -> str:
        return "\n".join(
            f"{_state(lesson, done)}: {lesson.question} {lesson.time} minutes" for lesson, done in self.done.items()
        )

    def _repr_html_(self) -> str:
        left = 'style="text-align: left"'
        head = "".join(f"<th {left}>{title}</th>" for title in ("lesson", "question", "minutes"))
        rows = "".join(
            f'<tr><td>{_state(lesson, done)}</td><td {left}><a href="{html.escape(lesson.name)}.ipynb">'
            f"{notebook.with_code(lesson.question)}</a></td><td>{lesson.time}</td></tr>"
            for lesson, done in self.done.items()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _state(lesson: Lesson, done: bool) -> str:
    """In words, too: neither a sign nor a color alone says it."""
    return f"✓ {lesson.number} done" if done else f"○ {lesson.number} to do"


def progress() -> Progress:
    """The lessons, with their times (the second number is for exercises), and which are done on this machine."""
    return Progress({lesson: _is_done(lesson.name) for lesson in lessons()})
