"""What `dockerlab doctor` shows: each thing that the lessons need, what was found of it, and what to do about it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import docker

from .. import folders
from ..errors import LabError
from . import certificates, discovery, systems
from . import kit as kits
from .base import base_image, official
from .discovery import Engine

CLI_SECONDS = 10
"""How long a program may take to print its version."""


@dataclass
class Diagnosis:
    """What was found.

    Attributes:
        usable: whether the lessons can run.
        rows: a name and what was found, in the order to show them in.
        advice: what to do, a sentence each.
    """

    usable: bool = True
    rows: list[tuple[str, str]] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)


def examine() -> Diagnosis:
    """Look at everything; nothing is started, fetched or changed."""
    found = Diagnosis()
    rows = found.rows
    try:
        engine = discovery.find()
        client = engine.client()
    except LabError as error:
        found.usable = False
        rows.append(("Engine", error.seen))
        found.advice.append(error.do)
    else:
        with contextlib.closing(client):
            _examine_engine(engine, client, found)
    problem = index_problem()
    rows.append(("Package index", problem or "reachable from this machine"))
    kit = kits.find()
    if problem.startswith("not reachable") and not kit:
        found.advice.append("Builds install packages from the index; without it, use wheels fetched elsewhere.")
    rows.append(("Offline kit", f"{kit.folder}, seal {kit.digest}" if kit else "none"))
    authorities = len(certificates.of_this_machine())
    rows.append(
        ("Own authorities", f"{authorities} added on this machine, given to the base image" if authorities else "none")
    )
    rows.append(("Cache folder", f"{folders.cache()}, {folder_bytes(folders.cache()) / 1e6:.0f} MB"))
    return found


def _examine_engine(engine: Engine, client: docker.DockerClient, found: Diagnosis) -> None:
    rows, advice = found.rows, found.advice
    rows.append(("Engine", f"{engine.describe()}; API {engine.api_version}"))
    rows.append(("", engine.url))
    rows.append(("Runs on", f"{engine.os}, {engine.arch}, cgroup v{engine.cgroup}{', rootless' * engine.rootless}"))
    rows.append(("Storage", engine.storage))
    if engine.storage == "vfs":
        advice.append("With vfs each layer is a whole copy: put the engine's data on another file system if you can.")
    rows.append(("Builder", "BuildKit" if engine.kind == "docker" else "Podman's own"))
    if engine.kind == "podman":
        advice.append(discovery.PODMAN_LIMITS)
    for name, command in (
        ("docker CLI", ["docker", "version", "--format", "{{.Client.Version}}"]),
        ("Compose", ["docker", "compose", "version", "--short"]),
        ("buildx", ["docker", "buildx", "version"]),
    ):
        rows.append((name, printed(command, engine.environment) or "not found; only the lessons about it need it"))
    problem = official.registry_problem(client)
    reachable = "reachable by the engine" if engine.kind == "docker" else "not known: Podman says so only when it pulls"
    rows.append(("Image registry", f"not reachable ({problem})" if problem else reachable))
    tag = base_image.present(client)
    rows.append(("Base image", tag or "not yet there"))
    if not tag:
        advice.append("Get the base image: `dockerlab setup`.")


def printed(command: list[str], environment: dict[str, str]) -> str:
    """The last line that a program prints, or "" where it is missing or fails."""
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=CLI_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return (result.stdout.strip().splitlines() or [""])[-1]


def index_problem() -> str:
    """Why this machine cannot get Python packages, or "" where it can. The client that installs them tries it."""
    if uv := systems.uv():
        command = [uv, "pip", "compile", "--no-cache", "--quiet", "--no-header", "-"]
    elif importlib.util.find_spec("pip"):
        command = [sys.executable, "-m", "pip", "index", "versions", "pip", "--retries=0", "--timeout=5"]
    else:
        return "not asked: neither uv nor pip is here"
    environment = {**certificates.UV, **os.environ, "UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "5"}
    try:
        subprocess.run(
            command, input="pip\n", env=environment, capture_output=True, text=True, timeout=CLI_SECONDS, check=True
        )
    except subprocess.TimeoutExpired:
        return f"not reachable (no answer in {CLI_SECONDS} s)"
    except subprocess.CalledProcessError as error:
        lines = [line.strip() for line in error.stderr.splitlines() if line.strip() and not line.startswith("hint:")]
        reason = lines[-1] if lines else "no reason given"
        return f"not reachable ({reason.removeprefix('cause: ')})"
    return ""


def folder_bytes(folder: Path) -> int:
    """What a folder takes on its own file system, in bytes: what containers mount below it is not counted twice."""
    if shutil.which("du"):
        result = subprocess.run(["du", "-sxk", str(folder)], capture_output=True, text=True, check=False)
        if fields := result.stdout.split():
            return int(fields[0]) * 1024
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
