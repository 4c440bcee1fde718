"""The dependencies first, then the code: copies of the code go behind the installation.

Only the well-known case gives a fix: files are copied from the build context, and up to the installation (by pip, uv or
Poetry) no step needs any of them but those that name the dependencies. Where each path leads is not computed: a file
that is missing fails the build of the changed copy, and so the fix is not shown.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from ..build import dockerfile as dockerfiles
from ..build.dockerfile import Instruction
from .shell import scan

Read = Callable[[str], str | None]
"""Gives the text of a file in the build context, by its path there; None where it is not sent to the builder."""

_NO_FILES = frozenset({"ARG", "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "STOPSIGNAL", "USER"})
"""Instructions that neither read nor write a file."""

_NEEDS_NO_CODE = re.compile(
    r"(apt-get|apt|apk|groupadd|useradd|adduser|addgroup) ((?!\./|\.deb).)*"
    r"|rm (-\w+ )?(/var/lib/apt/lists|/var/cache|/root/\.cache|/tmp)/\S*|python[\d.]* -m venv \S+|poetry config .*"
)
"""Commands that may run before the code is copied, and install no dependencies."""

_PIP = re.compile(r"(?:\S*/)?(?:python[\d.]* -m |uv )?(?:\S*/)?pip[\d.]* install (.+)")
_REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*(\[[\w,. -]+\])?\s*([<>=!~]=?.*)?|https?://\S+")
_LOCAL_REQUIREMENT = re.compile(
    r"(?m)^\s*(-e|--editable|-f|--find-links|\.\s*$)|\bfile:|^(?!\s*-)(?!.*://)(.*/|.*\.(whl|zip|tar\.gz)\s*$)"
)
_NEEDS_CODE = frozenset({"-e", "--editable", "-f", "--find-links", "--no-index", "-t", "--target", "-C", "--group"})
_COMMENTS = re.compile(r"(?m)(?:^[ \t]*#.*\n)+\Z")


@dataclass(frozen=True)
class _Copy:
    """A COPY or ADD from the build context: its paths there, and where in the image they go."""

    written: Instruction
    sources: tuple[str, ...]
    target: str

    def find(self, file: str, read: Read) -> tuple[str, str] | None:
        """The path in the context of a file that comes with it, and the path from the target.

        Args:
            file: the path in a command. A relative one counts from an absolute target, too.
            read: gives the files of the context.
        """
        path, target = PurePosixPath(posixpath.normpath(file)), PurePosixPath(posixpath.normpath(self.target))
        if path.is_relative_to(target):
            path = path.relative_to(target)
        elif path.is_absolute() or not target.is_absolute():
            return None
        for source in map(PurePosixPath, self.sources):
            places = [source / path] + [source.parent / path] * fnmatchcase(path.name, source.name)
            if place := next((place for place in map(str, places) if read(place) is not None), None):
                return place, str(path)
        return None


def dependencies_first(text: str, *, read: Read, line: int | None) -> tuple[str, str] | None:
    """The dependencies installed before the code is copied: the new text, what was done; None where it is not certain.

    Args:
        text: the Dockerfile.
        read: gives the files of the build context.
        line: the copy that runs again after a change in the code.
    """
    source = dockerfiles.parse(text)
    first = next((each for each in source.instructions if each.line == line), None)
    if first is None or not _copy(first) or source.escape != "\\":
        return None
    if any(read(f"{folder}/pyvenv.cfg") is not None for folder in (".venv", "venv")):
        return None  # copied after the installation, it would overwrite what was installed
    copies: list[_Copy] = []
    needed: dict[str, tuple[_Copy, str]] = {}
    install = None
    for each in source.in_stage(first.stage):
        is_above = each.start < first.start
        if copy := _copy(each):
            copies.append(copy)
        elif is_above or each.keyword in _NO_FILES:
            continue
        elif each.keyword == "WORKDIR":
            if any(copy.written.start >= first.start and not copy.target.startswith("/") for copy in copies):
                break
        elif each.keyword != "RUN" or (files := _needed(each, copies, read)) is None:
            break
        elif files or re.search(r"\bpip[\d.]* install\b", each.arguments):
            needed |= files
            install = each
    moved = [copy for copy in copies if install and first.start <= copy.written.start < install.start]
    moved = [copy for copy in moved if not needed.keys() >= set(copy.sources)]  # what brings no code stays
    if not install or not moved:
        return None
    inserted: dict[tuple[str, ...], list[str]] = {}
    for path, (copy, name) in needed.items():
        if copy in moved:
            flags = (flag.text for flag in copy.written.flags())
            to = posixpath.join(copy.target, posixpath.dirname(name), "")
            inserted.setdefault((*flags, to), []).append(path)
    lines = [" ".join(["COPY", *flags, *paths, to]) + source.line_end for (*flags, to), paths in inserted.items()]
    # An instruction takes the comments right above it along: they are about it.
    spans = [(len(_COMMENTS.sub("", text[: copy.written.start])), copy.written.end) for copy in moved]
    code = "".join(text[start:end] for start, end in spans)
    if not text[: install.end].endswith("\n"):
        code = source.line_end + code.removesuffix("\n").removesuffix("\r")
    changes = [(spans[0][0], spans[0][0], "".join(lines)), *((*span, "") for span in spans)]
    names = ", ".join(path for paths in inserted.values() for path in paths)
    told = f"{names} first, then the installation" if names else "The installation first"
    told += ", then the code: a change in the code leaves the installation in the cache."
    return dockerfiles.replace(text, [*changes, (install.end, install.end, code)]), told


def _copy(written: Instruction) -> _Copy | None:
    """A copy from the context alone, without variables and quotes; None for anything else."""
    words = [word.text for word in written.operands()]
    if written.keyword not in {"COPY", "ADD"} or written.has_heredoc or len(words) < 2:
        return None
    if any(re.search(r"[\"'\[\]$\\]|://", word) for word in words):
        return None
    if not all(re.match(r"--chown=|--chmod=|--link$", flag.text) for flag in written.flags()):
        return None
    *sources, target = words
    return _Copy(written, tuple(str(PurePosixPath(each.lstrip("/") or ".")) for each in sources), target)


def _needed(run: Instruction, copies: list[_Copy], read: Read) -> dict[str, tuple[_Copy, str]] | None:
    """The files that a RUN needs: by the path in the context, the copy that brings it, and its path from the target.

    None where it may need the code.
    """
    arguments = run.arguments
    for flag in run.flags():
        if not re.match(r"--mount=(.*,)?type=(cache|secret|ssh|tmpfs)\b|--network=", flag.text):
            return None
        arguments = arguments.removeprefix(flag.text).lstrip()
    script = scan(arguments)
    if run.has_heredoc or not script or not script.is_fixed or arguments.startswith("["):
        return None
    named = [_files(command) for command in script.commands]
    if None in named:
        return None
    files = [file for each in named for file in each or ()]
    needed = {}
    for file in files:  # which grows
        found = next(((copy, *places) for copy in copies if (places := copy.find(file, read))), None)
        if found is None:
            return None
        copy, path, name = found
        content = re.sub(r"(?m)(^|\s)#.*$", "", (read(path) or "").replace("\\\n", " "))
        if re.search(r"[\s$\\\[\]*?\"']", path) or _needs_code(path, content, arguments):
            return None
        others = re.findall(r"(?m)^\s*(?:-r|--requirement|-c|--constraint)[\s=]*(\S+)", content)
        others = [posixpath.normpath(posixpath.join(posixpath.dirname(file), other)) for other in others]
        files += [other for other in others if other not in files]
        needed[path] = copy, name
    return needed


def _files(command: str) -> list[str] | None:
    """The files that a command is given or known to read; None where it may need others."""
    if match := re.match(r"(uv) sync\b|(poetry) install\b", command):
        is_elsewhere = re.search(r" --(all-packages|directory|package|project|script)\b| -[CP]", command)
        return None if is_elsewhere else ["pyproject.toml", f"{match[1] or match[2]}.lock"]
    if not (match := _PIP.fullmatch(" ".join(command.split()))):
        return [] if _NEEDS_NO_CODE.fullmatch(command) else None
    files = []
    waiting = iter(shlex.split(match[1]))
    for word in waiting:
        option, _, value = word.partition("=")
        if option in {"-r", "--requirement", "-c", "--constraint"}:
            files.append(value or next(waiting, ""))
        elif re.match(r"-[rc].", word):
            files.append(word[2:])
        elif option in _NEEDS_CODE or not (word.startswith("-") or _REQUIREMENT.fullmatch(word)):
            return None
    return files


def _needs_code(path: str, content: str, command: str) -> bool:
    """Whether a command needs the code to install what a file (requirements, a project or its lock) names."""
    name = posixpath.basename(path)
    if name in {"uv.lock", "poetry.lock"}:
        return False
    if name != "pyproject.toml":
        return bool(_LOCAL_REQUIREMENT.search(content))
    if re.search(r"\bpath\s*=|\bworkspace\b", content):
        return True
    if re.search(r"--no-(install-project|root)\b", command) or re.search(r"(?m)^package-mode\s*=\s*false", content):
        return False
    return "poetry" in command or bool(re.search(r"(?m)^\[(build-system|tool\.uv)", content))
