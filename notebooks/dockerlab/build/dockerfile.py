"""A Dockerfile's instructions: what each says, where it is in the text, and which of them a build executes as steps.

It reads as BuildKit does: lines end with LF, a directive may change the escape character, comments and empty lines
within an instruction are skipped, and `RUN`, `COPY` and `ADD` may have here-documents. It is no validator: the builder
says what is wrong with a Dockerfile.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import Template

STEPS = frozenset({"FROM", "RUN", "COPY", "ADD", "WORKDIR"})
"""The instructions that BuildKit executes as steps. All others (CMD, ENV, EXPOSE, …) only set the image's metadata."""

_DIRECTIVE = re.compile(r"#[ \t]*([A-Za-z][A-Za-z0-9]*)[ \t]*=[ \t]*(.+?)[ \t]*$")
_HEREDOC = re.compile(r"""\d*<<(-?)(?:([^\s<'"]+)|'([^'<]+)'|"([^"<]+)")""")
_FROM_FLAG = {"COPY": r"--from=[\"']?([^\"']+)", "RUN": r"--mount=(?:.*,)?[\"']?from=([^,\"']+)"}


@dataclass(frozen=True)
class InstructionWord:
    """One word of an instruction, or a part of one.

    Attributes:
        text: what it says; a word that continues on the next line is joined.
        offsets: where each of its characters is in the text of the Dockerfile.
    """

    text: str
    offsets: tuple[int, ...] = field(repr=False)

    @property
    def start(self) -> int:
        """Where it begins in the text of the Dockerfile."""
        return self.offsets[0]

    @property
    def end(self) -> int:
        """Where it ends there."""
        return self.offsets[-1] + 1


@dataclass(frozen=True)
class ParserDirective:
    """A line above all others that tells the builder how to read: ``# syntax=docker/dockerfile:1``.

    Attributes:
        name: in small letters: ``syntax``, ``escape``, ``check``.
        value: what it is set to.
        line: its number, from 1.
        start: where the line begins in the text.
        end: where the next one begins.
    """

    name: str
    value: str
    line: int
    start: int
    end: int


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        keyword: in capitals: ``RUN``.
        text: all of it on one line with single spaces, as BuildKit names a step: ``RUN apt-get update``. For a
            here-document of a `RUN`, its first line is there in parentheses.
        arguments: all behind the keyword, on one line, as the builder joins it; here-documents are not in it.
        line: the number of its first line, from 1.
        start: where its first line begins in the text.
        end: where the line behind it begins; here-documents are within.
        has_heredoc: whether it has a here-document.
        is_plain: whether it is on one line, with no here-document.
        words: the keyword and all behind it, split at spaces.
        stage: the number of its build stage, from 0; -1 above the first `FROM`.
        step: its number among the steps of its stage, from 1, as the builder counts; 0 where it is not a step.
    """

    keyword: str
    text: str
    arguments: str
    line: int
    start: int
    end: int
    has_heredoc: bool
    is_plain: bool
    words: tuple[InstructionWord, ...] = field(repr=False)
    stage: int = -1
    step: int = 0

    def flags(self) -> tuple[InstructionWord, ...]:
        """The words behind the keyword that begin with ``--``, up to the first that does not."""
        found = []
        for word in self.words[1:]:
            if not word.text.startswith("--"):
                break
            found.append(word)
        return tuple(found)

    def operands(self) -> tuple[InstructionWord, ...]:
        """The words behind the flags."""
        return self.words[1 + len(self.flags()) :]

    def copied_from(self) -> tuple[InstructionWord, ...]:
        """The stages and images that ``COPY --from=`` and ``RUN --mount=from=`` name."""
        pattern = _FROM_FLAG.get(self.keyword, "(?!)")
        return tuple(
            InstructionWord(match[1], flag.offsets[slice(*match.span(1))])
            for flag in self.flags()
            if (match := re.match(pattern, flag.text))
        )


@dataclass(frozen=True)
class Dockerfile:
    """A Dockerfile that was parsed.

    Attributes:
        text: as it was given.
        escape: the character that continues a line: a backslash, or a backtick.
        directives: the lines above all others.
        instructions: all of them, in order.
        stages: the name of each build stage, in small letters; empty where it has none.
    """

    text: str
    escape: str
    directives: tuple[ParserDirective, ...]
    instructions: tuple[Instruction, ...]
    stages: tuple[str, ...]

    @property
    def line_end(self) -> str:
        """How its first line ends."""
        return "\r\n" if re.match(r"[^\n]*\r\n", self.text) else "\n"

    def declares(self, argument: str) -> bool:
        """Whether there is an ``ARG`` with this name."""
        arguments = (word.text for each in self.instructions if each.keyword == "ARG" for word in each.words[1:])
        return argument in {word.partition("=")[0] for word in arguments}

    def in_stage(self, stage: int) -> list[Instruction]:
        return [each for each in self.instructions if each.stage == stage]

    def stage(self, target: str | None = None) -> int | None:
        """The number of the stage with that name or number, of the last if None; None where there is no such stage."""
        if target is None:
            return len(self.stages) - 1 if self.stages else None
        return find_stage(target, self.stages)

    def parent(self, stage: int) -> int | None:
        """The stage that a stage begins with, as its `FROM` says in so many letters; None where that is an image."""
        base = self.in_stage(stage)[0].operands()
        return find_stage(base[0].text, self.stages[:stage], by_number=False) if base else None

    def steps(self, target: str | None = None) -> list[Instruction]:
        """The steps that a build of `target` (the last stage, if None) needs, in the order of the Dockerfile."""
        needed: set[int] = set()
        waiting = [self.stage(target or None)]
        while waiting:
            if (number := waiting.pop()) is None or number in needed:
                continue
            needed.add(number)
            waiting.append(self.parent(number))
            waiting += [self.stage(word.text) for each in self.in_stage(number) for word in each.copied_from()]
        return [each for each in self.instructions if each.step and each.stage in needed]

    def prefixes(self, target: str | None = None, arguments: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
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
            instructions = [each for each in self.instructions if each.stage in (-1, first.stage)]
            steps = [each for each in instructions if each.step]
            if len(steps) < 2 or steps[1].keyword != "WORKDIR":
                continue
            text = "".join(f"{each.text}\n" for each in instructions[: instructions.index(steps[1]) + 1])
            found[text] = self._image(first, arguments or {})
        return [(image, text) for text, image in found.items()]

    def images(self, target: str | None = None, arguments: Mapping[str, str] | None = None) -> list[str]:
        """The images that a build of `target` takes from an engine or a registry, as far as the text shows.

        One for another platform, or with a variable in its name that no `ARG` has a value for, is left to the builder.

        Args:
            target, arguments: as for `prefixes`.
        """
        found = []
        for step in self.steps(target):
            if step.keyword != "FROM":
                found += [word.text for word in step.copied_from() if self.stage(word.text) is None]
            elif "--platform" not in step.text:
                image = self._image(step, arguments or {})
                found += [image] if find_stage(image, self.stages[: step.stage], by_number=False) is None else []
        return [image for image in dict.fromkeys(found) if image and "$" not in image]

    def _image(self, first: Instruction, arguments: Mapping[str, str]) -> str:
        """The image that a `FROM` names, with the values of the `ARG`s above the first one."""
        words = [word.text for each in self.in_stage(-1) if each.keyword == "ARG" for word in each.words[1:]]
        defaults = {name: value for name, is_given, value in (word.partition("=") for word in words) if is_given}
        image = "".join(word.text for word in first.operands()[:1])
        return Template(image).safe_substitute(defaults | dict(arguments)).strip("\"'")


def parse(text: str) -> Dockerfile:
    """Read a Dockerfile. Text that is no Dockerfile gives whatever instructions can be made out."""
    lines = list(_lines(text))
    directives, first = _directives(lines)
    escape = next((each.value for each in directives if each.name == "escape" and each.value in {"\\", "`"}), "\\")
    instructions: list[Instruction] = []
    stages: list[str] = []
    steps = 0
    waiting = iter(lines[first:])
    for line in waiting:
        if _is_skipped(line):
            continue
        instruction, step = _instruction(line, waiting, escape), 0
        if instruction.keyword == "FROM":
            words = [word.text.lower() for word in instruction.operands()]
            # A stage that starts from another, or from nothing, begins with no step of its own.
            step = steps = 0 if words and words[0] in {"scratch", *filter(None, stages)} else 1
            stages.append(words[2] if len(words) > 2 and words[1] == "as" else "")
        elif instruction.keyword in STEPS and stages:
            step = steps = steps + 1
        instructions.append(dataclasses.replace(instruction, stage=len(stages) - 1, step=step))
    return Dockerfile(text, escape, tuple(directives), tuple(instructions), tuple(stages))


def find_stage(reference: str, stages: Sequence[str], *, by_number: bool = True) -> int | None:
    """The number of the stage that is meant, among those named: of two with one name, the later."""
    for number in reversed(range(len(stages))):
        if stages[number] and stages[number] == reference.lower():
            return number
    if by_number and reference.isdecimal() and int(reference) < len(stages):
        return int(reference)
    return None


def replace(text: str, changes: Iterable[tuple[int, int, str]]) -> str:
    """The text with each span (start, end) replaced. Spans must not overlap."""
    for start, end, new in sorted(changes, reverse=True):
        text = text[:start] + new + text[end:]
    return text


# --- lines -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    number: int
    start: int
    text: str  # without its end
    end: int  # behind its end


def _lines(text: str) -> Iterator[_Line]:
    start = 1 if text.startswith("\ufeff") else 0
    for number, line in enumerate(re.findall(r"[^\n]*\n|[^\n]+$", text[start:]), start=1):
        yield _Line(number, start, line.rstrip("\r\n") if line.endswith("\n") else line, start + len(line))
        start += len(line)


def _is_skipped(line: _Line) -> bool:
    return not line.text.strip() or line.text.lstrip().startswith("#")


def _directives(lines: list[_Line]) -> tuple[list[ParserDirective], int]:
    """The directives, and the number of lines above the first that is none."""
    found: list[ParserDirective] = []
    first = 1 if lines and lines[0].text.startswith("#!") else 0
    for line in lines[first:]:
        match = _DIRECTIVE.match(line.text.strip())
        if not match:
            break
        found.append(ParserDirective(match[1].lower(), match[2], line.number, line.start, line.end))
    return found, first + len(found)


# --- instructions ----------------------------------------------------------------------------------------------------


def _instruction(first: _Line, waiting: Iterator[_Line], escape: str) -> Instruction:
    """The instruction that begins on a line, with all the lines behind it that it takes."""
    joined, offsets, last = _continued(first, waiting, escape)
    words = tuple(
        InstructionWord(match[0], tuple(offsets[slice(*match.span())])) for match in re.finditer(r"\S+", joined)
    )
    keyword = words[0].text.upper() if words else ""
    text, end = [keyword, *(word.text for word in words[1:])], last.end
    heredocs = list(_heredocs(joined)) if keyword in {"RUN", "COPY", "ADD"} else []
    for dash, name in heredocs:
        body = []
        for line in waiting:
            end = line.end
            if (line.text.lstrip("\t") if dash else line.text) == name:
                break
            body.append(line.text)
        if keyword == "RUN":
            text += f"({_summary(body)})".split()
    arguments = joined.strip()[len(keyword) :].strip()
    is_plain = last is first and not heredocs
    return Instruction(
        keyword, " ".join(text), arguments, first.number, first.start, end, bool(heredocs), is_plain, words
    )


def _continued(line: _Line, waiting: Iterator[_Line], escape: str) -> tuple[str, list[int], _Line]:
    """A line joined with those that continue it, where each character is in the text, and the last of the lines."""
    continues = re.compile(rf"(^|[^{re.escape(escape)}]){re.escape(escape)}[ \t]*$")
    joined, offsets = "", list[int]()
    while True:
        match = continues.search(line.text)
        kept = line.text[: match.end(1)] if match else line.text
        joined += kept
        offsets += range(line.start, line.start + len(kept))
        following = next((each for each in waiting if not _is_skipped(each)), None) if match else None
        if following is None:
            return joined, offsets, line
        line = following


def _heredocs(joined: str) -> Iterator[tuple[str, str]]:
    """Whether tabs before the end are skipped, and the word that ends it, of each here-document that a line opens.

    It must be a word of its own: between quotes, it is text.
    """
    for word in re.findall(r"""(?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*"|['"\\])+""", joined):
        if match := _HEREDOC.fullmatch(word):
            yield match[1], next(name for name in match.groups()[1:] if name)


def _summary(body: list[str]) -> str:
    """A here-document as BuildKit names it: its first line, and dots where there are more."""
    written = "\n".join(body).strip().split("\n")
    return written[0] + ("..." if len(written) > 1 else "")
