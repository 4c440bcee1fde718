"""Pictures of records: they are drawn from what was observed, and never touch the engine."""

from .layers import layers
from .memory import memory
from .path import path
from .picture import Picture
from .requests import requests
from .sizes import costs, sizes
from .timeline import timeline

__all__ = ["Picture", "costs", "layers", "memory", "path", "requests", "sizes", "timeline"]
