"""Pictures and tables of records: they are drawn from what was observed, and never touch the engine."""

from importlib import import_module
from typing import Any

_DRAWN_IN = {
    "Picture": "picture",
    "costs": "draw_sizes",
    "layers": "draw_layers",
    "memory": "draw_memory",
    "path": "draw_request_path",
    "requests": "draw_requests",
    "sizes": "draw_sizes",
    "timeline": "draw_timeline",
}
__all__ = [*_DRAWN_IN]


def __getattr__(name: str) -> Any:
    """A figure when it is first asked for: the library that draws them takes a second to load."""
    if name in _DRAWN_IN:
        return getattr(import_module(f".{_DRAWN_IN[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
