"""Where the laboratory keeps its files, one cache folder and one workspace folder; and the mark of each folder that it
makes: no other folder is ever emptied or removed.

The mark is a file with the path of its folder. So a folder that was copied or moved with its mark, or that a link leads
to, is not the laboratory's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import psutil

from .errors import LabError

NOTEBOOKS = Path(__file__).resolve().parents[1]
"""The folder of the lessons; the package is in it."""


def cache() -> Path:
    """The folder for all that is fetched once and kept: engine packages, the engine's data, the ledger of builds.

    `DOCKERLAB_CACHE` where it is set, else `dockerlab` in the user's cache folder (`XDG_CACHE_HOME` or `~/.cache`).
    The folder need not exist yet.
    """
    # Not by platformdirs: on macOS and Windows its folder is another one, and people have images in this one.
    home = _named("XDG_CACHE_HOME") or Path("~/.cache").expanduser().resolve()
    return _named("DOCKERLAB_CACHE") or home / "dockerlab"


def workspaces() -> Path:
    """The reader's folder: their copies of the lessons, and beside each the folder that it writes its files in.

    `DOCKERLAB_WORKSPACE` where it is set, else `workspace` at the top of the repository.
    """
    return _named("DOCKERLAB_WORKSPACE") or NOTEBOOKS.parent / "workspace"


def earlier_workspaces() -> Path | None:
    """Where the workspaces were before readers had copies of the lessons: `workspace` beside the lessons.

    None where `DOCKERLAB_WORKSPACE` is set, for then they were there already.
    """
    return None if _named("DOCKERLAB_WORKSPACE") else NOTEBOOKS / "workspace"


def make_absolute() -> None:
    """Make the folders that the environment names the same from any working folder: opening a lab changes it."""
    for name in ("DOCKERLAB_CACHE", "DOCKERLAB_WORKSPACE"):
        if folder := _named(name):
            os.environ[name] = str(folder)


def _named(variable: str) -> Path | None:
    """The folder that a variable names, from wherever we are now."""
    value = os.environ.get(variable)
    return Path(value).expanduser().resolve() if value else None


# --- the mark ------------------------------------------------------------------------------------------


MARK = ".dockerlab"

_TEXT = b"dockerlab made this folder, and may empty and remove it. Where it was made:\n"

CACHED = {
    "base": ("lock", "*.json", "*.tar.zst", "work-*"),
    "builds": ("*.txt", "*.lock", "*.begun"),
    "engine": ("packages", "data", "run", "engine.log", "network.json", "daemon.json", "fetch-*"),
}
"""The folders in the cache folder, and the names of all that the laboratory keeps in each."""

ENGINE_LOCK = ".dockerlab-engine.lock"
"""The lock of the engine's folder, beside that folder."""

NO_MARK = "it has no mark of the lab's: you made it, or an earlier version of the lab did"


def make(folder: Path) -> bool:
    """Make a folder where there is none, and mark it. Return whether it is ours: one without a mark is not.

    Raises:
        OSError: it cannot be made.
    """
    try:
        folder.mkdir()
    except FileExistsError:
        return is_ours(folder)
    try:
        (folder / MARK).write_bytes(_TEXT + _places(folder)[0])
    except BaseException:  # whatever it was: a folder without a mark would stay for good
        (folder / MARK).unlink(missing_ok=True)
        folder.rmdir()
        raise
    return True


def is_ours(folder: Path) -> bool:
    """Whether we made this folder, in this place: it carries our mark, and is neither a link nor a mount."""
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode) or not stat.S_ISREG((folder / MARK).lstat().st_mode):
            return False
        if os.path.ismount(folder):
            return False
        mark = (folder / MARK).read_bytes()
    except OSError:
        return False
    return any(mark.endswith(b"\n" + place) for place in _places(folder))


def _places(folder: Path) -> list[bytes]:
    """How a mark tells a folder's place; after that, how an earlier version's mark may tell it.

    For workspaces it is relative to the lessons, so that a laboratory that is moved keeps them: ``../workspace``, and
    ``workspace`` where they were before.
    """
    place = folder.parent.resolve() / folder.name
    moves_along = any(place.is_relative_to(root) for root in (NOTEBOOKS, NOTEBOOKS.parent / "workspace"))
    told = [os.path.relpath(place, NOTEBOOKS), str(place)] if moves_along else [str(place)]
    return [os.fsencode(each) + b"\n" for each in told]


def empty(folder: Path, stays: Callable[[str], bool] = lambda name: False) -> None:
    """Remove what is in a folder of ours. Links are removed, and never what they lead to.

    Args:
        folder: the folder. Its mark stays.
        stays: whether the item of this name stays.

    Raises:
        OSError: it is not ours, something in it cannot be removed, or another file system is mounted in it: then
            nothing is removed.
    """
    if not is_ours(folder):
        raise PermissionError(errno.EPERM, NO_MARK, str(folder))
    items = [item for item in folder.iterdir() if item.name != MARK and not stays(item.name)]
    mounts = [Path(part.mountpoint) for part in psutil.disk_partitions(all=True)] if items else []
    for item in items:
        place = item.parent.resolve() / item.name
        if mounted := next((mount for mount in mounts if mount.is_relative_to(place)), None):
            raise OSError(errno.EBUSY, f"a file system is mounted at {mounted}", str(item))
    for item in items:
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()


def remove(folder: Path) -> None:
    """Remove a folder of ours, and all that is in it; its mark last.

    Raises:
        OSError: as `empty` does.
    """
    empty(folder)
    (folder / MARK).unlink()
    folder.rmdir()


@contextlib.contextmanager
def temporary(folder: Path, prefix: str) -> Iterator[Path]:
    """A temporary folder in another one. What a killed process left of such folders is removed, in a folder of ours."""
    for left in folder.glob(f"{prefix}*") if is_ours(folder) else ():
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=prefix) as name:
        yield Path(name)


def others(folder: Path) -> list[str]:
    """The names of what is in a folder, but for its mark."""
    return sorted(item.name for item in folder.iterdir() if item.name != MARK)


def holds(names: list[str]) -> str:
    """Why a folder is kept that holds these, which are not ours."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"it holds what the lab did not make: {', '.join(names[:3])}{more}"


# --- the cache folder -------------------------------------------------------------------------------------------------


def make_cache() -> Path:
    """The cache folder, made where it is missing. One that is there already is used, and never removed.

    Raises:
        OSError: it cannot be made.
    """
    folder = cache()
    folder.parent.mkdir(parents=True, exist_ok=True)
    make(folder)
    return folder


def cached(name: str) -> Path:
    """One of the folders in the cache folder, made where it is missing.

    One without a mark is used where an earlier version of the laboratory may have made it, and nothing in it is
    removed.

    Raises:
        OSError: it cannot be made.
        LabError: it holds what is not the laboratory's.
    """
    folder = make_cache() / name
    if not make(folder) and (foreign := foreign_to(folder)):
        raise LabError(
            f"The folder {folder} is not used, for {holds(foreign)}.",
            "Set DOCKERLAB_CACHE to a folder that has no folders base, builds and engine of your own.",
        )
    return folder


def foreign_to(folder: Path) -> list[str]:
    """The names of what is in one of the folders in the cache folder, and is not the laboratory's."""
    return [name for name in others(folder) if not any(fnmatch(name, known) for known in CACHED[folder.name])]


def remove_cached(name: str) -> dict[Path, str]:
    """Remove one of the folders in the cache folder. Return what is kept, and why."""
    folder = cache() / name
    if not os.path.lexists(folder):
        return {}
    if not is_ours(folder):
        return {folder: NO_MARK}
    try:
        foreign = foreign_to(folder)
        empty(folder, foreign.__contains__)
        if foreign:
            return {folder: holds(foreign)}
        remove(folder)
    except OSError as error:
        return {folder: f"it could not be deleted ({error})"}
    return {}


def remove_cache() -> dict[Path, str]:
    """Remove what is left of the cache folder without the engine. Return what is kept, and why."""
    folder = cache()
    if not folder.is_dir():
        return {}
    kept = remove_cached("base") | remove_cached("builds")
    (folder / ENGINE_LOCK).unlink(missing_ok=True)
    foreign = [name for name in others(folder) if name not in CACHED]
    if foreign:
        kept[folder] = holds(foreign)
    elif not is_ours(folder):
        kept[folder] = NO_MARK
    elif not others(folder):
        remove(folder)
    return kept
