"""Pictures and tables of records: they are drawn from what was observed, and never touch the engine."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .draw_bars import costs, memory, sizes
    from .draw_layers import layers
    from .draw_request_path import path
    from .draw_requests import requests
    from .draw_timeline import timeline
    from .picture import Picture

__all__ = ["Picture", "costs", "layers", "memory", "path", "requests", "sizes", "timeline"]

_DRAWN_IN = {
    "Picture": "picture",
    "costs": "draw_bars",
    "layers": "draw_layers",
    "memory": "draw_bars",
    "path": "draw_request_path",
    "requests": "draw_requests",
    "sizes": "draw_bars",
    "timeline": "draw_timeline",
}


def __getattr__(name: str) -> Any:
    """A figure when it is first used: the library that draws them takes a second to load."""
    if name in _DRAWN_IN:
        return getattr(import_module(f".{_DRAWN_IN[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
