"""An audit beyond the project's own build, against the grace period that lies inside it."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from unittest import mock

from dockerlab.audit import audit
from ratio import Ratio

ROOT = Path(__file__).resolve().parents[2]
GRACE_SECONDS = 10
"""What `docker stop` waits for a process that does not hear: an audit of such a project waits for that, too."""

MOST_SECONDS = 35


def measure() -> list[Ratio]:
    ratios = []
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, DOCKERLAB_WORKSPACE=folder):
        for project in (ROOT / "sample_app", ROOT / "tests/projects/shell_form"):
            said: list[float] = []  # when it says that it builds, and that it runs the experiments
            audit(project, report=lambda line, said=said: said.append(time.perf_counter()))
            beyond = time.perf_counter() - said[-1]
            name = f"audit of {project.name}, beyond its own build"
            ratios.append(Ratio(name, beyond, "the grace period", GRACE_SECONDS, at_most=MOST_SECONDS / GRACE_SECONDS))
    return ratios
