"""A machine with no network: a network namespace that has only loopback, a clone, and empty caches."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import network_namespace
from dockerlab import folders
from dockerlab_kit import lab_source

ROOT = folders.NOTEBOOKS.parent


class Machine:
    """A clone and empty caches, and commands that have no network but loopback."""

    def __init__(self, folder: Path, holder: int, kit: Path) -> None:
        self.clone = folder / "it's a clone"  # a path such as readers have
        self.holder = holder
        self.kit = kit
        # What the machine has of indexes, caches, authorities and engines is not for this one.
        self.environ = {
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "DOCKERLAB_KIT": str(kit),
            "DOCKERLAB_CACHE": str(folder / "cache"),
            "DOCKERLAB_WORKSPACE": str(folder / "workspace"),
            "PIP_CONFIG_FILE": os.devnull,
            "PYTHON": str(Path(sys.base_prefix) / "bin" / "python3"),
            "BROWSER": "true",
        }

    def command(self, *command: str) -> list[str]:
        return network_namespace.inside(self.holder, *command)

    def run(self, *command: str, seconds: float = 1000, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, with more variables of the environment; what it writes is one text."""
        return subprocess.run(
            self.command(*command),
            cwd=self.clone,
            env=self.environ | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=seconds,
        )


def copy_of_the_tree(folder: Path) -> None:
    """What a clone would have: the files that git tracks, as they are now."""
    archive = folder.parent / "lab.tar.gz"
    lab_source.pack(ROOT, archive)
    shutil.unpack_archive(archive, folder.parent, filter="data")
    (folder.parent / "dockerlab").rename(folder)


@contextlib.contextmanager
def machine(folder: Path, kit: Path) -> Iterator[Machine]:
    """Such a machine, with its files in a folder of ours; at the end its engine is removed, and the folder."""
    with network_namespace.network_namespace(loopback=True) as holder:
        offline = Machine(folder, holder, kit)
        copy_of_the_tree(offline.clone)
        try:
            yield offline
        finally:
            if (offline.clone / ".venv/bin/dockerlab").exists():
                removed = offline.run(".venv/bin/dockerlab", "engine", "remove")
                assert removed.returncode == 0, removed.stdout
            shutil.rmtree(folder)
