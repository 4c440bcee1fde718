"""What can go wrong, said so that the reader knows what to do next.

Every error of the laboratory is a `LabError`: what was tried and seen, in one sentence, and what to do, in another. A
notebook shows it as those two sentences, without a traceback through our code.
"""

from __future__ import annotations

import re

_LONGEST_LINE = 300
"""Characters of a log's line that an error shows."""

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class LabError(Exception):
    """Something the reader can act on.

    Args:
        seen: what was tried and what was seen, one sentence.
        do: what to do next, one sentence.
        log: the last lines of the log that shows it, if there are any.
    """

    def __init__(self, seen: str, do: str = "", *, log: str = "") -> None:
        self.seen = seen
        self.do = do
        self.log = log
        super().__init__(seen, do)

    def __str__(self) -> str:
        lines = [self.seen]
        if self.log:
            lines += ["", *(f"    {_shown(line)}" for line in self.log.strip().splitlines()), ""]
        if self.do:
            lines.append(self.do)
        return "\n".join(lines)

    def _render_traceback_(self) -> list[str]:
        """Called by IPython in place of its traceback."""
        return [f"\x1b[31m{type(self).__name__}\x1b[0m: {self}"]


def _shown(line: str) -> str:
    """A line of a log without control characters, and no longer than a person reads."""
    line = _CONTROL.sub("", line)
    return line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + " …"


class EngineMissing(LabError):
    """No Docker engine was found, and none could be started."""


class EngineUnreachable(LabError):
    """An engine was named (by a variable, a context or a socket), and it does not answer."""


class BaseImageMissing(LabError):
    """No base image is present, and none could be pulled, loaded or bootstrapped."""


class WorkspaceUnwritable(LabError):
    """The folder that a lesson writes its files in cannot be written."""


class BuildFailed(LabError):
    """A build ended with an error: a wrong Dockerfile, a failed instruction, a full disk."""


class PortTaken(LabError):
    """Something else listens on the requested port."""


class AppCrashed(LabError):
    """The container's main process ended before the application answered."""


class NeverListened(LabError):
    """The container runs, and nothing in it answered on the port within the time given."""


class NotReached(NeverListened):
    """It answers in its container, and no request reaches it over the engine's network."""


class CertificateRefused(LabError):
    """A client did not accept a server's certificate: expired, for another name, or of an unknown authority."""


class ComposeMissing(LabError):
    """Docker Compose v2 is not there, or it is the old v1."""


class ComposeFailed(LabError):
    """Docker Compose ended with an error: an invalid file, a dependency that failed, a service that is not healthy."""


class SwarmNotAllowed(LabError):
    """Engines in containers need privileges, and nobody has allowed them on this engine."""


class SwarmFailed(LabError):
    """A command to a swarm ended with an error, or its effect did not show in time."""
