"""The laboratory that the lessons import: experiments on a real Docker engine, and the records of what was observed."""

from typing import TYPE_CHECKING, Any

from .build.build_context import context
from .claims.exercise import NotYet, exercise
from .figures.tables import stops_table, table
from .lab.lab import open_lab
from .lab.lessons_done import progress
from .run.container import serve
from .run.stop import Variant, stop, stop_side_by_side
from .run.traffic import send, steady

if TYPE_CHECKING:
    from .figures import layers, timeline

__all__ = [
    "NotYet",
    "Variant",
    "context",
    "exercise",
    "layers",
    "open_lab",
    "progress",
    "send",
    "serve",
    "steady",
    "stop",
    "stop_side_by_side",
    "stops_table",
    "table",
    "timeline",
]


def __getattr__(name: str) -> Any:
    """The figures when they are first used: the library that draws them takes a second to load."""
    if name in ("layers", "timeline"):
        from . import figures

        return getattr(figures, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
