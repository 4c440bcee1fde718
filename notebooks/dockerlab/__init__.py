"""The laboratory that the lessons import: experiments on a real Docker engine, and the records of what was observed."""

from typing import TYPE_CHECKING, Any

from .build.build_context import context
from .claims.exercise import NotYet
from .claims.lesson import claim, exercise, open_lab, predict, surprises
from .figures.tables import stops_table, table
from .lab.lessons import progress
from .run.container import serve, until_logged, url_of
from .run.stop import Variant, ended, stop, stop_side_by_side
from .run.traffic import send, steady

if TYPE_CHECKING:
    from .figures import layers, timeline

__all__ = [
    "NotYet",
    "Variant",
    "claim",
    "context",
    "ended",
    "exercise",
    "layers",
    "open_lab",
    "predict",
    "progress",
    "send",
    "serve",
    "steady",
    "stop",
    "stop_side_by_side",
    "stops_table",
    "surprises",
    "table",
    "timeline",
    "until_logged",
    "url_of",
]


def __getattr__(name: str) -> Any:
    """The figures when they are first used: the library that draws them takes a second to load."""
    if name in ("layers", "timeline"):
        from . import figures

        return getattr(figures, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
