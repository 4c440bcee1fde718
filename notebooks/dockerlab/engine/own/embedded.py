"""The embedded engine: the distribution's Docker packages, unpacked in the lab's cache folder and started from there.

Nothing is installed but what the engine needs from its host (`iptables`, `runc`). All that it writes is in one folder
(`engine_folder`), and `remove` deletes it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import psutil

from ... import folders, wait
from ...errors import EngineUnreachable
from .. import apt, endpoints
from ..endpoints import Endpoint
from . import network, packages
from .engine_folder import EngineFolder, locked

START_SECONDS = 90
STOP_SECONDS = 40
"""The engine gives its containers 10 s to stop, and itself 15 s (`--shutdown-timeout`)."""


# --- is it running? --------------------------------------------------------------------------------------------------


def home() -> Path:
    """The folder that has all of it; it need not exist."""
    return EngineFolder.default().home


def running() -> Endpoint | None:
    """The embedded engine, where it runs and listens. Never starts it."""
    here = EngineFolder.default()
    if _daemon(here) is None or endpoints.knock(here.url) != "listening":
        return None
    return Endpoint(here.url, "embedded")


def _daemons() -> Iterator[psutil.Process]:
    """All Docker daemons that run on this machine."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "dockerd" and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _is_ours(daemon: psutil.Process, here: EngineFolder) -> bool:
    """By its command line: a pid file may be stale, and its number another process's by now."""
    with contextlib.suppress(psutil.Error):
        return str(here.pid_file) in daemon.cmdline()
    return False


def _daemon(here: EngineFolder) -> psutil.Process | None:
    """Our own daemon."""
    return next((daemon for daemon in _daemons() if _is_ours(daemon, here)), None)


def _other_daemon(here: EngineFolder) -> psutil.Process | None:
    """A Docker daemon that is not ours, in the network that ours would start in."""
    others = (daemon for daemon in _daemons() if not _is_ours(daemon, here))
    return next((other for other in others if network.namespace(other.pid) == network.namespace()), None)


def _orphans(here: EngineFolder) -> list[psutil.Process]:
    """What a killed daemon left running: its containerd, the shims, and the processes in its containers."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name().startswith("containerd") and any(
                argument.startswith(f"{here.exec_root}/") for argument in process.cmdline()
            ):
                found += [*process.children(recursive=True), process]
    return list(dict.fromkeys(found))


# --- start -----------------------------------------------------------------------------------------------------------


def start(report: Callable[[str], None] = print) -> Endpoint:
    """Start the embedded engine, fetching it first where it is missing. Where it runs already, nothing happens.

    The engine runs on when the process that started it ends, until `stop`.

    Raises:
        EngineMissing: there are no packages for this system.
        EngineUnreachable: another Docker daemon runs here, or the engine did not start; the end of its log is shown.
        LabError: the packages could not be had.
    """
    with locked() as here:
        if endpoint := running():
            return endpoint
        if other := _other_daemon(here):
            raise EngineUnreachable(
                f"A Docker daemon runs here already (process {other.pid}), and its socket was not found; a second one "
                "would take its network bridge.",
                "Set DOCKER_HOST to its socket (`-H` in its command line), or stop it.",
            )
        packages.fetch_into(here, report)
        packages.ensure_host_programs(report)
        _end_daemon(here)
        network.remember(here.network)
        began = time.monotonic()
        driver = _launch(here)
        seconds = time.monotonic() - began
        report(f"The embedded engine was started ({seconds:.0f} s). `dockerlab engine stop` stops it.")
        if driver == "vfs":
            report(
                f"The file system of {here.data} cannot carry overlay2, so each layer is a whole copy (vfs): slower, "
                "and larger. Set DOCKERLAB_CACHE to a folder on another file system to avoid that."
            )
        return Endpoint(here.url, "embedded")


def _command(here: EngineFolder, driver: str) -> list[str]:
    dockerd = shutil.which("dockerd", path=here.path) or "dockerd"
    command = [dockerd, "--data-root", str(here.data), "--exec-root", str(here.exec_root)]
    command += ["--host", here.url, "--pidfile", str(here.pid_file)]
    command += ["--config-file", str(here.config_file)]  # the machine's own daemon.json is another engine's
    if driver:
        command += ["--storage-driver", driver]
    if (mtu := network.uplink_mtu()) < 1500:
        # Packets of the usual 1500 bytes would not pass the machine's own link.
        command += ["--mtu", str(mtu)]
    return command


def _launch(here: EngineFolder, driver: str = "") -> str:
    """Start the daemon with a storage driver, or the one it chooses, and wait until it answers. Return the driver."""
    if not here.run.is_relative_to(here.home):
        folders.make(here.run)
    for folder in (here.data, here.exec_root):
        folder.mkdir(parents=True, exist_ok=True)
    here.pid_file.unlink(missing_ok=True)
    here.socket.unlink(missing_ok=True)
    here.config_file.write_text("{}\n")
    environ = {name: value for name, value in apt.environment().items() if not name.startswith("DOCKER")}
    environ["PATH"] = os.pathsep.join([here.path, environ["PATH"]])
    with here.log.open("wb") as log:
        daemon = subprocess.Popen(
            _command(here, driver),
            env=environ,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it outlives the terminal and the notebook that started it
        )
    for _ in wait.tries(START_SECONDS):
        if daemon.poll() is not None:
            break
        if endpoints.knock(here.url) == "listening" and (found := _storage_driver(here)):
            daemon.returncode = 0  # nobody waits for it: it is not ours any more
            return found
    written = here.log.read_text(errors="replace")
    _end_daemon(here)
    if not driver and "graphdriver" in written:
        return _launch(here, "vfs")
    raise EngineUnreachable(
        "The embedded engine did not start.",
        f"Its whole log is {here.log}; `dockerlab engine remove` and another `dockerlab engine start` start over.",
        log="\n".join(written.splitlines()[-15:]),
    )


def _storage_driver(here: EngineFolder) -> str:
    """The storage driver, once the engine answers; "" before."""
    try:
        client = docker.DockerClient(base_url=here.url, version="auto", timeout=10)
        with contextlib.closing(client):
            return str(client.info()["Driver"])
    except Exception:  # whatever it is: not ready yet, and the deadline decides
        return ""


# --- stop, remove ----------------------------------------------------------------------------------------------------


def stop() -> bool:
    """Stop the embedded engine: the process that we started, and nothing else. Return whether it ran."""
    with locked() as here:
        return _end_daemon(here)


def _end_daemon(here: EngineFolder) -> bool:
    """End our daemon, and what it left running if it was killed. Return whether there was anything to end."""
    if daemon := _daemon(here):
        _end([daemon], seconds=STOP_SECONDS)
    # Only now: a daemon that is stopped ends these itself. Nobody waits for them any more, and shims heed SIGKILL only.
    orphans = _orphans(here)
    _end(orphans, seconds=0)
    if not here.home.is_dir() or folders.is_ours(here.home) or not folders.foreign_to(here.home):
        _unmount_below(here.data, itself=_is_mounted_on_itself(here.data))
        _unmount_below(here.run)
        for file in (here.pid_file, here.socket):
            file.unlink(missing_ok=True)
    return daemon is not None or bool(orphans)


def _end(processes: list[psutil.Process], *, seconds: float) -> None:
    """SIGTERM, and SIGKILL for what is still there after so many seconds."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in _alive(processes, seconds):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _alive(processes, 5)


def _alive(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Which of these processes still run once they all ended, or after so many seconds.

    They are not our children: one that has ended stays a zombie until the machine's first process takes notice.
    """
    for _ in wait.tries(seconds, every=0.02):
        alive = []
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(process)
        if not alive:
            break
    return alive


def remove() -> dict[Path, str]:
    """Stop the embedded engine, and delete its packages and all its data. Return what is kept of it, and why."""
    with locked() as here:
        _end_daemon(here)
        if not _other_daemon(here):
            network.restore(here.network)
        if folders.is_ours(here.run):  # elsewhere than in its home
            _unmount_below(here.run)
            folders.remove(here.run)
        if folders.is_ours(here.home):
            _unmount_below(here.home)
        return folders.remove_cached("engine")


def _unmount_below(folder: Path, *, itself: bool = True) -> None:
    """Unmount what a killed engine left mounted: overlays of containers, network namespaces, its data folder.

    Args:
        folder: where to look.
        itself: whether the folder, too.
    """
    mounted = [Path(part.mountpoint) for part in psutil.disk_partitions(all=True)]
    for point in sorted((point for point in mounted if point.is_relative_to(folder)), reverse=True):
        if itself or point != folder:
            subprocess.run(["umount", "--lazy", str(point)], check=False, capture_output=True)


def _is_mounted_on_itself(folder: Path) -> bool:
    """Whether that is what is mounted there, if anything, as the engine does with its data: not a disk of the user's.

    A daemon that finds it so leaves it so in the end, for it has not mounted it itself.
    """
    return folder.exists() and folder.stat().st_dev == folder.parent.stat().st_dev
