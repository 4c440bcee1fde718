"""Requests to an engine for which the docker SDK has no method, or none that streams the answer."""

from __future__ import annotations

from typing import Any

import docker
from requests import Response


def get(client: docker.DockerClient, path: str, *names: str, **options: Any) -> Response:
    """Send a GET request. The caller closes the response if it is a stream.

    Args:
        client: of the engine.
        path: without the API's version, and `{0}` for a name: ``/containers/{0}/changes``.
        names: what to put into the path, quoted.
        options: as `requests` takes them: ``params``, ``headers``, ``stream``, ``timeout`` in seconds.

    Raises:
        APIError: the engine refuses it.
    """
    return _checked(client, "_get", path, names, options)


def post(client: docker.DockerClient, path: str, *names: str, **options: Any) -> Response:
    """Send a POST request, as `get` does."""
    return _checked(client, "_post", path, names, options)


def _checked(
    client: docker.DockerClient, method: str, path: str, names: tuple[str, ...], options: dict[str, Any]
) -> Response:
    api: Any = client.api  # these methods of the SDK are private, and so its type stubs have none of them
    response: Response = getattr(api, method)(api._url(path, *names), **options)
    try:
        api._raise_for_status(response)
    except BaseException:
        response.close()
        raise
    return response
