"""The folder that the embedded engine lives in: its packages, data, socket, pid file and log."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ... import folders
from ...errors import LabError

LONGEST_SOCKET = 103
"""Bytes in the path of a Unix socket that every system takes (`sun_path` is 104 on BSDs, 108 on Linux)."""


@dataclass(frozen=True)
class EngineFolder:
    """Where the embedded engine keeps what: all in one folder, but for sockets whose path would be too long."""

    home: Path

    @classmethod
    def default(cls) -> EngineFolder:
        """The one in the lab's cache folder."""
        return cls(folders.cache() / "engine")

    @property
    def lock(self) -> Path:
        """Beside the folder and not in it, so that the folder can be deleted while the lock is held."""
        return self.home.with_name(folders.ENGINE_LOCK)

    @property
    def packages(self) -> Path:
        return self.home / "packages"

    @property
    def has_packages(self) -> bool:
        return self.complete.exists()

    @property
    def complete(self) -> Path:
        """The list of the packages, which is there once all of them are unpacked."""
        return self.packages / ".complete"

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
    def config_file(self) -> Path:
        return self.home / "daemon.json"

    @property
    def run(self) -> Path:
        """The folder of the socket, the pid file and the exec root, which has the longest socket path of all."""
        own = self.home / "run"
        if len(str(own / "exec/containerd/containerd-debug.sock")) <= LONGEST_SOCKET:
            return own
        return Path("/run") / f"dockerlab-{hashlib.sha256(str(self.home).encode()).hexdigest()[:8]}"

    @property
    def exec_root(self) -> Path:
        return self.run / "exec"

    @property
    def socket(self) -> Path:
        return self.run / "docker.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def pid_file(self) -> Path:
        return self.run / "docker.pid"

    @property
    def path(self) -> str:
        """The unpacked programs, for the beginning of PATH."""
        return os.pathsep.join(str(self.packages / part) for part in ("usr/bin", "usr/sbin"))


@contextlib.contextmanager
def locked() -> Iterator[EngineFolder]:
    """The engine's folder, for one process at a time: to fetch, start, stop or remove the engine.

    Raises:
        LabError: the cache folder cannot be written: no permission, no room.
    """
    here = EngineFolder.default()
    try:
        folders.make_cache()
        with FileLock(here.lock):
            yield here
    except OSError as error:
        raise LabError(
            f"{error.filename or here.home} cannot be used ({error.strerror or error}).",
            "Make room there, or set DOCKERLAB_CACHE to another folder.",
        ) from error
