"""The folders that lessons write their files in, and the reader's own files in them, which are never overwritten."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from . import paths
from .errors import WorkspaceUnwritable

EXERCISE = "your_turn"
"""The folder in a lesson's workspace that belongs to the reader: opening a lab keeps it, and so does closing one. A
second exercise has `your_turn_2`, and so on."""

_READERS = re.compile(rf"{EXERCISE}(_\d+)?")
_LOCK = ".lock"


def claim(lesson: str) -> tuple[Path, FileLock]:
    """The first free folder for the lesson, emptied but for the reader's own, with the lock that keeps it ours.

    The operating system frees the lock when the process ends, however it ends. Where another kernel has the lesson
    open, this one gets a folder beside it: ``03_exec_or_shell-2``.

    Raises:
        WorkspaceUnwritable: no such folder can be made.
    """
    root = paths.workspaces()
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        folder = root / f"{lesson}{suffix}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / _LOCK, blocking=False)
            lock.acquire()
            _empty(folder, _readers(folder))
        except Timeout:
            continue
        except OSError as error:
            raise WorkspaceUnwritable(
                f"The lesson's folder {folder} cannot be written ({error.strerror}).",
                "Set DOCKERLAB_WORKSPACE to a folder that you may write in, and restart the kernel.",
            ) from error
        return folder, lock
    raise WorkspaceUnwritable(f"{root} holds 999 open workspaces of {lesson}.", "Shut down the kernels that hold them.")


def lay_out(folder: Path, given: Mapping[str, str]) -> Path:
    """Write an exercise's files, unless an attempt of the reader's is there already, and return their folder.

    Args:
        folder: the reader's folder in a workspace: `your_turn`, `your_turn_2`, ...
        given: the text of each file, by its path in the folder.
    """
    if not _READERS.fullmatch(folder.name):
        raise ValueError(f"{folder.name!r} would not be kept: a reader's folder is {EXERCISE}, {EXERCISE}_2, ...")
    if folder.exists() and not is_attempted(folder):
        shutil.rmtree(folder)  # nobody has touched it, and what is given may have changed since
    if not folder.exists():
        for name, text in given.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in given.items()}
        _given(folder).write_text(json.dumps(digests))
    return folder


def is_attempted(folder: Path) -> bool:
    """Whether any file of an exercise differs from what was given: changed, added or removed.

    Args:
        folder: the reader's folder, as `lay_out` returned it.
    """
    given = _given(folder)
    if not folder.exists():
        return False
    if not given.exists():
        return True  # nobody knows what was given: treat all of it as the reader's
    now = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in _files(folder)}
    return now != json.loads(given.read_text())


def remove_all() -> list[Path]:
    """Remove the workspaces that nobody has open, but for exercises that the reader has attempted: return those."""
    kept = []
    root = paths.workspaces()
    for folder in sorted(root.iterdir()) if root.exists() else []:
        lock = FileLock(folder / _LOCK, blocking=False)
        try:
            lock.acquire()
        except (Timeout, OSError):
            kept.append(folder)
            continue
        with lock:
            attempted = [item for item in _readers(folder) if is_attempted(item)]
            if attempted:
                _empty(folder, attempted)
                kept += attempted
            else:
                shutil.rmtree(folder)
    if root.exists() and not any(root.iterdir()):
        root.rmdir()
    return kept


def shown(path: Path) -> str:
    """The path as the reader sees it in JupyterLab's file browser, where it lies below the lessons."""
    return path.relative_to(paths.NOTEBOOKS).as_posix() if path.is_relative_to(paths.NOTEBOOKS) else str(path)


def _given(folder: Path) -> Path:
    """Where it is noted what was given in a reader's folder: beside it, for what is in it is the reader's."""
    return folder.with_name(f".given{folder.name.removeprefix(EXERCISE)}.json")


def _readers(workspace: Path) -> list[Path]:
    return sorted(item for item in workspace.iterdir() if item.is_dir() and _READERS.fullmatch(item.name))


def _empty(workspace: Path, kept: Iterable[Path]) -> None:
    """Remove all from a workspace but these folders of the reader's, and what belongs to them."""
    stays = {_LOCK, *(path.name for folder in kept for path in (folder, _given(folder)))}
    for item in workspace.iterdir():
        if item.name in stays:
            continue
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()


def _files(folder: Path) -> Iterator[str]:
    """The reader's files: what Python and Jupyter leave beside them does not count."""
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if path.is_file() and not {"__pycache__", ".ipynb_checkpoints"} & set(relative.parts):
            yield relative.as_posix()
