"""Build a project again: unchanged, and after a change in one source file. Which steps run again?"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from ..build import build_context
from ..build.builder import build
from ..errors import LabError
from ..lab.lab import Lab
from ..records import Build
from .limits import Limits
from .observations import Rebuilds
from .project import Project

_READ_BYTES = 1_000_000  # of a file: source code is not longer
_APPLICATION = re.compile(rb"\b(FastAPI|Starlette|Flask|Quart|Litestar)\s*\(")


def rebuild(lab: Lab, project: Project, dockerfile: Path, folder: Path, limits: Limits) -> Rebuilds:
    """Build twice more.

    Args:
        project: what was built.
        dockerfile: the Dockerfile that it was built with.
        folder: an empty folder, in which a copy of the build context is made and changed.

    Raises:
        BuildFailed: a build failed; the first one has succeeded.
    """
    options = {
        "target": project.target,
        "build_args": project.build_args,
        "progress": False,
        "watch": limits.reached,
        "timeout": limits.left + 30,
    }
    unchanged = build(lab, project.folder, name="audit-unchanged", dockerfile=dockerfile, **options)
    if not all(step.cached for step in unchanged.steps):  # seen twice, or not said: see below
        unchanged = build(lab, project.folder, name="audit-unchanged", dockerfile=dockerfile, **options)
    if not (file := source_file(project.folder, dockerfile)):
        return Rebuilds(unchanged, None, "")
    source = build_context.find(project.folder, dockerfile)
    _copy(source, folder, limits)

    def after_a_change(number: int) -> Build:
        with (folder / file).open("ab") as text:
            text.write(f"\n# changed by the audit {lab.id} {number}\n".encode())
        return build(lab, folder, name="audit-changed", dockerfile=dockerfile, **options)

    changed = after_a_change(1)
    # On an engine that works on other builds, too, a step was seen to run again once that was in the cache the next
    # time. What a change does, it does each time.
    if any(installs(step.instruction) and not step.cached for step in changed.steps):
        changed = after_a_change(2)
    return Rebuilds(unchanged, changed, file)


def source_file(folder: Path, dockerfile: Path) -> str:
    """A source file of the application that is sent to the builder; empty where there is none.

    That which makes the application, if one does: it is in the image. Else the first.
    """
    source = build_context.find(folder, dockerfile)
    found = [path for path in build_context.sent_paths(source) if path.endswith(".py")]
    found = [path for path in found if (folder / path).is_file() and not (folder / path).is_symlink()]
    found = [path for path in found if Path(path).name != "setup.py"]
    others = re.compile(r"(^|/)(tests?|docs?|scripts?|migrations|alembic)/|(^|/)(test_\w*|conftest)\.py$")
    found.sort(key=lambda path: (bool(others.search(path)), path.count("/"), path))
    for path in found:
        if others.search(path):
            continue
        with (folder / path).open("rb") as file:
            if _APPLICATION.search(file.read(_READ_BYTES)):
                return path
    return found[0] if found else ""


def _copy(source: build_context.Source, into: Path, limits: Limits) -> None:
    """The files that are sent to the builder, and those that tell which they are."""
    wanted = build_context.sent_paths(source)
    for path in wanted:
        if reason := limits.reached():
            raise LabError(reason)
        here, there = source.folder / path, into / path
        there.parent.mkdir(parents=True, exist_ok=True)
        if here.is_symlink():
            there.symlink_to(os.readlink(here))  # noqa: PTH115 - as it is written
        elif here.is_dir():
            there.mkdir(exist_ok=True)
            shutil.copymode(here, there)
            there.chmod(there.stat().st_mode | 0o700)
        elif here.is_file():
            shutil.copy2(here, there)
            there.chmod(there.stat().st_mode | 0o600)
    ignore = source.ignore_file
    if ignore and ignore.is_relative_to(source.folder):
        there = into / ignore.relative_to(source.folder)
        there.parent.mkdir(parents=True, exist_ok=True)
        if not there.exists():
            shutil.copy2(ignore, there)
    if not source.is_outside and not (into / source.name).exists():
        (into / source.name).parent.mkdir(parents=True, exist_ok=True)
        (into / source.name).write_text(source.text)


_TOOLS = {
    "pip",
    "setuptools",
    "wheel",
    "uv",
    "poetry",
    "pipenv",
    "pdm",
    "hatch",
    "build",
    "pip-tools",
    "pipx",
    "virtualenv",
}


def installs(instruction: str) -> str:
    """What a step of a build installs.

    ``dependencies``, the ``project`` itself, ``both`` at once, a ``tool`` that installs others, or nothing: "".

    Args:
        instruction: ``RUN pip install -r requirements.txt``.
    """
    if not instruction.upper().startswith("RUN"):
        return ""
    kinds = {_kind(part) for part in re.split(r"&&|;|\|\|", instruction)} - {""}
    return next((kind for kind in ("dependencies", "both", "project", "tool") if kind in kinds), "")


def _kind(command: str) -> str:
    if re.search(r"\buv sync\b", command):
        return "dependencies" if "--no-install-project" in command or "--no-install-workspace" in command else "both"
    if re.search(r"\bpoetry install\b", command):
        return "dependencies" if re.search(r"--no-root|--only[ =]main --no-root", command) else "both"
    if re.search(r"\b(pdm (sync|install)|pipenv (sync|install)|npm (ci|install)|conda (install|env))\b", command):
        return "dependencies"
    if re.search(r"\b(apt-get|apt|apk)\b.*\b(install|add)\b", command):
        return "dependencies"
    if found := re.search(r"\b(?:pip3?|uv pip) (?:install|sync)\b(.*)", command):
        words = found[1].split()
        if "-r" in words or any(re.match(r"-r.|--requirement|.*requirements.*\.txt", word) for word in words):
            return "dependencies"
        named = _named(words)
        if named and all(re.match(r"\.|/|-e$|--editable", word) or word.startswith("file:") for word in named):
            return "project" if "--no-deps" in words else "both"
        bare = {re.split(r"[=<>~!\[]", word, maxsplit=1)[0].lower() for word in named}
        return "tool" if bare and bare <= _TOOLS else "dependencies"
    return ""


def _named(words: list[str]) -> list[str]:
    """What is installed, without options and their values."""
    takes_value = {"-i", "--index-url", "--extra-index-url", "-f", "--find-links", "-c", "--constraint", "--prefix"}
    takes_value |= {"-t", "--target", "--root", "--python", "--cache-dir", "--trusted-host"}
    named, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in takes_value:
            skip = True
        elif not word.startswith("-") or word in ("-e", "--editable"):
            named.append(word.strip("'\""))
    return [word for word in named if word not in ("-e", "--editable")]
