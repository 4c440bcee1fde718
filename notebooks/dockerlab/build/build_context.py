"""The build context: what a build sends to the builder, and what `.dockerignore` keeps out of it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from docker.utils.build import exclude_paths

from ..errors import BuildFailed
from ..records import Context, ContextFile

LARGEST_TEXT_BYTES = 50_000_000
"""A Dockerfile or an ignore file that is larger is none, and would fill the memory."""


@dataclass(frozen=True)
class BuildSource:
    """Where a build takes its files from.

    Attributes:
        folder: the build context.
        dockerfile: the Dockerfile, in the folder or elsewhere.
        text: what is written in it.
        name: its path in the context that is sent.
        is_outside: whether it has to be put there, because it lies elsewhere.
        ignore_file: the file that says what is kept out, or None.
    """

    folder: Path
    dockerfile: Path
    text: str
    name: str
    is_outside: bool
    ignore_file: Path | None

    def patterns(self) -> list[str]:
        """The patterns of the ignore file, comments and empty lines left out."""
        if self.ignore_file is None:
            return []
        with self.ignore_file.open("rb") as file:  # names may be written in any encoding
            lines = file.read(LARGEST_TEXT_BYTES).decode("utf-8-sig", errors="replace").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def find(project: str | Path, dockerfile: str | Path = "Dockerfile") -> BuildSource:
    """The files of a project.

    Raises:
        BuildFailed: the folder or the Dockerfile is missing or cannot be read.
    """
    folder = Path(os.path.abspath(project))  # noqa: PTH100 (`resolve` would replace a symbolic link by its target)
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise BuildFailed(f"The build context {project} {what}.", f"You are in {Path.cwd()}: name a folder from there.")
    path = folder / dockerfile
    try:
        if path.stat().st_size > LARGEST_TEXT_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {LARGEST_TEXT_BYTES / 1e6:g} MB")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        there = sorted(item.name for item in folder.iterdir())
        raise BuildFailed(
            f"There is no {dockerfile} in {project}.",
            f"The folder holds {', '.join(there[:10]) or 'nothing'}{' …' if len(there) > 10 else ''}.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BuildFailed(
            f"The Dockerfile {path} cannot be read ({_reason(error)}).", "It has to be a text file."
        ) from error
    try:
        # Where the Dockerfile is a link, what it leads to: in the context, the link itself may lead to nothing.
        inside = path.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        inside = ""
    # The name is made from the content, so that the same Dockerfile gives the same context, and the cache holds.
    name = inside or f".dockerfile.{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    candidates = [path.with_name(path.name + ".dockerignore"), folder / ".dockerignore"]
    ignore_file = next((item for item in candidates if item.is_file()), None)
    return BuildSource(folder, path, text, name, not inside, ignore_file)


def context(project: str | Path, dockerfile: str | Path = "Dockerfile") -> Context:
    """What a build of a project would send to the builder, and what is kept out. Nothing is sent.

    The Dockerfile and `.dockerignore` are always sent, even where a pattern matches them: the builder needs the one,
    and the engine's build endpoint takes no file apart from the context.

    Args:
        project: the folder with the project.
        dockerfile: the Dockerfile: a path from the folder, or an absolute one.

    Returns:
        Both lists of files, sorted by path. Symbolic links are listed with 0 bytes: they are sent as links.

    Raises:
        BuildFailed: the folder or the Dockerfile is missing, or a file cannot be read.
    """
    source = find(project, dockerfile)
    sent = set(sent_paths(source))
    files = {path: _size(source.folder / path) for path in sorted(_all_files(source.folder))}
    if source.is_outside:
        files[source.name] = len(source.text.encode())
        sent.add(source.name)
    return Context(
        sent=tuple(ContextFile(path, size) for path, size in sorted(files.items()) if path in sent),
        ignored=tuple(ContextFile(path, size) for path, size in files.items() if path not in sent),
    )


@contextlib.contextmanager
def archive(source: BuildSource) -> Iterator[tuple[IO[bytes], int]]:
    """The context as a tar file on disk, to be sent, and the size of the contents of its files in bytes.

    Files belong to root in it, as with `docker build`. Symbolic links stay links, also those that lead out of the
    context; a named pipe stays one; sockets cannot be archived and are left out.

    Raises:
        BuildFailed: a file cannot be read.
    """
    size = 0
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for path in sent_paths(source):
                full = source.folder / path
                try:
                    if (info := tar.gettarinfo(full, arcname=path)) is None:
                        continue
                    info.uid = info.gid = 0
                    info.uname = info.gname = ""
                    info.mtime = int(info.mtime)  # fractions would cost a header of their own
                    if not info.isfile():
                        tar.addfile(info)
                        continue
                    with full.open("rb") as content:
                        tar.addfile(info, content)
                    size += info.size
                except OSError as error:
                    raise _unreadable(path, error) from error
            if source.is_outside:
                text = source.text.encode()
                info = tarfile.TarInfo(source.name)
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text))
                size += len(text)
        file.seek(0)
        yield file, size


def sent_paths(source: BuildSource) -> list[str]:
    """The paths that are sent, folders included, relative to the context and sorted."""
    try:
        paths = exclude_paths(str(source.folder), source.patterns(), dockerfile=source.name)
    except OSError as error:
        raise _unreadable(os.path.relpath(error.filename or source.folder, source.folder), error) from error
    except re.error as error:
        seen = f"A pattern in {source.ignore_file} cannot be read ({error})."
        raise BuildFailed(seen, "Look at its brackets and its backslashes.") from error
    return sorted(path.replace(os.sep, "/") for path in paths)


def _all_files(folder: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise _unreadable(os.path.relpath(error.filename, folder), error) from error

    for root, folders, files in os.walk(folder, onerror=fail):
        links = [name for name in folders if Path(root, name).is_symlink()]
        for name in files + links:
            yield Path(root, name).relative_to(folder).as_posix()


def _size(path: Path) -> int:
    status = path.lstat()
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _unreadable(path: str, error: OSError | UnicodeDecodeError) -> BuildFailed:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # the copy that is sent lies on this machine first
        return BuildFailed(
            f"There is no room for the build context in {tempfile.gettempdir()}; it was at {path}.",
            "Make room there, or name in .dockerignore what the image does not need.",
        )
    return BuildFailed(
        f"{path} in the build context cannot be read ({_reason(error)}).",
        "Make it readable, or name it in .dockerignore if the image does not need it.",
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
