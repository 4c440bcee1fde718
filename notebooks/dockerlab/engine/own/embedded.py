"""The embedded engine: the distribution's Docker packages, unpacked in the lab's cache folder and started from there.

Nothing is installed but what the engine needs from its host (`iptables`, `runc`). Packages, data, socket, pid file and
log lie in one folder, and `remove` deletes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import docker
import psutil
from filelock import FileLock

from ... import folders
from ...errors import EngineMissing, EngineUnreachable, LabError
from .. import apt, sources
from .. import kit as kits
from ..sources import Endpoint
from . import network

PACKAGES = {
    # tini is what Debian's docker-init links to: without it `docker run --init` fails.
    "debian": ("docker.io", "containerd", "docker-cli", "docker-buildx", "docker-compose", "tini"),
    "ubuntu": ("docker.io", "containerd", "docker-buildx", "docker-compose-v2", "tini"),
}
HOST_PROGRAMS = {"iptables": "iptables", "runc": "runc"}
"""Programs that the engine needs from the machine, and their packages: these must fit the machine's own libc."""

LONGEST_SOCKET = 103
"""Bytes in the path of a Unix socket that every system takes (`sun_path` is 104 on BSDs, 108 on Linux)."""

START_SECONDS = 90
STOP_SECONDS = 40
"""The engine gives its containers 10 s to stop, and itself 15 s (`--shutdown-timeout`)."""

Report = Callable[[str], None]


# --- places ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Places:
    """Where the embedded engine keeps what: all under one folder, but for sockets whose path would be too long."""

    home: Path

    @property
    def lock(self) -> Path:
        return self.home.with_name(folders.ENGINE_LOCK)

    @property
    def packages(self) -> Path:
        return self.home / "packages"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "engine.log"

    @property
    def network(self) -> Path:
        return self.home / "network.json"

    @property
    def run(self) -> Path:
        """The folder of the socket, the pid file and the exec root, which has the longest socket path of all."""
        inside = self.home / "run"
        if len(str(inside / "exec/containerd/containerd-debug.sock")) <= LONGEST_SOCKET:
            return inside
        return Path("/run") / f"dockerlab-{hashlib.sha256(str(self.home).encode()).hexdigest()[:8]}"

    @property
    def exec_root(self) -> Path:
        return self.run / "exec"

    @property
    def socket(self) -> Path:
        return self.run / "docker.sock"

    @property
    def pid_file(self) -> Path:
        return self.run / "docker.pid"

    @property
    def path(self) -> str:
        """The unpacked programs, to stand first on PATH."""
        return os.pathsep.join(str(self.packages / part) for part in ("usr/bin", "usr/sbin"))


def places() -> Places:
    return Places(folders.cache() / "engine")


@contextlib.contextmanager
def _locked() -> Iterator[Places]:
    """One process at a time fetches, starts, stops or removes the engine.

    Raises:
        LabError: the cache folder cannot be written: no permission, no room.
    """
    here = places()
    try:
        folders.make_cache()
        # Beside the folder and not in it, so that `remove` can delete the folder while it holds the lock.
        with FileLock(here.lock):
            yield here
    except OSError as error:
        raise LabError(
            f"{error.filename or here.home} cannot be used ({error.strerror or error}).",
            "Make room there, or set DOCKERLAB_CACHE to another folder.",
        ) from error


# --- is it running? --------------------------------------------------------------------------------------------------


def running() -> Endpoint | None:
    """The embedded engine, where it runs and listens. Never starts it."""
    here = places()
    if _daemon(here) is None or sources.knock(f"unix://{here.socket}") != "listening":
        return None
    return Endpoint(f"unix://{here.socket}", "embedded")


def _daemons() -> Iterator[psutil.Process]:
    """All Docker daemons that run on this machine."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "dockerd" and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _daemon(here: Places) -> psutil.Process | None:
    """Our own daemon, told by its command line: a pid file may be stale, and its number another process's by now."""
    for process in _daemons():
        with contextlib.suppress(psutil.Error):
            if str(here.pid_file) in process.cmdline():
                return process
    return None


def _orphans(here: Places) -> list[psutil.Process]:
    """What a killed daemon left running: its containerd, the shims, and the processes in its containers."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name().startswith("containerd") and any(
                argument.startswith(f"{here.exec_root}/") for argument in process.cmdline()
            ):
                found += [*process.children(recursive=True), process]
    return list(dict.fromkeys(found))


def _other_daemon(here: Places) -> psutil.Process | None:
    """A Docker daemon that is not ours, in the network that ours would start in."""
    for process in _daemons():
        with contextlib.suppress(psutil.Error):
            ours = str(here.pid_file) in process.cmdline()
            if not ours and network.namespace(process.pid) == network.namespace():
                return process
    return None


# --- fetch -----------------------------------------------------------------------------------------------------------


def fetch(report: Report = print) -> None:
    """Fetch and unpack the engine's packages, where they are not yet there.

    Raises:
        EngineMissing: there are none for this system.
        LabError: the mirror does not answer, or the disk is full.
    """
    with _locked() as here:
        _fetch(here, report)


def _fetch(here: Places, report: Report) -> None:
    if (here.packages / ".complete").exists():
        return
    if kit := kits.find():
        _take(here, kit, report)
        return
    try:
        source = apt.machine_source()
    except apt.NoSource as error:
        do = f"{error.do} Or install" if error.do else "Install"
        do += " Docker Engine with your distribution's packages, and start it."
        raise EngineMissing(f"No Docker engine was found, and the lab cannot fetch one. {error.seen}", do) from error
    packages = PACKAGES[source.family]
    folders.cached("engine")
    for left in here.home.glob("fetch-*") if folders.is_ours(here.home) else ():  # of one that was killed
        shutil.rmtree(left, ignore_errors=True)
    # All is done in a folder beside its place, and renamed: what is at its place is whole.
    with tempfile.TemporaryDirectory(dir=here.home, prefix="fetch-") as folder:
        debs, unpacked = Path(folder) / "debs", Path(folder) / "packages"
        state = apt.State(Path(folder) / "apt", source.lines)
        state.update()
        sizes = state.sizes(packages)
        report(
            f"No Docker engine was found. The lab fetches its own from {source.name}, at this machine's mirror: "
            f"{', '.join(packages)}; {sum(sizes.values()) / 1e6:.0f} MB, unpacked about four times that, in "
            f"{here.home}. Nothing of it is installed; `dockerlab engine remove` deletes it again."
        )
        state.download(packages, debs)
        _unpack(here, [debs / name for name in sizes], unpacked)


def _take(here: Places, kit: kits.Kit, report: Report) -> None:
    """The packages of a kit, in place of those of the mirror."""
    kit.check()
    report(f"No Docker engine was found. The lab unpacks the one in the kit {kit.folder} into {here.home}.")
    folders.cached("engine")
    with tempfile.TemporaryDirectory(dir=here.home, prefix="fetch-") as folder:
        _unpack(here, kit.engine_debs, Path(folder) / "packages")


def _unpack(here: Places, debs: list[Path], into: Path) -> None:
    """Unpack packages, and give the folder its place."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        unpacking = [pool.submit(apt.run, ["dpkg-deb", "-x", str(deb), str(into)]) for deb in debs]
        for job in unpacking:
            job.result()
    _give_cli_plugins(here, into)
    (into / ".complete").write_text("".join(f"{name}\n" for name in sorted(deb.name for deb in debs)))
    if folders.is_ours(here.home):
        shutil.rmtree(here.packages, ignore_errors=True)
    into.rename(here.packages)


def _give_cli_plugins(here: Places, root: Path) -> None:
    """A configuration folder in which the docker CLI finds the unpacked buildx and compose."""
    folder = root / "docker-config" / "cli-plugins"
    folder.mkdir(parents=True)
    for plugin in root.glob("usr/libexec/docker/cli-plugins/docker-*"):
        (folder / plugin.name).symlink_to(here.packages / plugin.relative_to(root))


def cli_environment(environ: dict[str, str]) -> dict[str, str]:
    """PATH and DOCKER_CONFIG with which the unpacked docker CLI is found; nothing where there is none."""
    here = places()
    if not (here.packages / ".complete").exists():
        return {}
    config = here.packages / "docker-config"
    _show_settings(sources.docker_config(environ, Path.home()) / "config.json", config / "config.json")
    path = environ.get("PATH", os.defpath)
    return {"PATH": f"{here.path}{os.pathsep}{path}", "DOCKER_CONFIG": str(config)}


def _show_settings(users: Path, ours: Path) -> None:
    """Have the unpacked docker CLI read the user's settings, with their credentials for registries: by a link."""
    with contextlib.suppress(OSError):  # a folder that cannot be written has its link, or goes without
        users = users.absolute()
        if users == ours or (ours.exists() and not ours.is_symlink()):
            return
        if not users.is_file():
            ours.unlink(missing_ok=True)
        elif not ours.is_symlink() or ours.readlink() != users:
            with tempfile.TemporaryDirectory(dir=ours.parent) as folder:
                link = Path(folder) / ours.name
                link.symlink_to(users)
                link.replace(ours)


def _ensure_host_programs(report: Report) -> None:
    wanted = [package for program, package in HOST_PROGRAMS.items() if not apt.program(program)]
    if not wanted:
        return
    needs = f"The engine needs {' and '.join(wanted)} on this machine"
    if not (kit := kits.find()):
        report(f"{needs}: installed with apt, from its own sources.")
        apt.install_on_host(wanted)
        return
    codename = apt.parse_os_release(Path("/etc/os-release").read_text()).get("VERSION_CODENAME", "")
    repository = kit.host_repository(codename)
    if not repository:
        raise EngineMissing(
            f"{needs}, and the kit has them for {' and '.join(kit.about['host']) or 'no release'}, not for {codename}.",
            f"Install them from your own mirror, `apt-get install {' '.join(wanted)}`, and try again.",
        )
    kit.check()
    report(f"{needs}: installed with apt, from the kit.")
    apt.install_on_host(wanted, repository)


# --- start -----------------------------------------------------------------------------------------------------------


def start(report: Report = print) -> Endpoint:
    """Start the embedded engine, fetching it first where it is missing. Where it runs already, nothing happens.

    The engine goes on running when the process that started it ends, until `stop`.

    Raises:
        EngineMissing: there are no packages for this system.
        EngineUnreachable: another Docker daemon runs here, or the engine did not start; the end of its log is shown.
        LabError: the packages could not be had.
    """
    with _locked() as here:
        if endpoint := running():
            return endpoint
        if other := _other_daemon(here):
            raise EngineUnreachable(
                f"A Docker daemon runs here already (process {other.pid}), and its socket was not found; a second one "
                "would take its network bridge.",
                "Set DOCKER_HOST to its socket (`-H` in its command line), or stop it.",
            )
        _fetch(here, report)
        _ensure_host_programs(report)
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
        return Endpoint(f"unix://{here.socket}", "embedded")


def _command(here: Places, driver: str | None) -> list[str]:
    command = [
        *(shutil.which("dockerd", path=here.path) or "dockerd", "--data-root", str(here.data)),
        *("--exec-root", str(here.exec_root)),
        *("--host", f"unix://{here.socket}", "--pidfile", str(here.pid_file)),
        # The machine's own daemon.json is another engine's.
        *("--config-file", str(here.home / "daemon.json")),
    ]
    if driver:
        command += ["--storage-driver", driver]
    if (mtu := network.uplink_mtu()) < 1500:
        # Packets of the usual 1500 bytes would not pass the machine's own link.
        command += ["--mtu", str(mtu)]
    return command


def _launch(here: Places, driver: str | None = None) -> str:
    """Start the daemon and wait until it answers. Return its storage driver."""
    if not here.run.is_relative_to(here.home):
        folders.make(here.run)
    for folder in (here.data, here.exec_root):
        folder.mkdir(parents=True, exist_ok=True)
    here.pid_file.unlink(missing_ok=True)
    here.socket.unlink(missing_ok=True)
    (here.home / "daemon.json").write_text("{}\n")
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
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if daemon.poll() is not None:
            break
        if sources.knock(f"unix://{here.socket}") == "listening" and (found := _storage_driver(here)):
            daemon.returncode = 0  # nobody waits for it: it is not ours any more
            return found
        time.sleep(0.05)
    log = here.log.read_text(errors="replace")
    _end_daemon(here)
    if driver is None and "graphdriver" in log:
        return _launch(here, "vfs")
    raise EngineUnreachable(
        "The embedded engine did not start.",
        f"Its whole log is {here.log}; `dockerlab engine remove` and another `dockerlab engine start` begin anew.",
        log="\n".join(log.splitlines()[-15:]),
    )


def _storage_driver(here: Places) -> str:
    """The storage driver, once the engine answers; "" before."""
    try:
        client = docker.DockerClient(base_url=f"unix://{here.socket}", version="auto", timeout=10)
        with contextlib.closing(client):
            return client.info()["Driver"]
    except Exception:  # whatever it is: not ready yet, and the deadline decides
        return ""


# --- stop, remove ----------------------------------------------------------------------------------------------------


def stop() -> bool:
    """Stop the embedded engine: the process that we started, and nothing else. Return whether it ran."""
    with _locked() as here:
        return _end_daemon(here)


def _end_daemon(here: Places) -> bool:
    """End our daemon, and what it left running if it was killed. Return whether there was anything to end."""
    daemon = _daemon(here)
    ended = [daemon] if daemon else []
    if daemon:
        _end(ended, seconds=STOP_SECONDS)
    # Only now: a daemon that is stopped ends these itself. Nobody waits for them any more, and shims heed SIGKILL only.
    orphans = _orphans(here)
    _end(orphans, seconds=0)
    if not here.home.is_dir() or folders.is_ours(here.home) or not folders.foreign_to(here.home):
        _unmount_below(here.data, itself=_is_mounted_on_itself(here.data))
        _unmount_below(here.run)
        for file in (here.pid_file, here.socket):
            file.unlink(missing_ok=True)
    return bool(ended + orphans)


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
    deadline = time.monotonic() + seconds
    while True:
        alive = []
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(process)
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.02)


def remove() -> dict[Path, str]:
    """Stop the embedded engine, and delete its packages and all its data. Return what is kept of it, and why."""
    with _locked() as here:
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
