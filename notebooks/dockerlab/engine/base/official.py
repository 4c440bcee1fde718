"""The official Python image: pulled, and with this machine's certificate authorities where the network needs them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from ... import folders, labels
from ...errors import LabError
from .. import certificates, discovery, raw_api, registry, versions
from . import images

REGISTRY_SECONDS = 5
"""How long a registry may take to answer, before the lab goes on without one."""

FORGET_SECONDS = 3600
"""For how long the lab remembers that an engine reached no registry."""


# --- pull ------------------------------------------------------------------------------------------------------------


def registry_problem(client: docker.DockerClient, *, remembered: bool = False) -> str:
    """Why the engine cannot pull the official image, or "" where it can. The engine itself asks the registry.

    Args:
        client: of the engine.
        remembered: whether an answer of the last hour will do.
    """
    memory = folders.cache() / "base" / "no-registry.json"
    engine = discovery.id_of(client)
    known = _read_json(memory)
    if remembered and engine in known and time.time() - known[engine]["asked"] < FORGET_SECONDS:
        return str(known[engine]["problem"])
    try:
        raw_api.request(client, "get", "/distribution/{0}/json", versions.BASE_IMAGE, timeout=REGISTRY_SECONDS)
        problem = ""
    except APIError as error:
        # Podman has no such request, and a registry that does not have the image says so when it is pulled.
        problem = "" if error.status_code == 404 else images.reason(error)
    except (DockerException, RequestException):
        problem = "no registry answers"
    known.pop(engine, None)
    if problem:
        known[engine] = {"asked": time.time(), "problem": problem}
    _write_json(memory, known)
    return problem


def pull(client: docker.DockerClient, report: Callable[[str], None]) -> None:
    """Pull the official image.

    Raises:
        LabError: the engine reaches no registry, or the registry did not give the image.
    """
    if problem := registry_problem(client, remembered=True):
        raise LabError(problem)
    image = versions.BASE_IMAGE
    report(f"Base image: pulling {image} (about 45 MB). `docker image rm {image}` removes it.")
    try:
        for _ in registry.pull(client, image):
            pass
    except registry.NotPulled as error:
        raise LabError(images.reason(error.seen)) from error


# --- a network that opens TLS ----------------------------------------------------------------------------------------


def derived_tag(trusted: tuple[str, ...]) -> str:
    """The lab's own tag for the official image with this machine's certificate authorities in it."""
    return f"{labels.BASE_REPOSITORY}:{versions.BASE_IMAGE.partition(':')[2]}-{certificates.digest(trusted)}"


def trusting_tag(client: docker.DockerClient) -> str | None:
    """The image to use where the engine has the official one: itself, the derived one, or None: not known yet."""
    trusted = certificates.of_this_machine()
    if not trusted:
        return versions.BASE_IMAGE
    if images.image_id(client, derived_tag(trusted)):
        return derived_tag(trusted)
    return versions.BASE_IMAGE if _decision(client, trusted) in _read_json(_decisions()) else None


def make_trusting(client: docker.DockerClient, report: Callable[[str], None]) -> str:
    """Have an image that trusts what this machine trusts: the official one, or one derived from it.

    It is derived only where an unknown authority stops `pip` in the official image.

    Returns:
        Its tag.

    Raises:
        BaseImageMissing: it could not be derived.
    """
    trusted = certificates.of_this_machine()
    if not trusted:
        return versions.BASE_IMAGE
    if not _is_stopped(client):
        # Remembered for each image and set of authorities: the question costs seconds.
        known = _read_json(_decisions())
        known[_decision(client, trusted)] = "trusted as it is"
        _write_json(_decisions(), known)
        return versions.BASE_IMAGE
    tag, image = derived_tag(trusted), versions.BASE_IMAGE
    report(f"Base image: this network intercepts TLS, so {tag} is derived: {image} with this machine's authorities.")
    dockerfile = [f"FROM {image}", f"COPY *.crt {certificates.STORE}/", "RUN update-ca-certificates"]
    dockerfile += [f"ENV {name}={file}" for name, file in certificates.ENVIRONMENT.items()]
    context = {"Dockerfile": "\n".join(dockerfile)} | {f"dockerlab-{i}.crt": pem for i, pem in enumerate(trusted)}
    images.derive(client, tag, context, failed=f"{tag} could not be derived from {image}.")
    return tag


def _is_stopped(client: docker.DockerClient) -> bool:
    """Whether `pip` in the official image meets a certificate that it does not trust: it tries to fetch a package."""
    fetch = ["pip", "download", "--no-deps", "--no-cache-dir", "--retries=0", "--timeout=5", "--dest=/tmp", "pip"]
    container = client.containers.create(versions.BASE_IMAGE, fetch, labels=labels.made_for("base"))
    try:
        container.start()
        container.wait(timeout=60)
        return b"CERTIFICATE_VERIFY_FAILED" in container.logs()
    finally:
        container.remove(force=True)


def _decisions() -> Path:
    return folders.cache() / "base" / "decided.json"


def _decision(client: docker.DockerClient, trusted: tuple[str, ...]) -> str:
    return f"{images.image_id(client, versions.BASE_IMAGE)} {certificates.digest(trusted)}"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content


def _write_json(path: Path, content: dict[str, Any]) -> None:
    folders.cached(path.parent.name)
    path.write_text(json.dumps(content, indent=1))
