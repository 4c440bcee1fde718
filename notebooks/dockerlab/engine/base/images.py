"""The images on an engine that base images are made from and looked for among."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import docker
from docker.errors import BuildError, ImageNotFound

from ... import archives, labels
from ...errors import BaseImageMissing


def image_id(client: docker.DockerClient, tag: str) -> str:
    """The id of an image, or "" where the engine has none of this tag."""
    try:
        return str(client.api.inspect_image(tag)["Id"])  # type: ignore[no-untyped-call]  # the stub has no types
    except ImageNotFound:
        return ""


def short_tag(tag: str) -> str:
    """A tag as Docker writes it; Podman puts a registry before each."""
    for prefix in ("docker.io/library/", "docker.io/", "localhost/"):
        tag = tag.removeprefix(prefix)
    return tag


def reason(error: Exception | str) -> str:
    """What the engine said, in a few words: the part after the last colon names the cause."""
    message = str(getattr(error, "explanation", None) or error).strip()
    return message.rsplit(": ", 1)[-1].strip('"() ') or type(error).__name__


def derive(
    client: docker.DockerClient,
    tag: str,
    context: Mapping[str, str | bytes | Path],
    *,
    failed: str,
    network_mode: str | None = None,
) -> None:
    """Build a base image of the lab's own.

    Args:
        client: of the engine.
        tag: for the image.
        context: the files of the build context, by their paths in it, with the Dockerfile.
        failed: what to say where the build fails.
        network_mode: the network of the build's steps.

    Raises:
        BaseImageMissing: the build failed; the message has its log.
    """
    with archives.tar(context) as archive:
        try:
            client.images.build(
                fileobj=archive,
                custom_context=True,
                tag=tag,
                labels={labels.BASE: "1"},
                network_mode=network_mode,
                rm=True,
                forcerm=True,
            )
        except BuildError as error:
            log = "".join(line.get("stream", "") for line in error.build_log)
            raise BaseImageMissing(failed, "See what was printed.", log=log) from error
