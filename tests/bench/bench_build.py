"""Building the sample application: the laboratory, which reads what each step did, against `docker build`."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from dockerlab.build import build
from dockerlab.lab import build_cache, ledger
from dockerlab.lab.lab import Lab
from opened import opened
from ratio import Ratio

SAMPLE_APP = Path(__file__).resolve().parents[2] / "sample_app"
COLD_ROUNDS = 3
WARM_ROUNDS = 15


def measure() -> list[Ratio]:
    with opened("bench-build") as lab:
        ours = shutil.copytree(SAMPLE_APP, Path("ours"))
        theirs = shutil.copytree(SAMPLE_APP, Path("theirs"))
        cold = _rounds(COLD_ROUNDS, lambda: _ours(lab, _unseen(ours)), lambda: _docker_build(lab, _unseen(theirs)))
        warm = _rounds(WARM_ROUNDS, lambda: _ours(lab, ours), lambda: _docker_build(lab, theirs))
    return [
        Ratio("build, nothing cached", cold[0], "`docker build`", cold[1], at_most=1.1),
        Ratio("build, everything cached", warm[0], "`docker build`", warm[1], at_most=1.1),
    ]


def _rounds(number: int, ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[float, float]:
    """The median of each. In turn, and each first every other time, so that what else happens meets both alike."""
    seconds: dict[Callable[[], float], list[float]] = {ours: [], theirs: []}
    for round_ in range(number):
        for build_ in (ours, theirs) if round_ % 2 else (theirs, ours):
            seconds[build_].append(build_())
    return statistics.median(seconds[ours]), statistics.median(seconds[theirs])


def _unseen(project: Path) -> Path:
    """The project with a comment in its requirements that no build has seen."""
    requirements = (SAMPLE_APP / "requirements.txt").read_text()
    (project / "requirements.txt").write_text(f"# {uuid.uuid4().hex}\n{requirements}")
    return project


def _ours(lab: Lab, project: Path) -> float:
    began = time.perf_counter()
    build(lab, project, name="ours", progress=False)
    return time.perf_counter() - began


def _docker_build(lab: Lab, project: Path) -> float:
    labels = [f"--label={key}={value}" for key, value in lab.labels.items()]
    command = ["docker", "build", f"--build-arg=BASE_IMAGE={lab.base_image}", f"--tag={lab.tag('theirs')}", *labels]
    before = build_cache.descriptions(lab.client)
    began = time.perf_counter()
    subprocess.run(
        [*command, str(project)],
        env={**lab.engine.environment, "DOCKER_BUILDKIT": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=600,
    )
    seconds = time.perf_counter() - began
    ledger.note_build_records(lab.client, build_cache.descriptions(lab.client).keys() - before.keys())
    return seconds
