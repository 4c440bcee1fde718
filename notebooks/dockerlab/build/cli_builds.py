"""What the laboratory does around each `docker build` that a cell types: the same as around its own builds.

The first steps are put into the build cache before (`builder.warm_cache` says why), and what the build leaves there is
noted, so that it goes with the lesson.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from pathlib import Path
from typing import Any

from docker.errors import DockerException

from ..errors import LabError
from ..lab import ledger
from ..lab.lab import Lab
from . import builder
from . import dockerfile as dockerfiles

_BUILDS = re.compile(r"^\s*!.*\bdocker\b.*\b(build|up)\b", re.MULTILINE)

_TOUCH_SECONDS = 1

_watching: list[_Watch] = []
"""Of the lab that this kernel opened last."""


def watch(lab: Lab, shell: Any) -> None:
    """Look after the builds that cells type, until another lab is opened in this kernel.

    Args:
        lab: the open lab.
        shell: IPython's, which runs the cells.
    """
    while _watching:
        _watching.pop().end()
    _watching.append(_Watch(lab, shell))


class _Watch:
    def __init__(self, lab: Lab, shell: Any) -> None:
        self._lab = lab
        self._shell = shell
        self._begun: Path | None = None
        self._ended = threading.Event()
        self._touching: threading.Thread | None = None
        shell.events.register("pre_run_cell", self._before)
        shell.events.register("post_run_cell", self._after)

    def end(self) -> None:
        self._shell.events.unregister("pre_run_cell", self._before)
        self._shell.events.unregister("post_run_cell", self._after)

    def _before(self, info: Any) -> None:
        """A build that cannot be prepared is not held up: the build itself says what is wrong."""
        if not self._lab.is_open or not _BUILDS.search(info.raw_cell):
            return
        with contextlib.suppress(DockerException, OSError, LabError):
            found = self._dockerfiles()
            for dockerfile in found:
                builder.warm_cache(self._lab, dockerfile, None, {"BASE_IMAGE": self._lab.base_image})
            self._begun = ledger.begin_build(self._lab.client, _instructions(found), is_cli=True)
            self._ended.clear()
            self._touching = threading.Thread(target=self._touch, args=(self._begun,), daemon=True, name="docker build")
            self._touching.start()

    def _touch(self, begun: Path) -> None:
        """Show that the build goes on: were the kernel killed, what is made until then is this build's."""
        while not self._ended.wait(_TOUCH_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(begun)

    def _after(self, result: Any) -> None:
        if not (begun := self._begun) or not self._touching:
            return
        self._ended.set()
        self._touching.join()
        self._begun = None
        with contextlib.suppress(OSError, ValueError):
            # Once more: a cell may write a Dockerfile, and build it.
            ledger.end_build(begun, _instructions(self._dockerfiles()))

    def _dockerfiles(self) -> list[dockerfiles.Dockerfile]:
        paths = self._lab.workspace.rglob("*Dockerfile*")
        return [dockerfiles.parse(path.read_text(errors="replace")) for path in paths if path.is_file()]


def _instructions(found: list[dockerfiles.Dockerfile]) -> list[str]:
    return list(dict.fromkeys(step.text for each in found for step in each.steps()))
