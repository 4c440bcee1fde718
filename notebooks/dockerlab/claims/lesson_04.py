"""Lesson 04, why does a one-line change reinstall everything: its claims, and its exercises."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

import httpx

from ..build.builder import build
from ..lab.lab import Lab
from ..records import Build
from ..run.container import serve
from .claim import Claim
from .exercise import LessonExercise, NotYet

_DOCKER_CACHE = "https://fastapi.tiangolo.com/deployment/docker/#docker-cache"
_INVALIDATION = "https://docs.docker.com/build/cache/invalidation/"
_RUN = "https://docs.docker.com/build/cache/invalidation/#run-instructions"
_STAGES = "https://docs.docker.com/build/building/multi-stage/"
_NO_CACHE_DIR = "https://fastapi.tiangolo.com/deployment/docker/#dockerfile"
_MOUNT = "https://docs.docker.com/build/cache/optimize/#use-cache-mounts"

_REINSTALLS = "COPY ., RUN pip"
_ALL = "fastapi, uvicorn, python-multipart"
_BOTH_STAGES = "COPY ./prices.csv, RUN sort, COPY --from=data, RUN wc"

CLAIMS = [
    Claim(
        "cache.unchanged",
        "A step runs only where its cache key is new: the second build of an unchanged project runs nothing.",
        {"first build ran": "COPY ./requirements.txt, RUN pip, COPY ./app", "second build ran": "nothing"},
        _DOCKER_CACHE,
        "You build the same folder again. What does the builder do?",
        {
            "It runs all steps: it cannot know what pip would install today": {
                "second build ran": "COPY ./requirements.txt, RUN pip, COPY ./app"
            },
            "It copies the files again, and takes only the packages from the cache": {
                "second build ran": "COPY ./requirements.txt, COPY ./app"
            },
            "It takes every step from the cache": {"second build ran": "nothing"},
        },
    ),
    Claim(
        "cache.code-change",
        "A change of code reinstalls the dependencies where COPY . is above pip, and not where the code comes last.",
        {"requirements_first ran": "COPY ./app", "copy_everything ran": _REINSTALLS},
        _DOCKER_CACHE,
        "One word of main.py changes in both folders. Where does pip run again?",
        {
            "In both": {"requirements_first ran": "RUN pip, COPY ./app", "copy_everything ran": _REINSTALLS},
            "In copy_everything only": {"requirements_first ran": "COPY ./app", "copy_everything ran": _REINSTALLS},
            "In neither: the requirements are the same": {
                "requirements_first ran": "COPY ./app",
                "copy_everything ran": "COPY .",
            },
        },
    ),
    Claim(
        "cache.new-dependency",
        "A RUN that runs again starts from the layer below it: one new requirement reinstalls all of them.",
        {"requirements_first installed": _ALL, "copy_everything installed": _ALL},
        _RUN,
        "requirements.txt gets one more package. What does pip install in requirements_first?",
        {
            "The new package: the others are there already": {"requirements_first installed": "python-multipart"},
            "All packages": {"requirements_first installed": _ALL},
        },
    ),
    Claim(
        "cache.touched",
        "The time of a file is not in the key of COPY; its permission bits are.",
        {
            "new time, requirements_first": "nothing",
            "new time, copy_everything": "nothing",
            "new permissions, requirements_first": "COPY ./app",
            "new permissions, copy_everything": _REINSTALLS,
        },
        _INVALIDATION,
        "Which of the two makes pip run again in copy_everything?",
        {
            "Both": {"new time, copy_everything": _REINSTALLS, "new permissions, copy_everything": _REINSTALLS},
            "The new time only": {
                "new time, copy_everything": _REINSTALLS,
                "new permissions, copy_everything": "nothing",
            },
            "The new permissions only": {
                "new time, copy_everything": "nothing",
                "new permissions, copy_everything": _REINSTALLS,
            },
            "Neither: the content is the same": {
                "new time, copy_everything": "nothing",
                "new permissions, copy_everything": "nothing",
            },
        },
    ),
    Claim(
        "cache.stages",
        "COPY --from has the copied files in its key: an earlier stage that ran again and made the same file changes "
        "nothing for it.",
        {"another order": "COPY ./prices.csv, RUN sort", "another line": _BOTH_STAGES},
        _STAGES,
        "The lines of prices.csv get another order. Which steps run?",
        {
            "COPY ./prices.csv, and all steps below it": {"another order": _BOTH_STAGES},
            "COPY ./prices.csv and RUN sort": {"another order": "COPY ./prices.csv, RUN sort"},
            "COPY ./prices.csv only": {"another order": "COPY ./prices.csv"},
        },
    ),
    Claim(
        "cache.no-cache-dir",
        "Without --no-cache-dir, pip's own cache becomes part of the image.",
        {"with_flag": "smaller layer, no wheel", "without_flag": "larger layer, wheel"},
        _NO_CACHE_DIR,
    ),
    Claim(
        "cache.mount",
        "A cache mount keeps pip's own cache for the next build, and out of the image.",
        {
            "with_flag": "built again",
            "without_flag": "built again",
            "cache_mount": "reused",
            "cache_mount keeps in its image": "no wheel",
        },
        _MOUNT,
        "A new requirement makes pip run again in all three. Where can it reuse the wheel that it built before?",
        {
            "In without_flag and cache_mount: both have kept it": {"without_flag": "reused", "cache_mount": "reused"},
            "In cache_mount only": {"without_flag": "built again", "cache_mount": "reused"},
            "In none: a step that runs starts from nothing": {
                "without_flag": "built again",
                "cache_mount": "built again",
            },
        },
    ),
]


def _copied(lab: Lab, folder: Path) -> Path:
    """A copy of the reader's folder, to be changed and built."""
    copy = lab.workspace / "checked" / folder.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    return copy


def _get(url: str) -> str:
    return httpx.get(url, trust_env=False).text


# --- exercise 1: find the reasons -------------------------------------------------------------------------------------

_RELEASE = {
    "Dockerfile": """\
ARG BASE_IMAGE=python:3.13.9-slim
FROM ${BASE_IMAGE}

ARG RELEASE=unknown
ENV RELEASE=${RELEASE}

WORKDIR /code

COPY . /code

RUN pip install --no-cache-dir --upgrade -r /code/requirements.txt

CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "80"]
""",
    "requirements.txt": "fastapi==0.165.0\nuvicorn==0.54.0\n",
    "app/__init__.py": "",
    "app/main.py": """\
import os

from fastapi import FastAPI

app = FastAPI()


@app.get("/release")
def read_release():
    return {"release": os.environ["RELEASE"]}
""",
}


def release_keeps_the_dependencies(lab: Lab, folder: Path) -> str:
    """Check that a change of code and a new release leave the dependencies in the cache.

    Raises:
        NotYet: they do not, or the application lacks one of both.
    """
    copy = _copied(lab, folder)
    build(lab, copy, name="your-turn", build_args={"RELEASE": "before"}, progress=False)

    new = secrets.token_hex(4)  # a release, and a line of code, that no build has seen
    if not (copy / "app" / "main.py").exists():
        raise NotYet("there is no app/main.py.", "the files as they were given.")
    with (copy / "app" / "main.py").open("a") as file:
        file.write(f'\n\n@app.get("/added")\ndef read_added():\n    return "{new}"\n')
    built = build(lab, copy, name="your-turn", build_args={"RELEASE": new}, progress=False)

    with serve(lab, built, path="/docs") as service:
        release, added = _get(service.url + "/release"), _get(service.url + "/added")
    again = ", ".join(built.ran)
    if new not in release:
        raise NotYet(
            f"this build was given RELEASE={new}, and /release answers {release}. Steps that ran: {again}.",
            "how a build argument gets to the application that runs later: two instructions do it.",
        )
    if new not in added:
        raise NotYet(f"/added answers {added}: the changed code is not in the image.", "what the last COPY copies.")
    installing = [step for step in built.steps if step.instruction.startswith("RUN") and "install" in step.instruction]
    if not installing:
        raise NotYet("no step of the build installs the dependencies.", "the Dockerfile as it was given.")
    if not all(step.cached for step in installing):
        look = "what is in the key of that step beside its text: the table of section 2."
        if built.ran[0].startswith(("COPY", "ADD")):
            look = "which files that step has in its key, and which of them have changed."
        raise NotYet(
            f"after a change of code and a new release, these steps ran again: {again}. "
            f"The first of them is `{built.ran[0]}`.",
            look,
        )
    return "after a change of code and a new release, the dependencies came from the cache. The application has both."


# --- exercise 2: put the lines in order -------------------------------------------------------------------------------

_ORDER = {
    "Dockerfile": """\
ARG BASE_IMAGE=python:3.13.9-slim
FROM ${BASE_IMAGE}
ENV RELEASE=${RELEASE}
ARG RELEASE=unknown
COPY ./app ./app
RUN python prepare.py
COPY ./prepare.py ./rates.csv ./
RUN pip install --no-cache-dir --upgrade -r requirements.txt
COPY ./requirements.txt ./
WORKDIR /code
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "80"]
""",
    "requirements.txt": "fastapi==0.165.0\nuvicorn==0.54.0\n",
    "rates.csv": "EUR,1.00\nCHF,0.94\n",
    "prepare.py": """\
import json
from pathlib import Path

rows = [line.split(",") for line in Path("rates.csv").read_text().splitlines()]
Path("rates.json").write_text(json.dumps({name: float(rate) for name, rate in rows}))
""",
    "app/__init__.py": "",
    "app/main.py": """\
import json
import os
from pathlib import Path

from fastapi import FastAPI

app = FastAPI()


@app.get("/rates")
def read_rates():
    return json.loads(Path("rates.json").read_text())


@app.get("/release")
def read_release():
    return {"release": os.environ["RELEASE"]}
""",
}


def _lines_of(text: str) -> list[str]:
    """The lines of a Dockerfile that say something, in no order."""
    return sorted(line.strip() for line in text.splitlines() if line.strip())


def _only_moved(folder: Path) -> None:
    """Raise NotYet unless the lines are the given ones."""
    if not (folder / "Dockerfile").exists():
        raise NotYet("there is no Dockerfile.", "the folder: delete it, and run the cell that lays the exercise out.")
    given, yours = _lines_of(_ORDER["Dockerfile"]), _lines_of((folder / "Dockerfile").read_text())
    missing = [line for line in dict.fromkeys(given) if yours.count(line) < given.count(line)]
    added = [line for line in dict.fromkeys(yours) if yours.count(line) > given.count(line)]
    told = [
        f"{word}: {', '.join(f'`{line}`' for line in some)}"
        for word, some in [("gone", missing), ("new", added)]
        if some
    ]
    if told:
        raise NotYet(f"the lines are not those that were given. {'; '.join(told)}.", "the order alone.")


def each_change_costs_what_it_must(lab: Lab, folder: Path) -> str:
    """Check which steps run again after a release, a change of code, and new rates.

    Raises:
        NotYet: the lines are others than the given ones, or a step runs that need not, or one does not that must.
    """
    _only_moved(folder)
    copy = _copied(lab, folder)
    new = secrets.token_hex(4)

    def built_after(event: str, release: str, *, must: str = "", must_not: tuple[str, ...] = ()) -> Build:
        """Build the copy, and compare the steps that ran with those that must and must not."""
        built = build(lab, copy, name="your-turn-2", build_args={"RELEASE": release}, progress=False)
        if any(step in must_not for step in built.ran):
            raise NotYet(
                f"after {event}, these steps ran again: {', '.join(built.ran)}.",
                f"the first of them, `{built.ran[0]}`: has what it reads changed, or what stands above it? "
                "The steps below it had no choice.",
            )
        if must and must not in built.ran:
            raise NotYet(f"after {event}, {must} did not run.", "what that step reads, and where it comes from.")
        return built

    built_after("nothing", "before")
    with serve(lab, built_after("a new release", new, must_not=("RUN pip", "RUN python")), path="/docs") as service:
        release, rates = _get(service.url + "/release"), _get(service.url + "/rates")
    if new not in release:
        raise NotYet(
            f"the build was given RELEASE={new}, and /release answers {release}.",
            "the two lines on RELEASE: which of them needs the other, and from where on is an ARG known?",
        )
    if rates != '{"EUR":1.0,"CHF":0.94}':
        raise NotYet(f"/rates answers {rates}.", "prepare.py, and where it writes.")
    with (copy / "app" / "main.py").open("a") as file:
        file.write(f"\n# {new}\n")
    built_after("a change of code", new, must_not=("RUN pip", "RUN python"))
    (copy / "rates.csv").write_text(f"EUR,1.00\nCHF,0.{int(new, 16)}\n")
    built_after("new rates", new, must="RUN python", must_not=("RUN pip",))
    return (
        "a release and a change of code cost no installation and no preparation; new rates cost the preparation alone."
    )


EXERCISES = [
    LessonExercise(
        _RELEASE,
        release_keeps_the_dependencies,
        (
            "The check names the steps that ran again. Ask about the first of them; those below it had no choice.",
            "The table in section 2 says what is in a step's key. If the first step that ran is a `COPY`: which files "
            "does it copy, and which of them does `pip` need? If it is a `RUN`: what else than its text is in its key?",
            "One reason is a line that brings in too much too soon: make two of it, one before `pip` and one after. "
            "The other reason is two lines that are right, and too high up: `pip` can see what they set.",
        ),
        {
            "Dockerfile": """\
ARG BASE_IMAGE=python:3.13.9-slim
FROM ${BASE_IMAGE}

WORKDIR /code

COPY ./requirements.txt /code/requirements.txt

RUN pip install --no-cache-dir --upgrade -r /code/requirements.txt

COPY ./app /code/app

ARG RELEASE=unknown
ENV RELEASE=${RELEASE}

CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "80"]
"""
        },
        "`ARG` and `ENV` are below `pip`: what changes with each build comes last.",
    ),
    LessonExercise(
        _ORDER,
        each_change_costs_what_it_must,
        (
            "If it does not build, look at the failed step: which file was missing, and which line brings it? If it "
            "does, look at the first step that ran again.",
            "Two rules pull at each line. It comes after what it needs: a folder to work in, the file that it reads, "
            "the value that it uses. And it comes before all that changes more often than itself.",
            "Begin with the lines that need nothing: the base, and the folder to work in. Then take the table of "
            "changes from its first row to its last. For each row, put down the line that brings the thing in, and "
            "right below it the line that works with it.",
        ),
        {
            "Dockerfile": """\
ARG BASE_IMAGE=python:3.13.9-slim
FROM ${BASE_IMAGE}
WORKDIR /code
COPY ./requirements.txt ./
RUN pip install --no-cache-dir --upgrade -r requirements.txt
COPY ./prepare.py ./rates.csv ./
RUN python prepare.py
COPY ./app ./app
ARG RELEASE=unknown
ENV RELEASE=${RELEASE}
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "80"]
"""
        },
        "`CMD` may be anywhere below `FROM`. `ARG` and `ENV` may be higher, as long as no `RUN` comes after them.",
    ),
]
