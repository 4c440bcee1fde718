"""A saved image, as `docker save` writes it: its settings, and the files of each layer.

An image may come from anybody. Its layers are unpacked nowhere: they are read in passing, a megabyte at a time.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import tarfile
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, Protocol

import zstandard
from docker.errors import APIError, DockerException, NotFound
from docker.types.daemon import CancellableStream

from ..engine import raw_api
from ..errors import LabError
from ..lab.lab import Lab

LONGEST_HEADER = 1 << 20
"""Bytes of what an archive says of one file, its name and attributes: a reader holds them in memory."""

CHUNK_BYTES = 1 << 20
"""How much of a file is read at once."""

_DELETED = ".wh."
"""How the name of a file begins in a layer that deletes it (the OCI image specification, "Whiteouts")."""

_OPAQUE = ".wh..wh..opq"
"""The file that hides all that the layers below have in a folder (the same)."""

_SEE_ENGINE = "See which engine it is with `dockerlab doctor`."


class SavedImage:
    """What `docker save` has written.

    Args:
        tar: the archive.
        watch: called at each megabyte of a layer: a reason to stop reading, or an empty text.

    Attributes:
        layers: the names of the layers, from the lowest.

    Raises:
        LabError: it is no image's archive, or a part of it is missing or broken.
    """

    def __init__(self, tar: tarfile.TarFile, watch: Callable[[], str] = lambda: "") -> None:
        self._tar = tar
        self._watch = watch
        try:
            manifest = json.load(self._member("manifest.json"))[0]
            self.layers: list[str] = manifest["Layers"]
            self._config: str = manifest["Config"]
            is_manifest = all(isinstance(name, str) for name in [self._config, *self.layers])
        except (ValueError, LookupError, TypeError):
            is_manifest = False
        if not is_manifest:
            raise LabError("The engine saved the image with a manifest.json that cannot be read.", _SEE_ENGINE)

    def config(self) -> dict[str, Any]:
        """The image's configuration, as the OCI image specification has it: ``config``, ``history``, ``rootfs``."""
        return dict(json.load(self._member(self._config)))

    def files(self, layer: str) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
        """The members of a layer in their order, each with its content where it is a file.

        A layer is a tar file as it is, or compressed by gzip or zstd; or a link to one that two layers have in common.
        A content can be read until the next member is taken.
        """
        with readable(f"The layer {layer}"):
            file = _Watched(_decompressed(self._member(layer)), self._watch)
            with tarfile.open(fileobj=file, mode="r|", tarinfo=_Info) as tar:  # type: ignore[call-overload] # "r|" reads only
                for item in tar:
                    tar.members.clear()  # they are kept otherwise, and a layer may have millions
                    yield item, tar.extractfile(item) if item.isfile() else None

    def _member(self, name: str) -> IO[bytes]:
        # Engines before 25 save a layer that two images share once, and a link in the place of the other.
        with contextlib.suppress(KeyError, RecursionError):
            if file := self._tar.extractfile(name):
                return file
        raise LabError(f"The engine saved the image without {name}.", _SEE_ENGINE)


def path_of(member: tarfile.TarInfo) -> str:
    """The path of a layer's member in the image, without the first slash: ``tmp/token``."""
    return member.name.removeprefix("./").lstrip("/")


def hidden_by(path: str) -> str | None:
    """What a layer hides of those below by a file with this path: ``tmp/.wh.token`` hides ``tmp/token``; else None."""
    folder, _, name = path.rpartition("/")
    if name == _OPAQUE:
        return folder
    return f"{folder}/{name.removeprefix(_DELETED)}".lstrip("/") if name.startswith(_DELETED) else None


# --- reading ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def readable(what: str) -> Iterator[None]:
    """Say it clearly where a part of an archive is broken."""
    try:
        yield
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, zstandard.ZstdError) as error:
        raise LabError(f"{what}, as the engine has saved it, cannot be read ({error}).", _SEE_ENGINE) from error


_EXTENSIONS = {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE}
_EXTENSIONS |= {tarfile.SOLARIS_XHDTYPE}


class _Info(tarfile.TarInfo):
    """A member whose header is no longer than memory should hold."""

    def _proc_member(self, tar: tarfile.TarFile) -> Any:  # there is no public place for it
        if self.size > LONGEST_HEADER and self.type in _EXTENSIONS:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return super()._proc_member(tar)  # type: ignore[misc] # the stub has no private names


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Watched:
    """A file whose reader is stopped where there is a reason to."""

    def __init__(self, file: _Readable, watch: Callable[[], str]) -> None:
        self._file = file
        self._watch = watch
        self._unwatched = 0

    def read(self, size: int, /) -> bytes:
        self._unwatched += size
        if self._unwatched >= CHUNK_BYTES:
            self._unwatched = 0
            if reason := self._watch():
                raise LabError(reason)
        return self._file.read(size)


def _decompressed(layer: IO[bytes]) -> _Readable:
    """A layer as a tar file: engines save it as it is, or compressed as it came from the registry."""
    magic = layer.read(4)
    layer.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=layer)
    if magic == b"\x28\xb5\x2f\xfd":
        return zstandard.ZstdDecompressor().stream_reader(layer, read_across_frames=True)
    return layer


# --- from the engine -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def saved(lab: Lab, tag: str, watch: Callable[[], str] = lambda: "") -> Iterator[SavedImage]:
    """Save an image to a temporary file, which goes with the block.

    Args:
        lab: the open lab.
        tag: the image's tag.
        watch: called again and again, also while the engine sends nothing: a reason to stop, or an empty text.

    Raises:
        LabError: there is no such image, it cannot be read, or there was a reason to stop.
    """
    with tempfile.TemporaryFile() as file:
        with image_errors(tag):
            _save(lab, tag, file, watch)
        file.seek(0)
        with readable("The image"), tarfile.open(fileobj=file) as tar:
            yield SavedImage(tar, watch)


def _save(lab: Lab, tag: str, into: IO[bytes], watch: Callable[[], str]) -> None:
    """Save an image, in a thread: nothing else can be stopped while the engine prepares it and is silent."""
    stopped = threading.Event()
    streams: list[CancellableStream[bytes]] = []
    failures: list[Exception] = []

    def save() -> None:
        try:
            # The SDK's own method hides the response, which alone can be closed from another thread.
            response = raw_api.request(lab.client, "get", "/images/{0}/get", tag, stream=True)
            streams.append(CancellableStream(iter(()), response))
            for chunk in response.iter_content(CHUNK_BYTES):
                if stopped.is_set():
                    return
                into.write(chunk)
        except Exception as error:  # raised again where it is waited for
            failures.append(error)

    thread = threading.Thread(target=save, daemon=True, name="save")
    thread.start()
    try:
        while thread.is_alive():
            if reason := watch():
                raise LabError(reason)
            thread.join(0.1)
    except BaseException:
        stopped.set()
        for stream in streams:
            with contextlib.suppress(OSError, DockerException, AttributeError):  # it has ended, or is one over SSH
                stream.close()
        raise
    if failures:
        raise failures[0]


@contextlib.contextmanager
def image_errors(tag: str) -> Iterator[None]:
    """Say it clearly where the engine has no such image, or does not tell of it."""
    try:
        yield
    except NotFound as error:
        seen = f"There is no image {tag} on the engine."
        raise LabError(seen, "Build it first: run the cells above this one.") from error
    except APIError as error:
        seen = f"The engine gave no information about the image {tag}: {error.explanation}."
        raise LabError(seen, "See what it says.") from error
