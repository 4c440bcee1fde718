"""Lesson 01, which files does the project need, and which of them reach the builder: its claims, and its exercise."""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path

import httpx

from ..build import build_context
from ..build.builder import build
from ..errors import LabError
from ..image.contents import leaks
from ..lab.lab import Lab
from ..run.container import serve
from .claim import Claim
from .exercise import LessonExercise, NotYet
from .lesson_03 import REQUIREMENTS

_FOLDERS = "https://fastapi.tiangolo.com/deployment/docker/#create-the-fastapi-code"
_SINGLE_FILE = "https://fastapi.tiangolo.com/deployment/docker/#build-a-docker-image-with-a-single-file-fastapi"
_CONTEXT = "https://docs.docker.com/build/concepts/context/"
_IGNORE = "https://docs.docker.com/build/concepts/context/#dockerignore-files"
_SECRETS = "https://docs.docker.com/build/building/secrets/"

_ANSWERS = "answers"
_NO_PARENT = "ImportError: attempted relative import with no known parent package"

_LITTLE, _SOME, _ALL = "a few kB", "a few hundred kB", "all of it"

CLAIMS = [
    Claim(
        "layout.init-file",
        "Without __init__.py, fastapi run FILE finds no package; uvicorn, which is given the module's name, does.",
        {
            "with, fastapi run": _ANSWERS,
            "with, uvicorn": _ANSWERS,
            "without, fastapi run": _NO_PARENT,
            "without, uvicorn": _ANSWERS,
        },
        _FOLDERS,
        "Each image is started with each command. Which of the four containers do not answer?",
        {
            "All four answer: an empty file changes nothing": {
                "without, fastapi run": _ANSWERS,
                "without, uvicorn": _ANSWERS,
            },
            "fastapi run, without the file": {"without, fastapi run": _NO_PARENT, "without, uvicorn": _ANSWERS},
            "uvicorn, without the file": {"without, fastapi run": _ANSWERS, "without, uvicorn": _NO_PARENT},
            "Both commands, without the file": {"without, fastapi run": _NO_PARENT, "without, uvicorn": _NO_PARENT},
        },
    ),
    Claim(
        "context.named",
        "Where each COPY names what it needs, docker build sends no more than that.",
        {"sent": _LITTLE},
        _CONTEXT,
        "The Dockerfile copies requirements.txt and the folder app. How much is sent to the builder?",
        {
            "The whole folder, about 25 MB": {"sent": _ALL},
            "The whole folder but for hidden files, a few hundred kB": {"sent": _SOME},
            "What COPY names, a few kB": {"sent": _LITTLE},
        },
    ),
    Claim(
        "context.copy-all",
        "COPY . asks for the whole folder, hidden files and passwords as well.",
        {"sent": _ALL, "env_in_the_image": True},
        _CONTEXT,
        "How much is sent now, and is .env in the image?",
        {
            "A few hundred kB: hidden files stay where they are": {"sent": _SOME, "env_in_the_image": False},
            "All of it, but COPY leaves hidden files out of the image": {"sent": _ALL, "env_in_the_image": False},
            "All of it, and .env is in the image": {"sent": _ALL, "env_in_the_image": True},
        },
    ),
    Claim(
        "context.deleted",
        "A later instruction hides a file, and the layer that brought it keeps it.",
        {"shown_in_a_container": False, "held_by_a_layer": True},
        _SECRETS,
        "The Dockerfile gets one more line, RUN rm .env. Who can still read the password?",
        {
            "Nobody: the file is not in the new image": {"shown_in_a_container": False, "held_by_a_layer": False},
            "Anyone who takes the image apart": {"shown_in_a_container": False, "held_by_a_layer": True},
            "Anyone who starts a container: RUN cannot delete what COPY brought": {"shown_in_a_container": True},
        },
    ),
    Claim(
        "context.ignored",
        "What .dockerignore names is not sent, whatever COPY says; a pattern begins at the top of the context.",
        {
            "COPY ./app": _LITTLE,
            "COPY .": _LITTLE,
            ".env in the image": False,
            "service/.env in the image": True,
        },
        _IGNORE,
        "The list has the line .env. Which of the two files with passwords is in the image that COPY . makes?",
        {
            "Neither": {".env in the image": False, "service/.env in the image": False},
            ".env only": {".env in the image": True, "service/.env in the image": False},
            "service/.env only": {".env in the image": False, "service/.env in the image": True},
            "Both: COPY . asks for everything": {".env in the image": True, "service/.env in the image": True},
        },
    ),
    Claim(
        "context.any-folder",
        "A pattern that begins with **/ keeps a file out of the context in whatever folder it is.",
        {".env in the image": False, "service/.env in the image": False},
        _IGNORE,
    ),
    Claim(
        "layout.single-file",
        "For a small application one file is enough: no package, no __init__.py.",
        {"answer": '{"Hello":"World"}'},
        _SINGLE_FILE,
    ),
]


def sent(log: str | Path) -> str:
    """How much of the build context a typed `docker build` has sent, in words.

    Args:
        log: the file with what it printed.

    Raises:
        LabError: the build failed, or its builder was not BuildKit.
    """
    text = Path(log).read_text()
    if failed := re.search(r"^ERROR: .*", text, re.MULTILINE):
        raise LabError(f"The build failed: {failed.group()}", f"Read {log}.")
    step = re.search(r"^#(\d+) \[internal\] load build context$", text, re.MULTILINE)
    told = re.findall(rf"^#{step[1]} transferring context: ([\d.]+)([kMG]?)B\b", text, re.MULTILINE) if step else []
    if not told:
        raise LabError(
            f"{log} does not say how much of the context was sent: this lesson needs BuildKit as the builder.",
            "Install the package with `docker buildx`, and run the cell again.",
        )
    number, unit = told[-1]  # while much is sent, there are lines before it
    n_bytes = float(number) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[unit]
    if n_bytes < 100e3:
        return _LITTLE
    if n_bytes < 1e6:
        return _SOME
    return _ALL if n_bytes > 25e6 else f"{n_bytes / 1e6:.0f} MB"


# --- the exercise: keep a key out of an image -------------------------------------------------------------------------

_SECRET_FILES = ["keys/server.key", "data/customers.csv"]

_PROJECT = {
    "Dockerfile": """\
ARG BASE_IMAGE=python:3.13.9-slim
FROM ${BASE_IMAGE}
WORKDIR /code
COPY requirements.txt .
RUN pip install --no-cache-dir --upgrade -r requirements.txt
COPY . /code
CMD ["fastapi", "run", "main.py", "--port", "80"]
""",
    "requirements.txt": REQUIREMENTS,
    "main.py": """\
from fastapi import FastAPI

app = FastAPI()


@app.get("/prices")
def read_prices():
    return {"tea": 3}
""",
    "keys/server.key": "-----BEGIN NOTHING-----\n",
    "data/customers.csv": "name,city\nAda,London\n",
}


def nothing_secret_in_the_image(lab: Lab, folder: Path) -> str:
    """Check that neither the key nor the data is in any layer of the image, and that the application answers.

    Raises:
        NotYet: one of them is, or it does not.
    """
    copy = lab.workspace / "checked" / "your_turn"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    secret = f"secret-{secrets.token_hex(8)}"
    for name in _SECRET_FILES:
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text(secret)

    context = build_context.context(copy)
    image = build(lab, copy, name="your-turn", progress=False)
    with serve(lab, image) as service:
        answer = httpx.get(service.url + "/prices", trust_env=False).text
    found = leaks(lab, image, secret)

    if answer != '{"tea":3}':
        raise NotYet(f"/prices answers {answer}.", "main.py, and whether it still reaches the image.")
    if found and all(leak.deleted_later for leak in found):
        raise NotYet(
            f"no container shows the files any more. But the layer of `{found[0].instruction}` still holds "
            f"{' and '.join(leak.path for leak in found)}, and anyone who has the image can take it apart.",
            "section 5: it deletes a file in a later instruction.",
        )
    if found:
        observed = f"the image holds {' and '.join(leak.path for leak in found)}."
        kept_out = ", ".join(file.path for file in context.ignored if file.path != ".dockerignore")
        if kept_out:
            raise NotYet(f"{observed} Kept from the builder: {kept_out}.", "what keeps that one out, not the other.")
        if (copy / ".dockerignore").exists():
            raise NotYet(
                f"{observed} Your .dockerignore keeps nothing from the builder.",
                "the paths of the two files, and at what of each path your patterns name.",
            )
        raise NotYet(
            f"{observed} `COPY .` asked for the whole folder, and the builder was sent all {len(context.sent)} files.",
            "section 6: it keeps files from the builder, whatever an instruction asks for.",
        )
    return "the application answers, and neither the key nor the data is in any layer of the image."


EXERCISES = [
    LessonExercise(
        _PROJECT,
        nothing_secret_in_the_image,
        (
            "At section 6. In the end, `COPY .` brings no password into the image any more. What does the folder have "
            "there that it did not have in section 4?",
            "`COPY . /code` asks for all of the build context. So it is decided before the first instruction runs. "
            "What an instruction has brought in, a later one can only hide.",
            "No line of the Dockerfile. The project lacks one file, and that file needs two lines. A line names a "
            "path, as it is seen from the top of the folder. A folder's name includes all that is in it.",
        ),
        {".dockerignore": "keys\ndata\n"},
        "What `.dockerignore` names is not part of the context, so `COPY .` cannot copy it. A Dockerfile that copies "
        "only `main.py` solves it as well.",
    )
]
