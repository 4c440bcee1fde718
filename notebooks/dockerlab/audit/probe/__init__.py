"""The probe that an audit puts into containers, and what it answers.

Its code, `sitecustomize.py`, is read as text, never imported here: it runs in the audited container.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from ...run import traffic
from ..observations import ProbeAnswer

SOURCE = Path(__file__).with_name("sitecustomize.py")
PREFIX = "/__dockerlab/"
STARTED = "dockerlab probe: lifespan startup"
ENDED = "dockerlab probe: lifespan shutdown"
"""As in the probe's own code, which a test compares."""

FOLDER = "/dockerlab-probe"
"""The folder in the container."""

CLIENT = "198.51.100.23"
"""A proxy's client: an address that RFC 5737 keeps for documentation."""

HOST = "shop.example"

_HEADER = "x-dockerlab-probe"

LONGEST_TEXT = 2000
"""Characters that are kept of each text that the probe sends, for an application may answer in its place."""


def forwarded(client: str) -> dict[str, str]:
    """The headers of a proxy that ends TLS: `client` is what it passes on as X-Forwarded-For."""
    passed = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": HOST, "X-Forwarded-Port": "443"}
    return {**passed, "X-Forwarded-For": client}


def send(url: str, *, seconds: float, headers: Mapping[str, str] | None = None) -> traffic.Answer:
    """Send the probe a request, which it answers with what the application sees of it.

    Raises:
        httpx.TransportError: there was no answer in time.
    """
    return traffic.get(f"{url}{PREFIX}seen", seconds=seconds, headers=headers)


def answers(url: str) -> bool:
    """Whether the probe is in the application that answers at a URL."""
    from httpx import HTTPError  # slow to load: only now needed

    with contextlib.suppress(HTTPError):
        return _HEADER in send(url, seconds=5).headers
    return False


def read(body: bytes) -> ProbeAnswer:
    """Read the probe's answer.

    Raises:
        ValueError: something else has answered.
    """
    try:
        fields = json.loads(body)
        texts = [fields[name] for name in ("scheme", "client", "url", "host")]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError("it is not an answer of the probe") from error
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("it is not an answer of the probe")
    return ProbeAnswer(*(text[:LONGEST_TEXT] for text in texts))


def why_missing(url: str, command: str) -> str:
    """Why the probe does not answer; empty where it does.

    Args:
        url: where the application answers.
        command: what the container runs.
    """
    from httpx import TransportError

    try:
        answer = send(url, seconds=10)
    except TransportError as error:
        return f"the probe could not be asked ({type(error).__name__})"
    if _HEADER in answer.headers:
        with contextlib.suppress(ValueError):
            read(answer.body)
            return ""
        return "something else answers in the place of the probe"
    if not re.search(r"python|uvicorn|gunicorn|hypercorn|granian|fastapi|uv |poetry|daphne|flask", command):
        return "nothing shows that its main process is Python, so the probe could not be put in"
    if re.search(r"python[\d.]* (-\w+ )*-\w*[IES]", command):
        return "Python runs isolated (-I, -E or -S), so the probe could not be put in"
    return "the application does not answer by Starlette, or Python was started without PYTHONPATH: no probe"
