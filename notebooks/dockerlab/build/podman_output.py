"""The progress of a build by Podman, which answers on Docker's socket without BuildKit, and so with text alone.

Each instruction is printed with its number; what follows belongs to it:

| | |
|---|---|
| instruction | ``STEP 2/5: COPY . .``, with several stages ``[1/2] STEP 2/5: COPY . .`` |
| from the cache | ``--> Using cache 5f70bf18a086…`` |
| its image | ``--> 7d9495d03763`` |
| the end | ``COMMIT dockerlab/0a1b2c3d:app``, its image, ``Successfully built 7d9495d03763`` |
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from .build_progress import LiveStep, plain_text
from .dockerfile import STEPS, Dockerfile

_STEP = re.compile(r"(?:\[(?P<stage>\d+)/\d+\] )?STEP (?P<number>\d+)/\d+: (?P<text>\S.*)")
_IMAGE = re.compile(r"--> (?:(?P<cached>Using cache\b)|(?P<id>[0-9a-f]{10,64}$))?.*")
_BUILT = re.compile(r"Successfully built (\S+)")


@dataclass
class _Step:
    text: str
    began: float
    ended: float | None = None
    cached: bool = False
    error: str = ""
    log: str = ""

    def live(self) -> LiveStep:
        seconds = (self.ended or time.monotonic()) - self.began
        if self.error:
            return LiveStep(self.text, "failed", seconds, self.error, self.log)
        if self.cached or (self.text.startswith("FROM") and self.ended and "pull" not in self.log.lower()):
            return LiveStep(self.text, "cached")
        return LiveStep(self.text, "built" if self.ended else "running", seconds, log=self.log)


class PodmanOutput:
    """The steps of one build, read from what Podman prints.

    Only instructions that BuildKit executes as steps are in it, so that a record says the same whichever engine built.

    Attributes:
        image: the id of the image built, shortened; empty while there is none.
        made: the ids of the images that the build has made on its way, in order; they are Podman's build cache.
    """

    def __init__(self, dockerfile: Dockerfile) -> None:
        self._dockerfile = dockerfile
        self._steps: list[_Step] = []
        self._unfinished_line = ""
        self.image = ""
        self.made: list[str] = []

    def add(self, text: str) -> None:
        """Take in the field `stream` of one message: any piece of the text."""
        *lines, self._unfinished_line = (self._unfinished_line + text).split("\n")
        for line in lines:
            self._add_line(plain_text(line.encode()).rstrip("\r"))

    def fail(self, message: str) -> None:
        """Take in an error: it belongs to the last instruction, if any was begun."""
        if self._steps:
            self._steps[-1].error = message

    def steps(self) -> list[LiveStep]:
        return [step.live() for step in self._steps if step.text.split()[0] in STEPS]

    def _add_line(self, line: str) -> None:
        last = self._steps[-1] if self._steps else None
        step, built = _STEP.fullmatch(line), _BUILT.match(line)
        if built:
            self.image = built[1]
        if last and (step or built):
            last.ended = time.monotonic()
        if step:
            self._steps.append(_Step(self._as_written(step), time.monotonic()))
        elif last and (image := _IMAGE.fullmatch(line)):
            last.cached = last.cached or bool(image["cached"])
            if image["id"] and not last.cached and not last.text.startswith("FROM"):
                self.made.append(image["id"])
        elif last and line:
            last.log += line + "\n"

    def _as_written(self, found: re.Match[str]) -> str:
        """The instruction as the Dockerfile has it, where that is clear; else as Podman prints it."""
        keyword, *words = found["text"].split()
        instructions = self._dockerfile.in_stage(int(found["stage"] or 1) - 1)
        number = int(found["number"]) - 1
        if number < len(instructions) and instructions[number].keyword == keyword.upper():
            return instructions[number].text
        return " ".join([keyword.upper(), *words])
