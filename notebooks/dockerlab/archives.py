"""Tar archives of a few files: what an engine takes as a build context, and copies into a container."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def tar(files: Mapping[str, str | bytes | Path]) -> Iterator[IO[bytes]]:
    """Files as a tar archive, open at its beginning. It is on the disk: a kit's packages would fill the memory.

    Args:
        files: by the path in the archive, the content, or the file that has it. They belong to root, with mode 0644.

    Raises:
        OSError: a file cannot be read.
    """
    with tempfile.TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w") as packed:
            for name, source in files.items():
                member = tarfile.TarInfo(name)
                with _opened(source) as content:
                    member.size = content.seek(0, os.SEEK_END)
                    content.seek(0)
                    packed.addfile(member, content)
        archive.seek(0)
        yield archive


def _opened(source: str | bytes | Path) -> IO[bytes]:
    if isinstance(source, Path):
        return source.open("rb")
    return io.BytesIO(source.encode() if isinstance(source, str) else source)
