"""Your turn: files that the reader changes, and a check that measures what they do now.

A check has three states. It never looks at the text of an attempt, only at what was measured: any solution that behaves
as it should is a solution.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .. import folders
from ..errors import LabError
from ..lab import notebook, workspace
from ..lab.lab import Lab


@dataclass(frozen=True)
class ExerciseCheck:
    """The result of checking an attempt.

    Attributes:
        state: ``not attempted``, ``not yet`` or ``done``.
        observed: what was measured in the reader's version; the folder's name where nothing was attempted.
        next: what to look at next; empty where there is nothing to do, or where `observed` ends with it.
    """

    state: str
    observed: str
    next: str = ""

    def __repr__(self) -> str:
        match self.state:
            case "not attempted":
                return f"○ Not attempted: the files in {self.observed} are as they were given."
            case "not yet":
                look = f"\nLook next at {self.next}" if self.next else ""
                return f"◐ Not yet. In your version: {self.observed}{look}"
            case _:
                return f"● Done. In your version: {self.observed}"


class NotYet(Exception):
    """Raised by a measurement when the behavior is not yet the required one.

    Args:
        observed: what was observed in the reader's version, a sentence.
        next: what to look at next: the end of a sentence that begins with "Look next at". It is a place, never the
            answer.
    """

    def __init__(self, observed: str, next: str = "") -> None:
        self.observed = observed
        self.next = next
        super().__init__(observed, next)

    def __str__(self) -> str:
        return f"{self.observed} Look next at {self.next}" if self.next else self.observed


Measure = Callable[[Path], str]
"""Takes the reader's folder, returns what it observed, and raises `NotYet` where the task is not solved."""


@dataclass(frozen=True)
class LessonExercise:
    """An exercise of a lesson, as the lesson's module has it.

    Attributes:
        given: the text of each file, by its path in the reader's folder.
        check: measures the reader's version, with the open lab.
        hints: where to look, what decides, what to change: each a step closer, none of them the solution.
        solution: the text of each file that differs from the given one.
        because: why that solves it.
    """

    given: Mapping[str, str]
    check: Callable[[Lab, Path], str]
    hints: tuple[str, str, str]
    solution: Mapping[str, str]
    because: str

    @property
    def folded(self) -> Mapping[str, str]:
        """What an exercise shows folded, as HTML by title: the three hints, then the solution."""
        files = "".join(
            f"<p><code>{html.escape(name)}</code></p><pre>{html.escape(text)}</pre>"
            for name, text in self.solution.items()
        )
        titles = ("Hint 1: where to look", "Hint 2: what decides", "Hint 3: what to change")
        shown = {title: _paragraph(hint) for title, hint in zip(titles, self.hints, strict=True)}
        return {**shown, "A solution": _paragraph(self.because) + files}


def _paragraph(text: str) -> str:
    return f"<p>{notebook.with_code(text)}</p>"


@dataclass(frozen=True)
class Exercise:
    """The reader's files, and the files as they were given.

    Attributes:
        folder: where the reader works. Nothing in it is ever overwritten.
        given: the text of each file as it was given, by its path in the folder.
        measure: what `check` does, where it is given nothing.
        folded: what is shown folded, as HTML by title.
    """

    folder: Path
    given: Mapping[str, str]
    measure: Measure | None = None
    folded: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Your files, in {self.folder.name}: {', '.join(self.given)}"

    def _repr_html_(self) -> str:
        root = folders.workspaces()
        # Where the reader's copies are, a link opens the file in JupyterLab; elsewhere it would lead nowhere.
        form = '<a href="{path}">{name}</a>' if any(root.glob("[0-9][0-9]_*.ipynb")) else "<code>{name}</code>"
        links = [
            form.format(
                path=html.escape((self.folder / name).relative_to(root).as_posix(), quote=True), name=html.escape(name)
            )
            for name in self.given
        ]
        folded = "".join(
            f"<details><summary>{title}</summary>{content}</details>" for title, content in self.folded.items()
        )
        return f"<p>Your files, in <code>{self.folder.name}</code>: {', '.join(links)}</p>{folded}"

    @property
    def attempted(self) -> bool:
        """Whether any file differs from what was given: changed, added or removed."""
        return workspace.is_attempted(self.folder)

    def check(self, measure: Measure | None = None) -> ExerciseCheck:
        """Measure the reader's version.

        An error of the laboratory (a build that fails, an application that never listens) is a "not yet", too: it says
        itself what to do.

        Args:
            measure: how, where the exercise has no `measure` of its own.
        """
        if (measure := measure or self.measure) is None:
            raise ValueError("an exercise without a module is checked by what it is given")
        if not self.attempted:
            return ExerciseCheck("not attempted", self.folder.name)
        try:
            return ExerciseCheck("done", measure(self.folder))
        except NotYet as error:
            return ExerciseCheck("not yet", error.observed, error.next)
        except LabError as error:
            return ExerciseCheck("not yet", str(error))


def lay_out(
    lab: Lab,
    given: Mapping[str, str],
    *,
    folder: str = workspace.EXERCISE,
    measure: Measure | None = None,
    folded: Mapping[str, str] | None = None,
) -> Exercise:
    """Lay out an exercise in a folder of the workspace. Files that are there already are the reader's, and stay.

    Args:
        lab: the open lab.
        given: the text of each file, by its path in the folder.
        folder: `your_turn`; for a second exercise of the same lesson `your_turn_2`.
        measure: what the exercise's `check` does.
        folded: what it shows folded, as HTML by title.

    Raises:
        ValueError: a folder of another name would not be kept for the reader.
    """
    return Exercise(workspace.lay_out(lab.workspace / folder, given), dict(given), measure, folded or {})
