"""The sample app's production image against the image of the page: size, cold build, rebuilds, start."""

from __future__ import annotations

import re
import shutil
import statistics
import uuid
from collections.abc import Callable
from pathlib import Path

from dockerlab.build import build
from dockerlab.image.contents import content, first_answer
from dockerlab.lab.lab import Lab
from dockerlab.records import Build
from opened import opened
from ratio import Ratio

SAMPLE_APP = Path(__file__).resolve().parents[2] / "sample_app"
DOCKERFILES = {"page": "Dockerfile", "production": "Dockerfile.production"}
ROUNDS = 3
NEW_DEPENDENCY = "itsdangerous==2.2.0"
NEW_HASH = "sha256:c6242fc49e35958c8b15141343aa660db5fc54d4f13a1db01a3f5891b98700ef"


def measure() -> list[Ratio]:
    with opened("bench-production-image") as lab:
        return _measure(lab, lab.workspace)


def _measure(lab: Lab, folder: Path) -> list[Ratio]:
    seconds: dict[str, dict[Callable[[Path], None], list[float]]] = {
        name: {change: [] for change in (_lay_out, _change_code, _add_dependency)} for name in DOCKERFILES
    }
    cold: dict[str, Build] = {}
    for number in range(ROUNDS):
        for change in (_lay_out, _change_code, _add_dependency):
            # In turn, and each first every other time, so that what else happens meets both alike.
            for name in DOCKERFILES if number % 2 else reversed(DOCKERFILES):
                project = folder / name
                change(project)
                built = build(lab, project, name=f"{name}-{change.__name__}", progress=False)
                seconds[name][change].append(built.seconds)
                if change is _lay_out:
                    cold[name] = built
    started = first_answer(lab, cold, rounds=ROUNDS)
    megabytes = {name: content(lab, built).added_bytes / 1e6 for name, built in cold.items()}

    def ratio(what: str, change: Callable[[Path], None], at_most: float | None) -> Ratio:
        ours, page = (statistics.median(seconds[name][change]) for name in ("production", "page"))
        return Ratio(f"{what}, production image", ours, "the page's", page, at_most=at_most)

    return [
        Ratio(
            "added to the base, production image",
            megabytes["production"],
            "the page's",
            megabytes["page"],
            at_most=0.8,
            unit="MB",
        ),
        ratio("cold build", _lay_out, 0.8),
        ratio("rebuild, new dependency", _add_dependency, 0.8),
        ratio("rebuild, code change", _change_code, None),
        Ratio(
            "start to first answer, production image",
            started["production"],
            "the page's",
            started["page"],
            at_most=1.2,
        ),
    ]


def _lay_out(project: Path) -> None:
    """The project as no build has seen it, with cache mounts that nothing has written into."""
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(SAMPLE_APP, project, ignore=shutil.ignore_patterns("__pycache__"))
    new = uuid.uuid4().hex
    text = (SAMPLE_APP / DOCKERFILES[project.name]).read_text()
    own = re.sub(r"target=/root/.cache/(\w+)", rf"id={new}-\1,target=/root/.cache/\1", text)
    (project / "Dockerfile").write_text(own)
    for requirements in project.glob("requirements*"):
        requirements.write_text(f"# {new}\n{requirements.read_text()}")


def _change_code(project: Path) -> None:
    with (project / "app" / "main.py").open("a") as code:
        code.write(f"# {uuid.uuid4().hex}\n")


def _add_dependency(project: Path) -> None:
    for requirements in project.glob("requirements*"):
        line = f"{NEW_DEPENDENCY} --hash={NEW_HASH}" if requirements.suffix == ".lock" else NEW_DEPENDENCY
        requirements.write_text(f"{requirements.read_text()}{line}\n")
