"""Requests to an engine for which the docker SDK has no method, or none that streams the answer or takes a timeout."""

from __future__ import annotations

from typing import Any, Literal

import docker
from docker.errors import APIError
from requests import Response


def request(
    client: docker.DockerClient, method: Literal["get", "post"], path: str, *names: str, **options: Any
) -> Response:
    """Send a request. The caller closes the response if it is a stream.

    Args:
        client: of the engine.
        method: of HTTP.
        path: without the API's version, and `{0}` for a name: ``/containers/{0}/changes``.
        names: what to put into the path, quoted.
        options: as `requests` takes them: ``params``, ``headers``, ``data``, ``stream``, ``timeout`` in seconds.

    Raises:
        APIError: the engine refuses it.
    """
    api: Any = client.api  # these methods of the SDK are private, and so its type stubs have none of them
    response: Response = getattr(api, f"_{method}")(api._url(path, *names), **options)
    try:
        api._raise_for_status(response)
    except (KeyError, TypeError) as error:  # the SDK finds no message in the answer
        raise APIError(str(error), response, response.text.strip()) from error
    except BaseException:
        response.close()
        raise
    return response
