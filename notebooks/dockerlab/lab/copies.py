"""The reader's own copies of the lessons: without outputs, in the folder that has the workspaces, too.

A copy that nobody has touched follows the lesson. One that the reader has run or changed is theirs, and stays. What was
written is kept in a small hidden folder beside the copies, as digests.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from .. import folders
from ..errors import LabError, WorkspaceUnwritable

HIDDEN = ".lessons"
"""The folder, in that of the copies, with the digests of what was written."""

CHECKPOINTS = ".ipynb_checkpoints"
"""Jupyter's folder beside the copies, in which it keeps each as it was when it was last saved by hand."""

_DIGESTS = "digests.json"
_LOCK = ".lock"
_GET_IT = "To get that, rename or delete yours, and start again"


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written as a copy.

    Attributes:
        file: the digest of the file.
        cells: the digest of its cells, as `_digest` takes it.
    """

    file: str
    cells: str


def names() -> list[str]:
    """The names of the lessons, and of their copies, in their order."""
    return sorted(path.name for path in folders.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def update() -> dict[Path, str]:
    """Give the reader a copy of each lesson that they have none of, and renew those that nobody has touched.

    Return the reader's own that differ from the lesson as it is now, and what to do about each.

    Raises:
        WorkspaceUnwritable: the folder cannot be made or written.
        LabError: a lesson cannot be read; then nothing has been written.
    """
    lessons = {name: _without_outputs(folders.NOTEBOOKS / name) for name in names()}
    root = folders.workspaces()
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        is_ours = folders.make(root)
        if not folders.make(root / HIDDEN):  # the reader's, or moved with the copies: what was written is unknown
            return _renew(root, lessons, {}, is_ours=False)
        with FileLock(root / HIDDEN / _LOCK):
            return _renew(root, lessons, _written(root), is_ours=is_ours)
    except OSError as error:
        raise WorkspaceUnwritable(
            f"The folder of your copies of the lessons, {root}, cannot be written ({error.strerror or error}).",
            "Set DOCKERLAB_WORKSPACE to a folder that you may write in, and start again.",
        ) from error


def _renew(root: Path, lessons: dict[str, str], written: dict[str, Written], *, is_ours: bool) -> dict[Path, str]:
    other = {}
    for name, text in lessons.items():
        path, before = root / name, written.get(name)
        now = Written(file=hashlib.sha256(text.encode()).hexdigest(), cells=_digest(json.loads(text)["cells"]))
        if not _is_touched(path, before):
            if before != now or not path.exists():
                if is_ours and before:
                    _remove_checkpoint(path, before)
                with folders.temporary(root, ".copying-") as folder:
                    (folder / name).write_bytes(text.encode())
                    (folder / name).replace(path)
                written[name] = now
                _remember(root, written)
        elif not before:
            if _cells_of(path, cleared=True) != now.cells:
                other[path] = f"it is not the lab's copy of the lesson. {_GET_IT}"
        elif now.cells not in (before.cells, _cells_of(path, cleared=True)):
            other[path] = f"you have changed it, and there is a newer version of the lesson. {_GET_IT}"
    for name in written.keys() - lessons.keys():
        if is_ours and not _is_touched(root / name, written[name]):  # a lesson that is no more, or has another name
            _remove(root / name, written.pop(name))
            _remember(root, written)
    return other


def remove_untouched(root: Path) -> dict[Path, str]:
    """Remove the copies that nobody has touched, with what Jupyter keeps of them. Return what is kept, and why.

    In a folder that is not ours nothing is removed.

    Raises:
        OSError: one cannot be removed.
    """
    if not folders.is_ours(root) or not folders.is_ours(root / HIDDEN):
        return {}
    kept = {}
    with FileLock(root / HIDDEN / _LOCK):
        for name, written in _written(root).items():
            if _is_touched(root / name, written):
                kept[root / name] = "you have changed it"
            else:
                _remove(root / name, written)
    with contextlib.suppress(OSError):  # it holds more, or is not there
        (root / CHECKPOINTS).rmdir()
    return kept


def laid_out(root: Path) -> set[Path]:
    """All that `update` has made in a folder, and remembers."""
    return {root / name for name in (HIDDEN, *_written(root))}


def are_checkpoints(folder: Path, copies: Iterable[Path]) -> bool:
    """Whether a folder is Jupyter's, with nothing in it but what it keeps of these copies."""
    if folder.name != CHECKPOINTS or folder.is_symlink() or not folder.is_dir():
        return False
    return {path.name for path in folder.iterdir()} <= {_checkpoint(copy).name for copy in copies}


def _remove(path: Path, written: Written) -> None:
    path.unlink(missing_ok=True)
    _remove_checkpoint(path, written)


def _remove_checkpoint(path: Path, written: Written) -> None:
    if not _checkpoint(path).parent.is_symlink() and not _is_touched(_checkpoint(path), written):
        _checkpoint(path).unlink(missing_ok=True)


def _checkpoint(path: Path) -> Path:
    return path.parent / CHECKPOINTS / f"{path.stem}-checkpoint{path.suffix}"


# --- what was written -------------------------------------------------------------------------------------------------


def _written(root: Path) -> dict[str, Written]:
    """What was written, by the copy's name. Nothing where that cannot be read: then all that is there is kept."""
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        kept = json.loads((root / HIDDEN / _DIGESTS).read_text(encoding="utf-8"))
        return {name: Written(**each) for name, each in kept.items() if Path(name).name == name}
    return {}


def _remember(root: Path, written: dict[str, Written]) -> None:
    hidden = root / HIDDEN
    if not folders.is_ours(hidden):
        return
    with folders.temporary(hidden, "new-") as folder:
        new = folder / _DIGESTS
        new.write_text(json.dumps({name: asdict(each) for name, each in written.items()}, indent=1), encoding="utf-8")
        new.replace(hidden / _DIGESTS)


def _is_touched(path: Path, written: Written | None) -> bool:
    """Whether there is something other than what was written: a cell's source or outputs differ, or it is no notebook.

    What JupyterLab changes when it opens and saves a notebook is no difference: metadata, execution counts.
    """
    if not path.is_symlink() and not path.exists():
        return False
    return written is None or path.is_symlink() or _cells_of(path) != written.cells


def _cells_of(path: Path, *, cleared: bool = False) -> str:
    """The digest of a notebook's cells; "" where it cannot be read.

    Args:
        path: of the notebook.
        cleared: as if it had no outputs.
    """
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return _digest([_cleared(cell) for cell in cells] if cleared else cells)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""


def _digest(cells: list[dict[str, Any]]) -> str:
    told = [[cell["cell_type"], "".join(cell["source"]), cell.get("outputs", [])] for cell in cells]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _cleared(cell: dict[str, Any]) -> dict[str, Any]:
    return cell | {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else cell


def _without_outputs(path: Path) -> str:
    """A committed lesson as its copy is written.

    Raises:
        LabError: it cannot be read.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        notebook["cells"] = [_cleared(cell) for cell in notebook["cells"]]
        _digest(notebook["cells"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise LabError(
            f"The lesson {path} cannot be read ({type(error).__name__}: {error}).",
            f"Get it as it was committed: `git checkout {path.name}`, in that folder.",
        ) from error
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
