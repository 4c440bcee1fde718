"""From a clone to JupyterLab answering, caches empty, against what `uv` alone needs to install the same packages."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from ratio import Ratio

ROOT = Path(__file__).resolve().parents[2]


def measure() -> list[Ratio]:
    with tempfile.TemporaryDirectory() as folder:
        ours = _clone_to_jupyterlab(Path(folder))
        uv = _uv_alone(Path(folder))
    return [Ratio("clone to JupyterLab answering", ours, "uv installs the same requirements", uv, at_most=1.5)]


def _clone_to_jupyterlab(folder: Path) -> float:
    environment = _empty_caches(folder / "caches-ours")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.perf_counter()
    subprocess.run(["git", "clone", "--quiet", ROOT, folder / "clone"], check=True, timeout=60)
    subprocess.run(["make", ".venv/ready"], cwd=folder / "clone", env=environment, check=True, timeout=600)
    server = subprocess.Popen(
        [
            ".venv/bin/dockerlab",
            "lab",
            "--",
            "--no-browser",
            f"--port={port}",
            "--IdentityProvider.token=bench",
        ],
        cwd=folder / "clone",
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not _answers(f"http://127.0.0.1:{port}/lab?token=bench"):
            if server.poll() is not None:
                raise RuntimeError(f"JupyterLab ended with exit code {server.returncode}")
            time.sleep(0.05)
        return time.perf_counter() - began
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def _uv_alone(folder: Path) -> float:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    environment = _empty_caches(folder / "caches-uv")
    began = time.perf_counter()
    subprocess.run([uv, "venv", "--quiet", folder / "alone"], env=environment, check=True, timeout=60)
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", folder / "alone/bin/python", "-r", "requirements.txt"],
        cwd=folder / "clone",
        env=environment,
        check=True,
        timeout=600,
    )
    return time.perf_counter() - began


def _empty_caches(folder: Path) -> dict[str, str]:
    return os.environ | {"UV_CACHE_DIR": str(folder / "uv"), "PIP_NO_CACHE_DIR": "1", "PYTHON": sys.executable}


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
