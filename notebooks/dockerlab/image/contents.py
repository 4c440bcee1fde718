"""What an image holds: the size of each layer, what of a secret is left in it, and how soon a container answers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import IO, Any

from ..errors import LabError
from ..lab.lab import Lab
from ..records import Build, ImageContent, ImageLayer, Leak
from ..run import container_files
from ..run.container import create_errors_explained, errors_explained, serve
from .archive import CHUNK_BYTES, SavedImage, hidden_by, image_errors, path_of, readable, saved

SHORTEST_SECRET = 6
"""Characters. What is shorter than that is found in some binary file of every image."""


def content(lab: Lab, image: str | Build) -> ImageContent:
    """The layers of an image, with the size of the files that each has added, as `docker history` reports them.

    The sizes are those before compression: what a registry stores and sends is smaller, and what an engine stores on
    its disk depends on how it does so.

    Args:
        lab: the open lab. Layers that its base image has, too, count as the base's.
        image: the image's tag, or the build that made it.

    Raises:
        LabError: there is no such image.
        EngineUnreachable: the engine no longer answers.
    """
    name, tag = _named(image)
    with errors_explained(lab, name):
        history, own = _layers(lab, tag)
        below, base = _layers(lab, lab.base_image)
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
        for name in images if number % 2 == 0 else reversed(list(images)):
            began = time.perf_counter()
            with serve(lab, images[name], **options):
                seconds[name] = min(seconds[name], time.perf_counter() - began)
    return seconds


def has_file(lab: Lab, image: str | Build, path: str) -> bool:
    """Whether a container of an image shows a file. None is started.

    Args:
        lab: the open lab.
        image: the image's tag, or the build that made it.
        path: the file's, from the root: ``/code/.env``.

    Raises:
        LabError: there is no such image.
        EngineUnreachable: the engine no longer answers.
    """
    name, tag = _named(image)
    with create_errors_explained(lab, name, tag):
        container = lab.client.containers.create(tag, ["none"], labels=lab.labels)
    with errors_explained(lab, name):
        try:
            return container_files.archive(container, PurePosixPath(path)) is not None
        finally:
            container.remove(force=True, v=True)


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
    with errors_explained(lab, name):
        _, base = _layers(lab, lab.base_image)
        with saved(lab, tag) as archive:
            return tuple(found_in(archive, secret, base))


def found_in(image: SavedImage, secret: str, base: Sequence[str] = ()) -> Iterator[Leak]:
    """Where a secret is in an image that was saved.

    Args:
        image: the saved image.
        secret: what to look for.
        base: the digests of layers not to look into (the configuration's `diff_ids`), from the lowest.

    Raises:
        LabError: the archive is broken.
    """
    config = image.config()
    history, settings = config.get("history") or [], config.get("config") or {}
    for entry in history:
        if secret in entry.get("created_by", ""):
            yield Leak("history", instruction(entry["created_by"]))
    for variable in settings.get("Env") or []:
        if secret in variable:
            yield Leak("settings", f"ENV {variable.partition('=')[0]}")
    for label, value in (settings.get("Labels") or {}).items():
        if secret in value:
            yield Leak("settings", f"LABEL {label}")

    made_by = [entry.get("created_by", "") for entry in history if not entry.get("empty_layer")]
    found: list[tuple[str, str]] = []
    deleted: dict[str, int] = {}  # the paths that are hidden, and how many had been found before that
    for number, (layer, digest) in enumerate(zip(image.layers, config["rootfs"]["diff_ids"] or [], strict=True)):
        if number < len(base) and digest == base[number]:
            continue
        by = instruction(made_by[number]) if number < len(made_by) else ""
        before = len(found)
        with readable(f"The layer {layer}"):
            for item, file in image.files(layer):
                path = path_of(item)
                if (hidden := hidden_by(path)) is not None:
                    deleted[hidden] = before
                elif file and _holds(file, secret.encode()):
                    found.append((by, path))
    for number, (by, path) in enumerate(found):
        is_hidden = any(
            number < before and (path == gone or path.startswith(f"{gone}/")) for gone, before in deleted.items()
        )
        yield Leak("layer", by, f"/{path}", is_hidden)


def _holds(file: IO[bytes], needle: bytes) -> bool:
    end = b""
    while chunk := file.read(CHUNK_BYTES):
        if needle in end + chunk:
            return True
        end = chunk[-len(needle) :]
    return False


def instruction(created_by: str) -> str:
    """The instruction of a Dockerfile, as it stands there, from the text in an image's history."""
    text = created_by.removesuffix("# buildkit").strip()
    text = text.removeprefix("/bin/sh -c #(nop)").strip()  # the classic builder's
    if text.startswith(("/bin/sh -c ", "|")):
        text = f"RUN {text}"
    # `RUN |2 A=1 B=2 /bin/sh -c command`: the build arguments that the command could see
    return re.sub(
        r"^RUN (\|\d+ (?P<arguments>.*?) )?/bin/sh -c ",
        lambda match: f"RUN [{match['arguments']}] " if match["arguments"] else "RUN ",
        text,
        count=1,
        flags=re.DOTALL,
    )


def _named(image: str | Build) -> tuple[str, str]:
    return (image.name, image.image) if isinstance(image, Build) else (image, image)


def _layers(lab: Lab, tag: str) -> tuple[list[dict[str, Any]], list[str]]:
    """An image's history as the engine tells it, the newest entry first; and its layers' digests, from the lowest."""
    with errors_explained(lab, tag), image_errors(tag):
        image = lab.client.images.get(tag)
        return image.history(), image.attrs["RootFS"].get("Layers") or []
