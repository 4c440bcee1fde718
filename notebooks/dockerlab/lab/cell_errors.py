"""When the engine goes away in the middle of a lesson, or its disk is full, say so, whatever the error was.

A lesson uses Docker's SDK itself. What that raises where the engine is gone is a `ConnectionError` without a word of an
engine, or, some lines on, something that has nothing to do with it any more; and where the disk is full, an HTTP status
before a long address.
"""

from __future__ import annotations

import contextlib
import sys
from types import TracebackType
from typing import Any

import requests
from docker.errors import APIError, DockerException

from .. import engine
from ..engine.engine_errors import DISK_FULL, MAKE_ROOM
from ..errors import EngineUnreachable, LabError

_PATIENCE_SECONDS = 5
"""An engine that runs answers at once; one on a very busy machine within a second or two."""

_watched: list[engine.Engine] = []


def get_ipython() -> Any:
    """The notebook's shell, or None: a program that has not loaded IPython is no notebook, and it is slow to load."""
    ipython = sys.modules.get("IPython")
    return ipython and ipython.get_ipython()


def watch(engine_: engine.Engine) -> None:
    """In a notebook: where a cell fails because of its engine, show that in place of the cell's own error.

    Args:
        engine_: the engine of the lab that is open.
    """
    if not (shell := get_ipython()):
        return

    def show(
        shell: Any, kind: type[BaseException], error: BaseException, trace: TracebackType, tb_offset: int | None = None
    ) -> None:
        if told := _of_the_engine(error, engine_):
            shell.showtraceback((type(told), told, trace))
        else:
            shell.showtraceback((kind, error, trace), tb_offset=tb_offset)

    shell.set_custom_exc((Exception,), show)  # in place of an earlier lab's
    _watched[:] = [engine_]


def watch_no_more(engine_: engine.Engine) -> None:
    """The lab is closed: from now on an error is the cell's own. Where a later lab is open, its engine is watched on.

    Args:
        engine_: what `watch` was given.
    """
    if _watched and _watched[0] is engine_ and (shell := get_ipython()):
        shell.set_custom_exc((), None)
        _watched.clear()


def _of_the_engine(error: BaseException, engine_: engine.Engine) -> LabError | None:
    """What to show where an error is the engine's; None for any other, and for those that say it themselves."""
    if isinstance(error, LabError) or not isinstance(error, Exception):
        return None
    if isinstance(error, APIError) and DISK_FULL.search(str(error)):
        return LabError("The disk of the engine is full.", MAKE_ROOM)
    if answers(engine_):
        return None
    return EngineUnreachable(
        f"The engine at {engine_.url} does not answer any more; the cell ended with {type(error).__name__}.",
        "Start it again (`dockerlab doctor` shows what is there), and run the lesson from its first cell.",
    )


def answers(engine_: engine.Engine) -> bool:
    """Whether the engine answers now."""
    try:
        with contextlib.closing(engine_.client(_PATIENCE_SECONDS)) as client:
            return bool(client.ping())
    except APIError:  # what it answers is an error
        return True
    except (LabError, DockerException, requests.RequestException, OSError):
        return False
