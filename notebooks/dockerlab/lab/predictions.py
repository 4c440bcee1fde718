"""What the reader has predicted, kept with their copies of the lessons.

One file for each lesson. What cannot be read counts as no prediction, and what cannot be written is no error: a lesson
runs without.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from .. import folders


class Predictions:
    """The predictions of one lesson.

    Args:
        lesson: its name: ``03_exec_or_shell``.
    """

    def __init__(self, lesson: str) -> None:
        self._path: Path = folders.workspaces() / ".predictions" / f"{lesson}.json"

    def get(self, claim: str) -> str:
        """The option that the reader chose before a claim was measured; "" where they chose none."""
        return self._read().get(claim, "")

    def set(self, claim: str, option: str) -> None:
        """Keep what the reader chooses."""
        kept = self._read() | {claim: option}
        with contextlib.suppress(OSError):
            self._path.parent.parent.mkdir(parents=True, exist_ok=True)
            folders.make(self._path.parent.parent)
            folders.make(self._path.parent)
            new = self._path.with_suffix(f".{os.getpid()}")
            new.write_text(json.dumps(kept, indent=1, ensure_ascii=False), encoding="utf-8")
            new.replace(self._path)

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
