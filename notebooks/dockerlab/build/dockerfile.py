"""The instructions of a Dockerfile, as far as a laboratory must know them to recognise the steps of a build.

Not a validator: what the text means, the builder says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Template

STEPS = frozenset({"FROM", "RUN", "COPY", "ADD", "WORKDIR"})
"""The instructions that BuildKit carries out as steps. All others (CMD, ENV, EXPOSE, …) are notes in the image."""

_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*$")
_HEREDOC = re.compile(r"(?:^|\s)\d*<<(-?)(['\"]?)([A-Za-z_]\w*)\2(?=\s|$)")


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        keyword: in capitals: ``RUN``.
        text: the whole instruction on one line, with single spaces: ``RUN apt-get update && apt-get install nginx``.
        line: the number of its first line in the Dockerfile.
        stage: the number of its build stage, from 0; -1 for an `ARG` above the first `FROM`.
        step: its number among the steps of its stage, from 1, as the builder counts; 0 where it is not a step.
    """

    keyword: str
    text: str
    line: int
    stage: int
    step: int


@dataclass(frozen=True)
class Dockerfile:
    """What is written in one.

    Attributes:
        instructions: all of them, in order.
        stages: the name of each build stage, in small letters; ``stage-1`` where it has none.
    """

    instructions: tuple[Instruction, ...]
    stages: tuple[str, ...]

    def declares(self, argument: str) -> bool:
        """Whether there is an ``ARG`` with this name."""
        arguments = (word for i in self.instructions if i.keyword == "ARG" for word in i.text.split()[1:])
        return argument in {word.partition("=")[0] for word in arguments}

    def steps(self, target: str | None = None) -> list[Instruction]:
        """The steps that a build of `target` (the last stage, if None) needs, in the order of the Dockerfile."""
        needed = self._needed(self._stage(target) if target else len(self.stages) - 1)
        return [instruction for instruction in self.instructions if instruction.step and instruction.stage in needed]

    def heads(self, target: str | None = None, arguments: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
        """How the stages begin that a build of `target` needs and that start with an image and a `WORKDIR`.

        Args:
            target: as for `steps`.
            arguments: the values that the build passes for the `ARG`s.

        Returns:
            For each different beginning the image's name, and a Dockerfile that ends with the `WORKDIR`.
        """
        found: dict[str, str] = {}
        for first in self.steps(target):
            if first.keyword != "FROM":
                continue
            head = [i for i in self.instructions if i.stage in (-1, first.stage)]
            steps = [i for i in head if i.step]
            if len(steps) < 2 or steps[1].keyword != "WORKDIR":
                continue
            text = "".join(f"{i.text}\n" for i in head[: head.index(steps[1]) + 1])
            found[text] = self._image(first, arguments or {})
        return [(image, text) for text, image in found.items()]

    def images(self, target: str | None = None, arguments: Mapping[str, str] | None = None) -> list[str]:
        """The images that a build of `target` takes from an engine or a registry, as far as the text tells.

        One for another platform, or with a variable in its name that no `ARG` has a value for, is left to the builder.

        Args:
            target, arguments: as for `heads`.
        """
        found = []
        for step in self.steps(target):
            if step.keyword == "FROM":
                found += [] if "--platform" in step.text else [self._image(step, arguments or {})]
            else:
                found += [reference for reference in _references(step) if self._stage(reference) is None]
        return [image for image in dict.fromkeys(found) if image and "$" not in image]

    def _image(self, first: Instruction, arguments: Mapping[str, str]) -> str:
        """The image that a `FROM` names, with the values of the `ARG`s above the first one."""
        given = {
            name: value
            for instruction in self.instructions
            if instruction.stage == -1 and instruction.keyword == "ARG"
            for name, is_given, value in [word.partition("=") for word in instruction.text.split()[1:]]
            if is_given
        }
        image = next(_references(first), "")
        return Template(image).safe_substitute(given | dict(arguments)).strip("\"'")

    def steps_of_stage(self, stage: int) -> int:
        return max((instruction.step for instruction in self.instructions if instruction.stage == stage), default=0)

    def _stage(self, reference: str) -> int | None:
        """The number of the stage that ``FROM``, ``--from`` or a target refers to, by name or number."""
        if reference.isdecimal() and int(reference) < len(self.stages):
            return int(reference)
        # Of two stages with one name, the later is meant.
        return next((n for n in reversed(range(len(self.stages))) if self.stages[n] == reference.lower()), None)

    def _needed(self, stage: int | None) -> set[int]:
        needed: set[int] = set()
        waiting = [stage]
        while waiting:
            if (number := waiting.pop()) is None or number in needed:
                continue
            needed.add(number)
            for instruction in self.instructions:
                if instruction.stage == number:
                    waiting += [self._stage(reference) for reference in _references(instruction)]
        return needed


def parse(text: str) -> Dockerfile:
    """Read a Dockerfile. Text that is no Dockerfile gives whatever instructions can be made out."""
    instructions: list[Instruction] = []
    stages: list[str] = []
    steps = 0
    for line, instruction in _logical_lines(text):
        keyword, *rest = instruction.split()
        keyword = keyword.upper()
        if keyword == "FROM":
            # A stage that starts from another, or from nothing, begins with no step of its own.
            base = next((word for word in rest if not word.startswith("--")), "")
            steps = 0 if base.lower() in {"scratch", *stages} else 1
            stages.append(rest[-1].lower() if len(rest) > 2 and rest[-2].upper() == "AS" else f"stage-{len(stages)}")
            step = steps
        else:
            is_step = keyword in STEPS and bool(stages)
            steps += is_step
            step = steps if is_step else 0
        instructions.append(Instruction(keyword, " ".join([keyword, *rest]), line, len(stages) - 1, step))
    return Dockerfile(tuple(instructions), tuple(stages))


def _references(instruction: Instruction) -> Iterator[str]:
    """The stages (or images) that an instruction takes something from."""
    match instruction.keyword:
        case "FROM":
            yield from [word for word in instruction.text.split()[1:] if not word.startswith("--")][:1]
        case "COPY" | "ADD":
            yield from re.findall(r"--from=(\S+)", instruction.text)
        case "RUN":
            yield from re.findall(r"--mount=\S*\bfrom=([^,\s]+)", instruction.text)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Each instruction on one line, with the number of its first: comments gone, continuations joined."""
    lines = enumerate(text.removeprefix("\ufeff").splitlines(), start=1)
    escape = "\\"
    in_directives = True
    for number, line in lines:
        if in_directives and (directive := _DIRECTIVE.match(line.strip())):
            if directive[1].lower() == "escape":
                escape = directive[2]
            continue
        in_directives = False
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        joined = line.strip()
        while joined.endswith(escape):
            # Within an instruction, comments and empty lines are skipped.
            more = next((text.strip() for _, text in lines if text.strip() and text.strip()[0] != "#"), "")
            joined = f"{joined[:-1]} {more}"
            if not more:
                break
        keyword = joined.split(maxsplit=1)[0].upper()
        if keyword in {"RUN", "COPY", "ADD"}:
            for dash, _, word in _HEREDOC.findall(joined):
                body = []
                for _, text in lines:
                    if (text.lstrip("\t") if dash else text) == word:
                        break
                    body.append(text)
                if keyword == "RUN":
                    joined += f" ({_summary(body)})"
        yield number, " ".join(joined.split())


def _summary(body: list[str]) -> str:
    """A heredoc as BuildKit names it: its first line, and dots where there are more."""
    written = "\n".join(body).strip().split("\n")
    return written[0] + ("..." if len(written) > 1 else "")
