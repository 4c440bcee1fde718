"""The command lines of Docker, for what has no other interface, and what to do about their errors."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


def run_command(
    *command: str, environment: Mapping[str, str], folder: Path | None = None, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, at most `timeout` seconds, whatever its exit code.

    Raises:
        OSError: there is no such program, or no such folder.
        TimeoutExpired: the time is over.
    """
    return subprocess.run(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,  # its own words say more than CalledProcessError
    )


def advice(words: str, known: Mapping[str, str]) -> str:
    """What to do about an error: the advice for the first known phrase that is in it."""
    return next((do for phrase, do in known.items() if phrase in words), "Look at what it says.")
