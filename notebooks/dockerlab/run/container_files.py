"""Files of a container, running or not: copied into it and out of it, as `docker cp` does."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from docker.errors import NotFound
from docker.models.containers import Container

from ..engine import engine_errors

Source = bytes | str | Path
"""A file's content, or the file."""


def copy_into(container: Container, files: Mapping[str, Source] | Mapping[PurePosixPath, Source]) -> None:
    """Copy files into a container.

    Args:
        container: the container.
        files: what to copy, by the path that it gets in there.

    Raises:
        LabError: a file cannot be read. Nothing has been copied then.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, source in files.items():
            content = source if isinstance(source, bytes) else read(source)
            member = tarfile.TarInfo(str(path).lstrip("/"))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    container.put_archive("/", buffer.getvalue())


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
    try:
        return Path(file).read_bytes()
    except OSError as error:
        if problem := engine_errors.of_a_file(error):
            raise problem from error
        raise
