"""What an error during a request to the engine means: the engine is gone, it refuses, or a file of this machine is at
fault.

By their types alone they are hard to tell apart: docker's `APIError` is an error of `requests`, each of those is an
`OSError`, and so is a missing file.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator
from pathlib import Path

import requests
import urllib3
from docker.errors import APIError, DockerException

from ..errors import EngineUnreachable, LabError

DISK_FULL = re.compile(r"no space left on device", re.IGNORECASE)
MAKE_ROOM = "See what fills the engine's with `docker system df`; `dockerlab clean` removes all that the lab has made."
START_AGAIN = "Start it again, then run the lesson from its first cell (`dockerlab doctor` shows what is there)."
_GONE = (requests.RequestException, urllib3.exceptions.HTTPError, DockerException, ConnectionError, TimeoutError)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def explain(error: BaseException, url: str, when: str, do: str = START_AGAIN) -> LabError | None:
    """The error to show the reader, or None where it is of none of these kinds.

    Args:
        error: what was raised.
        url: the engine's address, or "" where only one can be meant.
        when: what was going on: ``during the work on 'web'``.
        do: what to do where the engine is gone.
    """
    if isinstance(error, LabError):
        return error
    if isinstance(error, APIError):
        if DISK_FULL.search(words(error)):
            return LabError("The disk of the engine is full.", MAKE_ROOM)
        return LabError(f"The engine refused a request {when}: {words(error)}.", "Look at what it says.")
    if isinstance(error, OSError) and (problem := of_a_file(error)):
        return problem
    if isinstance(error, _GONE):
        where = f" at {url}" if url else ""
        return EngineUnreachable(f"The engine{where} stopped answering {when} ({type(error).__name__}).", do)
    return None


@contextlib.contextmanager
def explained(url: str, when: str, do: str = START_AGAIN) -> Iterator[None]:
    """Raise what `explain` makes of such an error, in its place; the arguments are the same."""
    try:
        yield
    except (OSError, DockerException, urllib3.exceptions.HTTPError) as error:
        if explanation := explain(error, url, when, do):
            raise explanation from error
        raise


def of_a_file(error: OSError) -> LabError | None:
    """The error to show where a file of this machine is at fault: it is missing, it is a folder, the disk is full."""
    if isinstance(error, requests.RequestException):
        return None
    if error.errno in _NO_ROOM:
        return LabError(f"This machine's disk is full ({error.filename or error.strerror}).", "Make room on it.")
    if error.filename is None:
        return None
    return LabError(
        f"{error.filename} cannot be used ({error.strerror}).", f"Look at the path; you are in {Path.cwd()}."
    )


def words(error: APIError) -> str:
    """What the engine says."""
    return str(error.explanation or error).strip().rstrip(".")
