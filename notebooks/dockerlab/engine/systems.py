"""What to say on a system that has no engine: one message for each, with the command to type."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path


def can_embed() -> bool:
    """Whether the embedded engine can run here: Linux, with apt, as root."""
    return platform.system() == "Linux" and bool(shutil.which("apt-get")) and os.geteuid() == 0


def missing() -> tuple[str, str]:
    """What is seen and what to do where there is no engine, on this system."""
    system = platform.system()
    root = system == "Linux" and os.geteuid() == 0
    return message(system, apt=bool(shutil.which("apt-get")), root=root)


def message(system: str, *, apt: bool, root: bool) -> tuple[str, str]:
    """What is seen and what to do where there is no engine.

    Args:
        system: as `platform.system` says it: ``Linux``, ``Darwin``, ``Windows``.
        apt: whether the system's packages come by apt.
        root: whether we are root.
    """
    if system == "Darwin":
        return (
            "No Docker engine was found on this Mac.",
            "Start Docker Desktop (`open -a Docker`), or colima: `brew install colima docker`, then `colima start`.",
        )
    if system == "Windows":
        return (
            "No Docker engine was found on this Windows machine.",
            "Start Docker Desktop with its WSL 2 backend, or run the lab inside WSL: `wsl --install -d Ubuntu`.",
        )
    if system == "Linux" and apt and root:
        return (
            "No Docker engine was found on this machine.",
            "Let the lab fetch and start one of its own: `dockerlab engine start`.",
        )
    if system == "Linux" and apt:
        return (
            "No Docker engine was found, and the lab can start one of its own only as root.",
            "Install one with `sudo apt-get install docker.io`, and add yourself to its group: `sudo usermod -aG "
            'docker "$USER"`, then log in again. Or set up a rootless engine, and set DOCKER_HOST to its socket.',
        )
    if system == "Linux":
        return (
            "No Docker engine was found, and on a Linux without apt the lab cannot fetch one.",
            "Install Docker Engine with your distribution's packages, and start it: `sudo systemctl start docker`.",
        )
    return (f"No Docker engine was found on {system}.", "Set DOCKER_HOST to an engine on another machine.")


def uv() -> str | None:
    """The program `uv`: the one beside this Python, else one on PATH."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def how_to_start() -> str:
    """How an engine that is installed is started, on this system."""
    return {
        "Darwin": "Start it: `open -a Docker` for Docker Desktop, `colima start` for colima.",
        "Windows": "Start Docker Desktop.",
    }.get(platform.system(), "Start it: `sudo systemctl start docker`, or set DOCKER_HOST to another engine.")
