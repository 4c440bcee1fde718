"""What the experiments of an audit saw. The checks turn it into verdicts, and never touch the engine."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..build.dockerfile import Dockerfile
from ..records import Build, Context, LintFinding, Process, Stop
from .project import Project


@dataclass(frozen=True)
class ProbeAnswer:
    """A request as the application sees it: the scheme, the client's address, the URL, the `Host` header."""

    scheme: str
    client: str
    url: str
    host: str


@dataclass(frozen=True)
class Idle:
    """The application with nothing to do: started, sent a few requests, looked at, stopped.

    Attributes:
        port: where it listens in the container.
        no_probe: why the probe does not answer; empty where it does.
        processes: all of the container's, the main one first; empty where they could not be listed.
        lifespans: how many lifespans had started; None where neither the probe nor a log shows it, or there are
            `restarts`.
        restarts: that workers end and start again, in a sentence; empty where they do not.
        honest: an honest request, as a proxy passes it.
        forged: the same, of a client that claimed another address.
        peer: the address that the requests came from, as the application sees it without headers.
        trusts_other: whom the command or a variable names as trusted proxies; empty where nobody.
        memory_bytes: what the container uses, without the page cache.
        written: the paths that were written since the start, without `/tmp`.
        stop: how it stopped.
    """

    port: int
    no_probe: str
    processes: tuple[Process, ...]
    lifespans: int | None
    honest: ProbeAnswer | None
    forged: ProbeAnswer | None
    peer: str
    trusts_other: str
    memory_bytes: int | None
    written: tuple[str, ...]
    stop: Stop
    restarts: str = ""


@dataclass(frozen=True)
class Health:
    """A health check, run once as the engine does it.

    Attributes:
        test: what is run: ``CMD-SHELL curl -f http://localhost/``; empty where there is none.
        exit_code: 0 is healthy; None where it did not end in time or could not be started.
        output: what it printed.
        when_stopped: its exit code while the main process was suspended; None where that was not tried or did not end.
        tried_stopped: whether that was tried.
    """

    test: str
    exit_code: int | None = None
    output: str = ""
    when_stopped: int | None = None
    tried_stopped: bool = False


@dataclass(frozen=True)
class ReadOnly:
    """A start with a read-only root and a tmpfs at /tmp: whether it answered, and what it could not write."""

    answered: bool
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rebuilds:
    """The same image built again.

    Attributes:
        unchanged: from the same files.
        changed: after a change in `file`; None where no source file is in the build context.
        file: the source file that was changed.
    """

    unchanged: Build
    changed: Build | None
    file: str


@dataclass(frozen=True)
class Secret:
    """Something that looks like a secret, and where: never its value."""

    what: str
    where: str
    line: int | None = None


@dataclass(frozen=True)
class Layers:
    """What lies in the image's layers.

    Attributes:
        size_bytes: the content of all layers, uncompressed.
        base_bytes: of these, the layers of the image that it is built on; None where that is not known.
        packages_bytes: of the rest, what lies in folders of installed Python packages.
        secrets: what looks like secrets, in the history, the environment and the files.
        reference_bytes: the content of the lab's base image.
    """

    size_bytes: int
    base_bytes: int | None
    packages_bytes: int
    secrets: tuple[Secret, ...]
    reference_bytes: int


@dataclass
class Observations:
    """All that was observed of one project. What could not be observed is None, and `reasons` says why.

    Attributes:
        user: whom the image's configuration names as the user.
        stop_signal: what a stop sends; empty where neither image nor project names one, and it is SIGTERM.
    """

    project: Project
    dockerfile: Dockerfile
    build: Build
    user: str = ""
    stop_signal: str = ""
    context: Context | None = None
    lint: tuple[LintFinding, ...] | None = None
    idle: Idle | None = None
    in_flight: Stop | None = None
    stream: Stop | None = None
    health: Health | None = None
    read_only: ReadOnly | None = None
    rebuilds: Rebuilds | None = None
    layers: Layers | None = None
    memory_limit_bytes: int = 0
    reasons: dict[str, str] = field(default_factory=dict)

    def reason(self, experiment: str) -> str:
        return self.reasons.get(experiment, "it was not tried")
