"""The dependencies first, then the code: the instructions of one build stage in another order."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ..build import dockerfile as dockerfiles
from ..build.dockerfile import Dockerfile, Instruction
from .shell import scan

_NOTES = frozenset({"ARG", "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "STOPSIGNAL", "USER"})
"""Instructions that neither read nor write a file."""

_NAMES_DEPENDENCIES = re.compile(
    r"(?:requirements|constraints)[\w.*-]*\.(?:txt|in|lock)|pyproject\.toml|(?:uv|poetry|pdm)\.lock\*?|Pipfile(?:\.lock)?"
)
"""Names of files that change when dependencies do."""

_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._ -]+\])?\s*([<>=!~]=?.*)?")
_PIP = re.compile(r"pip[\d.]*")
_PYTHON = re.compile(r"python[\d.]*")
_SYSTEM = frozenset({"apt-get", "apt", "apk", "groupadd", "useradd", "adduser", "addgroup"})
"""Programs that change the system, and read nothing of a project but what is named with a path."""

_CACHES = ("/var/lib/apt/lists", "/var/cache/", "/root/.cache", "/tmp/")
"""Where nobody keeps a project."""

_UNKNOWN = PurePosixPath("/?")  # the working folder of a base image, where the Dockerfile does not set one

Read = Callable[[str], str | None]


class _Uncertain(Exception):
    """What an instruction does to which files cannot be told for certain."""


@dataclass(frozen=True)
class _Copy:
    """Files that come from the build context.

    Attributes:
        written: the instruction.
        sources: paths in the context.
        folder: where in the image they go.
        is_relative: whether that depends on the working folder.
        is_of_dependencies: whether they are files that name dependencies, and no others.
    """

    written: Instruction
    sources: tuple[str, ...]
    folder: PurePosixPath
    is_relative: bool
    is_of_dependencies: bool


@dataclass
class _Plan:
    """What is to be moved.

    Attributes:
        copies: what copies code, in order: it goes behind the installation.
        folder: the working folder at the first of them.
        needed: the files that an installation needs, and that come with the code alone: where in the context and image.
        install: the last installation.
    """

    copies: list[_Copy] = field(default_factory=list)
    folder: PurePosixPath = _UNKNOWN
    needed: dict[str, PurePosixPath] = field(default_factory=dict)
    install: Instruction | None = None


def reorder(source: Dockerfile, stage: int, read: Read) -> tuple[str, str] | None:
    """The text with the dependencies installed first, and what was done; None where that is not certain."""
    plan = _plan(source, stage, read)
    if not plan or not plan.install:
        return None
    first, end = plan.copies[0], source.line_end
    inserted = "".join(_copy_lines(plan, first)).replace("\n", end)
    place = _with_comments(source.text, first.written)
    changes = [(place, place, inserted)]
    moved = ""
    for copy in plan.copies:
        begin = _with_comments(source.text, copy.written)
        changes.append((begin, copy.written.end, ""))
        moved += source.text[begin : copy.written.end]
    behind = plan.install.end
    if not source.text[:behind].endswith("\n"):
        moved = end + moved.removesuffix("\n").removesuffix("\r")
    changes.append((behind, behind, moved))
    files = ", ".join(plan.needed)
    told = f"{files} first, then the installation, then the code" if files else "The installation first, then the code"
    return (
        dockerfiles.replace(source.text, changes),
        f"{told}: a change in the code leaves the installation in the cache.",
    )


def _plan(source: Dockerfile, stage: int, read: Read) -> _Plan | None:
    """What to move. The last installation counts up to which all can be told for certain."""
    plan, done = _Plan(), None
    seen: list[_Copy] = []
    user = "root"
    try:
        for written, folder in _with_folders(source, stage):
            if written.keyword == "USER":
                user = written.arguments
            if written.keyword in {"COPY", "ADD"}:
                copy = _copy(written, folder, read)
                if copy is None:
                    if plan.copies and _overlap(_joined(folder, written.operands()[-1].text), plan.copies):
                        break
                    continue
                seen.append(copy)
                if not copy.is_of_dependencies:
                    if not plan.copies:
                        plan.folder = folder
                    plan.copies.append(copy)
            elif written.keyword == "RUN" and plan.copies:
                files = _installs(written, folder, read, seen, user)
                if files is None:
                    continue
                plan.needed |= _missing(files, seen, read)
                plan.install = written
                done = _Plan(list(plan.copies), plan.folder, dict(plan.needed), written)
            elif written.keyword == "WORKDIR":
                if any(copy.is_relative for copy in plan.copies):
                    break
            elif plan.copies and written.keyword not in _NOTES:
                break
    except _Uncertain:
        pass
    return done


def _with_folders(source: Dockerfile, stage: int) -> Iterator[tuple[Instruction, PurePosixPath]]:
    """The instructions of a stage, each with the working folder in which it is carried out."""
    folder = _UNKNOWN
    base = next(iter(source.in_stage(stage)[0].operands()), None)
    parent = dockerfiles.find_stage(base.text, source.stages[:stage], by_number=False) if base else None
    if parent is not None:
        *_, (last, folder) = _with_folders(source, parent)
        folder = _changed(last, folder)
    for written in source.in_stage(stage):
        yield written, folder
        folder = _changed(written, folder)


def _changed(written: Instruction, folder: PurePosixPath) -> PurePosixPath:
    return _joined(folder, written.arguments.strip("\"'")) if written.keyword == "WORKDIR" else folder


# --- copies ----------------------------------------------------------------------------------------------------------


def _copy(written: Instruction, folder: PurePosixPath, read: Read) -> _Copy | None:
    """What a COPY or ADD takes from the context; None where it takes nothing from there."""
    flags = [word.text for word in written.flags()]
    if any(flag.startswith("--from=") for flag in flags):
        return None
    words = [word.text for word in written.operands()]
    if written.keyword == "ADD" and all("://" in word for word in words[:-1]):
        return None
    if written.has_heredoc or len(words) < 2 or any(re.search(r"[\"'\[\]$\\]|://", word) for word in words):
        raise _Uncertain
    if not all(flag.startswith(("--chown=", "--chmod=")) or flag == "--link" for flag in flags):
        raise _Uncertain
    *sources, target = words
    sources = [_clean(each) for each in sources]
    is_of_dependencies = all(_names_dependencies(PurePosixPath(each)) for each in sources)
    goes_into = _joined(folder, target)
    if (
        is_of_dependencies
        and len(sources) == 1
        and not target.endswith("/")
        and goes_into.name == sources[0].split("/")[-1]
    ):
        goes_into = goes_into.parent
    elif len(sources) == 1 and not target.endswith(("/", ".")) and read(sources[0]) is not None:
        goes_into = goes_into.parent  # one file, under a name
    return _Copy(written, tuple(sources), goes_into, not target.startswith("/"), is_of_dependencies)


def _names_dependencies(source: PurePosixPath) -> bool:
    """Whether a file is one that changes when dependencies do: by its name, or as one of a folder of requirements."""
    in_their_folder = source.parent.name == "requirements" and source.suffix in {".txt", ".in"}
    return in_their_folder or bool(_NAMES_DEPENDENCIES.fullmatch(source.name))


def _missing(files: Iterable[PurePosixPath], copies: list[_Copy], read: Read) -> dict[str, PurePosixPath]:
    """Those of the files that come with the code alone: the path of each in the context, and in the image."""
    missing = {}
    for file in files:
        if any(copy.is_of_dependencies and _in_context(file, copy, read) for copy in copies):
            continue
        found = next((path for copy in copies if (path := _in_context(file, copy, read))), None)
        if found is None or re.search(r"[\s$\\\[\]*?\"']", found):
            raise _Uncertain
        missing[found] = file
    return missing


def _in_context(file: PurePosixPath, copy: _Copy, read: Read) -> str | None:
    """The path in the context of a file of the image, where this copy brings it."""
    try:
        inside = file.relative_to(copy.folder).as_posix()
    except ValueError:
        return None
    for each in copy.sources:
        if copy.is_of_dependencies or "*" in each:
            matches = re.fullmatch(re.escape(PurePosixPath(each).name).replace(r"\*", "[^/]*"), inside)
            path = (PurePosixPath(each).parent / inside).as_posix()
        else:
            # A folder gives what is in it, a file gives itself.
            path = inside if each == "." else f"{each}/{inside}"
            matches = True
            if read(path) is None and PurePosixPath(each).name == inside:
                path = each
        if matches and read(path) is not None:
            return path
    return None


def _copy_lines(plan: _Plan, first: _Copy) -> Iterator[str]:
    """COPY instructions for the files that are needed, one for each folder that they go to."""
    flags = "".join(f"{word.text} " for word in first.written.flags())
    folders: dict[PurePosixPath, list[str]] = {}
    for path, file in plan.needed.items():
        folders.setdefault(file.parent, []).append(path)
    for folder, paths in folders.items():
        try:
            inside = folder.relative_to(plan.folder).as_posix()
            target = "./" if inside == "." else f"./{inside}/"
        except ValueError:
            target = f"{folder}/"
        yield f"COPY {flags}{' '.join(paths)} {target}\n"


def _with_comments(text: str, written: Instruction) -> int:
    """Where an instruction begins with the comments right above it, which are about it."""
    start = written.start
    while match := re.search(r"(?:^|\n)([ \t]*#[^\n]*\n)\Z", text[:start]):
        if match.start(1) == 0 or re.match(r"[ \t]*#[ \t]*(\w+[ \t]*=|hadolint\b)", match[1]):
            break
        start = match.start(1)
    return start


# --- installations ---------------------------------------------------------------------------------------------------


def _installs(
    written: Instruction, folder: PurePosixPath, read: Read, copies: list[_Copy], user: str
) -> list[PurePosixPath] | None:
    """The files that a RUN needs to install dependencies; None where it does something else, and needs no code.

    Raises:
        _Uncertain: it may need the code.
    """
    if written.has_heredoc:
        raise _Uncertain
    arguments = written.arguments
    for flag in written.flags():
        if not re.match(r"--mount=(.*,)?type=(cache|secret|ssh|tmpfs)\b", flag.text) and "--network" not in flag.text:
            raise _Uncertain
        arguments = arguments.removeprefix(flag.text).lstrip()
    if not (script := scan(arguments)) or not script.is_fixed or arguments.startswith("["):
        raise _Uncertain
    files: list[PurePosixPath] = []
    installs = False
    for command in script.commands:
        found = _command(command, folder, read, copies, user)
        if found is not None:
            installs = True
            files += found
    return files if installs else None


def _command(
    command: str, folder: PurePosixPath, read: Read, copies: list[_Copy], user: str
) -> list[PurePosixPath] | None:
    """The files that one command needs to install dependencies; None where it does something else, without the code."""
    words = shlex.split(command)
    if words[0].startswith("/"):
        if _overlap(PurePosixPath(words[0]), copies):
            raise _Uncertain  # it comes with the code
        words[0] = PurePosixPath(words[0]).name
    if _PYTHON.fullmatch(words[0]) and words[1:2] == ["-m"]:
        words = words[2:]
    if words[:2] == ["uv", "pip"]:
        words = words[1:]
    match words:
        case [pip, "install", *arguments] if _PIP.fullmatch(pip):
            return _pip_files(arguments, folder, copies, read)
        case [pip, "cache", *_] if _PIP.fullmatch(pip):
            return None
        case ["uv", "sync", *options]:
            return _project_files(options, "uv.lock", "--no-install-project", folder, copies, read, user)
        case ["poetry", "install", *options]:
            return _project_files(options, "poetry.lock", "--no-root", folder, copies, read, user)
        case ["poetry", "config", *_]:
            return None
        case ["venv" | "rm", *paths] if all(path.startswith(("-", "/")) for path in paths):
            paths = [path for path in paths if path.startswith("/") and not path.startswith(_CACHES)]
            if any(_overlap(PurePosixPath(path), copies) for path in paths):
                raise _Uncertain
            return None
        case ["mkdir", *paths] if all(path.startswith(("-", "/")) for path in paths):
            return None
        case ["set", *_]:
            return None
        case [program, *arguments] if program in _SYSTEM and not any(
            "./" in word or ".deb" in word for word in arguments
        ):
            return None
    raise _Uncertain


def _overlap(path: PurePosixPath, copies: list[_Copy]) -> bool:
    """Whether a path is in a folder that is copied to, or the other way round, or may be."""
    return any(
        path.is_relative_to(copy.folder) or copy.folder.is_relative_to(path) or copy.folder.is_relative_to(_UNKNOWN)
        for copy in copies
    )


_WITH_A_VALUE = frozenset(
    {"-i", "--index-url", "--extra-index-url", "--trusted-host", "--timeout", "--retries", "--progress-bar", "--proxy"}
    | {"--cache-dir", "--no-binary", "--only-binary", "--root-user-action", "--upgrade-strategy", "--index-strategy"}
    | {"--platform", "--python-version", "--implementation", "--abi", "--default-timeout", "--use-feature"}
)
_ELSEWHERE = frozenset({"-t", "--target", "--prefix", "--root"})


def _pip_files(arguments: list[str], folder: PurePosixPath, copies: list[_Copy], read: Read) -> list[PurePosixPath]:
    """The requirement files of ``pip install``, and those that they name."""
    files: list[PurePosixPath] = []
    waiting = iter(arguments)
    for word in waiting:
        option, equals, value = word.partition("=")
        if word in {"-r", "--requirement", "-c", "--constraint"}:
            files.append(_joined(folder, next(waiting, "")))
        elif option in {"--requirement", "--constraint"} and equals:
            files.append(_joined(folder, value))
        elif re.match(r"-[rc].", word):
            files.append(_joined(folder, word[2:]))
        elif option in _ELSEWHERE:
            place = _joined(folder, value if equals else next(waiting, ""))
            if _overlap(place, copies):
                raise _Uncertain
        elif word in _WITH_A_VALUE:
            next(waiting, None)
        elif word.startswith("-"):
            if option in {"-e", "--editable", "-f", "--find-links", "--no-index", "--build-option", "-C", "--group"}:
                raise _Uncertain
        elif not _REQUIREMENT.fullmatch(word):
            raise _Uncertain
    return list(_with_named(files, copies, read))


def _with_named(files: list[PurePosixPath], copies: list[_Copy], read: Read) -> Iterator[PurePosixPath]:
    """Requirement files, and all those that they name in turn."""
    waiting, seen = list(files), set()
    while waiting:
        file = waiting.pop(0)
        if file in seen:
            continue
        seen.add(file)
        yield file
        path = next((path for copy in copies if (path := _in_context(file, copy, read))), None)
        if path is None:
            raise _Uncertain
        for line in (read(path) or "").replace("\\\n", " ").splitlines():
            line = re.sub(r"(^|\s)#.*$", "", line).strip()
            if match := re.fullmatch(r"(?:-r|--requirement|-c|--constraint)[\s=]*(\S+)", line):
                waiting.append(_joined(file.parent, match[1]))
            elif "://" not in line and ("/" in line or line.endswith((".whl", ".tar.gz", ".zip"))):
                raise _Uncertain  # a file, or a folder
            elif re.match(r"-e\b|--editable|-f\b|--find-links|\.{0,2}/|\.$|file:", line) or re.search(
                r"@\s*(file:|\.)", line
            ):
                raise _Uncertain  # it is in the code


def _project_files(
    options: list[str],
    lock: str,
    without_project: str,
    folder: PurePosixPath,
    copies: list[_Copy],
    read: Read,
    user: str,
) -> list[PurePosixPath]:
    """The files that `uv sync` or `poetry install` needs, where neither installs the project itself."""
    if any(
        re.match(r"--(project|directory|package|all-packages|script|with-editable|no-directory)\b|-[CP]", o)
        for o in options
    ):
        raise _Uncertain
    files = [folder / "pyproject.toml", folder / lock]
    texts = [_text_of(file, copies, read) for file in files]
    virtual_environment = _text_of(folder / ".venv" / "pyvenv.cfg", copies, read)
    if None in texts or virtual_environment is not None or user.partition(":")[0] not in {"root", "0"}:
        raise _Uncertain  # without a lock, or with an environment that would come over the one that is made
    try:
        project = tomllib.loads(texts[0] or "")
    except tomllib.TOMLDecodeError:
        raise _Uncertain from None
    tool = project.get("tool", {})
    ours = tool.get("uv" if lock == "uv.lock" else "poetry", {})
    is_package = ours.get("package", "build-system" in project) if lock == "uv.lock" else ours.get("package-mode", True)
    if is_package and without_project not in options:
        raise _Uncertain
    if "workspace" in ours or any(key in {"path", "workspace", "file"} for key in _keys(ours)):
        raise _Uncertain
    return files


def _text_of(file: PurePosixPath, copies: list[_Copy], read: Read) -> str | None:
    path = next((path for copy in copies if (path := _in_context(file, copy, read))), None)
    return None if path is None else read(path)


def _keys(value: Any) -> Iterator[str]:
    """All keys of nested tables."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


# --- paths -----------------------------------------------------------------------------------------------------------


def _joined(folder: PurePosixPath, path: str) -> PurePosixPath:
    """A path of the image, from a folder, without `.` and `..`."""
    if "$" in path or not path:
        raise _Uncertain
    parts: list[str] = []
    for part in (folder / path).parts:
        if part == "..":
            if len(parts) < 2 or parts[-1] == "?":
                raise _Uncertain
            parts.pop()
        else:
            parts.append(part)
    return PurePosixPath(*parts)


def _clean(source: str) -> str:
    """A path in the context, without what says nothing: ``./app/`` is ``app``."""
    return PurePosixPath(source.lstrip("/") or ".").as_posix()
