"""The images that a Dockerfile needs from outside, and the same Dockerfile with others in their place.

No engine is needed, and no file is written. All that is not replaced stays, to the byte, and each instruction stays on
its line, so that what a builder says of line 7 is true of the user's own file.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..build import dockerfile as dockerfiles
from ..build.dockerfile import Dockerfile, Instruction, ParserDirective, find_stage
from ..errors import LabError
from ..records import Substitution

LONGEST_VALUE = 10_000
"""Characters. A longer value is refused: each of some lines may hold the variable above it twice."""

BUILT_IN = "the syntax that the builder has built in"
"""What takes the place of an image that a ``# syntax=`` line names."""

_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*")
_DOCKER_HUB = re.compile(r"^(?:(?:index\.)?docker\.io/)?(?:library/)?")


class _CannotTell(Exception):
    """A variable has no value, or is changed in a way that only the builder knows."""


@dataclass(frozen=True)
class Use:
    """One place where a Dockerfile names an image that is none of its own stages.

    Attributes:
        image: with the values of all variables: ``python:3.12-slim``.
        line: of its instruction, from 1.
        start: where the name begins in the text: ``python:${VERSION}-slim``.
        end: where it ends there.
    """

    image: str
    line: int
    start: int
    end: int


@dataclass(frozen=True)
class Substituted:
    """A Dockerfile with other images.

    Attributes:
        text: the Dockerfile to build.
        substitutions: what was replaced, in the order of the lines.
    """

    text: str
    substitutions: tuple[Substitution, ...]


def parse_base(option: str) -> tuple[str, str]:
    """Read ``--base IMAGE`` or ``--base IMAGE=SUBSTITUTE``.

    Returns:
        The image to replace, and what to take in its place: an empty text for the lab's base image.

    Raises:
        LabError: one of them is no name of an image.
    """
    image, equals, by = option.strip().partition("=")
    for name in (image, by) if equals else (image,):
        if not _IMAGE.fullmatch(name):
            raise LabError(
                f"`--base {option}` names no image: {name!r}.",
                "Write `--base python:3.12-slim`, or `--base python:3.12-slim=SUBSTITUTE`.",
            )
    return image, by


def images(
    text: str,
    *,
    build_args: Mapping[str, str] | None = None,
    target: str | None = None,
    platform: str = "linux/amd64",
) -> tuple[Use, ...]:
    """The images that a build needs from outside, in the order of the lines; one that is named twice is there twice.

    Only the target stage counts, and what it takes from others. Neither `scratch` nor a stage is such an image.

    Args:
        text: the Dockerfile.
        build_args: values for its ``ARG``s.
        target: the build stage to stop at; the last if None.
        platform: what is built for, and on: it may be part of a name.

    Raises:
        LabError: there is no such stage; or a `FROM` names nothing, since a variable in it has no value.
    """
    return tuple(_uses(dockerfiles.parse(text), build_args or {}, target, platform))


def syntax(text: str) -> tuple[str, int] | None:
    """The image that a ``# syntax=`` line names, and the number of that line; None where there is no such line."""
    directive = _syntax(dockerfiles.parse(text))
    return (directive.value, directive.line) if directive else None


def substitute(
    text: str,
    by: Mapping[str, str],
    *,
    build_args: Mapping[str, str] | None = None,
    target: str | None = None,
    platform: str = "linux/amd64",
    keep_syntax: bool = False,
) -> Substituted:
    """The Dockerfile with other images in place of some.

    Each name of an image will do: `python:3.12`, `docker.io/library/python:3.12`, and the same with a digest.

    Args:
        text: the Dockerfile.
        by: for each image to replace, the one to take.
        build_args, target, platform: as for `images`.
        keep_syntax: leave a ``# syntax=`` line where it is. It makes the builder fetch an image, before all others.

    Raises:
        LabError: the Dockerfile does not need an image that is to be replaced; see also `images`.
    """
    source = dockerfiles.parse(text)
    uses = _uses(source, build_args or {}, target, platform)
    wanted = {_full_name(image): new for image, new in by.items()}
    changes: list[tuple[int, int, str]] = []
    substitutions: list[Substitution] = []
    met: set[str] = set()
    for use in uses:
        name = next((name for name in _names(use.image) if name in wanted), None)
        if name is not None:
            met.add(name)
            changes.append((use.start, use.end, wanted[name]))
            substitutions.append(Substitution(use.image, wanted[name], use.line))
    if missed := [image for image in by if _full_name(image) not in met]:
        needed = ", ".join(dict.fromkeys(use.image for use in uses)) or "none"
        raise LabError(f"The Dockerfile does not need the image {missed[0]}.", f"It needs {needed}.")
    directive = _syntax(source)
    if directive and not keep_syntax:
        changes += _without(source, directive)
        substitutions.insert(0, Substitution(directive.value, BUILT_IN, directive.line))
    return Substituted(dockerfiles.replace(text, changes), tuple(substitutions))


def by_build_args(
    text: str, given: Mapping[str, str], *, target: str | None = None, platform: str = "linux/amd64"
) -> tuple[Substitution, ...]:
    """The images that are others because of build arguments that the lab passes, as it does for ``ARG BASE_IMAGE``.

    A `FROM` that names nothing without them is left out: nothing was replaced there.

    Args:
        text: the Dockerfile.
        given: the build arguments that the lab passes.
        target, platform: as for `images`.
    """
    source = dockerfiles.parse(text)
    before = {use.start: use.image for use in _uses(source, {}, target, platform, lenient=True)}
    after = _uses(source, given, target, platform, lenient=True)
    return tuple(
        Substitution(was, use.image, use.line) for use in after if (was := before.get(use.start)) and was != use.image
    )


# --- names of images -------------------------------------------------------------------------------------------------


def _full_name(image: str) -> str:
    """One name for all ways to name an image on Docker Hub, with its tag."""
    name, at, digest = image.partition("@")
    name = _DOCKER_HUB.sub("", name, count=1)
    if not at and ":" not in name.rpartition("/")[2]:
        name += ":latest"
    return name + at + digest


def _names(image: str) -> list[str]:
    """What an image is called by: with its digest, and without."""
    name, at, _ = image.partition("@")
    return [_full_name(image), *([_full_name(name)] if at else [])]


# --- where they are named --------------------------------------------------------------------------------------------


def _uses(
    source: Dockerfile, build_args: Mapping[str, str], target: str | None, platform: str, *, lenient: bool = False
) -> list[Use]:
    """All uses of images from outside.

    Args:
        lenient: a `FROM` that names nothing is a use of the image "", and no error.
    """
    variables = _variables(source, build_args, platform)
    references: list[tuple[int, Use | int]] = []  # each with the stage that takes from it
    for each in source.instructions:
        if each.stage >= 0:
            names = source.stages[: each.stage]
            found = _beginning(each, names, variables, lenient) if each.keyword == "FROM" else _copied_from(each, names)
            references += [(each.stage, reference) for reference in found]
    if (last := source.stage(target)) is None and target is not None:
        known = ", ".join(name for name in source.stages if name) or "without names"
        raise LabError(f"The Dockerfile has no stage {target!r}.", f"Its stages are {known}.")
    uses: list[Use] = []
    needed = {last}
    for stage, reference in reversed(references):  # a stage takes from those above it alone
        if stage not in needed:
            continue
        if isinstance(reference, Use):
            uses.append(reference)
        else:
            needed.add(reference)
    return uses[::-1]


def _beginning(
    instruction: Instruction, names: Sequence[str], variables: Mapping[str, str], lenient: bool
) -> Iterator[Use | int]:
    """What a stage begins with: another stage, an image, or nothing."""
    word = next(iter(instruction.operands()), None)
    if word is None:
        return
    try:
        image = _expanded(word.text, variables)
    except (_CannotTell, RecursionError):
        image = ""
    if not image and not lenient:
        match = _VARIABLE.search(word.text)
        variable = (match[1] or match[2]) if match else "NAME"
        raise LabError(
            f"Line {instruction.line} of the Dockerfile is `FROM {word.text}`, and what image that names is not known.",
            f"Give a value with `--build-arg {variable}=…`, or write the image's name there.",
        )
    if image != "scratch":
        stage = find_stage(image, names, by_number=False)
        yield Use(image, instruction.line, word.start, word.end) if stage is None else stage


def _copied_from(instruction: Instruction, names: Sequence[str]) -> Iterator[Use | int]:
    """What ``COPY --from=`` and ``RUN --mount=from=`` name. There, no variables count: the builder refuses them."""
    for word in instruction.copied_from():
        stage = find_stage(word.text, names)
        if stage is not None:
            yield stage
        elif "$" not in word.text and not word.text.isdecimal() and word.text != "scratch":
            yield Use(word.text, instruction.line, word.start, word.end)


# --- variables -------------------------------------------------------------------------------------------------------

_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*))")


def _variables(source: Dockerfile, build_args: Mapping[str, str], platform: str) -> dict[str, str]:
    """The variables that count in `FROM`: the ``ARG``s above the first one, and those of the platform."""
    system, _, architecture = platform.partition("/")
    architecture, _, variant = architecture.partition("/")
    variables: dict[str, str] = {}
    for side in ("BUILD", "TARGET"):
        variables |= {f"{side}PLATFORM": platform, f"{side}OS": system}
        variables |= {f"{side}ARCH": architecture, f"{side}VARIANT": variant}
    for word in (word for each in source.in_stage(-1) if each.keyword == "ARG" for word in each.words[1:]):
        name, equals, default = word.text.partition("=")
        if name in build_args:
            variables[name] = build_args[name]
        elif equals:
            try:
                variables[name] = _expanded(default, variables)
            except (_CannotTell, RecursionError):
                variables.pop(name, None)
    return variables


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """A word as the builder reads it: variables by their values, and no quotes."""
    result, quote, position = "", "", 0
    while position < len(text):
        if max(len(result), len(text)) > LONGEST_VALUE:
            seen = f"The Dockerfile has variables that make a text of more than {LONGEST_VALUE} characters."
            raise LabError(seen, "It is not built.")
        character = text[position]
        if character == "\\" and quote != "'":
            result += text[position + 1 : position + 2]
            position += 2
        elif character in "'\"" and quote in ("", character):
            quote = "" if quote else character
            position += 1
        elif character == "$" and quote != "'":
            value, position = _value_at(text, position, variables)
            result += value
        else:
            result += character
            position += 1
    return result


def _value_at(text: str, position: int, variables: Mapping[str, str]) -> tuple[str, int]:
    """The value of the variable at `position`, and where the text goes on behind it."""
    match = _VARIABLE.match(text, position)
    if not match:
        return "$", position + 1
    if match[1]:
        return variables.get(match[1], ""), match.end()
    end = _closing_brace(text, match.end())
    value, modifier = variables.get(match[2]), text[match.end() : end]
    return _modified(value, modifier, variables), end + 1


def _closing_brace(text: str, position: int) -> int:
    depth = 1
    for place in range(position, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return place
    raise _CannotTell


def _modified(value: str | None, modifier: str, variables: Mapping[str, str]) -> str:
    """What ``${X:-word}`` and its like come to, given the value of X and all behind its name."""
    if not modifier:
        return value or ""
    if match := re.fullmatch(r"(//?)([^/*?\[\\$]+)/([^$]*)", modifier):
        return (value or "").replace(match[2], match[3], -1 if match[1] == "//" else 1)
    match = re.fullmatch(r"(:?[-+?]|##?|%%?)(.*)", modifier, re.DOTALL)
    if not match:
        raise _CannotTell
    operator, word = match[1], _expanded(match[2], variables)
    is_set = bool(value) if operator.startswith(":") else value is not None
    match operator[-1]:
        case "-":
            return (value or "") if is_set else word
        case "+":
            return word if is_set else ""
        case "?":
            if not is_set:
                raise _CannotTell
            return value or ""
        case side:
            return _trimmed(value or "", word, side, longest=len(operator) == 2)


def _trimmed(value: str, pattern: str, side: str, *, longest: bool) -> str:
    """The value without what a pattern matches at its beginning (``#``) or end (``%``)."""
    lengths = range(len(value) + 1)
    for length in reversed(lengths) if longest else lengths:
        part = value[:length] if side == "#" else value[len(value) - length :]
        if fnmatch.fnmatchcase(part, pattern):
            return value[length:] if side == "#" else value[: len(value) - length]
    return value


# --- the line above all ----------------------------------------------------------------------------------------------


def _syntax(source: Dockerfile) -> ParserDirective | None:
    return next((each for each in source.directives if each.name == "syntax"), None)


def _without(source: Dockerfile, directive: ParserDirective) -> list[tuple[int, int, str]]:
    """Changes that take a directive away and move no instruction to another line.

    A comment takes its place: below all directives, since a directive below a comment is none.
    """
    line, last = source.text[directive.start : directive.end], source.directives[-1]
    comment = "#" + line[len(line.rstrip("\r\n")) :]
    return [(directive.start, directive.end, ""), (last.end, last.end, comment)]
