"""Build an image from a folder with a Dockerfile: the context, the Dockerfile, BuildKit's trace, errors, the linter."""

from .builder import build

__all__ = ["build"]
