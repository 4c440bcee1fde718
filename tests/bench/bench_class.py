"""A class: twenty learners on one engine, who begin in the same moment, against one learner alone.

Each learner has a kernel and a folder of their own, as on a machine that all log in to. All must reach the end of the
lesson, and of none may anything be left. A lesson is measured with the dependencies in the build cache, for one learner
as for twenty: in a class, only the first one installs them.

Learners read what stands between the cells, each at a pace of their own, and what counts is how long they wait for
cells. Where nobody reads and all press Run All in the same moment, twenty learners have the work of twenty to share two
cores: one learner alone keeps nearly one core busy with lesson 02, so there it takes each about nine times as long,
whatever the laboratory does. That is shown, too.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

sys.path.append(str(Path(__file__).resolve().parents[1] / "lessons"))

from dockerlab import engine
from dockerlab.build import build
from engine_snapshot import snapshot
from execute import NOTEBOOKS, ROOT, copy_of_lessons, execute, read
from opened import opened
from ratio import Ratio

LESSON = "02_build_and_run"
"""The first in which everybody builds and starts something: in a room, this one begins in the same minute for all."""

LEARNERS = 20
AT_MOST = 4
"""Times as long as alone, on two cores: more, and a room of people looks at progress lines."""

WORDS_PER_MINUTE = (4 * 175, 4 * 300)
"""Four times as fast as most adults read English non-fiction silently (175 to 300; Brysbaert, How many words do we read
per minute?, Journal of Memory and Language 109 (2019), 104047): minutes instead of half an hour, and harder on the
engine than a room of people."""


def measure() -> list[Ratio]:
    with contextlib.closing(engine.ensure().client()) as client:
        before = snapshot(client)
        with _kept_in_the_cache():
            _learn(None)  # the first one fills the cache
            alone = statistics.median(_learn(None) for _ in range(3))
            with _memory() as taken_by_readers:
                readers = _class([random.uniform(*WORDS_PER_MINUTE) for _ in range(LEARNERS)])
            with _memory() as taken_at_once:
                at_once = _class([None] * LEARNERS)
        left = before.difference(snapshot(client))
    _tell_left(left)
    waiting = f"waiting for lesson {LESSON[:2]}, {LEARNERS} learners"
    return [
        Ratio(f"{waiting} who read, median", statistics.median(readers), "alone", alone, at_most=AT_MOST),
        Ratio(f"{waiting} who read, the slowest", max(readers), "alone", alone),
        Ratio(f"{waiting} who press Run All at once, median", statistics.median(at_once), "alone", alone),
        Ratio(f"memory of {LEARNERS} learners who read, at most", max(taken_by_readers) / 1e6, unit="MB"),
        Ratio(f"memory of {LEARNERS} learners at once, at most", max(taken_at_once) / 1e6, unit="MB"),
        Ratio("left on the engine after both classes", len(left), "learners", 2 * LEARNERS, at_most=0, unit="things"),
    ]


@contextlib.contextmanager
def _kept_in_the_cache() -> Iterator[None]:
    """A lab of the sample app that is open all the while: the last lab that closes takes the build cache with it."""
    with opened("bench-class") as lab:
        build(lab, ROOT / "sample_app", progress=False)
        yield


def _class(paces: Sequence[float | None]) -> list[float]:
    """How many seconds each learner waited for the lesson's cells, where all begin in the same moment.

    Args:
        paces: how many words each of them reads in a minute; None for who does not read.
    """
    with ThreadPoolExecutor(len(paces)) as pool:
        return list(pool.map(_learn, paces))


def _learn(words_per_minute: float | None) -> float:
    """How many seconds a learner waits for the lesson's cells: its start and its end count, reading does not."""
    notebook = read(NOTEBOOKS / f"{LESSON}.ipynb")
    words, to_read = 0, {}
    for cell in notebook.cells:
        words += len(cell.source.split())
        if cell.cell_type == "code":
            to_read[cell.id], words = words, 0
    reading = 0.0

    def read_up_to(cell, client) -> None:
        nonlocal reading
        if words_per_minute:
            began = time.perf_counter()
            time.sleep(to_read[cell.id] / words_per_minute * 60)
            reading += time.perf_counter() - began

    with tempfile.TemporaryDirectory(prefix="dockerlab-learner-") as folder:
        notebooks = copy_of_lessons(Path(folder))
        began = time.perf_counter()
        if red := execute(notebook, notebooks, disturb=read_up_to):
            raise SystemExit(f"a learner stopped at {red}")
        return time.perf_counter() - began - reading


@contextlib.contextmanager
def _memory() -> Iterator[list[int]]:
    """How many bytes of the machine's memory are taken, against the beginning: a reading every half second."""
    before = psutil.virtual_memory().available
    taken, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(0.5):
            taken.append(before - psutil.virtual_memory().available)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        ended.set()
        thread.join()


def _tell_left(left: list[str]) -> None:
    for line in left:
        print(line, file=sys.stderr)
