"""Endurance: what happens to lessons that are disturbed, and what is left on the engine after the next start.

Each trial executes a lesson and disturbs it once. It ends in one of four ways:

- right: the lesson went on to its end as if nothing had been;
- clear: it stopped with an error of the laboratory, which says what was seen and what to do;
- raw: it stopped with another error, of Docker's SDK, say, or with a claim that was not so;
- hung: it did not stop.

After each trial a lab is opened and closed, as by whoever goes on, and the engine must hold what it held before.

Kernels are killed on the machine's own engine, one cell of each lesson, another one each time; all cells of all lessons
with `DOCKERLAB_ENDURANCE=all` (hours). The engine is killed, filled and slowed down in a network of its own, so that
nobody else is disturbed. That has no way out: the lessons there are those that install nothing.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path += [str(TESTS), str(TESTS / "lessons"), str(TESTS / "bench")]

import nbformat  # noqa: E402
import own_engine  # noqa: E402
import psutil  # noqa: E402
from dockerlab import engine, folders  # noqa: E402
from dockerlab.errors import LabError  # noqa: E402
from engine_snapshot import Snapshot, snapshot  # noqa: E402
from execute import Red, copy_of_lessons, execute, lessons, read  # noqa: E402
from opened import opened  # noqa: E402
from ratio import Ratio  # noqa: E402
from rules import code_cells  # noqa: E402
from seed import names  # noqa: E402

ALL = os.environ.get("DOCKERLAB_ENDURANCE") == "all"
SLOW_CPU = 0.1
"""Cores for the slow engine's own processes."""

BASE = "dockerlab/base:trixie"
PREDEFINED = ("bridge", "host", "none")
FULL_DISK = "size=512m"


@dataclass(frozen=True)
class Trial:
    """What came of one.

    Attributes:
        name: the lesson and the cell.
        end: ``right``, ``clear``, ``raw`` or ``hung``.
        told: the error that it stopped with; empty where there was none.
        left: what was left on the engine, a line each.
    """

    name: str
    end: str
    told: str
    left: list[str]


def measure() -> list[Ratio]:
    found: dict[str, list[Trial]] = {}
    for kind, trial in _all_trials():
        print(f"{kind}: {trial.name}: {trial.end} {trial.told} {trial.left or ''}", file=sys.stderr, flush=True)
        found.setdefault(kind, []).append(trial)
    rows = []
    for kind, trials in found.items():
        count = len(trials)
        ends = [trial.end for trial in trials]
        told = ", ".join(f"{ends.count(end)} {end}" for end in dict.fromkeys(ends))
        bad = ends.count("raw") + ends.count("hung")
        left = sum(len(trial.left) for trial in trials)
        rows += [
            Ratio(f"{kind}: neither right nor clear ({told})", bad, "trials", count, at_most=0, unit=""),
            Ratio(f"{kind}: left after the next start", left, "trials", count, at_most=0, unit=""),
        ]
    return rows


def _all_trials() -> Iterator[tuple[str, Trial]]:
    """Each trial as it ends, with its kind. Those with an engine of their own end together, kind by kind."""
    for trial in _killed_kernels():
        yield "kernel killed", trial
    for trial in _two_at_once():
        yield "the same lesson twice at once", trial
    yield from _own_engine()


def _end(red: Red | None, notebook: nbformat.NotebookNode) -> tuple[str, str]:
    """How a trial ended, and what it told the learner: what is shown below the cell."""
    if red is None:
        return "right", ""
    if red.error == "Timeout":
        return "hung", f"at {red.cell}"
    shown = [o for cell in code_cells(notebook) for o in cell.outputs if o.output_type == "error"]
    error, message = (shown[-1].ename, shown[-1].evalue) if shown else (red.error, red.message)
    return "clear" if error in names(LabError) else "raw", f"at {red.cell}: {error}: {message[:200]}"


@contextlib.contextmanager
def _and_next_start(into: list[str]) -> Iterator[None]:
    """Whatever the block leaves on the engine when a lab was opened and closed after it, is put into a list."""
    before = _holds()
    yield
    with opened("bench-endurance"):
        pass
    into += before.difference(_holds())


def _holds() -> Snapshot:
    """What the engine holds, but for the networks that each engine has: one that starts makes them anew."""
    with contextlib.closing(engine.ensure().client()) as client:
        networks = frozenset(network.id for network in client.networks.list() if network.name not in PREDEFINED)
        return replace(snapshot(client), networks=networks)


def _try(notebook: nbformat.NotebookNode, name: str, **how) -> Trial:
    left: list[str] = []
    with _and_next_start(left), tempfile.TemporaryDirectory(prefix="dockerlab-endurance-") as folder:
        red = execute(notebook, copy_of_lessons(Path(folder)), **how)
    return Trial(name, *_end(red, notebook), left)


# --- on the machine's own engine -------------------------------------------------------------------------------------


def _killed_kernels() -> Iterator[Trial]:
    for path in lessons():
        cells = [cell.id for cell in code_cells(read(path))]
        for victim in cells if ALL else [random.choice(cells)]:

            def kill(cell, client, victim=victim) -> None:
                if cell.id == victim:
                    pid = client.km.provisioner.pid
                    threading.Timer(random.uniform(0, 1), lambda: os.kill(pid, signal.SIGKILL)).start()

            trial = _try(read(path), f"{path.stem} at {victim}", disturb=kill)
            # A dead kernel is what the trial is about; nobody has to be told of it.
            end = "right" if trial.told.startswith("at ") and "DeadKernel" in trial.told else trial.end
            yield Trial(trial.name, end, trial.told, trial.left)


def _two_at_once() -> Iterator[Trial]:
    """Two kernels of one learner, with the same lesson in the same folder."""
    for path in lessons()[:4]:
        left: list[str] = []
        with (
            _and_next_start(left),
            tempfile.TemporaryDirectory() as folder,
            ThreadPoolExecutor(2) as pool,
        ):
            notebooks = copy_of_lessons(Path(folder))
            both = [read(path), read(path)]
            reds = list(pool.map(lambda notebook, folder=notebooks: execute(notebook, folder), both))
        for number, red in enumerate(reds):
            yield Trial(f"{path.stem}, kernel {number + 1}", *_end(red, both[number]), left * (number == 0))


# --- on an engine in a network of its own ----------------------------------------------------------------------------

LESSON_WITH_A_BUILD = """\
from pathlib import Path
from dockerlab import open_lab
lab = open_lab("endurance")
===
from dockerlab.build import build
Path("project").mkdir()
Path("project/Dockerfile").write_text(
    'ARG BASE_IMAGE\\nFROM ${BASE_IMAGE}\\nRUN sleep 2 && head -c 2000000 /dev/urandom > /some\\n'
    'CMD ["python", "-m", "http.server", "80"]\\n'
)
built = build(lab, "project", progress=False)
===
from dockerlab import serve
service = serve(lab, built, name="web")
===
from dockerlab import send
assert not send(service.url, ["/"]).failed
===
from dockerlab import stop
stopped = stop(service, grace=2)
assert stopped.exit_code == 137, stopped  # Python as PID 1 has no handler for SIGTERM
service.close()
===
lab.close()
"""
"""Builds, serves, asks and stops with the laboratory's own functions, and installs nothing."""


def _own_engine() -> Iterator[tuple[str, Trial]]:
    """The trials that disturb an engine, carried out by this module as a program inside that engine's network."""
    with (
        tempfile.TemporaryDirectory(prefix="dockerlab-endurance-", dir="/var/tmp") as folder,
        own_engine.machine(Path(folder), loopback=True) as machine,
        _unmounted(Path(folder)),
    ):
        machine.start()
        if not machine.load_base(BASE):
            raise SystemExit(
                f"no archive of the base image is in {folders.cache() / 'base'}: `dockerlab setup` makes it"
            )
        shutil.copytree(folders.cache() / "base", machine.cache / "base")  # for the engine that gets a disk of its own
        for kind in DISTURBANCES:
            result = machine.run(sys.executable, __file__, kind, folder, timeout=1200)
            if result.returncode:
                raise SystemExit(f"{kind}: {result.stderr[-3000:]}")
            for trial in json.loads(result.stdout.splitlines()[-1]):
                yield kind, Trial(**trial)


@contextlib.contextmanager
def _unmounted(folder: Path) -> Iterator[None]:
    """After the block, nothing is mounted in a folder: a trial that was broken off could not see to its disk."""
    try:
        yield
    finally:
        points = {part.mountpoint for part in psutil.disk_partitions(all=True)}
        for point in sorted((point for point in points if Path(point).is_relative_to(folder)), reverse=True):
            subprocess.run(["umount", "--lazy", point], check=False)


def _notebooks() -> dict[str, nbformat.NotebookNode]:
    toy = nbformat.v4.new_notebook()
    for number, source in enumerate(LESSON_WITH_A_BUILD.split("===\n")):
        toy.cells.append(nbformat.v4.new_code_cell(source, id=f"cell-{number}"))
    return {"00": read(lessons()[0]), "a build": toy}


def _disturbed(disturb: Callable[[], None], mend: Callable[[], None]) -> Iterator[Trial]:
    """Each cell of both notebooks but the first is disturbed in turn: a moment after it has begun."""
    for name, notebook in _notebooks().items():
        for victim in [cell.id for cell in code_cells(notebook)][1:]:

            def begin(cell, client, victim=victim) -> None:
                if cell.id == victim:
                    threading.Timer(0.3, disturb).start()
                    time.sleep(random.uniform(0, 0.6))

            left: list[str] = []
            with _and_next_start(left):
                with tempfile.TemporaryDirectory() as folder:
                    red = execute(notebook, copy_of_lessons(Path(folder)), disturb=begin)
                time.sleep(1)
                mend()
            yield Trial(f"{name} at {victim}", *_end(red, notebook), left)


def _dockerlab(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dockerlab.cli", *arguments], check=True, capture_output=True, timeout=120)


def _restart() -> None:
    _dockerlab("engine", "stop")
    _dockerlab("engine", "start")


def _kill_engine() -> None:
    from dockerlab.engine.own import embedded

    if daemon := embedded._daemon(embedded.EngineFolder.default()):
        daemon.kill()


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """The engine's data on a disk of its own, which is small."""
    from dockerlab.engine.own import embedded

    data = embedded.EngineFolder.default().data
    _dockerlab("engine", "stop")
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", FULL_DISK, "tmpfs", disk], check=True)
    try:
        data.rename(folder / "data-before")
        data.mkdir()
        subprocess.run(["mount", "--bind", disk, data], check=True)
        yield disk
    finally:
        _dockerlab("engine", "stop")
        subprocess.run(["umount", data], check=False)
        subprocess.run(["umount", disk], check=False)
        shutil.rmtree(data, ignore_errors=True)
        (folder / "data-before").rename(data)


def _fill(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "filler").open("wb") as file:
        while True:
            file.write(bytes(1 << 20))


def _full_disk(folder: Path) -> Iterator[Trial]:
    machine = own_engine.Machine(folder, os.getpid())
    with _small_disk(folder) as disk:
        _dockerlab("engine", "start")
        assert machine.load_base(BASE)
        yield from _disturbed(lambda: _fill(disk), lambda: (disk / "filler").unlink(missing_ok=True))


@contextlib.contextmanager
def _slowed_down() -> Iterator[None]:
    """The engine's own processes in a control group that gives them a tenth of a core."""
    from dockerlab.engine.own import embedded

    groups = Path("/sys/fs/cgroup")
    version_2 = (groups / "cgroup.controllers").exists()
    group = groups / ("dockerlab-slow" if version_2 else "cpu/dockerlab-slow")
    group.mkdir()
    try:
        if version_2:
            (group / "cpu.max").write_text(f"{int(SLOW_CPU * 100_000)} 100000")
        else:
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text(str(int(SLOW_CPU * 100_000)))
        here = embedded.EngineFolder.default()
        processes = [embedded._daemon(here), *embedded._orphans(here)]
        for process in processes:
            (group / "cgroup.procs").write_text(str(process.pid))
        yield
        for process in processes:
            (group.parent / "cgroup.procs").write_text(str(process.pid))
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()


def _slow_engine(folder: Path) -> Iterator[Trial]:
    _dockerlab("engine", "start")
    with _slowed_down():
        for name, notebook in _notebooks().items():
            yield _try(notebook, name)


CLOCK_SET = """\
import time, psutil
for module, name in ((time, "time"), (psutil._psplatform, "boot_time")):
    setattr(module, name, lambda told=getattr(module, name): told() + {seconds})
"""
"""What Python tells of the clock, and what the kernel tells of its start, after the clock was set."""


def _clock_set(folder: Path) -> Iterator[Trial]:
    for name, notebook in _notebooks().items():
        for at in [at for at, cell in enumerate(notebook.cells) if cell.cell_type == "code"][1:]:
            seconds = random.choice([3600, -3600])
            changed = copy.deepcopy(notebook)
            changed.cells.insert(at, nbformat.v4.new_code_cell(CLOCK_SET.format(seconds=seconds)))
            yield _try(changed, f"{name}, {seconds} s before cell {at}")


DISTURBANCES: dict[str, Callable[[Path], Iterator[Trial]]] = {
    "engine stopped and started": lambda folder: _disturbed(_restart, lambda: _dockerlab("engine", "start")),
    "engine killed": lambda folder: _disturbed(_kill_engine, lambda: _dockerlab("engine", "start")),
    "engine's disk full": _full_disk,
    f"engine with {SLOW_CPU} CPU": _slow_engine,
    "clock set by an hour": _clock_set,
}


if __name__ == "__main__":
    print(json.dumps([asdict(trial) for trial in DISTURBANCES[sys.argv[1]](Path(sys.argv[2]))]))
