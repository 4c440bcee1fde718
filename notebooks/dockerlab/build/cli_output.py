"""What `docker build` prints where no terminal reads it, as the record of a build.

Each line begins with the number of the piece of work that it belongs to:

| | |
|---|---|
| a step of the Dockerfile | ``#8 [4/5] RUN pip install fastapi``, with several stages ``#8 [build 4/5] RUN …`` |
| from the cache | ``#8 CACHED`` |
| what it prints | ``#8 2.010 Collecting fastapi`` |
| its end | ``#8 DONE 6.7s``, ``#8 ERROR: process "…" did not complete successfully: exit code: 1`` |
| the image | ``#10 exporting to image``, ``#10 naming to docker.io/library/shop done`` |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BuildFailed, LabError
from ..lab.build_cache import STEP_NAME
from ..records import Build, Step
from .build_progress import plain_text

_LINE = re.compile(r"#(\d+) (.*)")
_DONE = re.compile(r"DONE (\d+(?:\.\d+)?)s")
_PULLED = re.compile(r"(?:extracting )?sha256:")
_PRINTED = re.compile(r"\d+\.\d+ ?(.*)")
_FAILED = re.compile(r"^ERROR: (?:failed to build: )?(?:failed to solve: )?(.*)", re.MULTILINE)
_UNNAMED_STAGE = re.compile(r"stage-(\d+)")
_REGISTRY = re.compile(r"docker\.io/(?:library/)?|@sha256:\w+")
_SENT = re.compile(r"transferring context: (\d+(?:\.\d+)?)([kMG]?)B")
_UNITS = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_LOG_LINES = 10


@dataclass
class _Work:
    """One numbered piece of work."""

    name: str
    cached: bool = False
    done: bool = False
    seconds: float = 0.0
    error: str = ""
    pulled: bool = False
    printed: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Take in a line behind its number."""
        if text == "CACHED":
            self.cached = True
        elif found := _DONE.fullmatch(text):
            self.done, self.seconds = True, float(found[1])
        elif text.startswith("ERROR: "):
            self.error = text.removeprefix("ERROR: ")
        elif text not in (self.name, "..."):  # what is said again where the lines of another came between
            self.pulled = self.pulled or bool(_PULLED.match(text))
            found = _PRINTED.fullmatch(text)
            self.printed.append(found[1] if found else text)

    def step(self, found: re.Match[str]) -> Step:
        """The step of a Dockerfile that it is, by the parts of its name."""
        keyword, text = found["keyword"].upper(), " ".join(found["text"].split())
        cached = self.cached
        if keyword == "FROM":  # what counts is whether the image had to be fetched
            text, cached = _REGISTRY.sub("", text), not self.pulled
        log = "".join(f"{line}\n" for line in self.printed)
        return Step(f"{keyword} {text}", cached, 0.0 if cached else self.seconds, log=log)


def steps_of(log: str | Path) -> Build:
    """Read what a `docker build` did with each instruction from the file to which its output went.

    The output is the one with plain lines: ``docker build … 2>&1 | tee first.log``.

    Args:
        log: the file.

    Returns:
        The record of the build, by the file's name. An image in it is named as the builder names it, the `seconds` are
        the sum of all that it did, and `context_bytes` is rounded as it was printed.

    Raises:
        BuildFailed: the build failed: `tee` hides that from the shell.
        LabError: there is no such file, or it is not the output of a whole build.
    """
    path = Path(log)
    try:
        text = plain_text(path.read_bytes())
    except OSError as error:
        raise LabError(f"{path.name} cannot be read.", "Run the cell that builds, above this one.") from error
    works = _works(text)
    if failure := _FAILED.search(text):
        raise _failed(path.name, failure[1], works)
    if not any(work.name.startswith("exporting to") and work.done for work in works):
        do = f"Build again, with `2>&1 | tee {path.name}` at the end of the line, and without --quiet."
        raise LabError(f"{path.name} is not the output of a whole build.", do)
    printed = "\n".join(line for work in works for line in work.printed)
    names = re.findall(r"^naming to (\S+)", printed, re.MULTILINE)
    ids = re.findall(r"^(?:writing image|exporting manifest(?: list)?) (sha256:\w+)", printed, re.MULTILINE)
    return Build(
        name=path.stem,
        image=_REGISTRY.sub("", names[-1]) if names else "",
        image_id=ids[-1] if ids else "",
        seconds=sum(work.seconds for work in works),
        steps=tuple(_in_order(works)),
        builder="buildkit",
        context_bytes=_context_bytes(works),
    )


def _works(text: str) -> list[_Work]:
    found: dict[str, _Work] = {}
    for line in text.splitlines():
        if match := _LINE.match(line):
            number, rest = match[1], match[2].strip()
            if number in found:
                found[number].add(rest)
            else:
                found[number] = _Work(rest)
    return list(found.values())


def _in_order(works: list[_Work]) -> Iterator[Step]:
    """The steps as the Dockerfile has them: they are printed in any order, as they begin.

    Stages with a name come first, in the order in which they are printed, since nothing tells more of them. A stage
    without one is called by its number.
    """
    named = [(found, work) for work in works if (found := STEP_NAME.match(work.name))]
    stages = list(dict.fromkeys(found["stage"] or "" for found, _ in named))

    def place(stage: str) -> tuple[bool, int]:
        unnamed = _UNNAMED_STAGE.fullmatch(stage)
        return bool(unnamed), int(unnamed[1]) if unnamed else stages.index(stage)

    steps: dict[tuple[tuple[bool, int], int], Step] = {}
    for found, work in named:
        where = (place(found["stage"] or ""), int(found["number"]))
        # Beside a build that shares its steps, BuildKit may print one of them twice: once as looked up in the cache.
        if where not in steps or steps[where].cached:
            steps[where] = work.step(found)
    for where in sorted(steps):
        yield steps[where]


def _context_bytes(works: list[_Work]) -> int:
    lines = [line for work in works if work.name == "[internal] load build context" for line in work.printed]
    sent = [found for line in lines if (found := _SENT.match(line))]
    return round(float(sent[-1][1]) * _UNITS[sent[-1][2]]) if sent else 0


def _failed(log: str, message: str, works: list[_Work]) -> BuildFailed:
    """The error to raise for a build that failed, from the step at which it went wrong, if it was one."""
    failed = [work for work in works if work.error and "context canceled" not in work.error]
    found = STEP_NAME.match(failed[-1].name) if failed else None
    if not found:
        return BuildFailed(f"The build in {log} failed: {message.rstrip('.')}.", "Correct that, and build again.")
    step = failed[-1].step(found)
    return BuildFailed(
        f"The build in {log} failed at `{step.instruction}`: {failed[-1].error.rstrip('.')}.",
        "Correct that, and build again.",
        log="\n".join([line for line in step.log.splitlines() if line.strip()][-_LOG_LINES:]),
    )
