"""A pytest plugin (`-p guards`): nbval in strict mode, without the ways in which it lets a broken lesson pass.

nbval runs each code cell of a notebook in one kernel, and compares its output with the committed one. This plugin puts
its own classes in the place of nbval's for every notebook that is collected. Each guard names the hole that it closes,
and `test_guards.py` plants each hole and sees red.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from queue import Empty

# nbval imports jsonschema, and that loads what checks two formats that no schema here asks for: IRIs, for which it
# compiles a grammar, and durations. It takes more than a second, in each process of each run.
sys.modules.setdefault("rfc3987_syntax", None)
sys.modules.setdefault("isoduration", None)

# ruff: noqa: E402
import nbval.plugin
import psutil
import pytest
import rules
from dockerlab import engine, labels
from dockerlab.errors import LabError
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell, IPyNbFile

KEEPS_A_NOTEBOOK_WHOLE = {"loadscope", "loadfile"}


class KernelDied(Exception):
    """The kernel's process has ended while a cell was running."""


class WatchedKernel(RunningKernel):
    deadline = float("inf")

    def get_message(self, stream: str, timeout: float | None = None) -> dict:
        """Wait in slices of a second, and look at the kernel between them.

        Hole: nbval notices a dead kernel only when the cell's time is over.
        Hole: a cell that swallows the interrupt and prints on is waited for without end, each line starts it anew.
        """
        until = min(time.monotonic() + (timeout or float("inf")), self.deadline)
        while True:
            with contextlib.suppress(Empty):
                return super().get_message(stream, timeout=max(0, min(1, until - time.monotonic())))
            if not self.is_alive():
                raise KernelDied
            if time.monotonic() >= until:
                raise Empty

    def execute_cell_input(self, source: str, allow_stdin: bool | None = None) -> str:
        """Run a cell as JupyterLab does, with history: without one, IPython overlooks the `;` that silences a cell."""
        return self.kc.execute(source, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)


nbval.plugin.RunningKernel = WatchedKernel  # the name under which nbval starts its kernels


class Lesson(IPyNbFile):
    failed = ""
    """The first cell that failed."""

    def collect(self) -> Iterator[pytest.Item]:
        cells = list(super().collect())
        yield Form.from_parent(self, name="form")
        for cell in cells:
            item = Cell.from_parent(
                self, name=cell.cell.get("id", cell.name), cell_num=cell.cell_num, cell=cell.cell, options=cell.options
            )
            if "claim" in item.cell.metadata.get("tags", []):
                item.user_properties += [
                    ("claims", 1),
                    ("assertions of claims", len(rules.assertions(item.cell.source))),
                ]
            yield item


class Form(pytest.Item):
    """Hole: a stripped notebook passes, as there is nothing to compare. This and other matters of form: `rules.py`."""

    def runtest(self) -> None:
        if problems := rules.problems(self.path):
            pytest.fail("\n".join(problems), pytrace=False)

    def reportinfo(self) -> tuple:
        return self.path, 0, self.name


class Cell(IPyNbCell):
    def runtest(self) -> None:
        """Run the cell as nbval does. After one that failed, only the clean-up runs; the rest would be noise."""
        lesson = self.parent
        is_cleanup = "cleanup" in self.cell.metadata.get("tags", [])
        if lesson.failed and not (is_cleanup and lesson.kernel.is_alive()):
            pytest.skip(f"not run, since {lesson.failed} failed")
        try:
            labs = labs_of(self._kernel) if is_cleanup else []
            self._run()
            if is_cleanup and not lesson.failed:
                self._refuse_leftovers(labs)
        except BaseException:
            lesson.failed = lesson.failed or self.name
            raise

    def _run(self) -> None:
        seconds = self.config.option.nbval_cell_timeout
        self.parent.timed_out = False
        # After the timeout nbval interrupts the cell, and waits a while for what it still has to say.
        self.parent.kernel.deadline = time.monotonic() + seconds + 2 * self.output_timeout
        try:
            super().runtest()
        except KernelDied:
            self.raise_cell_error("The kernel died while this cell was running.")
        # Hole: IPython may swallow the interrupt that nbval sends after a timeout, and then the cell counts as passed.
        if self.parent.timed_out:
            self.raise_cell_error(f"The cell was not done after {seconds:g} s.")

    @property
    def _kernel(self) -> labels.Owner:
        return labels.Owner.of(psutil.Process(self.parent.kernel.km.provisioner.pid))

    def _refuse_leftovers(self, labs: list[str]) -> None:
        """Hole: what a lesson leaves on the engine is swept by the next lesson before anyone has seen it.

        While this kernel lives, nobody sweeps what it made. What a typed command made names its lab only.
        """
        wanted = [f"{labels.OWNER}={self._kernel}", *(f"{labels.LAB}={lab}" for lab in labs)]
        if left := list(dict.fromkeys(item for label in wanted for item in labeled_with(label))):
            self.raise_cell_error(f"The lesson has ended, and this is still on the engine: {', '.join(left)}.")

    def reportinfo(self) -> tuple:
        return self.path, 0, f"{self.path.name}::{self.name}"


def labs_of(owner: labels.Owner) -> list[str]:
    """The ids of the labs that a process has open."""
    try:
        client = engine.find().client()
    except LabError:
        return []
    with contextlib.closing(client):
        found = client.volumes.list(filters={"label": f"{labels.OWNER}={owner}"})
        return [item.attrs["Labels"][labels.LAB] for item in found]


def made_by(owner: labels.Owner) -> list[str]:
    """All that one process made on the engine, and that is still there."""
    return labeled_with(f"{labels.OWNER}={owner}")


def labeled_with(label: str) -> list[str]:
    """All on the engine that carries a label with its value."""
    try:
        client = engine.find().client()
    except LabError:
        return []  # with no engine the lesson has failed already
    with contextlib.closing(client):
        filters = {"label": label}
        return [
            *(f"container {item.name}" for item in client.containers.list(all=True, filters=filters)),
            *(f"network {item.name}" for item in client.networks.list(filters=filters)),
            *(f"volume {item.name}" for item in client.volumes.list(filters=filters)),
            *(f"image {', '.join(item.tags) or item.id}" for item in client.images.list(filters=filters)),
        ]


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(parent: pytest.Collector) -> list[pytest.Collector]:
    found = yield
    return [Lesson.from_parent(parent, path=item.path) if type(item) is IPyNbFile else item for item in found]


def pytest_configure(config: pytest.Config) -> None:
    if path := config.option.nbval_sanitize_with:  # as pyproject.toml names it, from whatever folder pytest is called
        config.option.nbval_sanitize_with = str(config.rootpath / path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node, ids: list[str]) -> None:
    """Hole: most ways in which pytest-xdist distributes tests run a cell in one kernel and the next in another."""
    dist = node.config.option.dist
    if dist not in KEEPS_A_NOTEBOOK_WHOLE and any(".ipynb::" in test for test in ids):
        raise pytest.UsageError(f"--dist {dist} tears notebooks apart; use --dist loadscope.")
