"""A rebuild after a code change: the Dockerfile that copies everything first, against the one that copies it last."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

from dockerlab.build import build
from dockerlab.lab.lab import Lab
from opened import opened
from ratio import Ratio

SAMPLE_APP = Path(__file__).resolve().parents[2] / "sample_app"
ROUNDS = 3


def measure() -> list[Ratio]:
    with opened("bench-cache") as lab:
        return _measure(lab, lab.workspace)


def _measure(lab: Lab, folder: Path) -> list[Ratio]:
    last, first = folder / "code_last", folder / "everything_first"
    for project in (last, first):
        shutil.copytree(SAMPLE_APP, project)
        build(lab, project, progress=False)
    text = (first / "Dockerfile").read_text()
    changed = text.replace("COPY ./requirements.txt /code/requirements.txt", "COPY . /code")
    assert changed != text, "the sample app's Dockerfile no longer copies its requirements first"
    (first / "Dockerfile").write_text(changed)

    seconds: dict[Path, list[float]] = {last: [], first: []}
    for number in range(ROUNDS):
        for project in (last, first):
            with (project / "app" / "main.py").open("a") as code:
                code.write(f"# change {number}\n")
            seconds[project].append(build(lab, project, progress=False).seconds)
    return [
        Ratio(
            "code change, everything copied first",
            statistics.median(seconds[first]),
            "code change, code copied last",
            statistics.median(seconds[last]),
            at_least=10,
        )
    ]
