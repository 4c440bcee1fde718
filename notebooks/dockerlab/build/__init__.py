"""Build an image from a folder with a Dockerfile: the context, the Dockerfile, BuildKit's trace, errors, the linter."""

from .builder import build
from .cli_output import steps_of

__all__ = ["build", "steps_of"]
