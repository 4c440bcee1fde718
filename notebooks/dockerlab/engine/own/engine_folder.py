"""The folder that the embedded engine lives in: its packages, data, socket, pid file and log."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from ... import folders
from ...errors import LabError

LONGEST_SOCKET = 103
"""Bytes in the path of a Unix socket that every system takes (`sun_path` is 104 on BSDs, 108 on Linux)."""


class EngineFolder:
    """Where the embedded engine keeps what: all in one folder, but for sockets whose path would be too long.

    Args:
        home: the folder. It need not exist.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        # Beside the folder and not in it, so that the folder can be deleted while the lock is held.
        self.lock = home.with_name(folders.ENGINE_LOCK)
        self.packages = home / "packages"
        self.complete = self.packages / ".complete"  # is there once all packages are unpacked, and lists them
        self.data = home / "data"
        self.log = home / "engine.log"
        self.network = home / "network.json"
        self.config_file = home / "daemon.json"
        self.run = home / "run"
        if len(str(self.run / "exec/containerd/containerd-debug.sock")) > LONGEST_SOCKET:  # the longest of all
            self.run = Path("/run") / f"dockerlab-{hashlib.sha256(str(home).encode()).hexdigest()[:8]}"
        self.exec_root = self.run / "exec"
        self.socket = self.run / "docker.sock"
        self.url = f"unix://{self.socket}"
        self.pid_file = self.run / "docker.pid"
        # The unpacked programs, for the beginning of PATH.
        self.path = os.pathsep.join(str(self.packages / part) for part in ("usr/bin", "usr/sbin"))

    @classmethod
    def default(cls) -> EngineFolder:
        """The one in the lab's cache folder."""
        return cls(folders.cache() / "engine")


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
