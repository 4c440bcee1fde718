"""The offline kit: how large, how long it takes to make, and how long a machine with no network is set up from it.

`DOCKERLAB_KIT` names a kit to measure; where it names none, one is made. Without root only the size is measured.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from ratio import Ratio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dockerlab import engine
from dockerlab.engine import portable
from dockerlab.engine.kit import find
from dockerlab_kit import making
from kit import offline

LARGEST_MB = 400
"""What a memory stick and a room's network still carry well: the project's own target."""

SETUP_SECONDS = 60
"""From a clone to an engine with a base image: the project's own target, on two cores."""


def measure() -> list[Ratio]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="dockerlab-kit-") as folder:
        kit = find()
        place = kit.folder if kit else Path(folder) / "kit"
        if not kit:
            began = time.perf_counter()
            with contextlib.closing(engine.ensure().client()) as client:
                making.make(place, client)
            rows.append(Ratio("kit: made", time.perf_counter() - began))
        began = time.perf_counter()
        portable.check(place)
        rows.append(Ratio("kit: each file checked", time.perf_counter() - began))
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) / 1e6
        rows.append(Ratio("kit: size", size, "target", LARGEST_MB, at_most=1, unit="MB"))
        if os.geteuid() == 0:
            rows.append(
                Ratio("kit: set up, no network", _set_up(Path(folder), place), "target", SETUP_SECONDS, at_most=1)
            )
    return rows


def _set_up(folder: Path, kit: Path) -> float:
    """From a clone with empty caches, and no engine, to all that `make lab` needs."""
    (folder / "machine").mkdir()
    with offline.machine(folder / "machine", kit) as machine:
        began = time.perf_counter()
        result = machine.run("make", "setup")
        if result.returncode:
            raise RuntimeError(result.stdout)
        return time.perf_counter() - began
