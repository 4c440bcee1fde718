"""The engine that the lessons run on: the one the user has, or on Linux an embedded one; and the base image.

The only part of the laboratory that knows about operating systems, sockets and packages.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import EngineMissing
from . import systems
from .base import base_image
from .discovery import Engine, find, probe, shell_environment

__all__ = ["Engine", "base_image", "ensure", "find", "probe", "shell_environment"]


def ensure(report: Callable[[str], None] = print) -> Engine:
    """Find an engine; where there is none, on Linux as root with apt, fetch and start the embedded one.

    Args:
        report: is called with each line of progress; nothing is said where an engine is found.

    Raises:
        EngineMissing: there is no engine, and none can be started here; the message says what to do on this system.
        EngineUnreachable: an engine is named and does not answer, or the embedded one did not start.
    """
    try:
        return find()
    except EngineMissing:
        if not systems.can_embed():
            raise
    from .own import embedded  # only where there is no other engine

    return probe(embedded.start(report))
