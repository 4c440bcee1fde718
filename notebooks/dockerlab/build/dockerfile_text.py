"""Where each instruction stands in the text of a Dockerfile, so that one can be replaced and all else stays as it is.

It reads as BuildKit does: lines end with LF, the escape character may be changed by a directive, comments and empty
lines within an instruction are skipped, and `RUN`, `COPY` and `ADD` may have here-documents.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

_DIRECTIVE = re.compile(r"#[ \t]*([A-Za-z][A-Za-z0-9]*)[ \t]*=[ \t]*(.+?)[ \t]*$")
_HEREDOC = re.compile(r"""\d*<<(-?)(?:([^\s<'"]+)|'([^'<]+)'|"([^"<]+)")""")


@dataclass(frozen=True)
class Word:
    """One word of an instruction.

    Attributes:
        text: as it reads, where it is continued on the next line, too.
        places: where each of its characters stands in the text of the Dockerfile.
    """

    text: str
    places: tuple[int, ...] = field(repr=False)

    @property
    def start(self) -> int:
        """Where it begins in the text of the Dockerfile."""
        return self.places[0]

    @property
    def end(self) -> int:
        """Where it ends there."""
        return self.places[-1] + 1


@dataclass(frozen=True)
class Directive:
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
class Written:
    """One instruction, where it is written.

    Attributes:
        keyword: in capitals: ``RUN``.
        arguments: all behind the keyword, on one line, as the builder joins it; here-documents are not in it.
        line: the number of its first line, from 1.
        start: where its first line begins in the text.
        end: where the line behind it begins; here-documents are within.
        stage: the number of its build stage, from 0; -1 above the first `FROM`.
        has_heredoc: whether it has a here-document.
        words: the keyword and all behind it, split at spaces.
        is_plain: whether it stands on one line alone, with no here-document.
    """

    keyword: str
    arguments: str
    line: int
    start: int
    end: int
    stage: int
    has_heredoc: bool
    is_plain: bool
    words: tuple[Word, ...] = field(repr=False)

    def flags(self) -> tuple[Word, ...]:
        """The words behind the keyword that begin with ``--``, up to the first that does not."""
        found = []
        for word in self.words[1:]:
            if not word.text.startswith("--"):
                break
            found.append(word)
        return tuple(found)

    def operands(self) -> tuple[Word, ...]:
        """The words behind the flags."""
        return self.words[1 + len(self.flags()) :]


@dataclass(frozen=True)
class Text:
    """A Dockerfile's text, and what is written where.

    Attributes:
        text: as it was given.
        escape: the character that continues a line: a backslash, or a backtick.
        directives: the lines above all others.
        instructions: all of them, in order.
    """

    text: str
    escape: str
    directives: tuple[Directive, ...]
    instructions: tuple[Written, ...]

    def in_stage(self, stage: int) -> list[Written]:
        return [each for each in self.instructions if each.stage == stage]

    @property
    def stages(self) -> tuple[str, ...]:
        """The name of each build stage, in small letters; empty where it has none."""
        return tuple(_stage_name(each) for each in self.instructions if each.keyword == "FROM")

    def stage(self, target: str | None = None) -> int | None:
        """The number of the stage with that name or number, of the last if None; None where there is no such stage."""
        if target is None:
            return len(self.stages) - 1 if self.stages else None
        return find_stage(target, self.stages)

    @property
    def line_end(self) -> str:
        """How its lines end: the first of them tells."""
        return "\r\n" if re.match(r"[^\n]*\r\n", self.text) else "\n"


def read(text: str) -> Text:
    """Find the instructions. Text that is no Dockerfile gives whatever can be made out."""
    lines = list(_lines(text))
    directives, first = _directives(lines)
    escape = next((each.value for each in directives if each.name == "escape" and each.value in {"\\", "`"}), "\\")
    instructions: list[Written] = []
    stage = -1
    waiting = iter(lines[first:])
    for line in waiting:
        if _is_skipped(line):
            continue
        instruction = _instruction(line, waiting, escape, stage)
        if instruction.keyword == "FROM":
            stage += 1
            instruction = dataclasses.replace(instruction, stage=stage)
        instructions.append(instruction)
    return Text(text, escape, tuple(directives), tuple(instructions))


def find_stage(reference: str, stages: Sequence[str], *, by_number: bool = True) -> int | None:
    """The number of the stage that is meant, among those named: of two with one name, the later."""
    for number in reversed(range(len(stages))):
        if stages[number] and stages[number] == reference.lower():
            return number
    if by_number and reference.isdecimal() and int(reference) < len(stages):
        return int(reference)
    return None


def _stage_name(instruction: Written) -> str:
    words = [word.text for word in instruction.operands()]
    return words[2].lower() if len(words) > 2 and words[1].lower() == "as" else ""


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


def _directives(lines: list[_Line]) -> tuple[list[Directive], int]:
    """The directives, and the number of lines above the first that is none."""
    found: list[Directive] = []
    first = 1 if lines and lines[0].text.startswith("#!") else 0
    for line in lines[first:]:
        match = _DIRECTIVE.match(line.text.strip())
        if not match:
            break
        found.append(Directive(match[1].lower(), match[2], line.number, line.start, line.end))
    return found, first + len(found)


# --- instructions ----------------------------------------------------------------------------------------------------


def _instruction(first: _Line, waiting: Iterator[_Line], escape: str, stage: int) -> Written:
    continued = re.compile(rf"(^|[^{re.escape(escape)}]){re.escape(escape)}[ \t]*$")
    joined, line, count = "", first, 1
    places: list[int] = []
    while True:
        match = continued.search(line.text)
        kept = line.text[: match.end(1)] if match else line.text
        joined += kept
        places += range(line.start, line.start + len(kept))
        if not match:
            break
        following = next((each for each in waiting if not _is_skipped(each)), None)
        if following is None:
            break
        line, count = following, count + 1
    end = line.end
    keyword = joined.split(maxsplit=1)[0].upper() if joined.strip() else ""
    has_heredoc = False
    if keyword in {"RUN", "COPY", "ADD"}:
        for dash, name in _heredocs(joined):
            has_heredoc = True
            for body in waiting:
                end = body.end
                if (body.text.lstrip("\t") if dash else body.text) == name:
                    break
    words = tuple(Word(match[0], tuple(places[slice(*match.span())])) for match in re.finditer(r"\S+", joined))
    arguments = joined.strip()[len(keyword) :].strip()
    is_plain = count == 1 and not has_heredoc
    return Written(keyword, arguments, first.number, first.start, end, stage, has_heredoc, is_plain, words)


def _heredocs(joined: str) -> Iterator[tuple[str, str]]:
    """Whether tabs before the end are skipped, and the word that ends it, of each here-document that a line opens.

    It must be a word of its own: between quotes, it is text.
    """
    for word in re.findall(r"""(?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*"|['"\\])+""", joined):
        if match := _HEREDOC.fullmatch(word):
            yield match[1], next(name for name in match.groups()[1:] if name)
