"""Stopping a container in exec form: the laboratory, which observes the stop, against `docker stop`, which does not."""

from __future__ import annotations

import statistics
import subprocess
import time
from pathlib import Path

from dockerlab import serve, stop
from dockerlab.build import build
from opened import opened
from ratio import Ratio

SAMPLE_APP = Path(__file__).resolve().parents[2] / "sample_app"
ROUNDS = 9


def measure() -> list[Ratio]:
    with opened("bench-stop") as lab:
        image = build(lab, SAMPLE_APP, name="exec", progress=False)
        # In turn, so that whatever else the machine does meets both alike.
        rounds = [(_ours(lab, image), _docker_stop(lab, image)) for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(seconds) for seconds in zip(*rounds, strict=True))
    return [Ratio("stop, exec form", ours, "`docker stop`", theirs, at_most=1.1)]


def _ours(lab, image) -> float:
    with serve(lab, image) as service:
        began = time.perf_counter()
        stop(service)
        return time.perf_counter() - began


def _docker_stop(lab, image) -> float:
    with serve(lab, image) as service:
        began = time.perf_counter()
        subprocess.run(
            ["docker", "stop", service.container.name],
            env=lab.engine.environment,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=60,
        )
        return time.perf_counter() - began
