"""What one notebook holds open: an engine, a workspace, names and labels, and the promise to leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import APIError

from .. import engine, folders, labels
from ..engine import engine_errors
from ..errors import LabError
from . import cell_errors, cleanup, ledger, workspace
from .lessons import LessonRun

_SPECIAL = re.compile(r"[^a-zA-Z0-9_.-]+")


class Lab:
    """One open lesson (or audit). Made by `open_lab`.

    Attributes:
        lesson: the lesson's name: ``03_exec_or_shell``.
        id: eight hexadecimal digits, new each time a lab is opened; part of each name that the lab gives.
        engine: the engine that was found.
        client: the docker SDK's client, to use as its documentation says.
        base_image: the image to pass as the build argument BASE_IMAGE.
        workspace: the folder that the lesson writes its files in.
        labels: what everything made for this lab is labeled with.
        cached_prefixes: the beginnings of Dockerfiles that `build` has put into the build cache.
        pulled: the images that `build` has pulled: they go when the lab is closed.
    """

    def __init__(
        self,
        lesson: str,
        engine_: engine.Engine,
        base_image: engine.base_image.BaseImage,
        before: Path | None = None,
    ) -> None:
        self.lesson = lesson
        self.id = secrets.token_hex(4)
        self.engine = engine_
        self.client: docker.DockerClient = engine_.client()
        self.base_image = base_image.tag
        self.base_image_origin = base_image.origin
        self.labels = {
            labels.LAB: self.id,
            labels.LESSON: lesson,
            labels.OWNER: str(labels.Owner.current()),
        }
        self.workspace, self._lock = workspace.claim(lesson, before)
        self.cached_prefixes: set[str] = set()
        self.pulled: set[str] = set()
        try:
            # An empty volume marks the lab as open from its first moment: others see it by its label, and keep the
            # build cache.
            with ledger.opened(self.client):
                self.client.volumes.create(self.name("open"), labels=self.labels)
        except BaseException:
            self._lock.release()  # when the reader runs the cell again, they get the same folder
            raise
        self._run = LessonRun(lesson)

    @property
    def is_open(self) -> bool:
        """Whether it holds its workspace, as it does until it is closed."""
        return self._lock.is_locked

    def name(self, short: str) -> str:
        """A name for a container, network or volume that no other lab on this engine has.

        What an engine takes in no name, a space say, becomes a hyphen.
        """
        return f"dockerlab-{self.id}-{_SPECIAL.sub('-', short)}"

    def tag(self, short: str) -> str:
        """A tag for an image that no other lab on this engine has; made of the short name as by `name`."""
        return f"dockerlab/{self.id}:{_SPECIAL.sub('-', short).strip('-.') or 'image'}"

    def cli_name(self, short: str) -> str:
        """The name that the docker commands of a lesson give a container or an image: ``web-$LAB``."""
        return f"{short}-{self.id}"

    @property
    def cli_project(self) -> str:
        """The Compose project of a lesson's docker commands: ``COMPOSE_PROJECT_NAME`` in cells and terminals."""
        return self.cli_name("shop")

    def close(self) -> Closed:
        """Remove all that this lab made on the engine. Safe to call twice. The workspace stays for the reader to look
        at.

        Raises:
            EngineUnreachable: the engine does not answer, so nothing could be removed.
            LabError: it refuses to remove something, or the lab's cache folder cannot be written.
        """
        do = "Start it again; the next lesson, or `dockerlab clean`, removes what this one left."
        try:
            with engine_errors.explained(self.engine.url, "while the lab was cleaned up", do):
                left = cleanup.remove_lab(self.client, self.id)
                for image in self.pulled:
                    with contextlib.suppress(APIError):  # it is gone, or somebody uses it
                        self.client.api.remove_image(image)
        finally:
            self._lock.release()
            self.client.close()  # using it later opens a connection again
        cell_errors.stop_watching(self.engine)
        self._run.close()
        return Closed(self.lesson, tuple(left))

    def __repr__(self) -> str:
        lines = [
            f"Lesson: {self.lesson}",
            f"Engine: {self.engine.describe()}",
            f"Base image: {self.base_image} ({self.base_image_origin})",
            f"Workspace: {workspace.shown(self.workspace)}",
        ]
        if passed_over := workspace.passed_over(self.workspace, self.lesson):
            lines.append(f"Left as it is: {workspace.shown(passed_over)}, for the lab did not make it here.")
        return "\n".join(lines)


@dataclass(frozen=True)
class Closed:
    """What a lab left on the engine when it was closed: nothing, or what the engine would not remove."""

    lesson: str
    left: tuple[str, ...]

    def __repr__(self) -> str:
        if self.left:
            return f"{self.lesson} is closed, and this is still on the engine: {', '.join(self.left)}."
        return f"{self.lesson} is closed. Nothing from this lesson is left on the engine."


_opened: dict[str, Lab] = {}
"""The last lab of each lesson that this process opened."""


def open_lab(lesson: str) -> Lab:
    """Open a lab for a lesson: find or start the engine, remove what dead labs left, make the workspace, and go there.

    From then on this machine's own addresses are reached without a proxy, whatever the environment names: each lesson
    sends requests to containers on 127.0.0.1, and no proxy reaches them.

    The notebook's working folder becomes the workspace, as `cd` would do. What an earlier run of the lesson wrote there
    is removed, so that each run starts from the same state; the folder `your_turn` is the reader's, and is kept. Where
    another kernel has the same lesson open, this one gets a folder of its own beside it. Opened again by the same
    kernel, it gets its own folder again, and the lab that was open is closed first.

    Args:
        lesson: the notebook's name without its suffix: ``03_exec_or_shell``.

    Raises:
        EngineMissing: there is no engine, and none can be started here.
        EngineUnreachable: an engine is named, and it does not answer.
        BaseImageMissing: there is no base image, and none can be had.
        WorkspaceUnwritable: the workspace cannot be written.
    """
    found = engine.ensure()
    with engine_errors.explained(found.url, "while the lab was opened"):
        with contextlib.closing(found.client()) as client:
            before = _opened.get(lesson)
            if before and before.is_open:
                with contextlib.suppress(LabError):  # its engine may be gone, and its objects with it
                    before.close()
            cleanup.sweep(client)
            base = engine.base_image.ensure(client)
        lab = _opened[lesson] = Lab(lesson, found, base, before.workspace if before else None)
    cell_errors.watch(found)
    _reach_localhost_without_proxy()
    folders.make_absolute()
    os.chdir(lab.workspace)
    return lab


def _reach_localhost_without_proxy() -> None:
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host for host in excepted.split(",") if host]
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost"]))
