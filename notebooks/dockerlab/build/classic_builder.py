"""The progress of the classic builder, and of Podman's, read from the text that they print.

They answer where BuildKit does not. Both tell each instruction with its number; what follows belongs to it.

| | Docker's classic builder | Podman |
|---|---|---|
| instruction | ``Step 2/5 : COPY . .`` | ``STEP 2/5: COPY . .``, with several stages ``[1/2] STEP 2/5: COPY . .`` |
| from the cache | `` ---> Using cache`` | ``--> Using cache 5f70bf18a086…`` |
| its image | `` ---> 7d9495d03763`` | ``--> 7d9495d03763`` |
| the end | ``Successfully built 7d9495d03763`` | ``COMMIT dockerlab/0a1b2c3d:app``, then the same |

Docker counts an ``ARG`` above the first ``FROM``, Podman does not.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from .build_progress import LiveStep, plain_text
from .dockerfile import STEPS, Dockerfile

_STEP = re.compile(r"(?:\[(?P<stage>\d+)/\d+\] )?(?P<word>Step|STEP) (?P<number>\d+)/\d+ ?: (?P<text>\S.*)")
_ARROW = re.compile(r" ?-{2,3}> (?P<what>.*)")
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{10,64})")
_BUILT = re.compile(r"Successfully built (\S+)")


@dataclass
class _Step:
    text: str
    began: float
    ended: float | None = None
    cached: bool = False
    error: str = ""
    log: str = ""


class ClassicText:
    """The steps of one build, out of the text of the messages.

    Only instructions that are steps for BuildKit, too, are told, so that a record says the same whoever built: CMD, ENV
    and their like are notes in the image.

    Attributes:
        image: the id of the image built; empty while there is none.
        made: the ids of the images that the build has made on its way, in order; they are the classic builder's cache.
    """

    def __init__(self, dockerfile: Dockerfile) -> None:
        self._dockerfile = dockerfile
        self._steps: list[_Step] = []
        self._rest = ""
        self.image = ""
        self.made: list[str] = []

    def add(self, text: str) -> None:
        """Take in the field `stream` of one message: any piece of the text."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._add_line(plain_text(line.encode()).rstrip("\r"))

    def fail(self, message: str) -> None:
        """Take in an error: it belongs to the last instruction, if any was begun."""
        if self._steps:
            self._steps[-1].error = message

    def steps(self) -> list[LiveStep]:
        return [self._live(step) for step in self._steps if step.text.split()[0] in STEPS]

    def _add_line(self, line: str) -> None:
        last = self._steps[-1] if self._steps else None
        step, built = _STEP.fullmatch(line), _BUILT.match(line)
        if built:
            self.image = built[1]
        if last and (step or built):
            last.ended = time.monotonic()
        if step:
            self._steps.append(_Step(self._as_written(step), time.monotonic()))
        elif last and (arrow := _ARROW.fullmatch(line)):
            self._add_arrow(last, arrow["what"])
        elif last and line:
            last.log += line + "\n"

    def _add_arrow(self, step: _Step, what: str) -> None:
        if what.startswith("Using cache"):
            step.cached = True
        elif (found := _ID.fullmatch(what)) and not step.cached and not step.text.startswith("FROM"):
            self.made.append(found[1])

    def _as_written(self, found: re.Match[str]) -> str:
        """The instruction as the Dockerfile has it, where that is clear; else as the builder prints it."""
        text = " ".join(found["text"].split())
        keyword = text.split()[0].upper()
        instructions = self._dockerfile.instructions
        if found["word"] == "STEP":
            instructions = tuple(i for i in instructions if i.stage == int(found["stage"] or 1) - 1)
        number = int(found["number"]) - 1
        if number < len(instructions) and instructions[number].keyword == keyword:
            return instructions[number].text
        return " ".join([keyword, *text.split()[1:]])

    def _live(self, step: _Step) -> LiveStep:
        seconds = (step.ended or time.monotonic()) - step.began
        if step.error:
            return LiveStep(step.text, "failed", seconds, step.error, step.log)
        if step.cached or (step.text.startswith("FROM") and step.ended and "pull" not in step.log.lower()):
            return LiveStep(step.text, "cached")
        return LiveStep(step.text, "built" if step.ended else "running", seconds, log=step.log)
