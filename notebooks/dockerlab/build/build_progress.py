"""What a build has done so far, and its display during the build: in a notebook, in a terminal, in a log."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..lab import notebook

if TYPE_CHECKING:
    from rich.console import Console

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class LiveStep:
    """A step of a build that is still running.

    Attributes:
        instruction: the instruction, as in the record `Step`.
        state: ``waiting``, ``running``, ``cached``, ``built`` or ``failed``.
        seconds: how long it has taken so far; 0.0 where it is waiting or cached.
        error: the builder's message where it failed.
        log: what it has printed so far.
    """

    instruction: str
    state: str
    seconds: float = 0.0
    error: str = ""
    log: str = ""


class StepDisplay:
    """Shows the steps of a build now and then, and at its end leaves what is to stay. This one shows nothing."""

    def show(self, steps: list[LiveStep]) -> None: ...

    def end(self, steps: list[LiveStep]) -> None:
        self.show(steps)


def plain_text(log: bytes) -> str:
    """A log as text, without colors."""
    return _ANSI.sub("", log.decode(errors="replace"))


def start(wanted: bool) -> StepDisplay:
    """The display that suits where this runs."""
    if not wanted:
        return StepDisplay()
    if getattr(notebook.shell(), "kernel", None):
        return _Notebook()
    from rich.console import Console  # slow to load: most builds are shown in notebooks

    console = Console(stderr=True)
    return _Terminal(console) if console.is_terminal else _Lines(console)


class _Notebook(StepDisplay):
    """A display that is updated during the build, and is empty at its end.

    So what stays in the notebook is the same after each run, whatever ran it: JupyterLab and nbclient keep the last
    update, nbval keeps the first display and ignores updates. The record has the results.
    """

    _EMPTY = {"text/html": "", "text/plain": ""}  # noqa: RUF012 (never changed)

    def __init__(self) -> None:
        from IPython.display import display

        self._handle = display(self._EMPTY, raw=True, display_id=True)  # type: ignore[no-untyped-call]  # has no hints
        self._shown = ""

    def show(self, steps: list[LiveStep]) -> None:
        if (table := _html(steps)) != self._shown:
            self._shown = table
            self._handle.update({"text/html": table, "text/plain": ""}, raw=True)

    def end(self, steps: list[LiveStep]) -> None:
        if self._shown:
            self._handle.update(self._EMPTY, raw=True)


class _Terminal(StepDisplay):
    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    def show(self, steps: list[LiveStep]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        cell = partial(Text, no_wrap=True, overflow="ellipsis")
        for step in steps:
            style = {"running": "bold", "failed": "bold red"}.get(step.state, "dim")
            table.add_row(step.state, _seconds(step), cell(step.instruction), style=style)
            if line := _last_line(step):
                table.add_row("", "", cell(line, style="dim italic"))
        self._live.update(table, refresh=True)

    def end(self, steps: list[LiveStep]) -> None:
        self.show(steps)
        self._live.stop()


class _Lines(StepDisplay):
    """One line for each step, when it is done: for logs, and for output that is piped into a file."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed = 0

    def show(self, steps: list[LiveStep]) -> None:
        from rich.text import Text

        for step in steps[self._printed :]:
            if step.state in ("waiting", "running"):
                return
            line = f"{step.state:6} {_seconds(step):>8}  {step.instruction}"
            self._console.print(Text(line, no_wrap=True, overflow="ignore"), soft_wrap=True)
            self._printed += 1


def _html(steps: list[LiveStep]) -> str:
    rows = []
    for step in steps:
        weight = "bold" if step.state in ("running", "failed") else "normal"
        instruction = f'<code style="font-weight:{weight}">{html.escape(step.instruction)}</code>'
        if line := _last_line(step):
            instruction += f"<br><small>{html.escape(line)}</small>"
        cells = [step.state, _seconds(step), instruction]
        rows.append("<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells) + "</tr>")
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _seconds(step: LiveStep) -> str:
    return f"{step.seconds:.1f} s" if step.state in ("running", "built", "failed") else ""


def _last_line(step: LiveStep) -> str:
    """What a running step has printed last."""
    return step.log.rstrip().rpartition("\n")[2].strip()[:120] if step.state == "running" else ""
