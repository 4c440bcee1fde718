"""Whose is this? Every container, network, volume and image that the laboratory makes carries these labels."""

from __future__ import annotations

import socket
from dataclasses import dataclass

import psutil

PREFIX = "dev.dockerlab."
LAB = PREFIX + "lab"
LESSON = PREFIX + "lesson"
OWNER = PREFIX + "owner"
BASE = PREFIX + "base"
"""Set to "1" on base images that the laboratory made. They stay between lessons; `dockerlab clean` removes them."""

CACHE_WARMING = PREFIX + "cache-warming"
"""Set to "1" on images made to warm the build cache, so that no image of the lab's is the same as one of these."""

BASE_REPOSITORY = "dockerlab/base"
"""The repository that the laboratory tags its own base images in."""


def started(process: psutil.Process) -> float:
    """When a process started, in seconds: the same number on each call.

    On Linux they are counted from the machine's start, as the kernel does: the seconds since the epoch that psutil
    gives change when the clock is set. Other systems record the epoch's seconds when a process starts.
    """
    return process.create_time() - (psutil.boot_time() if psutil.LINUX else 0)


def made_for(lab: str) -> dict[str, str]:
    """The labels of what this process makes for a lab. Should it be killed meanwhile, the next sweep removes it all."""
    return {LAB: lab, OWNER: str(Owner.current())}


@dataclass(frozen=True)
class Owner:
    """The process that holds a lab open: a notebook's kernel, or an audit.

    Attributes:
        host: the machine (or the container) that the process runs on.
        pid: its process id there.
        started: when it started (`started`), in whole seconds; a later process with the same id has another.
    """

    host: str
    pid: int
    started: int

    @classmethod
    def current(cls) -> Owner:
        return cls.of(psutil.Process())

    @classmethod
    def of(cls, process: psutil.Process) -> Owner:
        """The owner that a process on this machine is."""
        return cls(socket.gethostname(), process.pid, int(started(process)))

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """The owner that a label names, or None where the label is not one of ours."""
        try:
            host, pid, started = text.rsplit("/", 2)
            return cls(host, int(pid), int(started))
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.host}/{self.pid}/{self.started}"

    def is_dead(self) -> bool:
        """Whether the process has ended. One on another machine cannot be judged from here: it counts as alive."""
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            # Start times are read to a clock tick, from two readings: two seconds are the same time.
            return abs(started(process) - self.started) > 2 or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
