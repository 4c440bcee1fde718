"""The repository's own files, as a kit and a learner's image have them."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path


def files(root: Path) -> list[str]:
    """The files of the repository that git tracks; without git, all that no tool made."""
    command = ["git", "-C", str(root), "ls-files", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return sorted(name for name in listed.stdout.split("\0") if name and (root / name).is_file())
    made = {".venv", "__pycache__", "workspace", ".ipynb_checkpoints", ".pytest_cache", ".ruff_cache"}
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(
        path.as_posix()
        for path in found
        if not made & set(path.parts) and path.parts[0] != "kit" and not path.parts[0].startswith("dockerlab-kit-")
    )


def pack(root: Path, archive: Path) -> None:
    """The repository as a clone has it."""
    with tarfile.open(archive, "w:gz") as tar:
        for name in files(root):
            tar.add(root / name, f"dockerlab/{name}", recursive=False)
