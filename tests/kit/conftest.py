"""Small kits, made as the real ones are, and a server of one."""

import contextlib
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dockerlab.engine import portable
from dockerlab_kit import making


def write_kit(folder: Path, sizes: dict[str, int], **about) -> Path:
    """A kit with files of these sizes, and nothing of use in them."""
    noise = random.Random(str(sizes))
    for name, size in {"lab.tar.gz": 1000, "wheels/one-1-py3-none-any.whl": 5000, **sizes}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noise.randbytes(size))
    fits = {
        "format": portable.FORMAT,
        "arch": portable.ARCHITECTURES[os.uname().machine],
        "python": [f"{sys.version_info.major}.{sys.version_info.minor}"],
    }
    making.write_checksums(folder, fits | about)
    return folder


@pytest.fixture
def kit(tmp_path) -> Path:
    return write_kit(tmp_path / "kit", {"debs/trixie/a+b~1%3a2_amd64.deb": 300_000, "empty": 0})


@contextlib.contextmanager
def shared(folder: Path):
    """`dockerlab share` of a kit, as a process of its own. Gives the process and its URL."""
    command = [sys.executable, "-m", "dockerlab.cli", "share", str(folder), "--host", "127.0.0.1", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = []
        for line in server.stdout:
            said.append(line)
            if found := re.search(r"python3 -c .* (http://\S+)$", line):
                break
        else:
            raise AssertionError("".join(said))
        yield server, found[1]
    finally:
        server.terminate()
        server.wait(timeout=20)
        server.stdout.close()
