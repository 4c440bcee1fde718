"""Lesson 09, what would these experiments find in my own project: its claims, its exercise, and how it runs an audit.

The lesson and its exercise run the command `dockerlab audit`, as a reader does. Claims know nothing of the audit's own
modules.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabError
from ..lab.lab import Lab
from .claim import Claim
from .exercise import LessonExercise, NotYet

# --- the command, as a reader types it --------------------------------------------------------------------------------

_SECONDS = 170
"""After which an audit is ended: a lesson's cell may take three minutes."""

_COLUMNS = 120
"""The width of the terminal for which the report card is written."""

_COLORS = ("FORCE_COLOR", "CLICOLOR_FORCE")  # a kernel sets them, and its cells show text

_ROW = re.compile(r"^\S (pass|warn|fail|not measured) +([a-z0-9-]+): ", re.MULTILINE)
"""A check's first line in a report card: a sign, the verdict, the check."""


@dataclass(frozen=True)
class TypedAudit:
    """What a typed `dockerlab audit` has printed.

    Attributes:
        exit_code: 0 or 1.
        printed: the report card, and the diff of `--suggest`.
    """

    exit_code: int
    printed: str

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdicts of a printed report card, by check."""
        return {check: verdict for verdict, check in _ROW.findall(self.printed)}

    @property
    def diff(self) -> str:
        """The diff of `--suggest`; empty where nothing is suggested."""
        _, mark, text = self.printed.partition("\n--- a/")
        return (mark + text).strip()

    def count(self, verdict: str) -> int:
        return [*self.verdicts.values()].count(verdict)


def typed(lab: Lab, line: str) -> TypedAudit:
    """Run a line in the lesson's folder as a terminal would, and return what it printed.

    Args:
        lab: the open lab.
        line: ``dockerlab audit project``.

    Raises:
        LabError: the line ended with another exit code than 0 and 1: nothing could be audited.
    """
    return _run(shlex.split(line), lab, lab.workspace)


def turned(before: Mapping[str, str], after: Mapping[str, str]) -> list[dict[str, str]]:
    """The checks of two report cards whose verdicts differ: rows of a table."""
    return [
        {"check": check, "before": before[check], "after": verdict}
        for check, verdict in after.items()
        if before[check] != verdict
    ]


def _run(command: list[str], lab: Lab, folder: Path) -> TypedAudit:
    environment = {name: value for name, value in os.environ.items() if name not in _COLORS}
    environment |= {"BASE_IMAGE": lab.base_image, "COLUMNS": str(_COLUMNS), "PYTHONUTF8": "1"}
    try:
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"`{shlex.join(command)}` was not done within {_SECONDS} s.", "Run the cell again.") from None
    if ended.returncode not in (0, 1):
        told = [line for line in ended.stderr.splitlines() if not line.endswith(" …")]  # but for what went on
        raise LabError("\n".join(told) or f"`{shlex.join(command)}` ended with exit code {ended.returncode}.")
    return TypedAudit(ended.returncode, ended.stdout)


# --- claims -----------------------------------------------------------------------------------------------------------

_EXEC_FORM = "https://fastapi.tiangolo.com/deployment/docker/#use-cmd-exec-form"

CLAIMS = [
    Claim(
        "audit.linter",
        "hadolint warns of the form of CMD, and of nothing else in this Dockerfile.",
        {"warnings": 1, "rules": "DL3025"},
        "https://github.com/hadolint/hadolint/wiki/DL3025",
        "What does hadolint warn of in this Dockerfile?",
        {
            "Nothing: it is a correct Dockerfile": {"warnings": 0},
            "The form of CMD": {"warnings": 1},
            "The form of CMD, and that COPY comes before pip": {"warnings": 2},
            "The form of CMD, that COPY comes before pip, and that there is no USER": {"warnings": 3},
        },
    ),
    Claim(
        "audit.report-card",
        "Six checks fail where the linter had one warning, and the exit code is 1.",
        {
            "exit code": 1,
            "builds": "pass",
            "starts": "pass",
            "stops-on-sigterm": "fail",
            "lifespan-shutdown": "fail",
            "inflight-requests-finish": "pass",
            "stream-does-not-block-stop": "warn",
            "pid-1": "fail",
            "workers-stop": "not measured",
            "code-change-keeps-dependencies-cached": "fail",
            "unchanged-rebuild-cached": "pass",
            "build-context": "fail",
            "behind-tls-proxy": "warn",
            "rejects-forged-client": "pass",
            "non-root": "warn",
            "read-only-root": "pass",
            "health-check": "warn",
            "secrets-in-layers": "fail",
            "image-size": "pass",
            "memory": "pass",
            "dockerfile-lint": "warn",
        },
        "",
        "The process runs as root, CMD is in shell form, and the image holds the token. Which of these fail?",
        {
            "The shell form only": {"non-root": "warn", "pid-1": "fail", "secrets-in-layers": "warn"},
            "The shell form and the token": {"non-root": "warn", "pid-1": "fail", "secrets-in-layers": "fail"},
            "Root and the token": {"non-root": "fail", "pid-1": "warn", "secrets-in-layers": "fail"},
            "All three": {"non-root": "fail", "pid-1": "fail", "secrets-in-layers": "fail"},
        },
    ),
    Claim(
        "audit.one-line",
        "The exec form turns four verdicts: three symptoms of one cause, and the linter's warning.",
        {
            "verdicts turned": 4,
            "stops-on-sigterm": "pass",
            "lifespan-shutdown": "pass",
            "pid-1": "pass",
            "dockerfile-lint": "pass",
        },
        _EXEC_FORM,
        "How many verdicts does the exec form turn?",
        {
            "One: pid-1": {"verdicts turned": 1},
            "Two": {"verdicts turned": 2},
            "Four": {"verdicts turned": 4},
            "Six: all that failed": {"verdicts turned": 6},
        },
    ),
    Claim(
        "audit.exit-code",
        "With the order of the lines and .dockerignore no check fails, and warnings leave the exit code at 0.",
        {
            "exit code": 0,
            "failed": 0,
            "warned": 3,
            "code-change-keeps-dependencies-cached": "pass",
            "build-context": "pass",
            "secrets-in-layers": "pass",
        },
        "https://docs.docker.com/build/cache/optimize/#order-your-layers",
        "No check fails any more, and some warn. What is the exit code?",
        {
            "0: warnings do not stop a CI job": {"exit code": 0},
            "1: the report card is not clean": {"exit code": 1},
            "The number of warnings": {"exit code": 3},
        },
    ),
    Claim(
        "audit.suggest",
        "The audit suggests a fix where it is certain of it: for the proxy and for root, not for the health check.",
        {"for the proxy": True, "for root": True, "for the health check": False, "Dockerfile changed": False},
        "",
        "The proxy, root, the missing health check: for which does --suggest print a fix?",
        {
            "For all three": {"for the proxy": True, "for root": True, "for the health check": True},
            "For the proxy and root": {"for the proxy": True, "for root": True, "for the health check": False},
            "For root and the health check": {"for the proxy": False, "for root": True, "for the health check": True},
            "For root only": {"for the proxy": False, "for root": True, "for the health check": False},
        },
    ),
    Claim(
        "audit.trusted-networks",
        "With the proxy's networks trusted, the application sees https and still rejects a forged client; nothing "
        "warns any more.",
        {"behind-tls-proxy": "pass", "rejects-forged-client": "pass", "failed": 0, "warned": 0, "exit code": 0},
        "https://www.uvicorn.org/settings/#http",
        "The application trusts these networks. What becomes of the two checks on headers?",
        {
            "The proxy is trusted, and so is a client that forges its address": {
                "behind-tls-proxy": "pass",
                "rejects-forged-client": "warn",
            },
            "The proxy is trusted, and a forged address is not": {
                "behind-tls-proxy": "pass",
                "rejects-forged-client": "pass",
            },
            "Neither is trusted: only * would do": {"behind-tls-proxy": "warn", "rejects-forged-client": "pass"},
        },
    ),
    Claim(
        "audit.not-measured",
        "What the audit cannot observe it does not judge: the request in flight is not measured.",
        {"stops-on-sigterm": "pass", "lifespan-shutdown": "pass", "inflight-requests-finish": "not measured"},
        "https://docs.python.org/3/using/cmdline.html#cmdoption-I",
        "The probe is not in the application. What is the verdict on the request in flight?",
        {
            "pass: Uvicorn is known to finish requests": {"inflight-requests-finish": "pass"},
            "fail: the request gets no answer": {"inflight-requests-finish": "fail"},
            "not measured": {"inflight-requests-finish": "not measured"},
        },
    ),
]


# --- the exercise: a project that an audit fails ----------------------------------------------------------------------

_PROJECT = {
    "Dockerfile": """\
ARG BASE_IMAGE=python:3.13.9-slim
FROM ${BASE_IMAGE}

WORKDIR /code

COPY requirements.txt main.py start.sh /code/

RUN pip install --no-cache-dir --upgrade -r requirements.txt

EXPOSE 8000

CMD ["sh", "start.sh"]
""",
    "start.sh": """\
#!/bin/sh
set -e
echo "preparing"
uvicorn main:app --host 0.0.0.0 --port 8000
""",
    "requirements.txt": """\
fastapi==0.165.0
uvicorn==0.54.0
""",
    "main.py": """\
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def read_root() -> dict[str, str]:
    return {"Hello": "World"}
""",
}

_LEFT_OUT = ("stream-does-not-block-stop", "image-size", "memory", "dockerfile-lint")
"""Checks that at most warn, here."""


def no_check_fails(lab: Lab, folder: Path) -> str:
    """Check that an audit of the reader's version fails no check.

    Raises:
        NotYet: one fails.
    """
    line = f"dockerlab audit {shlex.quote(folder.name)} --build-arg BASE_IMAGE --format json"
    command = shlex.split(line + "".join(f" --skip {check}" for check in _LEFT_OUT))
    checks = json.loads(_run(command, lab, folder.parent).printed)["checks"]
    for check in checks:
        if check["verdict"] == "fail":
            raise NotYet(
                f"{check['id']} fails: {check['observed']}.", f"what lesson {check['lesson'][:2]} says about it."
            )
    return f"no check fails, {sum(check['verdict'] == 'pass' for check in checks)} pass."


EXERCISES = [
    LessonExercise(
        _PROJECT,
        no_check_fails,
        (
            "At the report card: each check that fails has what was observed, and the lesson that teaches it.",
            "There are two causes. For the stop: which process is PID 1, and which is its child? For the build: which "
            "files does the step before `pip` copy, and which of them does `pip` need?",
            "One line of `start.sh`, so that the application replaces the shell. And one `COPY` of the Dockerfile "
            "becomes two, one before `pip` and one after.",
        ),
        {
            "Dockerfile": """\
ARG BASE_IMAGE=python:3.13.9-slim
FROM ${BASE_IMAGE}

WORKDIR /code

COPY requirements.txt /code/

RUN pip install --no-cache-dir --upgrade -r requirements.txt

COPY main.py start.sh /code/

EXPOSE 8000

CMD ["sh", "start.sh"]
""",
            "start.sh": """\
#!/bin/sh
set -e
echo "preparing"
exec uvicorn main:app --host 0.0.0.0 --port 8000
""",
        },
        "`exec` hands PID 1 to the application, and `pip` now runs again only when the requirements change.",
    ),
]
