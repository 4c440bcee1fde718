"""When the engine goes away in the middle of a lesson, or its disk is full, say so, whatever the error was.

A lesson uses Docker's SDK itself. Where the engine is gone, that raises a `ConnectionError` which does not mention an
engine, or, some lines later, something unrelated; where the disk is full, an HTTP status before a long address.
"""

from __future__ import annotations

import contextlib
from subprocess import CalledProcessError
from types import TracebackType
from typing import Any

import requests
from docker.errors import APIError, DockerException

from .. import engine
from ..engine.engine_errors import DISK_FULL, MAKE_ROOM
from ..errors import EngineUnreachable, LabError
from . import notebook

_PATIENCE_SECONDS = 5
"""An engine that runs answers at once; one on a very busy machine within a second or two."""

_watched: list[engine.Engine] = []


def watch(engine_: engine.Engine) -> None:
    """In a notebook, where a cell fails because of its lab's engine, show that in place of the cell's own error."""
    if not (shell := notebook.shell()):
        return

    def show(
        shell: Any, kind: type[BaseException], error: BaseException, trace: TracebackType, tb_offset: int | None = None
    ) -> None:
        if cause := _engine_error(error, engine_):
            shell.showtraceback((type(cause), cause, trace))
        else:
            # Of a `!` command, what it printed itself stands above, and the lines below would be IPython's own.
            is_command = isinstance(error, CalledProcessError) and isinstance(error.cmd, str)
            shell.showtraceback((kind, error, trace), tb_offset=tb_offset, exception_only=is_command)

    shell.set_custom_exc((Exception,), show)  # in place of an earlier lab's
    _watched[:] = [engine_]


def stop_watching(engine_: engine.Engine) -> None:
    """The lab of this engine is closed: from now on an error is the cell's own, unless a later lab is open."""
    if _watched and _watched[0] is engine_ and (shell := notebook.shell()):
        shell.set_custom_exc((), None)
        _watched.clear()


def _engine_error(error: BaseException, engine_: engine.Engine) -> LabError | None:
    """What to show where an error is the engine's; None for any other, and for those that say it themselves."""
    if isinstance(error, LabError) or not isinstance(error, Exception):
        return None
    if isinstance(error, APIError) and DISK_FULL.search(str(error)):
        return LabError("The disk of the engine is full.", MAKE_ROOM)
    if _answers(engine_):
        return None
    return EngineUnreachable(
        f"The engine at {engine_.url} does not answer any more; the cell ended with {type(error).__name__}.",
        "Start it again (`dockerlab doctor` shows what is there), and run the lesson from its first cell.",
    )


def _answers(engine_: engine.Engine) -> bool:
    """Whether the engine answers now."""
    try:
        with contextlib.closing(engine_.client(_PATIENCE_SECONDS)) as client:
            return bool(client.ping())
    except APIError:  # what it answers is an error
        return True
    except (LabError, DockerException, requests.RequestException, OSError):
        return False
