"""The base image of the lessons: the official Python image where it can be had, else one that behaves like it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import docker
from docker.errors import APIError, DockerException
from filelock import FileLock
from requests.exceptions import RequestException

from ... import folders, labels
from ...errors import BaseImageMissing, EngineUnreachable, LabError
from .. import kit as kits
from .. import versions
from . import bootstrap, bundle, from_kit, images, official

VARIABLE = "DOCKERLAB_BASE_IMAGE"
"""Names an image on the engine to use as the base, whatever else there is. The laboratory's own tests do."""


@dataclass(frozen=True)
class BaseImage:
    """The image to pass to builds as BASE_IMAGE.

    Attributes:
        tag: ``python:3.13.9-slim``, or a tag of the lab's own.
        origin: ``present``, ``kit``, ``pulled``, ``loaded`` (from a bundle) or ``bootstrapped``.
    """

    tag: str
    origin: str


def ensure(client: docker.DockerClient, report: Callable[[str], None] = print) -> BaseImage:
    """Have a base image on the engine: present, else pulled, else loaded from a bundle, else bootstrapped.

    Where there is a kit, it is the kit's, and nothing else is tried: a build must not need a network that is not there.

    Args:
        client: of the engine.
        report: is called with each line of progress; nothing is said where the image is present.

    Raises:
        BaseImageMissing: it cannot be had in any of these ways; the message says why for each.
        EngineUnreachable: the engine does not answer any more.
    """
    try:
        if tag := present(client):
            return BaseImage(tag, "present")
        with FileLock(folders.cached("base") / "lock"):
            if tag := present(client):
                return BaseImage(tag, "present")
            image = _obtain(client, report)
    except APIError as error:
        raise BaseImageMissing(
            f"The engine refused what the base image needs ({images.reason(error)}).",
            "Look at the engine's log, and its disk.",
        ) from error
    except (DockerException, RequestException) as error:
        raise EngineUnreachable(
            f"The engine did not answer while the base image was looked for ({type(error).__name__}).",
            "See whether it runs: `dockerlab doctor`.",
        ) from error
    except OSError as error:
        raise BaseImageMissing(
            f"{error.filename or folders.cache() / 'base'} cannot be used ({error.strerror or error}).",
            "Make room there, or set DOCKERLAB_CACHE to another folder.",
        ) from error
    report(f"Base image: {image.tag} is ready ({image.origin}).")
    return image


def present(client: docker.DockerClient) -> str | None:
    """The tag of the base image that the engine has, or None. The official one is preferred to the lab's own.

    Raises:
        BaseImageMissing: the engine has no image of the name that `DOCKERLAB_BASE_IMAGE` gives.
    """
    if named := os.environ.get(VARIABLE):
        if not images.image_id(client, named):
            raise BaseImageMissing(
                f"{VARIABLE} names {named}, and the engine has no such image.",
                "Build or load it, or unset the variable.",
            )
        return named
    if kit := kits.find():
        return kit.tag if images.image_id(client, kit.tag) else None
    if images.image_id(client, versions.BASE_IMAGE):
        return official.trusting_tag(client)
    own = client.api.images(name=labels.BASE_REPOSITORY, filters={"label": f"{labels.BASE}=1"})
    for image in sorted(own, key=lambda image: image["Created"], reverse=True):
        for tag in map(images.short_tag, image.get("RepoTags") or []):
            if not kits.is_tag(tag):
                return tag
    return None


def _obtain(client: docker.DockerClient, report: Callable[[str], None]) -> BaseImage:
    """Get the image, or raise with the reason of each way that failed."""
    if kit := kits.find():
        return BaseImage(from_kit.load(client, kit, report), "kit")
    if images.image_id(client, versions.BASE_IMAGE):
        return BaseImage(official.make_trusting(client, report), "present")
    reasons = []
    try:
        official.pull(client, report)
        return BaseImage(official.make_trusting(client, report), "pulled")
    except LabError as error:
        reasons.append(f"not pulled: {error.seen}")
    try:
        tag = bundle.load(client, report)
        return BaseImage(official.make_trusting(client, report) if tag == versions.BASE_IMAGE else tag, "loaded")
    except LabError as error:
        reasons.append(f"not loaded: {error.seen}")
    report(f"Base image: {versions.BASE_IMAGE} is {'; '.join(reasons)}.")
    try:
        return BaseImage(bootstrap.make(client, report), "bootstrapped")
    except BaseImageMissing as error:
        reasons.append(f"not bootstrapped: {error.seen}")
        do = error.do or "Give the engine access to a registry, or set DOCKERLAB_BUNDLE to an archive of the image."
        log = "\n".join([*reasons, *error.log.splitlines()])
        seen = f"There is no base image, and {versions.BASE_IMAGE} cannot be had."
        raise BaseImageMissing(seen, do, log=log) from error
