"""Lesson 03, does my application hear the stop signal: its claims, and its exercises."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import httpx

from ..build.builder import build
from ..lab.lab import Lab
from ..run import docker_exec
from ..run.container import serve
from ..run.stop import Variant, stop, stop_side_by_side
from .claim import Claim
from .exercise import LessonExercise, NotYet

_EXEC_FORM = "https://fastapi.tiangolo.com/deployment/docker/#use-cmd-exec-form"
_INIT = "https://docs.docker.com/reference/cli/docker/container/run/#init"
_ENTRYPOINT = "https://docs.docker.com/reference/dockerfile/#exec-form-entrypoint-example"
_TIMEOUTS = "https://www.uvicorn.org/settings/#timeouts"

_ENDS = {
    "At once, after its shutdown code": {"exit_code": 0, "shutdown_ran": True},
    "At once, without its shutdown code": {"exit_code": 143, "shutdown_ran": False},
    "After ten seconds, after its shutdown code": {"exit_code": 137, "shutdown_ran": True},
    "After ten seconds, without its shutdown code": {"exit_code": 137, "shutdown_ran": False},
}
"""How a container may end. 137 is 128 + 9, SIGKILL at the end of the grace period; 143 is 128 + 15, SIGTERM."""

_RAN, _KILLED = "exit 0, shutdown code ran", "exit 137, no shutdown code"

CLAIMS = [
    Claim(
        "stop.exec-form",
        "In exec form the application is PID 1: it receives SIGTERM and runs its shutdown code.",
        {"pid_1_started_as": "fastapi", "exit_code": 0, "shutdown_ran": True},
        _EXEC_FORM,
        "docker stop allows ten seconds. How does this container end?",
        _ENDS,
    ),
    Claim(
        "stop.shell-form",
        "In shell form the application never receives SIGTERM, and is killed at the end of the grace period.",
        {"pid_1_started_as": "/bin/sh", "exit_code": 137, "shutdown_ran": False},
        _EXEC_FORM,
        "The image differs in its last line only. How does this container end?",
        _ENDS,
    ),
    Claim(
        "stop.exec-in-script",
        "A shell that starts the application as its child keeps the signal; exec hands PID 1 to the application.",
        {
            "exec form": _RAN,
            "shell form": _KILLED,
            "shell form, exec": _RAN,
            "bash": _RAN,
            "bash, pipe": _KILLED,
            "script": _KILLED,
            "script, exec": _RAN,
            "no handler": "exit 137",
        },
        _ENTRYPOINT,
        "bash -c runs one simple command, or a command with a pipe. With which does the shutdown code run?",
        {
            "With both: bash is not sh": {"bash": _RAN, "bash, pipe": _RAN},
            "With the simple command only": {"bash": _RAN, "bash, pipe": _KILLED},
            "With the pipe only": {"bash": _KILLED, "bash, pipe": _RAN},
            "With neither: bash is a shell, too": {"bash": _KILLED, "bash, pipe": _KILLED},
        },
    ),
    Claim(
        "stop.init",
        "--init ends the shell form at once and still loses its shutdown code.",
        {
            "exec form, --init": "exit 143, shutdown code ran",
            "shell form, --init": "exit 143, no shutdown code",
            "no handler, --init": "exit 143",
        },
        _INIT,
        "What does --init change for the shell form?",
        {
            "Nothing: it is killed at the end of the grace period": {"shell form, --init": _KILLED},
            "It ends at once, after its shutdown code": {"shell form, --init": "exit 143, shutdown code ran"},
            "It ends at once, without its shutdown code": {"shell form, --init": "exit 143, no shutdown code"},
        },
    ),
    Claim(
        "stop.in-flight",
        "A request that outlasts the grace period costs the exec form its shutdown code; so does an open stream.",
        {
            "1 short": f"answered; {_RAN}",
            "2 short, shell form": f"answered; {_KILLED}",
            "3 long": f"cut; {_KILLED}",
            "4 long, stop -t 12": f"answered; {_RAN}",
            "5 stream": f"cut; {_KILLED}",
            "6 stream, stop -t 8": f"cut; {_KILLED}",
        },
        _TIMEOUTS,
        "The exec form, and an open event stream. What does the longer grace period of row 6 change?",
        {
            "The stream gets its end, then the shutdown code runs": {"6 stream, stop -t 8": f"answered; {_RAN}"},
            "The stream is cut, but the shutdown code runs": {"6 stream, stop -t 8": f"cut; {_RAN}"},
            "Nothing: the stream is cut, and the shutdown code does not run": {
                "6 stream, stop -t 8": f"cut; {_KILLED}"
            },
        },
    ),
    Claim(
        "stop.drain-timeout",
        "A drain timeout below the grace period saves the shutdown code; fastapi run ignores the variable for it.",
        {
            "1 uvicorn, 2 s": f"cut; {_RAN}",
            "2 uvicorn, 2 s": f"answered 500; {_RAN}",
            "3 uvicorn, 8 s": f"cut; {_KILLED}",
            "4 uvicorn, variable": f"cut; {_RAN}",
            "5 fastapi run, variable": f"cut; {_KILLED}",
        },
        _TIMEOUTS,
        "Rows 4 and 5 set the drain timeout by the environment variable. Who obeys it?",
        {
            "Both: fastapi run starts Uvicorn": {
                "4 uvicorn, variable": f"cut; {_RAN}",
                "5 fastapi run, variable": f"cut; {_RAN}",
            },
            "uvicorn only": {"4 uvicorn, variable": f"cut; {_RAN}", "5 fastapi run, variable": f"cut; {_KILLED}"},
            "Neither: only the command-line option counts": {
                "4 uvicorn, variable": f"cut; {_KILLED}",
                "5 fastapi run, variable": f"cut; {_KILLED}",
            },
        },
    ),
]


# --- exercise 1: a script that hears nothing --------------------------------------------------------------------------

_GRACE_SECONDS = 5

REQUIREMENTS = """\
fastapi[standard]==0.165.0
uvicorn[standard]==0.54.0
"""

_SCRIPT = {
    "Dockerfile": """\
ARG BASE_IMAGE=python:3.13.9-slim
FROM ${BASE_IMAGE}

WORKDIR /code

COPY ./requirements.txt /code/requirements.txt

RUN pip install --no-cache-dir --upgrade -r /code/requirements.txt

COPY ./main.py ./start.sh /code/

CMD ["sh", "start.sh"]
""",
    "requirements.txt": REQUIREMENTS,
    "start.sh": """\
#!/bin/sh
set -eu

# Which shop this is, is known only when the container starts.
printf '{"shop": "%s"}\\n' "$SHOP" > config.json

fastapi run main.py --port 80

echo "the server has ended"
""",
    "main.py": """\
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    print("lifespan: startup", flush=True)
    app.state.config = json.loads(Path("config.json").read_text())
    yield
    print("lifespan: shutdown", flush=True)


app = FastAPI(lifespan=lifespan)


@app.get("/")
def read_root() -> dict[str, str]:
    return app.state.config
""",
}

# The processes whose parent is process 1, each with its command line.
_CHILDREN = r"""
from pathlib import Path
for folder in Path("/proc").glob("[0-9]*"):
    parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
    if parent == "1":
        parts = (folder / "cmdline").read_text().strip("\0").split("\0")
        print(f"`{' '.join(part.rpartition('/')[2] for part in parts)}`")
"""


def shutdown_code_runs(lab: Lab, folder: Path) -> str:
    """Check that the shutdown code runs, and that the application still has its configuration.

    Raises:
        NotYet: it does not.
    """
    image = build(lab, folder, name="your-turn", progress=False)
    with serve(lab, image, environment={"SHOP": "Ada"}) as service:
        answer = httpx.get(service.url, trust_env=False).text
        children = docker_exec.run(service.container, ["python", "-c", _CHILDREN]).output.decode().splitlines()
        stopped = stop(service, grace=_GRACE_SECONDS)
    if answer != '{"shop":"Ada"}':
        raise NotYet(f"the application answers {answer}.", "who writes config.json, and when.")
    who = f"PID 1 is `{stopped.pid1}`, its children are {', '.join(sorted(children)) or 'none'}"
    if not stopped.shutdown_ran and not stopped.killed:
        raise NotYet(
            f"{who}. PID 1 received the signal and ended at once, exit code {stopped.exit_code}. "
            "The shutdown code did not run: whatever still runs when PID 1 ends is killed.",
            "what PID 1 waits for after the signal, and for how long.",
        )
    if not stopped.shutdown_ran:
        look = "the line that PID 1 is still executing while its child serves."
        if len(children) > 1:
            look = "why PID 1 has to stay: for how many programs does it wait?"
        raise NotYet(f"{who}. The shutdown code did not run; exit code {stopped.exit_code}.", look)
    if stopped.killed:
        raise NotYet(f"{who}. The shutdown code ran, and then the container had to be killed.", "what still ran then.")
    return f"the shutdown code ran, exit code {stopped.exit_code}, and the script still prepares the configuration."


# --- exercise 2: predict a table --------------------------------------------------------------------------------------

_TABLE = {
    "table.md": """\
| | how it is started | exit code | shutdown code ran |
|---|---|---|---|
| a | sh -c, as a list | ? | ? |
| b | env | ? | ? |
| c | bash -c, two commands | ? | ? |
| d | start.sh, --init | ? | ? |
| e | start-exec.sh, --init | ? | ? |
"""
}
_MAY_BE = {"exit code": ["0", "137", "143"], "shutdown code ran": ["yes", "no"]}
_LOOK = {
    "a": "which program is PID 1 of row a: the first of that list, or its last?",
    "b": "what env does after it has set the variables.",
    "c": "what bash still has to do when the first of its two commands has ended.",
    "d": "who is the child of the init in row d: the init passes the signal to that process only.",
    "e": "who is the child of the init in row e, and at the row `exec form, --init` of section 5.",
}


@cache  # the five are measured once, however often a reader corrects the table
def _measured(lab: Lab) -> dict[str, dict[str, str]]:
    command = "fastapi run app/main.py --port 80"
    image = lab.cli_name("scripts")
    started = stop_side_by_side(
        lab,
        {
            "a": Variant(image, command=["sh", "-c", command]),
            "b": Variant(image, command=["env", "SHOP=Ada", *command.split()]),
            "c": Variant(image, command=["bash", "-c", f"{command} && echo ended"]),
            "d": Variant(image, entrypoint=["/code/start.sh"], command=command.split(), init=True),
            "e": Variant(image, entrypoint=["/code/start-exec.sh"], command=command.split(), init=True),
        },
        grace=10,
    )
    return {
        stopped.name: dict(zip(_MAY_BE, [str(stopped.exit_code), "yes" if stopped.shutdown_ran else "no"], strict=True))
        for stopped in started
    }


def agrees_with_the_engine(lab: Lab, folder: Path) -> str:
    """Check a table of predictions against what the engine does.

    Raises:
        NotYet: a row is missing or has another word than the table knows, or a prediction is wrong.
    """
    text = (folder / "table.md").read_text() if (folder / "table.md").exists() else ""
    lines = [[cell.strip(" `") for cell in line.strip().strip("|").split("|")] for line in text.splitlines()]
    rows = {
        line[0]: dict(zip(_MAY_BE, line[2:4], strict=True)) for line in lines if len(line) == 4 and line[0] in _LOOK
    }
    if missing := sorted(_LOOK.keys() - rows.keys()):
        raise NotYet(f"table.md has no row {', '.join(missing)} with four cells.", "the table above, and its columns.")
    for row, cells in rows.items():
        for column, cell in cells.items():
            if cell not in _MAY_BE[column]:
                choice = " or ".join([", ".join(_MAY_BE[column][:-1]), _MAY_BE[column][-1]])
                raise NotYet(f"row {row}, {column}, has {cell!r}.", f"which words the table takes: {choice}.")
    measured = _measured(lab)
    wrong = [(row, column) for row in rows for column in _MAY_BE if rows[row][column] != measured[row][column]]
    if wrong:
        cells_ = "; ".join(f"row {row}, {column}" for row, column in wrong)
        raise NotYet(f"of ten cells, these differ from what the engine did: {cells_}.", _LOOK[wrong[0][0]])
    told = "; ".join(
        f"{row}: exit code {cells['exit code']}, {cells['shutdown code ran']}" for row, cells in rows.items()
    )
    return f"all ten cells are as measured. Exit code, and whether the shutdown code ran: {told}."


EXERCISES = [
    LessonExercise(
        _SCRIPT,
        shutdown_code_runs,
        (
            "Which process is PID 1 of your container? In section 2, `docker exec` showed it. The check shows it as "
            "well, with its children.",
            "The signal goes to PID 1 and to no other process. A shell that waits for its child keeps the signal to "
            "itself (section 3). Which line of `start.sh` does the shell still execute while the application serves?",
            "Section 4 has two scripts that differ in one word; the Dockerfile can stay as it is. Look below that line "
            "of `start.sh`, too: once the shell has been replaced, nothing is left to execute what follows.",
        ),
        {
            "start.sh": """\
#!/bin/sh
set -eu

# Which shop this is, is known only when the container starts.
printf '{"shop": "%s"}\\n' "$SHOP" > config.json

exec fastapi run main.py --port 80
"""
        },
        "`exec` hands PID 1 to the application. A line after it can never run, so it goes.",
    ),
    LessonExercise(
        _TABLE,
        agrees_with_the_engine,
        (
            "At the table of section 4: which process is PID 1? Answer that for each row first.",
            "Whether PID 1 becomes the next program, or starts it as a child and waits. A program that becomes the "
            "next one keeps its PID. A shell with something left to do has to stay. An init passes the signal to one "
            "process only: its own child.",
            "Take the rows one by one. Where the application receives nothing and PID 1 stays, the exit code is 137. "
            "In rows d and e the init's child ends by the signal, or shuts down and ends itself with it. What is left "
            "to find out is whether that child is the application.",
        ),
        {
            "table.md": """\
| | how it is started | exit code | shutdown code ran |
|---|---|---|---|
| a | sh -c, as a list | 137 | no |
| b | env | 0 | yes |
| c | bash -c, two commands | 137 | no |
| d | start.sh, --init | 143 | no |
| e | start-exec.sh, --init | 143 | yes |
"""
        },
        "The list of row a is one for `sh`: the shell form, written as a list. `env` replaces itself with the "
        "application. In row c bash has to stay to see whether there is something to print. In row d the init's child "
        "is the shell, in row e it is the application.",
    ),
]
