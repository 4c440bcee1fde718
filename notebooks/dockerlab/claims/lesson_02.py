"""Lesson 02, what do `docker build` and `docker run` do: its claims, and its exercise."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from docker.errors import APIError
from docker.models.containers import Container

from ..build.builder import build
from ..lab.lab import Lab
from ..run.docker_exec import Socket, listening
from .claim import Claim
from .exercise import LessonExercise, NotYet
from .lesson_03 import REQUIREMENTS

_ANSWER = '{"item_id":5,"q":"somequery"}'

CLAIMS = [
    Claim(
        "build.starts-nothing",
        "A build makes an image and starts nothing: CMD becomes a part of the image's configuration.",
        {"containers": "none", "command": "fastapi run app/main.py --port 80", "folder": "/code"},
        "https://docs.docker.com/reference/dockerfile/#cmd",
        "The build is done. What is on the engine now?",
        {
            "An image, and a container in which the application runs": {"containers": "running"},
            "An image, and a container that waits to be started": {"containers": "created"},
            "An image, and no container": {"containers": "none"},
        },
    ),
    Claim(
        "build.context",
        "The paths of COPY start at the build context, wherever the Dockerfile is.",
        {"build": "failed", "not_found": "a file that COPY names"},
        "https://docs.docker.com/build/concepts/context/",
        "The command names project/Dockerfile with --file, and ends with a dot. What happens?",
        {
            "It works: the paths of COPY start at the Dockerfile's folder": {"build": "worked"},
            "It fails: the Dockerfile must be directly in the dot's folder": {
                "build": "failed",
                "not_found": "the Dockerfile",
            },
            "It fails: the paths of COPY start at the dot's folder": {
                "build": "failed",
                "not_found": "a file that COPY names",
            },
        },
    ),
    Claim(
        "run.answers",
        "The application in the container answers on the port of this machine that leads to its port 80.",
        {"answer": _ANSWER, "published_on": "127.0.0.1"},
        "https://fastapi.tiangolo.com/deployment/docker/#check-it",
    ),
    Claim(
        "run.ports",
        "Each container has a port 80 of its own; --publish leads there from this machine, and EXPOSE does not.",
        {"mycontainer and second": "one port each", "exposed": "no port", "reached from": "inside"},
        "https://docs.docker.com/reference/dockerfile/#expose",
        "exposed has EXPOSE 80, and no --publish. From where do requests reach its application?",
        {
            "From this machine and from inside the container": {"reached from": "outside, inside"},
            "From inside the container only": {"reached from": "inside"},
            "From nowhere: the port is closed": {"reached from": "nowhere"},
        },
    ),
    Claim(
        "run.port-taken",
        "A port that is taken is refused, and the container is left behind: created, never started.",
        {"third": "created", "reason": "the port is taken", "mycontainer_answers": True},
        "",
        "third wants the port that leads to mycontainer. What happens?",
        {
            "third starts, and Docker picks another port": {"third": "running", "mycontainer_answers": True},
            "third starts, and mycontainer loses the port": {"third": "running", "mycontainer_answers": False},
            "Docker refuses, and there is no container third": {"third": "(none)"},
            "Docker refuses, and there is a container third that does not run": {"third": "created"},
        },
    ),
    Claim(
        "run.log",
        "The engine keeps what the main process prints.",
        {"what_the_function_prints": True, "the_server's_line_for_the_request": True},
        "https://docs.docker.com/engine/logging/",
    ),
    Claim(
        "run.command",
        "A command after the image's name takes the place of CMD.",
        {"ls /code prints": "app requirements.txt"},
        "https://docs.docker.com/reference/dockerfile/#cmd",
    ),
    Claim(
        "run.writes",
        "What a container writes is in that container only, until it is removed; a volume outlasts containers.",
        {"in second": False, "after stop and start": True, "after rm and run": False, "in the volume": True},
        "https://docs.docker.com/engine/storage/",
        "Where is the note of mycontainer?",
        {
            "In mycontainer, until it stops": {"in second": False, "after stop and start": False},
            "In mycontainer, until it is removed": {
                "in second": False,
                "after stop and start": True,
                "after rm and run": False,
            },
            "In each container that has the name mycontainer": {
                "in second": False,
                "after stop and start": True,
                "after rm and run": True,
            },
            "In second as well: both have the same image": {"in second": True},
        },
    ),
    Claim(
        "run.main-process",
        "A container ends when its main process ends, and its other processes are killed then.",
        {
            "list": "exited 0",
            "three": "exited 3",
            "background": "exited 0",
            "loop": "exited 7",
            "the loop has written": True,
            "the loop still writes": False,
        },
        "https://docs.docker.com/engine/containers/multi-service_container/",
        "In loop, the shell ends while its background process still writes. What happens?",
        {
            "The container goes on: one of its processes still runs": {"loop": "running"},
            "The container ends, and the background process goes on without it": {
                "loop": "exited 7",
                "the loop still writes": True,
            },
            "The container ends, and the background process with it": {
                "loop": "exited 7",
                "the loop still writes": False,
            },
        },
    ),
]


# --- the exercise: an application that nobody reaches -----------------------------------------------------------------

_PATH = "/items/5?q=somequery"

_UNREACHABLE = {
    "Dockerfile": """\
ARG BASE_IMAGE=python:3.13.9-slim
FROM ${BASE_IMAGE}

WORKDIR /code

COPY ./requirements.txt /code/requirements.txt

RUN pip install --no-cache-dir --upgrade -r /code/requirements.txt

COPY ./app /code/app

EXPOSE 80

CMD ["uvicorn", "app.main:app", "--port", "8000"]
""",
    "requirements.txt": REQUIREMENTS,
    "app/__init__.py": "",
    "app/main.py": """\
from fastapi import FastAPI

app = FastAPI()


@app.get("/items/{item_id}")
def read_item(item_id: int, q: str | None = None):
    return {"item_id": item_id, "q": q}
""",
}


def it_answers_on_the_published_port(lab: Lab, folder: Path) -> str:
    """Check that the application answers where its container's port 80 is published.

    Raises:
        NotYet: it does not.
    """
    image = build(lab, folder, name="your-turn", progress=False)
    ports: dict[str, Any] = {"80/tcp": ("127.0.0.1", None)}  # None: the engine picks one
    try:
        container = lab.client.containers.run(image.image, detach=True, ports=ports, labels=lab.labels)
    except APIError as error:
        raise NotYet(f"the engine does not start it: {error.explanation}.", "the first word of CMD.") from error
    deadline = time.monotonic() + 60
    seen_elsewhere = 0
    while True:
        container.reload()
        if container.status == "exited":
            raise _ended(container)
        with contextlib.suppress(httpx.TransportError, KeyError):  # KeyError: it has ended since
            (binding,) = container.ports["80/tcp"] or [{}]
            port = binding["HostPort"]
            answer = httpx.get(f"http://127.0.0.1:{port}{_PATH}", trust_env=False, timeout=10)
            break
        sockets = listening(container) or []
        if sockets and not any(socket.port == 80 and not socket.is_loopback for socket in sockets):
            seen_elsewhere += 1
        if seen_elsewhere == 3:
            raise _elsewhere(sockets)
        if time.monotonic() > deadline:
            raise NotYet("nothing answers for a minute.", "the log of the container.")
        time.sleep(0.3)
    if answer.text != _ANSWER:
        raise NotYet(f"{_PATH} answers {answer.status_code}, {answer.text}.", "app/main.py, the path and its types.")
    return f"{_PATH} answers {answer.text} on the published port."


def _ended(container: Container) -> NotYet:
    """What to say of a container that has ended: its exit code, and the end of its log."""
    exit_code = container.wait()["StatusCode"]
    log = container.logs().decode(errors="replace").strip().splitlines() or ["(nothing)"]
    last = [line for line in log if "error" in line.lower()][-1:] or log[-1:]
    look = "the command that it was started with, and what each of its arguments may be."
    if exit_code == 0:
        look = "section 9: how long a container lives."
    return NotYet(f"the container has ended, with exit code {exit_code}. Its log has: {last[0]}", look)


def _elsewhere(sockets: Sequence[Socket]) -> NotYet:
    """What to say of an application that listens where no request arrives."""
    where = " and ".join(str(socket) for socket in sockets)
    observed = f"the application listens on {where}. Nothing answers on the published port."
    alone, other_port = sockets[0].is_loopback, sockets[0].port != 80
    if alone and other_port:
        return NotYet(observed, "both halves of that address: who reaches it, and to which port --publish leads.")
    if other_port:
        return NotYet(observed, "the second half of that address, and to which port --publish leads.")
    return NotYet(observed, "the first half of that address: who reaches it from where?")


EXERCISES = [
    LessonExercise(
        _UNREACHABLE,
        it_answers_on_the_published_port,
        (
            "`docker logs` of such a container ends with `Uvicorn running on http://127.0.0.1:8000`. Compare both "
            "halves of that with what `--publish` says.",
            "Inside a container, `127.0.0.1` is the container itself. A request through a published port comes from "
            "outside. And `--publish` names the port of the container that it leads to: whether anything listens "
            "there is up to the application. `EXPOSE` changes neither (section 5).",
            "The arguments of `uvicorn` in `CMD`: it has one for the port, and one for the address. The address that "
            "you need is the one that means all addresses of the container. `fastapi run` uses that one by default.",
        ),
        {"Dockerfile": _UNREACHABLE["Dockerfile"].replace('"--port", "8000"]', '"--host", "0.0.0.0", "--port", "80"]')},
        "`0.0.0.0` means all addresses of the container, so requests from outside arrive. Port 80 is the one that "
        "`--publish` leads to. `fastapi run app/main.py --port 80` does the same.",
    ),
]
