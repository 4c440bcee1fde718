"""Files of a container, running or not: copied into it and out of it, as `docker cp` does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from docker.errors import NotFound
from docker.models.containers import Container

from .. import archives
from ..engine import engine_errors

Source = bytes | str | Path
"""A file's content, or the file."""


def copy_into(container: Container, files: Mapping[str, Source] | Mapping[PurePosixPath, Source]) -> None:
    """Copy files into a container.

    Args:
        container: the container.
        files: what to copy, by the path that it gets in there. It belongs to root, with mode 0644.

    Raises:
        LabError: a file cannot be read. Nothing has been copied then.
    """
    contents = {str(path).lstrip("/"): item if isinstance(item, bytes) else read(item) for path, item in files.items()}
    with archives.tar(contents) as tar:
        container.put_archive("/", tar)


def archive(container: Container, path: PurePosixPath) -> bytes | None:
    """A file of a container as a tar archive, or None where there is none."""
    try:
        return b"".join(container.get_archive(str(path))[0])
    except NotFound:
        return None


def read(file: str | Path) -> bytes:
    """The content of a file of this machine.

    Raises:
        LabError: it cannot be read.
    """
    with engine_errors.explained("", f"while {file} was read"):
        return Path(file).read_bytes()
