"""Where the laboratory keeps its files: one cache folder, one workspace folder."""

from __future__ import annotations

import os
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[1]
"""The folder of the lessons, which the package lies in."""


def cache() -> Path:
    """The folder for all that is fetched once and kept: engine packages, the engine's data, the ledger of builds.

    `DOCKERLAB_CACHE` where it is set, else `dockerlab` in the user's cache folder (`XDG_CACHE_HOME` or `~/.cache`).
    The folder need not exist yet.
    """
    if own := os.environ.get("DOCKERLAB_CACHE"):
        return Path(own).expanduser().resolve()
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser().resolve() / "dockerlab"


def workspaces() -> Path:
    """The folder in which each lesson gets a folder of its own.

    `DOCKERLAB_WORKSPACE` where it is set, else `workspace` beside the lessons, so that the reader sees the files in
    JupyterLab's file browser.
    """
    if own := os.environ.get("DOCKERLAB_WORKSPACE"):
        return Path(own).expanduser().resolve()
    return NOTEBOOKS / "workspace"


def fix() -> None:
    """Make the folders that the environment names the same from any working folder: opening a lab changes it."""
    for name in ("DOCKERLAB_CACHE", "DOCKERLAB_WORKSPACE"):
        if own := os.environ.get(name):
            os.environ[name] = str(Path(own).expanduser().resolve())
