"""The base image from archives that `docker save` has written: a bundle, which `DOCKERLAB_BUNDLE` names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import docker
import zstandard
from docker.errors import DockerException
from requests.exceptions import RequestException

from ... import labels
from ...errors import LabError
from .. import versions
from . import images


def load(client: docker.DockerClient, report: Callable[[str], None]) -> str:
    """Load a base image from the bundle. Return its tag.

    Raises:
        LabError: there is no bundle, there is no base image in it, or the engine does not take it.
    """
    bundle = os.environ.get("DOCKERLAB_BUNDLE")
    if not bundle:
        raise LabError("DOCKERLAB_BUNDLE names no archive")
    loaded: list[str] = []
    for archive in archives(Path(bundle).expanduser()):
        if not archive.is_file():
            raise LabError(f"DOCKERLAB_BUNDLE names {archive}, and there is no such file")
        report(f"Base image: loading {archive}.")
        try:
            for line in load_archive(client, archive):
                if "error" in line:
                    raise LabError(f"the engine did not take {archive} ({line['error']})")
                loaded += re.findall(r"Loaded image: (\S+)", line.get("stream", ""))
        except (DockerException, RequestException, OSError, zstandard.ZstdError) as error:
            raise LabError(f"the engine did not take {archive} ({images.reason(error)})") from error
        for tag in map(images.short_tag, loaded):
            if tag == versions.BASE_IMAGE or tag.startswith(f"{labels.BASE_REPOSITORY}:"):
                return tag
    found = ", ".join(loaded) or "no archive of an image"
    raise LabError(f"{bundle} holds {found}, and neither {versions.BASE_IMAGE} nor {labels.BASE_REPOSITORY}")


def archives(bundle: Path) -> list[Path]:
    """The archives in a bundle: itself, or those in the folder, one that is named after the base first."""
    if not bundle.is_dir():
        return [bundle]
    found = [path for path in bundle.iterdir() if path.name.endswith((".tar", ".tar.gz", ".tgz", ".tar.zst"))]
    return sorted(found, key=lambda path: (not path.name.startswith("base"), path.name))


def load_archive(client: docker.DockerClient, archive: Path) -> Iterable[dict[str, Any]]:
    """Load the images in an archive: what the engine says meanwhile."""
    messages: Iterable[dict[str, Any]] = client.api.load_image(unpacked(archive))  # type: ignore[no-untyped-call]  # stub
    return messages


def unpacked(archive: Path) -> Iterator[bytes]:
    """An archive as every engine takes it: engines before 23 do not know zstd."""
    with zstandard.open(archive, "rb") if archive.name.endswith(".zst") else archive.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            yield chunk
