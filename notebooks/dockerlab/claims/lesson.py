"""What a lesson's cells call: open the lab, predict, show what was measured, and look back."""

from __future__ import annotations

import html
import importlib
import importlib.util
import os
import shlex
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from .. import engine, labels
from ..build import cli_builds
from ..errors import LabError
from ..lab import lab as labs
from ..lab import notebook, workspace
from ..lab.lab import Lab
from ..lab.predictions import Predictions
from .claim import Claim, Outcome, Value, shown, words
from .exercise import Exercise, LessonExercise, lay_out
from .question import Question

ENVIRONMENT = "lab.env"
"""The file in a lesson's folder that makes a terminal speak to the lesson's engine: ``. 03_exec_or_shell/lab.env``."""

_NAMES_AN_ENGINE = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")


@dataclass
class _Lesson:
    """The lesson that this kernel runs.

    `answers` has, by claim, the option that was measured, and the one that the reader had chosen until then: what they
    choose afterwards is no prediction.
    """

    name: str
    lab: Lab
    predictions: Predictions
    answers: dict[str, tuple[str, str]]


_current: list[_Lesson] = []


def open_lab(lesson: str) -> Lab:
    """Open a lab for a lesson (`dockerlab.lab.lab.open_lab`), and let its cells type `docker`.

    The notebook's environment, and so each command that a cell types, gets the engine's address, and ``$LAB``,
    ``$LABEL`` and ``$BASE_IMAGE``: a lab's id, the label by which what it made is found, the image to build on. And
    ``$COMPOSE_PROJECT_NAME``, by which what `docker compose` made is found. The same is in the file ``lab.env`` in the
    lesson's folder, for terminals. A typed command that fails raises an error.

    Args:
        lesson: the notebook's name without its suffix: ``03_exec_or_shell``.

    Raises:
        LabError: there is no engine or base image, or the workspace cannot be written, as `open_lab` says.
    """
    lab = labs.open_lab(lesson)
    if shell := notebook.shell():
        try:
            environment = _environment(lab)
            os.environ.update(environment)
            write_environment(lab.workspace, environment)
        except BaseException:
            lab.close()
            raise
        shell.system_raise_on_error = True
        cli_builds.watch(lab, shell)
    _current[:] = [_Lesson(lesson, lab, Predictions(lesson), {})]
    return lab


def _environment(lab: Lab) -> dict[str, str]:
    """What a typed `docker` needs, as in JupyterLab's terminals, and the names that lessons use."""
    whole = engine.shell_environment()
    # An engine is there; the command line is a program of its own, which may be missing.
    if has_module(lab.lesson) and not shutil.which("docker", path=whole.get("PATH")):
        raise LabError(
            "There is an engine but no docker command line, and this lesson types commands.",
            "Install it (the package `docker-cli` of Debian, `docker-ce-cli` of Docker), and restart the kernel.",
        )
    return {name: whole[name] for name in _NAMES_AN_ENGINE if name in whole} | {
        "PATH": _with_scripts(whole.get("PATH", os.defpath)),
        "LAB": lab.id,
        "LABEL": f"{labels.LAB}={lab.id}",
        "BASE_IMAGE": lab.base_image,
        "COMPOSE_PROJECT_NAME": lab.cli_project,
        "COMPOSE_ANSI": "never",  # a line for each step, as a cell cannot show a display that moves
    }


def _with_scripts(path: str) -> str:
    """The folders in which commands are looked for, and after all others that of `dockerlab` itself."""
    scripts = sysconfig.get_path("scripts")
    return path if scripts in path.split(os.pathsep) else os.pathsep.join([path, scripts])


def write_environment(folder: Path, environment: Mapping[str, str]) -> None:
    """Write the file that a terminal reads: it goes to the lesson's folder, and has the lesson's engine and names."""
    lines = [
        "# Written when the lesson's lab was opened. Read it again when you have opened it again.",
        f"cd {shlex.quote(str(folder))}",
        *(f"export {name}={shlex.quote(value)}" for name, value in environment.items()),
    ]
    (folder / ENVIRONMENT).write_text("\n".join([*lines, ""]))


# --- exercises --------------------------------------------------------------------------------------------------------


def exercise(of: str | Lab, given: int | Mapping[str, str] = 1, *, folder: str = workspace.EXERCISE) -> Exercise:
    """Lay out an exercise in the lesson's folder. Files that are there already are the reader's, and stay.

    Args:
        of: the number of the lesson that is open, whose module has the exercise: ``03``. Or the open lab, for an
            exercise that is given here.
        given: which exercise of the lesson. Or the text of each file, by its path in the folder.
        folder: where, for an exercise that is given here: `your_turn`, `your_turn_2`, ...

    Raises:
        LabError: the lesson is not open, or has no such exercise.
        ValueError: a folder of another name would not be kept for the reader.
    """
    if isinstance(of, Lab) and isinstance(given, Mapping):
        return lay_out(of, given, folder=folder)
    if not _current or not isinstance(of, str) or not _current[0].name.startswith(of):
        raise LabError(f"Lesson {of} is not open in this kernel.", "Run the lesson's first cell.")
    lab, tasks = _current[0].lab, _module(of).EXERCISES
    if not isinstance(given, int) or not 0 < given <= len(tasks):
        raise LabError(f"Lesson {of} has {len(tasks)} exercises, and none is number {given}.", "Look at the number.")
    task: LessonExercise = tasks[given - 1]
    folder = workspace.EXERCISE if given == 1 else f"{workspace.EXERCISE}_{given}"
    return lay_out(lab, task.given, folder=folder, measure=partial(task.check, lab), folded=task.folded)


# --- claims -----------------------------------------------------------------------------------------------------------


@cache
def claims_of(lesson: str) -> dict[str, Claim]:
    """The claims of a lesson, by their ids.

    Args:
        lesson: the notebook's name, or its number: ``03``.
    """
    return {claim.id: claim for claim in _module(lesson).CLAIMS}


def has_module(lesson: str) -> bool:
    """Whether a lesson has been written anew, with typed commands, and a module of claims and exercises."""
    return importlib.util.find_spec(f"{__package__}.lesson_{lesson[:2]}") is not None


def _module(lesson: str) -> Any:
    """The module with a lesson's claims and exercises."""
    return importlib.import_module(f"{__package__}.lesson_{lesson[:2]}")


def _claim(id_: str) -> tuple[_Lesson, Claim]:
    if not _current:
        raise LabError("No lesson is open in this kernel.", "Run the lesson's first cell.")
    lesson = _current[0]
    try:
        return lesson, claims_of(lesson.name)[id_]
    except (KeyError, ModuleNotFoundError):
        raise LabError(f"{lesson.name} has no claim {id_!r}.", "Run the cells of the lesson that is open.") from None


def predict(id_: str) -> Question:
    """Ask the reader what a claim's measurement will show. It neither waits nor needs an answer.

    Args:
        id_: the claim's: ``stop.shell-form``.
    """
    lesson, claim = _claim(id_)
    kept = lesson.predictions
    return Question(claim, kept.get(id_), lambda option: kept.set(id_, option))


class Verdict:
    """A claim that held: what was measured, which answer that is, and what the reader had predicted."""

    def __init__(self, claim: Claim, measured: Outcome, answer: str, predicted: str) -> None:
        self.claim = claim
        self.measured = measured
        self.answer = answer
        self.predicted = predicted

    def _lines(self) -> list[tuple[str, str]]:
        decisive = self.claim.decisive(self.measured)
        values = "; ".join(f"{words(name)}: {shown(value)}" for name, value in decisive.items())
        if others := len(self.measured) - len(decisive):
            values += f"; and {others} more as claimed"
        found = [("Measured", values)]
        if self.answer:
            found.append(("Answer", f"{self.claim.letter(self.answer)}) {self.answer}"))
        if self.predicted:
            match = "as measured" if self.predicted == self.answer else "a surprise"
            found.append(("You predicted", f"{self.claim.letter(self.predicted)}) {self.predicted} ({match})"))
        return found

    def __repr__(self) -> str:
        head = f"✔ {self.claim.id}: {self.claim.sentence}"
        return "\n".join([head, *(f"  {title}: {text}" for title, text in self._lines())])

    def _repr_html_(self) -> str:
        sentence = html.escape(self.claim.sentence)
        if self.claim.advice:
            sentence += f' <a href="{html.escape(self.claim.advice)}">(the advice)</a>'
        lines = "".join(f"<br><em>{title}:</em> {html.escape(text)}" for title, text in self._lines())
        return f"<p>✔ <code>{self.claim.id}</code> {sentence}{lines}</p>"


def claim(id_: str, measured: Outcome | None = None, **values: Value) -> Verdict:
    """Hold a claim against what was measured, and show both.

    Args:
        id_: the claim's: ``stop.shell-form``.
        measured: what was measured, by name.
        values: the same, as keywords.

    Raises:
        AssertionError: something else was measured, or no answer to the question (or more than one) fits it.
    """
    lesson, claim = _claim(id_)
    found = {**(measured or {}), **values}
    if differences := claim.differences(found):
        raise AssertionError(f"{claim.id} does not hold here: {'; '.join(differences)}.")
    answer = claim.answer(found)
    if claim.options and not answer:
        raise AssertionError(f"{claim.id}: none of the answers, or more than one, is what was measured: {found}")
    predicted = lesson.predictions.get(id_)
    predicted = predicted if predicted in claim.options else ""
    lesson.answers[id_] = (answer, predicted)
    return Verdict(claim, found, answer, predicted)


class Surprises:
    """How the reader's predictions compare with what was measured since the lab was opened."""

    def __init__(self, lesson: _Lesson) -> None:
        asked = [each for each in claims_of(lesson.name).values() if each.question]
        self.asked = len(asked)
        answered = {each: lesson.answers[each.id] for each in asked if each.id in lesson.answers}
        self.measured = {each: answer for each, (answer, _) in answered.items()}
        self.predicted = {each: predicted for each, (_, predicted) in answered.items() if predicted}

    @property
    def surprising(self) -> dict[Claim, str]:
        """The claims of which the reader had predicted something else, and what that was."""
        return {each: option for each, option in self.predicted.items() if option != self.measured[each]}

    def _head(self) -> str:
        if not self.predicted:
            return f"You predicted none of {self.asked} measurements."
        right = len(self.predicted) - len(self.surprising)
        return f"You predicted {len(self.predicted)} of {self.asked} measurements, {right} of them as measured."

    def __repr__(self) -> str:
        lines = [
            f"  {each.id}: you said {each.letter(option)}) {option}; measured was {each.letter(self.measured[each])}) "
            f"{self.measured[each]}"
            for each, option in self.surprising.items()
        ]
        return "\n".join([self._head(), *lines])

    def _repr_html_(self) -> str:
        items = "".join(
            f"<li><code>{each.id}</code> You predicted: {html.escape(option)}. Measured: "
            f"{html.escape(self.measured[each])}.</li>"
            for each, option in self.surprising.items()
        )
        return f"<p>{self._head()}</p>" + (f"<p>What surprised you:</p><ul>{items}</ul>" if items else "")


def surprises() -> Surprises:
    """Look back: which predictions were as measured, and which were not."""
    if not _current:
        raise LabError("No lesson is open in this kernel.", "Run the lesson's first cell.")
    return Surprises(_current[0])
