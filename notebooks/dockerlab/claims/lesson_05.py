"""Lesson 05, why do my services take 10 seconds to stop: its claims, and its exercise."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..deploy.compose import compose
from ..errors import ComposeFailed
from ..lab.lab import Lab
from ..run.traffic import send
from .claim import Claim
from .exercise import LessonExercise, NotYet
from .lesson_03 import REQUIREMENTS

_UP = "https://docs.docker.com/reference/cli/docker/compose/up/"
_HEALTH = "https://docs.docker.com/compose/how-tos/startup-order/"
_SERVICES = "https://docs.docker.com/reference/compose-file/services/"
_COMMAND = f"{_SERVICES}#command"
_INIT = f"{_SERVICES}#init"
_GRACE = f"{_SERVICES}#stop_grace_period"
_RESTART = f"{_SERVICES}#restart"
_DOWN = "https://docs.docker.com/reference/cli/docker/compose/down/"
_WORKERS = "https://fastapi.tiangolo.com/deployment/server-workers/"

_RAN, _KILLED = "exit 0, shutdown code ran", "exit 137, no shutdown code"

CLAIMS = [
    Claim(
        "compose.ready",
        "`up --wait` waits for the application only where the service has a health check.",
        {"unchecked": "lost", "checked": "answered"},
        _HEALTH,
        "up --wait has returned, and a request is sent at once. Which service answers its first request?",
        {
            "Both": {"unchecked": "answered", "checked": "answered"},
            "Only checked": {"unchecked": "lost", "checked": "answered"},
            "Neither: a client has to try again in any case": {"unchecked": "lost", "checked": "lost"},
        },
    ),
    Claim(
        "compose.command",
        "Compose runs a string under command without a shell; a shell that you write yourself keeps the signal.",
        {"list": _RAN, "string": _RAN, "shell": _KILLED},
        _COMMAND,
        "Each service is stopped with ten seconds of grace. Which of them stop at once?",
        {
            "Only list: a string is the shell form": {"list": _RAN, "string": _KILLED, "shell": _KILLED},
            "list and string": {"list": _RAN, "string": _RAN, "shell": _KILLED},
            "All three: Compose passes the signal on": {"list": _RAN, "string": _RAN, "shell": _RAN},
        },
    ),
    Claim(
        "compose.keys",
        "init hides a shell and loses the shutdown code; a stop signal that the server does not handle stops nothing.",
        {
            "shell": _KILLED,
            "shell-init": "exit 143, no shutdown code",
            "shell-exec": _RAN,
            "sigint": _RAN,
            "sigquit": _KILLED,
        },
        _INIT,
    ),
    Claim(
        "compose.grace-period",
        "A long request is answered where both the drain timeout and the grace period allow it.",
        {
            "default": f"cut; {_KILLED}",
            "drain-below": f"answered 500; {_RAN}",
            "drain-above": f"cut; {_KILLED}",
            "patient": f"answered; {_RAN}",
            "patient ends": "after its request, long before its grace period",
        },
        _GRACE,
        "The request to patient takes fifteen seconds, and its grace period is thirty. When does its container end?",
        {
            "After ten seconds, without an answer": {"patient": f"cut; {_KILLED}"},
            "When the request has been answered": {
                "patient": f"answered; {_RAN}",
                "patient ends": "after its request, long before its grace period",
            },
            "After thirty seconds, and the request has been answered": {
                "patient": f"answered; {_RAN}",
                "patient ends": "at the end of its grace period",
            },
        },
    ),
    Claim(
        "compose.one-shot",
        "A one-shot service ends before the application starts, and each `up` runs it again.",
        {"web starts": "after migrate has ended", "migrate has run": 2, "web at the second up": "not touched"},
        f"{_SERVICES}#depends_on",
        "Nothing has changed since the first up. What does the second one do?",
        {
            "Nothing: all services are as the file wants them": {"migrate has run": 1},
            "It runs migrate again, and leaves web alone": {
                "migrate has run": 2,
                "web at the second up": "not touched",
            },
            "It runs migrate again, then starts web again": {
                "migrate has run": 2,
                "web at the second up": "started again",
            },
        },
    ),
    Claim(
        "compose.failed-migration",
        "`up` removes the old container before the new migration has run; a migration that is run alone does not.",
        {"run --rm migrate": "failed; web answers", "up --wait": "failed; nothing answers"},
        _UP,
        "Release 1 serves, and the migration of release 2 fails. Where does release 1 still answer afterwards?",
        {
            "After both": {"run --rm migrate": "failed; web answers", "up --wait": "failed; web answers"},
            "After run --rm migrate only": {
                "run --rm migrate": "failed; web answers",
                "up --wait": "failed; nothing answers",
            },
            "After neither": {"run --rm migrate": "failed; nothing answers", "up --wait": "failed; nothing answers"},
        },
    ),
    Claim(
        "compose.down",
        "`down` keeps volumes; `down --volumes` leaves nothing of the project but its images.",
        {
            "down": "0 containers, 0 networks, 1 volume",
            "down --volumes": "0 containers, 0 networks, 0 volumes",
        },
        _DOWN,
    ),
    Claim(
        "compose.restart",
        "A restart policy reacts to the end of PID 1: on-failure by the exit code, unless-stopped in any case.",
        {
            "never, after a crash": "gone",
            "on-failure, after a crash": "back",
            "on-failure, after exit code 0": "gone",
            "unless-stopped, after a crash": "back",
            "unless-stopped, after exit code 0": "back",
            "after docker compose stop": "nothing runs",
        },
        _RESTART,
        "PID 1 ends with exit code 0, and nobody has stopped the service. Which service comes back?",
        {
            "Neither: nothing has failed": {
                "on-failure, after exit code 0": "gone",
                "unless-stopped, after exit code 0": "gone",
            },
            "Only unless-stopped": {
                "on-failure, after exit code 0": "gone",
                "unless-stopped, after exit code 0": "back",
            },
            "Both": {"on-failure, after exit code 0": "back", "unless-stopped, after exit code 0": "back"},
        },
    ),
    Claim(
        "compose.memory-limit",
        "Over its memory limit one process ends the container with 137; of several workers, one dies and is replaced.",
        {
            "four workers hold": "more than three times as much as one",
            "one": "request cut; exited, exit code 137",
            "two": "request cut; running, a worker died, and answers",
        },
        _WORKERS,
        "A request makes the application hold more than the limit allows. What do you see from outside?",
        {
            "The request fails, and both containers run on": {
                "one": "request answered 500; running",
                "two": "request answered 500; running, and answers",
            },
            "Both containers end with exit code 137": {
                "one": "request cut; exited, exit code 137",
                "two": "request cut; exited, exit code 137",
            },
            "one ends with exit code 137; two runs on": {
                "one": "request cut; exited, exit code 137",
                "two": "request cut; running, a worker died, and answers",
            },
        },
    ),
]


# --- the exercise: first request answered, none lost at the end -------------------------------------------------------

_GIVEN = {
    "compose.yaml": """\
services:
  web:
    build: .
    command: sh -c "python migrate.py; fastapi run main.py --port 80"
    init: true
    ports: ["80"]
""",
    "Dockerfile": """\
ARG BASE_IMAGE=python:3.13.9-slim
FROM ${BASE_IMAGE}

WORKDIR /code

COPY ./requirements.txt /code/requirements.txt

RUN pip install --no-cache-dir --upgrade -r /code/requirements.txt

COPY ./main.py ./migrate.py /code/
""",
    "requirements.txt": REQUIREMENTS,
    "migrate.py": """\
print("migrated")
""",
    "main.py": """\
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await asyncio.sleep(3)  # a warm-up
    print("lifespan: startup", flush=True)
    yield
    print("lifespan: shutdown", flush=True)


app = FastAPI(lifespan=lifespan)


@app.get("/")
def read_root() -> dict[str, str]:
    return {"Hello": "World"}
""",
}


def starts_and_stops_in_order(lab: Lab, folder: Path) -> str:
    """Check that the first request is answered, that web shuts down, and that it never runs without its migration.

    Raises:
        NotYet: it does not.
    """
    with compose(lab, folder) as project:
        try:
            project.up()
        except ComposeFailed as error:
            if "exited (0)" not in error.seen:
                raise
            raise NotYet(
                "a container ended with exit code 0, and `up --wait` took that for a failure.",
                "what your file says of a service that is meant to end (section 4).",
            ) from None
        first = send(project.url("web"), ["/"]).requests[0]
        if first.fate != "answered":
            raise NotYet(
                f"`up --wait` returned, and the first request was {first.outcome}.",
                "what `--wait` waits for (section 1).",
            )
        [stopped] = project.stop(["web"])
    seen = f"PID 1 of web is `{stopped.pid1}`. When web was stopped, it"
    if stopped.killed:
        raise NotYet(f"{seen} had to be killed.", "what this process does with SIGTERM (section 2).")
    if not stopped.shutdown_ran:
        raise NotYet(
            f"{seen} ended at once, with exit code {stopped.exit_code}, and the shutdown code did not run.",
            "which processes the signal reached, and which of them is your application (section 3).",
        )

    broken = lab.workspace / "broken"
    shutil.rmtree(broken, ignore_errors=True)
    shutil.copytree(folder, broken)
    (broken / "migrate.py").write_text('raise SystemExit("this migration fails")\n')
    with compose(lab, broken) as project:
        if not project.fails("up", "--wait"):
            raise NotYet(
                "the migration failed, and `up --wait` ended well.",
                "what becomes of the migration's exit code, from the line that runs it on (section 4).",
            )
        if project.container("web").status == "running":
            raise NotYet(
                "the migration failed, `up` said so, and web runs all the same.",
                "what web waits for before it is started (section 4).",
            )
    return f"the first request is answered, web stops with exit code {stopped.exit_code}, and not without a migration."


EXERCISES = [
    LessonExercise(
        _GIVEN,
        starts_and_stops_in_order,
        (
            "Each of the three has its section. For the first, look at what `--wait` waits for (section 1). For the "
            "second, at which process receives the signal, and at what `init` hides (section 3). For the third, at "
            "what becomes of the migration's exit code (section 4).",
            "`--wait` knows only what the file says: a process that runs, or something more. A signal goes to PID 1, "
            "and to no other process. In a shell, `a; b` runs `b` whatever became of `a`, so the container's exit "
            "code says nothing about `a`.",
            "Give `web` a health check, with a program that is in the image. Make the migration a service of its own, "
            "and let `web` wait until that has ended with exit code 0. Then `web` has one command left: it needs no "
            "shell, and `init` has nothing to do.",
        ),
        {
            "compose.yaml": """\
services:
  migrate:
    build: .
    command: ["python", "migrate.py"]

  web:
    build: .
    command: ["fastapi", "run", "main.py", "--port", "80"]
    ports: ["80"]
    depends_on:
      migrate:
        condition: service_completed_successfully
    healthcheck:
      test: ["CMD", "python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1/', timeout=2)"]
      interval: 1s
      retries: 30
"""
        },
        "The migration becomes a service of its own, which leaves `web` with one command and without a shell. So "
        "there is nothing left for `init` to hide.",
    ),
]
