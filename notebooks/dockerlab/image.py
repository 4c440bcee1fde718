"""What an image holds: the content of each layer, what of a secret is left in it, and how soon a container answers."""

from __future__ import annotations

import gzip
import json
import re
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, TypeVar

import zstandard
from docker.errors import APIError, NotFound

from .errors import LabError
from .lab import Lab
from .records import Build, ImageContent, ImageLayer, Leak
from .serve import asking, serve

T = TypeVar("T")

SHORTEST_SECRET = 6
"""Characters. What is shorter than that is found in some binary file of every image."""

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
    with asking(lab, name):
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
    with tempfile.TemporaryFile() as file:
        with asking(lab, name):
            _of_image(tag, lambda: file.writelines(lab.client.api.get_image(tag)))
        file.seek(0)
        with tarfile.open(fileobj=file) as saved:
            return tuple(found_in(saved, secret, base))


def found_in(saved: tarfile.TarFile, secret: str, base: Sequence[str] = ()) -> Iterator[Leak]:
    """Where a secret is in an image that was saved.

    Args:
        saved: what `docker save` has written.
        secret: what to look for.
        base: the digests of layers not to look into (the configuration's `diff_ids`), from the lowest.
    """
    manifest = json.load(_member(saved, "manifest.json"))[0]
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
        here, hides = _search(_unpacked(_member(saved, path)), secret.encode())
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


def _member(saved: tarfile.TarFile, name: str) -> IO[bytes]:
    try:
        if file := saved.extractfile(name):
            return file
    except KeyError:
        pass
    raise LabError(f"The engine saved the image without {name}.", "See which engine it is with `dockerlab doctor`.")


def _unpacked(layer: IO[bytes]) -> IO[bytes]:
    """A layer as a tar file: engines save it as it is, or compressed as it came from the registry."""
    magic = layer.read(4)
    layer.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=layer)
    if magic == b"\x28\xb5\x2f\xfd":
        return zstandard.ZstdDecompressor().stream_reader(layer)
    return layer


def _search(layer: IO[bytes], needle: bytes) -> tuple[list[str], list[str]]:
    """The files of a layer that hold the needle, and what the layer hides of those below."""
    found, hides = [], []
    with tarfile.open(fileobj=layer, mode="r|") as tar:
        for item in tar:
            folder, _, name = item.name.removeprefix("./").rpartition("/")
            prefix = f"{folder}/" if folder else ""
            if name == _OPAQUE:
                hides.append(folder)
            elif name.startswith(_DELETED):
                hides.append(prefix + name.removeprefix(_DELETED))
            elif item.isfile() and _holds(tar.extractfile(item), needle):
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
    with asking(lab, tag):
        found = _of_image(tag, lambda: lab.client.api.inspect_image(tag))
    return found["RootFS"].get("Layers") or []
