"""The images that a project builds on: whether each is available, and what is taken in its place where not."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import requests
from docker.errors import APIError, DockerException, ImageNotFound

from ..build import dockerfile as dockerfiles
from ..build.build_context import BuildSource
from ..engine import raw_api, registry
from ..errors import BaseImageMissing
from ..lab.lab import Lab
from ..records import Substitution
from .dockerfile_images import by_build_args, images, substitute, syntax
from .project import Project

REGISTRY_SECONDS = 10
"""How long the engine is given to ask a registry for one image."""


@dataclass(frozen=True)
class Prepared:
    """What is built.

    Attributes:
        dockerfile: the user's own, a path from the folder or an absolute one; or a copy with other images.
        substituted: what was replaced.
    """

    dockerfile: Path
    substituted: tuple[Substitution, ...]


class _Where(TypedDict):
    target: str | None
    platform: str


def prepare(lab: Lab, project: Project, source: BuildSource, bases: Mapping[str, str]) -> Prepared:
    """Make sure that each image is available, or replace it. The user's file stays as it is.

    Args:
        lab: the lab that builds it.
        project: what is audited.
        source: the user's Dockerfile.
        bases: what to take in place of an image; an empty text is the lab's base image.

    Raises:
        BaseImageMissing: an image is not on the engine and cannot be fetched, and nothing takes its place.
        LabError: the Dockerfile does not need an image that is to be replaced.
    """
    of_the_lab = {}
    if dockerfiles.parse(source.text).declares("BASE_IMAGE") and "BASE_IMAGE" not in project.build_args:
        of_the_lab["BASE_IMAGE"] = lab.base_image
    where: _Where = {"target": project.target, "platform": f"linux/{lab.engine.arch}"}
    arguments = {**of_the_lab, **project.build_args}
    by = {image: other or lab.base_image for image, other in bases.items()}
    replaced = substitute(source.text, by, build_args=arguments, keep_syntax=True, **where)
    needed = dict.fromkeys(use.image for use in images(replaced.text, build_args=arguments, **where))
    if missing := [image for image in needed if not _is_available(lab, image)]:
        raise _missing(lab, project, missing, bases)
    frontend = syntax(source.text)
    if frontend and not _is_available(lab, frontend[0]):
        replaced = substitute(source.text, by, build_args=arguments, **where)
    substituted = (*by_build_args(source.text, of_the_lab, **where), *replaced.substitutions)
    if not replaced.substitutions:
        return Prepared(project.dockerfile, substituted)
    copy = lab.workspace / "Dockerfile"
    copy.write_text(replaced.text, encoding="utf-8")
    if source.ignore_file and source.ignore_file.name != ".dockerignore":  # it counts for this Dockerfile alone
        shutil.copyfile(source.ignore_file, copy.with_name("Dockerfile.dockerignore"))
    return Prepared(copy, substituted)


def _is_available(lab: Lab, image: str) -> bool:
    """Whether an image is on the engine, or the engine can fetch it: it asks the registry itself."""
    with contextlib.suppress(ImageNotFound):
        lab.client.images.get(image)
        return True
    headers = registry.header(image)
    try:
        raw_api.request(lab.client, "get", "/distribution/{0}/json", image, headers=headers, timeout=REGISTRY_SECONDS)
    except APIError as error:
        # Podman has no such call: there the build will tell.
        return lab.engine.kind == "podman" and error.status_code == 404
    except (DockerException, requests.RequestException):
        return False
    return True


def _missing(lab: Lab, project: Project, missing: list[str], bases: Mapping[str, str]) -> BaseImageMissing:
    names = " and ".join(missing)
    what = "an image that is" if len(missing) == 1 else "images that are"
    given = [f"--base {image}{'=' + other if other else ''}" for image, other in bases.items()]
    options = " ".join([*given, *(f"--base {image}={lab.base_image}" for image in missing)])
    return BaseImageMissing(
        f"The Dockerfile needs {names}, {what} not on the engine and cannot be fetched from a registry.",
        f"Build on another image in its place; your file stays as it is: `dockerlab audit {project.shown} {options}` "
        f"(`--base {missing[0]}` alone means the same: the lab's base, Debian with Python 3.13).",
    )
