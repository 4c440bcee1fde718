"""Build a project again: unchanged, and after a change in one source file. Which steps run again?"""

from __future__ import annotations

import os
import re
import shutil
from functools import partial
from pathlib import Path

from ..build import build_context
from ..build.builder import build
from ..errors import LabError
from ..lab.lab import Lab
from ..records import Build
from .install_steps import installs
from .limits import Limits
from .observations import Rebuilds
from .project import Project

_SOURCE_BYTES = 1_000_000  # of a file: source code is not longer
_APPLICATION = re.compile(rb"\b(FastAPI|Starlette|Flask|Quart|Litestar)\s*\(")


def rebuild(lab: Lab, project: Project, dockerfile: Path, folder: Path, limits: Limits) -> Rebuilds:
    """Build twice more.

    Args:
        lab: the lab that built it.
        project: what was built.
        dockerfile: the Dockerfile that it was built with.
        folder: an empty folder, in which a copy of the build context is made and changed.
        limits: those of the audit.

    Raises:
        BuildFailed: a build failed; the first one has succeeded.
    """
    build_again = partial(
        build,
        lab,
        dockerfile=dockerfile,
        build_args=project.build_args,
        target=project.target,
        progress=False,
        timeout=limits.left + 30,
        watch=limits.reached,
    )
    unchanged = build_again(project.folder, name="audit-unchanged")
    if not all(step.cached for step in unchanged.steps):  # seen twice, or not said: see below
        unchanged = build_again(project.folder, name="audit-unchanged")
    if not (file := source_file(project.folder, dockerfile)):
        return Rebuilds(unchanged, None, "")
    source = build_context.find(project.folder, dockerfile)
    _copy_context(source, folder, limits)

    def after_a_change(number: int) -> Build:
        with (folder / file).open("ab") as text:
            text.write(f"\n# changed by the audit {lab.id} {number}\n".encode())
        return build_again(folder, name="audit-changed")

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
    others = re.compile(r"(^|/)(tests?|docs?|scripts?|migrations|alembic)/|(^|/)(test_\w*|conftest)\.py$")
    found = [
        path
        for path in build_context.sent_paths(source)
        if path.endswith(".py") and Path(path).name != "setup.py"
        if (folder / path).is_file() and not (folder / path).is_symlink()
    ]
    found.sort(key=lambda path: (bool(others.search(path)), path.count("/"), path))
    for path in found:
        if others.search(path):
            break
        with (folder / path).open("rb") as file:
            if _APPLICATION.search(file.read(_SOURCE_BYTES)):
                return path
    return found[0] if found else ""


def _copy_context(source: build_context.BuildSource, into: Path, limits: Limits) -> None:
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
