"""What the laboratory does around each `docker build` that a cell types: the same as around its own builds.

The first steps are put into the build cache before (`builder.warm_cache` says why), and what the build leaves there is
noted, so that it goes with the lesson.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from docker.errors import DockerException

from ..errors import LabError
from ..lab import ledger
from ..lab.lab import Lab
from . import builder
from . import dockerfile as dockerfiles

_BUILDS = re.compile(r"^\s*!.*\bdocker\b.*\b(build|up)\b", re.MULTILINE)

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
        self._begun: list[Path] = []
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
            for dockerfile in self._dockerfiles():
                builder.warm_cache(self._lab, dockerfile, None, {"BASE_IMAGE": self._lab.base_image})
            self._begun.append(ledger.begin_build(self._lab.client, [], is_typed=True))

    def _after(self, result: Any) -> None:
        while self._begun:
            begun = self._begun.pop()
            with contextlib.suppress(OSError, ValueError):
                # Only now: a cell may write a Dockerfile, and build it.
                ledger.end_build(begun, [step.text for each in self._dockerfiles() for step in each.steps()])

    def _dockerfiles(self) -> list[dockerfiles.Dockerfile]:
        paths = self._lab.workspace.rglob("*Dockerfile*")
        return [dockerfiles.parse(path.read_text(errors="replace")) for path in paths if path.is_file()]
