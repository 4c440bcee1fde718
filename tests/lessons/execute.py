"""Execute a lesson from its first cell to its last in a kernel of its own, in a copy of the folder of the lessons."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
CELL_SECONDS = 180
"""How long one cell may take; as in pyproject.toml, where nbval is told."""


def lessons() -> list[Path]:
    """The committed notebooks, in their order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def copy_of_lessons(into: Path) -> Path:
    """A copy of the folder of the lessons, the sample app beside it, and nobody's workspace in it."""
    ignored = shutil.ignore_patterns("workspace", "__pycache__", ".ipynb_checkpoints")
    shutil.copytree(ROOT / "sample_app", into / "sample_app", ignore=ignored)
    return Path(shutil.copytree(NOTEBOOKS, into / "notebooks", ignore=ignored))


@dataclass(frozen=True)
class Red:
    """The cell that a lesson stopped at.

    Attributes:
        cell: its id.
        tags: its tags.
        error: the error's name: ``AssertionError``; ``Timeout`` and ``DeadKernel`` where there was none.
        message: what the error said.
    """

    cell: str
    tags: tuple[str, ...]
    error: str
    message: str

    def __str__(self) -> str:
        return f"{self.cell}: {self.error}: {self.message}"


def execute(
    notebook: NotebookNode,
    folder: Path,
    *,
    disturb: Callable[[NotebookNode, NotebookClient], None] = lambda cell, client: None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Red | None:
    """Execute the cells, and write their outputs into the notebook, until one fails. Return that one.

    Args:
        notebook: is changed.
        folder: the folder of lessons that the kernel starts in, a copy: lessons write their workspace there.
        disturb: called when a code cell begins, with the cell, and with what executes it.
        environment: further variables for the kernel.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    running: list[NotebookNode] = []

    def begin(cell: NotebookNode, cell_index: int) -> None:
        running.append(cell)
        if cell.cell_type == "code":
            disturb(cell, client)

    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],
        record_timing=False,
        startup_timeout=CELL_SECONDS,
        on_cell_start=begin,
    )
    own = {"PYTHONPATH": str(folder), "DOCKERLAB_WORKSPACE": str(folder / "workspace")}
    try:
        client.execute(env={**os.environ, **own, **environment})
    except CellExecutionError as error:
        return _red(running[-1], error.ename, error.evalue)
    except (CellTimeoutError, DeadKernelError) as error:
        return _red(running[-1], type(error).__name__.removesuffix("Error").removeprefix("Cell"), str(error))
    return None


def _red(cell: NotebookNode, error: str, message: str) -> Red:
    return Red(cell.id, tuple(cell.metadata.get("tags", [])), error, message)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)
