"""Images from a registry, with the credentials that the user has for it, as the docker command line sends them.

BuildKit in the engine gets credentials in a session, which the docker command line holds open. It does not read what
the header of a request to build says of them (github.com/moby/moby, issue 48112). So the images that a build needs are
pulled before it.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator
from typing import Any

import docker
from docker import auth
from docker.errors import DockerException
from docker.utils import parse_repository_tag
from requests.exceptions import RequestException

from ..errors import LabError
from . import raw_api


class NotPulled(LabError):
    """A registry did not give an image."""


def credentials(image: str) -> dict[str, Any]:
    """The user's credentials for the registry of an image, from `config.json` or a credential helper; often none.

    Raises:
        LabError: the credential helper fails, or `config.json` cannot be read.
    """
    with warnings.catch_warnings(action="ignore"):  # the SDK warns of a helper that is missing, and then raises
        try:
            registry, _ = auth.resolve_repository_name(parse_repository_tag(image)[0])
            return auth.load_config().resolve_authconfig(registry) or {}
        except (DockerException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise LabError(
                f"The credentials for {image} could not be had: {error}.",
                "Log in again with `docker login`, or see what ~/.docker/config.json names as a credential helper.",
            ) from error


def header(image: str) -> dict[str, str]:
    """The header that has the credentials for an image; without any that can be read, the request is anonymous."""
    try:
        found = credentials(image)
    except LabError:
        found = {}
    return {"X-Registry-Auth": auth.encode_header(found).decode()} if found else {}


def pull(client: docker.DockerClient, image: str, seconds: float = 120) -> Iterator[None]:
    """Pull an image, with a step of the iteration for each line that the engine sends meanwhile.

    Args:
        client: of the engine.
        image: as a Dockerfile names it.
        seconds: how long the engine may be silent.

    Raises:
        NotPulled: the registry did not give it; the message says why, and names a credential helper that failed.
    """
    repository, tag = parse_repository_tag(image)
    parameters = {"fromImage": repository, "tag": tag or "latest"}
    problem = ""
    try:
        response = raw_api.request(
            client, "post", "/images/create", params=parameters, headers=header(image), stream=True, timeout=seconds
        )
        with contextlib.closing(response):  # the engine gives up a pull that nobody waits for
            for line in response.iter_lines():
                problem = json.loads(line).get("error", "") if line else ""
                if problem:
                    break
                yield
    except (DockerException, RequestException, ValueError) as error:
        problem = str(getattr(error, "explanation", None) or error)
    if problem:
        raise NotPulled(problem, _advice(image))


def _advice(image: str) -> str:
    """What to do about the credentials for an image, or "" where they can be read."""
    try:
        credentials(image)
    except LabError as error:
        return str(error)
    return ""
