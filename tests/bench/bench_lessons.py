"""All lessons on a ready engine and base image, two at a time, against the waits that no machine can shorten.

The floor is what the lessons have to wait for whatever we do: grace periods that must run out, and installations of
dependencies that must be cold. The first are constants of the lessons, counted here by hand; the second are measured in
the same run, one cold build of the sample app at a time.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from opened import opened
from ratio import Ratio

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lessons"))

from dockerlab import engine  # noqa: E402
from dockerlab.build import build  # noqa: E402
from dockerlab.lab import cleanup  # noqa: E402
from execute import copy_of_lessons, execute, lessons, read  # noqa: E402

LANES = 2
"""Lessons at a time: as many as the cores that the target was set for."""

GRACE_SECONDS = {"00": 2, "03": 30}
"""What each lesson waits for in grace periods that run out, in seconds, one after the other."""

COLD_INSTALLS = {"01": 1, "02": 1, "03": 1, "04": 4}
"""How many times each lesson installs the dependencies with a cold cache, one after the other."""


def measure() -> list[Ratio]:
    install = _cold_install()
    floors = [GRACE_SECONDS.get(path.stem[:2], 0) + COLD_INSTALLS.get(path.stem[:2], 0) * install for path in lessons()]
    floor = max(max(floors), sum(floors) / LANES)

    began = time.perf_counter()
    with ThreadPoolExecutor(LANES) as pool:
        seconds = dict(zip([path.stem for path in lessons()], pool.map(_run, lessons()), strict=True))
    wall = time.perf_counter() - began
    alone = [Ratio(f"lesson {name}, two at a time", took) for name, took in seconds.items()]
    return [*alone, Ratio("all lessons, two at a time", wall, "waits that must be", floor, at_most=2)]


def _cold_install() -> float:
    with opened("bench-lessons") as lab:
        return build(lab, ROOT / "sample_app", name="cold", no_cache=True, progress=False).seconds


def _run(path: Path) -> float:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="dockerlab-bench-") as folder:
        if red := execute(read(path), copy_of_lessons(Path(folder))):
            with contextlib.closing(engine.find().client()) as client:
                cleanup.sweep(client)
            raise RuntimeError(f"{path.stem} failed at {red}")
    return time.perf_counter() - began
