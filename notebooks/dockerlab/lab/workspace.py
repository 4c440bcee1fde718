"""The folders that lessons write their files in, and the reader's own files in them, which are never overwritten."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from .. import folders
from ..errors import WorkspaceUnwritable
from . import copies

EXERCISE = "your_turn"
"""The folder in a lesson's workspace that belongs to the reader: it survives opening and closing a lab. A second
exercise has `your_turn_2`, and so on."""

_READERS = re.compile(rf"{EXERCISE}(_\d+)?")
_LESSON = re.compile(r"\w[\w.-]*")
_LOCK = ".lock"


def claim(lesson: str, before: Path | None = None) -> tuple[Path, FileLock]:
    """The first free folder for the lesson, emptied but for the reader's own, with the lock that keeps it ours.

    The operating system frees the lock when the process ends, however it ends. Where another kernel has the lesson
    open, or where a folder of that name is not the laboratory's, this one gets a folder beside it:
    ``03_exec_or_shell-2``.

    Args:
        lesson: its name.
        before: the folder that this process had for the lesson before: the first choice.

    Raises:
        WorkspaceUnwritable: the name would lead out of the workspaces, or no such folder can be made.
    """
    if not _LESSON.fullmatch(lesson):
        raise WorkspaceUnwritable(
            f"{lesson!r} is not the name of a lesson.", "Give the notebook's name without its suffix: 03_exec_or_shell."
        )
    root = folders.workspaces()
    usual = [root / f"{lesson}{suffix}" for suffix in ("", *(f"-{number}" for number in range(2, 1000)))]
    for folder in [before, *usual] if before and before.parent == root else usual:
        lock = FileLock(folder / _LOCK, blocking=False)
        try:
            root.parent.mkdir(parents=True, exist_ok=True)
            folders.make(root)
            is_new = not folder.exists()
            if not folders.make(folder):
                continue
            lock.acquire()
            folders.empty(folder, _stays(_readers(folder)))
            if is_new:
                _bring_attempts(usual, folder)
        except Timeout:
            continue
        except OSError as error:
            lock.release()
            raise WorkspaceUnwritable(
                f"The lesson's folder {folder} cannot be emptied or written ({error.strerror or error}).",
                "Set DOCKERLAB_WORKSPACE to a folder that you may write in, and restart the kernel.",
            ) from error
        return folder, lock
    raise WorkspaceUnwritable(f"{root} holds 999 open workspaces of {lesson}.", "Shut down the kernels that hold them.")


def passed_over(folder: Path, lesson: str) -> Path | None:
    """The folder with the lesson's name, where the lesson's workspace is another because that one is not ours."""
    named = folder.with_name(lesson)
    return None if folder == named or folders.is_ours(named) else named


def _bring_attempts(usual: list[Path], folder: Path) -> None:
    """Copy the reader's attempts at a lesson into its new workspace, from where they were before."""
    try:
        if _copy_attempts(usual[0], folder) or folder != _first_of_ours(usual):
            return
        if root := folders.earlier_workspaces():
            earlier = [root / path.name for path in usual]
            _copy_attempts(_first_of_ours(earlier) or earlier[0], folder)
    except BaseException:
        folders.remove(folder)  # else it would not be new the next time
        raise


def _first_of_ours(usual: list[Path]) -> Path | None:
    return next((path for path in usual if folders.is_ours(path)), None)


def _copy_attempts(earlier: Path, folder: Path) -> bool:
    """Copy the reader's attempts from a workspace that is in no use now: an earlier version's, one that was moved, or
    one in the earlier place. Return whether there were any."""
    in_use = earlier.parent == folder.parent and folders.is_ours(earlier)
    if in_use or earlier.is_symlink() or not (earlier / _LOCK).is_file():
        return False
    attempts = [item for item in _readers(earlier) if _digests_file(item).is_file() and not item.is_symlink()]
    attempts = [item for item in attempts if is_attempted(item)]
    for item in attempts:
        shutil.copytree(item, folder / item.name, symlinks=True)
        shutil.copyfile(_digests_file(item), _digests_file(folder / item.name))
    return bool(attempts)


def lay_out(folder: Path, given: Mapping[str, str]) -> Path:
    """Write an exercise's files, unless an attempt of the reader's is there already, and return their folder.

    Args:
        folder: the reader's folder in a workspace: `your_turn`, `your_turn_2`, ...
        given: the text of each file, by its path in the folder.

    Raises:
        WorkspaceUnwritable: something else than a folder has that name.
    """
    if not _READERS.fullmatch(folder.name):
        raise ValueError(f"{folder.name!r} would not be kept: a reader's folder is {EXERCISE}, {EXERCISE}_2, ...")
    if os.path.lexists(folder) and not is_attempted(folder):
        shutil.rmtree(folder)  # nobody has touched it, and what is given may have changed since
    if not os.path.lexists(folder):
        for name, text in given.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in given.items()}
        _digests_file(folder).write_text(json.dumps(digests))
    if not folder.is_dir():
        raise WorkspaceUnwritable(f"{folder} is not a folder.", "Move it to another place, and run the cell again.")
    return folder


def is_attempted(folder: Path) -> bool:
    """Whether any file of an exercise differs from what was given: changed, added or removed.

    Args:
        folder: the reader's folder, as `lay_out` returned it.
    """
    if not os.path.lexists(folder):
        return False
    try:
        given = json.loads(_digests_file(folder).read_text())
        return folder.is_symlink() or given != {name: _digest(folder / name) for name in _files(folder)}
    except (OSError, ValueError):
        return True  # what was given, or what is there, is unknown: treat all of it as the reader's


def remove_all() -> dict[Path, str]:
    """Remove the copies of lessons that the reader has not touched, and the workspaces that nobody has open, but for
    exercises that the reader has attempted; in the earlier place of the workspaces, too.

    Return what is kept, and why.
    """
    earlier = folders.earlier_workspaces()
    return _remove_all_in(folders.workspaces()) | (_remove_all_in(earlier) if earlier else {})


def _remove_all_in(root: Path) -> dict[Path, str]:
    if not root.is_dir():
        return {}
    foreign = []
    try:
        kept = copies.remove_untouched(root)
        stays = kept.keys() if folders.is_ours(root) else copies.laid_out(root)
        names = [name for name in folders.others(root) if root / name not in stays]
        names = [name for name in names if not copies.are_checkpoints(root / name, stays)]
    except OSError as error:
        return {root: error.strerror or str(error)}
    for name in names:
        if folders.is_ours(root / name):
            kept |= remove(root / name)
        else:
            foreign.append(name)
    if foreign:
        kept[root] = folders.holds(foreign)
    elif not folders.is_ours(root):
        kept[root] = folders.NO_MARK
    elif not kept:
        folders.remove(root)
    return kept


def remove(folder: Path) -> dict[Path, str]:
    """Remove a workspace that nobody has open, but for exercises that the reader has attempted.

    Return what is kept, and why.
    """
    if not folders.is_ours(folder):
        return {folder: folders.NO_MARK}
    try:
        with FileLock(folder / _LOCK, blocking=False):
            attempted = [item for item in _readers(folder) if is_attempted(item)]
            folders.empty(folder, _stays(attempted))
            if not attempted:
                folders.remove(folder)
    except Timeout:
        return {folder: "a lesson has it open"}
    except OSError as error:
        return {folder: error.strerror or str(error)}
    return dict.fromkeys(attempted, "you have changed it")


def shown(path: Path) -> str:
    """The path as the reader sees it in JupyterLab's file browser, where it lies in their folder."""
    root = folders.workspaces()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _digests_file(folder: Path) -> Path:
    """The file with the digests of what was given in a reader's folder: beside it, as all in it is the reader's."""
    return folder.with_name(f".given{folder.name.removeprefix(EXERCISE)}.json")


def _readers(workspace: Path) -> list[Path]:
    """Everything with the name of a reader's folder, even where it is no folder any more."""
    return sorted(item for item in workspace.iterdir() if _READERS.fullmatch(item.name))


def _stays(kept: Iterable[Path]) -> Callable[[str], bool]:
    """Tells of a name in a workspace whether it stays: these of the reader's folders do, and what belongs to them."""
    return {_LOCK, *(path.name for folder in kept for path in (folder, _digests_file(folder)))}.__contains__


def _files(folder: Path) -> Iterator[str]:
    """The reader's files, links and empty folders, without what Python and Jupyter leave beside them."""
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        is_folder = path.is_dir() and not path.is_symlink()
        if not {"__pycache__", ".ipynb_checkpoints"} & set(relative.parts) and not (is_folder and any(path.iterdir())):
            yield relative.as_posix()


def _digest(path: Path) -> str:
    """Of a file's content; "" for a link and a folder, which are never given."""
    return "" if path.is_symlink() or not path.is_file() else hashlib.sha256(path.read_bytes()).hexdigest()
