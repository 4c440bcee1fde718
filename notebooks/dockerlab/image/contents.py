"""What an image holds: the content of each layer, what of a secret is left in it, and how soon a container answers."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import tarfile
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, TypeVar

import zstandard
from docker.errors import APIError, DockerException, NotFound
from docker.types import CancellableStream

from ..errors import LabError
from ..lab.lab import Lab
from ..records import Build, ImageContent, ImageLayer, Leak
from ..run.container import errors_explained, serve

T = TypeVar("T")

SHORTEST_SECRET = 6
"""Characters. What is shorter than that is found in some binary file of every image."""

LONGEST_HEADER = 1 << 20
"""Bytes of what an archive says of one file, its name and attributes: a reader holds them in memory."""

_CHUNK_BYTES = 1 << 20
_DELETED = ".wh."
"""How the name of a file begins in a layer that deletes it (the OCI image specification, "Whiteouts")."""

_OPAQUE = ".wh..wh..opq"
"""The file that hides all that the layers below have in a folder (the same)."""


def content(lab: Lab, image: str | Build) -> ImageContent:
    """The layers of an image, with the size of the files that each has added, as `docker history` tells them.

    It is the content that is told, before compression: what a registry stores and sends is smaller, and what an engine
    stores on its disk depends on how it does so.

    Args:
        lab: the open lab. Layers that its base image has, too, are told as the base's.
        image: the image's tag, or the build that made it.

    Raises:
        LabError: there is no such image.
        EngineUnreachable: the engine no longer answers.
    """
    name, tag = _named(image)
    with errors_explained(lab, name):
        history = _of_image(tag, lambda: lab.client.api.history(tag))
        below = _of_image(lab.base_image, lambda: lab.client.api.history(lab.base_image))
        own, base = _diff_ids(lab, tag), _diff_ids(lab, lab.base_image)
    shared = len(below) if own[: len(base)] == base else 0
    return ImageContent(
        name,
        tuple(
            ImageLayer(instruction(entry["CreatedBy"]), entry["Size"], number < shared)
            for number, entry in enumerate(reversed(history))
        ),
    )


def first_answer(lab: Lab, images: Mapping[str, str | Build], *, rounds: int = 3, **options: Any) -> dict[str, float]:
    """How long each image takes from the request for a container until its application answers.

    The images take turns, so that what else happens on the machine meets them alike.

    Args:
        lab: the open lab.
        images: the images by the name to tell.
        rounds: how many times each is started; the quickest counts, since a machine only ever adds to it.
        options: further arguments for `serve`.

    Returns:
        Seconds, by name.

    Raises:
        LabError: what `serve` raises.
    """
    seconds = dict.fromkeys(images, float("inf"))
    for number in range(rounds):
        for name, image in images.items() if number % 2 == 0 else reversed(images.items()):
            began = time.perf_counter()
            with serve(lab, image, **options):
                seconds[name] = min(seconds[name], time.perf_counter() - began)
    return seconds


def leaks(lab: Lab, image: str | Build, secret: str) -> tuple[Leak, ...]:
    """Where a secret can be read in an image, by anybody who has it: in its history and settings, and in its layers.

    The image is saved as `docker save` does. A layer keeps each file that it was made with: a later layer that deletes
    it only hides it. The layers of the lab's base image are left out.

    Args:
        lab: the open lab.
        image: the image's tag, or the build that made it.
        secret: what to look for, as it is written; encoded or compressed, it is not found.

    Raises:
        LabError: there is no such image, or the secret is too short to look for.
        EngineUnreachable: the engine no longer answers.
    """
    if len(secret) < SHORTEST_SECRET:
        raise LabError(
            f"A secret of {len(secret)} characters is found by chance.",
            f"Look for one of at least {SHORTEST_SECRET} characters.",
        )
    name, tag = _named(image)
    base = _diff_ids(lab, lab.base_image)
    with errors_explained(lab, name), saved(lab, tag) as archive:
        return tuple(found_in(archive, secret, base))


def found_in(saved: tarfile.TarFile, secret: str, base: Sequence[str] = ()) -> Iterator[Leak]:
    """Where a secret is in an image that was saved.

    Args:
        saved: what `docker save` has written.
        secret: what to look for.
        base: the digests of layers not to look into (the configuration's `diff_ids`), from the lowest.

    Raises:
        LabError: the archive is none of an image, or is broken.
    """
    manifest = _manifest(saved)
    config = json.load(_member(saved, manifest["Config"]))
    for entry in config.get("history", []):
        if secret in entry.get("created_by", ""):
            yield Leak("history", instruction(entry["created_by"]))
    settings = config.get("config", {})
    for variable in settings.get("Env") or []:
        if secret in variable:
            yield Leak("settings", f"ENV {variable.partition('=')[0]}")
    for label, value in (settings.get("Labels") or {}).items():
        if secret in value:
            yield Leak("settings", f"LABEL {label}")

    made_by = [entry.get("created_by", "") for entry in config.get("history", []) if not entry.get("empty_layer")]
    found: list[tuple[str, str]] = []
    deleted: dict[str, int] = {}  # which files' names, and how many had been found when that was
    for number, (path, digest) in enumerate(zip(manifest["Layers"], config["rootfs"]["diff_ids"], strict=True)):
        if number < len(base) and digest == base[number]:
            continue
        by = instruction(made_by[number]) if number < len(made_by) else ""
        here, hides = _search(saved, path, secret.encode())
        deleted |= dict.fromkeys(hides, len(found))
        found += [(by, name) for name in here]
    for number, (by, name) in enumerate(found):
        hidden = any(
            number < before and (name == gone or name.startswith(f"{gone}/")) for gone, before in deleted.items()
        )
        yield Leak("layer", by, f"/{name}", hidden)


def instruction(created_by: str) -> str:
    """The instruction of a Dockerfile, as it stands there, from the text in an image's history."""
    text = created_by.removesuffix("# buildkit").strip()
    text = text.removeprefix("/bin/sh -c #(nop)").strip()  # the classic builder's
    if text.startswith(("/bin/sh -c ", "|")):
        text = f"RUN {text}"
    # `RUN |2 A=1 B=2 /bin/sh -c command`: the build arguments that the command could see
    return re.sub(r"^RUN (\|\d+ (?P<arguments>.*?) )?/bin/sh -c ", _with_arguments, text, count=1, flags=re.DOTALL)


def _with_arguments(match: re.Match[str]) -> str:
    return f"RUN [{match['arguments']}] " if match["arguments"] else "RUN "


# --- a saved image ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def saved(lab: Lab, tag: str, trouble: Callable[[], str] = lambda: "") -> Iterator[tarfile.TarFile]:
    """An image as `docker save` writes it, in a temporary file that goes with the block.

    Args:
        lab: the open lab.
        tag: the image's tag.
        trouble: is asked again and again, also while the engine sends nothing: a reason to give up, or an empty text.

    Raises:
        LabError: there is no such image, or there was a reason to give up.
    """
    with tempfile.TemporaryFile() as file:
        _of_image(tag, lambda: _copy(lab, tag, file, trouble))
        file.seek(0)
        with _intact("The image"), tarfile.open(fileobj=file) as archive:
            yield archive


def _copy(lab: Lab, tag: str, into: IO[bytes], trouble: Callable[[], str]) -> None:
    """Save an image, in a thread: while the engine prepares it, nothing could be broken off otherwise."""
    api = lab.client.api
    given_up = threading.Event()
    streams: list[CancellableStream] = []
    failures: list[Exception] = []

    def copy() -> None:
        try:
            response = api._get(api._url("/images/{0}/get", tag), stream=True)
            api._raise_for_status(response)
            streams.append(CancellableStream(None, response))
            for chunk in response.iter_content(_CHUNK_BYTES):
                if given_up.is_set():
                    return
                into.write(chunk)
        except Exception as error:  # is raised where it is waited for
            failures.append(error)

    thread = threading.Thread(target=copy, daemon=True, name="save")
    thread.start()
    try:
        while thread.is_alive():
            if reason := trouble():
                raise LabError(reason)
            thread.join(0.1)
    except BaseException:
        given_up.set()
        for stream in streams:
            with contextlib.suppress(OSError, DockerException, AttributeError):  # it has ended, or is one over SSH
                stream.close()
        raise
    if failures:
        raise failures[0]


def layers(saved: tarfile.TarFile) -> list[str]:
    """The names of a saved image's layers, from the lowest.

    Raises:
        LabError: the archive is none of an image, or is broken.
    """
    return list(_manifest(saved)["Layers"])


def files(
    saved: tarfile.TarFile, layer: str, trouble: Callable[[], str] = lambda: ""
) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """What a layer of a saved image holds, in its order: each member, with its content where it is a file.

    A layer is a tar file as it is, or compressed by gzip or zstd; or a link to one that two layers have in common.
    A content can be read until the next member is asked for. No more is held in memory than one header.

    Args:
        saved: what `docker save` has written.
        layer: its name, of `layers`.
        trouble: is asked at each megabyte: a reason to give up, or an empty text.

    Raises:
        LabError: the layer is missing or broken, or there was a reason to give up.
    """
    with _intact(f"The layer {layer}"):
        content = _Watched(_unpacked(_member(saved, layer)), trouble)
        with tarfile.open(fileobj=content, mode="r|", tarinfo=_Info) as tar:  # type: ignore[call-overload]
            for item in tar:
                tar.members.clear()  # they are kept otherwise, and a layer may have millions
                yield item, tar.extractfile(item) if item.isfile() else None


@contextlib.contextmanager
def _intact(what: str) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, zstandard.ZstdError) as error:
        raise LabError(f"{what}, as the engine has saved it, cannot be read ({error}).", _SEE_ENGINE) from error


class _Info(tarfile.TarInfo):
    """A member whose header is no longer than memory should hold: a layer may come from anybody's base image."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size > LONGEST_HEADER and self.type in _EXTENSIONS:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return super()._proc_member(tar)  # type: ignore[misc]


_EXTENSIONS = {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE}
_EXTENSIONS |= {tarfile.SOLARIS_XHDTYPE}


class _Watched:
    """A file whose reader is given up where there is a reason to."""

    def __init__(self, file: IO[bytes], trouble: Callable[[], str]) -> None:
        self._file = file
        self._trouble = trouble
        self._unwatched = 0

    def read(self, size: int) -> bytes:
        self._unwatched += size
        if self._unwatched >= _CHUNK_BYTES:
            self._unwatched = 0
            if reason := self._trouble():
                raise LabError(reason)
        return self._file.read(size)


_SEE_ENGINE = "See which engine it is with `dockerlab doctor`."


def _manifest(saved: tarfile.TarFile) -> dict[str, Any]:
    try:
        manifest = json.load(_member(saved, "manifest.json"))[0]
        if isinstance(manifest["Config"], str) and all(isinstance(name, str) for name in manifest["Layers"]):
            return manifest
    except (ValueError, LookupError, TypeError):
        pass
    raise LabError("The engine saved the image with a manifest.json that cannot be read.", _SEE_ENGINE)


def _member(saved: tarfile.TarFile, name: str) -> IO[bytes]:
    # Engines before 25 save a layer that two images share once, and a link in the place of the other.
    with contextlib.suppress(KeyError, RecursionError):
        if file := saved.extractfile(name):
            return file
    raise LabError(f"The engine saved the image without {name}.", _SEE_ENGINE)


def _unpacked(layer: IO[bytes]) -> IO[bytes]:
    """A layer as a tar file: engines save it as it is, or compressed as it came from the registry."""
    magic = layer.read(4)
    layer.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=layer)
    if magic == b"\x28\xb5\x2f\xfd":
        return zstandard.ZstdDecompressor().stream_reader(layer, read_across_frames=True)
    return layer


def _search(saved: tarfile.TarFile, layer: str, needle: bytes) -> tuple[list[str], list[str]]:
    """The files of a layer that hold the needle, and what the layer hides of those below."""
    found, hides = [], []
    with _intact(f"The layer {layer}"):
        for item, content in files(saved, layer):
            folder, _, name = item.name.removeprefix("./").rpartition("/")
            prefix = f"{folder}/" if folder else ""
            if name == _OPAQUE:
                hides.append(folder)
            elif name.startswith(_DELETED):
                hides.append(prefix + name.removeprefix(_DELETED))
            elif _holds(content, needle):
                found.append(prefix + name)
    return found, hides


def _holds(file: IO[bytes] | None, needle: bytes) -> bool:
    end = b""
    while file and (chunk := file.read(_CHUNK_BYTES)):
        if needle in end + chunk:
            return True
        end = chunk[-len(needle) :]
    return False


# --- the engine ------------------------------------------------------------------------------------------------------


def _named(image: str | Build) -> tuple[str, str]:
    return (image.name, image.image) if isinstance(image, Build) else (image, image)


def _of_image(tag: str, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except NotFound as error:
        seen = f"There is no image {tag} on the engine."
        raise LabError(seen, "Build it first: run the cells above this one.") from error
    except APIError as error:
        raise LabError(
            f"The engine would not tell of the image {tag}: {error.explanation}.", "See what it says."
        ) from error


def _diff_ids(lab: Lab, tag: str) -> list[str]:
    with errors_explained(lab, tag):
        found = _of_image(tag, lambda: lab.client.api.inspect_image(tag))
    return found["RootFS"].get("Layers") or []
