"""What was observed: frozen records, with the unit in the name of each field.

A record has no behavior beyond what follows from its own fields. Experiments return records; figures, tables,
assertions and the audit read them. Verdicts are categories that survive a slow machine; seconds are shown, and never
asserted.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

# --- build -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One instruction of a Dockerfile, and what the builder did with it.

    Attributes:
        instruction: the instruction as written, without the builder's counter: ``RUN pip install -r requirements.txt``.
        cached: whether the builder took the result from its cache.
        seconds: how long it took; 0.0 where it was cached.
        error: the builder's message where the step failed, else "".
        log: what the step printed.
    """

    instruction: str
    cached: bool
    seconds: float
    error: str = ""
    log: str = field(default="", repr=False)


@dataclass(frozen=True)
class Build:
    """One build of one image.

    Attributes:
        name: the short name the lesson gave it: ``exec``.
        image: the tag to start containers from.
        image_id: the engine's id of the image: ``sha256:…``.
        seconds: from sending the build context to the finished image.
        steps: the instructions, in the order of the Dockerfile (FROM included).
        builder: ``buildkit`` or ``classic``.
        context_bytes: the size of the build context sent, after `.dockerignore`.
    """

    name: str
    image: str
    image_id: str
    seconds: float
    steps: tuple[Step, ...]
    builder: str
    context_bytes: int

    def __repr__(self) -> str:
        """A line for each step. No seconds: they differ each time."""
        return "\n".join(f"{'cached' if step.cached else 'built':6} {step.instruction}" for step in self.steps)

    def _repr_html_(self) -> str:
        rows = [
            f'<tr><td style="text-align: left">{"cached" if step.cached else "built"}</td>'
            f"<td>{'' if step.cached else f'{step.seconds:.2f} s'}</td>"
            f'<td style="text-align: left"><code>{html.escape(step.instruction)}</code></td></tr>'
            for step in self.steps
        ]
        return f"<table>{''.join(rows)}</table>"

    @property
    def ran(self) -> tuple[str, ...]:
        """The steps that ran, each by its first two words: ``RUN pip``. The others came from the cache.

        `FROM` and `WORKDIR` are left out: they take no time, and builds of other projects share them.
        """
        steps = [step for step in self.steps if not step.cached]
        return tuple(
            " ".join(step.instruction.split()[:2])
            for step in steps
            if not step.instruction.startswith(("FROM", "WORKDIR"))
        )

    @property
    def outcome(self) -> str:
        """What a claim compares: the steps that ran, ``COPY ./app, RUN pip``, or ``nothing``."""
        return ", ".join(self.ran) or "nothing"

    def step(self, start: str) -> Step:
        """The one step whose instruction starts with `start`.

        Raises:
            LookupError: none or several do.
        """
        found = [step for step in self.steps if step.instruction.startswith(start)]
        if len(found) != 1:
            known = ", ".join(repr(step.instruction) for step in self.steps)
            raise LookupError(f"{len(found)} steps start with {start!r}; the steps are {known}")
        return found[0]


@dataclass(frozen=True)
class ContextFile:
    """One file of a build context: its path in the context, and its size in bytes."""

    path: str
    size_bytes: int


@dataclass(frozen=True)
class Context:
    """What a build sends to the builder: the files that `.dockerignore` lets through, and those it keeps out."""

    sent: tuple[ContextFile, ...]
    ignored: tuple[ContextFile, ...]

    @property
    def sent_bytes(self) -> int:
        return sum(file.size_bytes for file in self.sent)


# --- traffic ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """The fate of one HTTP request.

    Attributes:
        path: of its URL, with the query: ``/slow?seconds=5``.
        started_seconds: when it was sent, from the start of its traffic.
        seconds: how long until its fate was known.
        fate: ``answered`` (a whole response), ``cut`` (the connection was lost after the request was sent),
            ``refused`` (no connection), ``timed out`` (nothing within the client's own limit).
        status: the HTTP status, where a response began.
        error: the client's message where it was not answered.
        version: which version of the application answered: the header `X-Version` of the response, "" without one.
        late_seconds: how long after `started_seconds` it was really sent, where this machine could not keep up.
    """

    path: str
    started_seconds: float
    seconds: float
    fate: str
    status: int | None = None
    error: str = ""
    version: str = ""
    late_seconds: float = 0.0

    @property
    def outcome(self) -> str:
        """The fate, and the status of an answer that is an error: ``answered``, ``answered 500``, ``cut``."""
        failed = self.fate == "answered" and self.status is not None and self.status >= 400
        return f"{self.fate} {self.status}" if failed else self.fate


@dataclass(frozen=True)
class Traffic:
    """Requests sent to one application, in the order in which they were sent.

    Attributes:
        requests: each with its fate.
        late_seconds: how long after it was due the most delayed one was sent.
    """

    requests: tuple[Request, ...]
    late_seconds: float = 0.0

    def __repr__(self) -> str:
        outcomes = sorted(Counter(request.outcome for request in self.requests).items())
        return f"{len(self.requests)} requests" + "".join(f", {count} {outcome}" for outcome, count in outcomes)

    def count(self, fate: str) -> int:
        return sum(request.fate == fate for request in self.requests)

    @property
    def lost(self) -> int:
        """How many were not answered."""
        return len(self.requests) - self.count("answered")

    @property
    def failed(self) -> int:
        """How many were not answered, or answered with an error (status 400 or more)."""
        return sum(request.outcome != "answered" for request in self.requests)

    def answered_by(self) -> dict[str, int]:
        """How many were answered well by each version, in the order in which the versions first answered."""
        return dict(Counter(request.version for request in self.requests if request.outcome == "answered"))


# --- stop ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """Something seen during a stop.

    Attributes:
        seconds: from the moment at which the engine sent the stop signal.
        what: ``SIGTERM``, ``SIGKILL``, ``shutdown`` (the application's lifespan ended), ``exit``.
    """

    seconds: float
    what: str


def ending(exit_code: int, shutdown_ran: bool | None) -> str:
    """How a container ended, in the words of a claim: ``exit 137, no shutdown code``."""
    return f"exit {exit_code}" + {True: ", shutdown code ran", False: ", no shutdown code", None: ""}[shutdown_ran]


@dataclass(frozen=True)
class Stop:
    """One `docker stop`, according to the engine's own events.

    Attributes:
        name: the short name the lesson gave it: ``exec form``.
        pid1: the command line of the container's main process, before the stop.
        seconds: from the engine's first `kill` event to its `die` event (field `timeNano` of both).
        exit_code: of the main process; 137 = 128 + SIGKILL, 143 = 128 + SIGTERM.
        killed: whether the engine had to send SIGKILL when the grace period was over.
        shutdown_ran: whether the application's lifespan shutdown ran to its end; None where it has no lifespan.
        grace_seconds: how long the engine waited before SIGKILL.
        events: what happened when, in order.
        requests: the fate of the requests that were in flight. Their `started_seconds` count from the stop signal, as
            those of the events do, and so are negative.
        drain_seconds: how long the application lets requests in flight run on before it cancels them, as told by
            whoever configured it; None where no such limit is known.
    """

    name: str
    pid1: str
    seconds: float
    exit_code: int
    killed: bool
    shutdown_ran: bool | None
    grace_seconds: int
    events: tuple[Event, ...] = ()
    requests: tuple[Request, ...] = ()
    drain_seconds: float | None = None

    @property
    def outcome(self) -> str:
        """What a claim compares: ``answered; exit 0, shutdown code ran``, with each request's outcome first."""
        return "; ".join([*(request.outcome for request in self.requests), ending(self.exit_code, self.shutdown_ran)])

    @property
    def pace(self) -> str:
        """``at once``, ``within the grace period`` (with requests in flight) or ``had to be killed``.

        A noisy machine can tell these apart.
        """
        if self.killed:
            return "had to be killed"
        return "within the grace period" if self.requests else "at once"

    def __repr__(self) -> str:
        parts = [self.pace, f"exit code {self.exit_code}"]
        if self.shutdown_ran is not None:
            parts.append("lifespan shutdown ran" if self.shutdown_ran else "lifespan shutdown did not run")
        parts += [f"{request.path} {request.outcome}" for request in self.requests]
        return f"{self.name}: {', '.join(parts)}"


# --- a swarm ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """One task of a Swarm service: a container on a node, or what became of it.

    Attributes:
        id: the swarm's.
        slot: which of the service's replicas it is, from 1; 0 where the service has one on each node.
        node: the name of the node that it is assigned to; "" before that.
        image: what it runs.
        wanted: the state that the swarm wants it to have: ``running``, ``shutdown``, ….
        state: the state that its node last reported: ``starting``, ``running``, ``failed``, ….
        container: the id of its container, "" before there is one.
        exit_code: of its main process, once that has ended.
        error: why it failed, in the engine's words.
    """

    id: str
    slot: int
    node: str
    image: str
    wanted: str
    state: str
    container: str = ""
    exit_code: int | None = None
    error: str = ""


@dataclass(frozen=True)
class Rollout:
    """One change of a service under traffic.

    Attributes:
        name: the short name that the lesson gave it.
        outcome: how it ended, according to the swarm: ``completed``, ``rolled back``, ``paused``.
        traffic: the requests, each with its fate.
        events: what happened when, in seconds from the start of the traffic.
        ended: the tasks that ran before and have ended.
        failed: the tasks that were started by the change, and have ended.
        running: the tasks that run after it.
    """

    name: str
    outcome: str
    traffic: Traffic
    events: tuple[Event, ...]
    ended: tuple[Task, ...]
    failed: tuple[Task, ...]
    running: tuple[Task, ...]

    def __repr__(self) -> str:
        lost = "no request was lost" if not self.traffic.failed else "requests were lost"
        codes = ", ".join(str(code) for code in sorted({task.exit_code for task in self.ended}, key=str))
        return f"{self.name}: {self.outcome}, {lost}, the old tasks' exit code: {codes or 'none'}"


# --- behind a proxy --------------------------------------------------------------------------------------------------


SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"})
INITS = frozenset({"tini", "tini-static", "docker-init", "dumb-init", "catatonit", "s6-svscan", "init"})


@dataclass(frozen=True)
class Resident:
    """What one process of a container holds in memory.

    Attributes:
        role: ``server``, where it is alone; or ``worker``, ``parent`` of workers, ``helper``.
        resident_bytes: its resident set size: all its pages in memory, also those that it shares with others.
    """

    role: str
    resident_bytes: int


@dataclass(frozen=True)
class Process:
    """A process of a container, as `ps` on the engine's machine shows it.

    Attributes:
        pid: on the engine's machine.
        parent: the process that started it.
        uid: the user it runs as.
        command: its command line.
    """

    pid: int
    parent: int
    uid: int
    command: str

    @property
    def program(self) -> str:
        """The name of what was started: ``python3.13``, ``sh``."""
        return self.command.split(maxsplit=1)[0].rsplit("/", 1)[-1].lstrip("-") if self.command.strip() else ""

    @property
    def is_shell(self) -> bool:
        return self.program in SHELLS

    @property
    def is_init(self) -> bool:
        return self.program in INITS


FORGED = "203.0.113.7"
"""The address that a client claims to have: one of those that RFC 5737 keeps for documentation."""


@dataclass(frozen=True)
class SeenRequest:
    """What an application made of requests that reached it through a TLS termination proxy.

    An address is given as whose it is, since the numbers differ with each network: ``the client`` (as the proxy saw
    it), ``the proxy``, ``forged`` (one that the client only claimed to have), or the address itself.

    Attributes:
        name: the short name the lesson gave it: ``star``.
        url: what the client requested: ``https://star.usual.example/seen``.
        passed: the headers that told the application about the request, as they reached it; their names in lower case.
        scheme: which scheme the application believes was used: ``http`` or ``https``.
        client: whose address it takes for the client's.
        claimed: the headers that the client added, to claim something of itself.
        url_for: the URL that it made for its own route `/items/`.
        location: where it redirected `/items` to.
        docs_server: the first server that its openapi.json names; "" where it names none, and then `/docs` calls the
            origin that the page came from.
    """

    name: str
    url: str
    passed: Mapping[str, str]
    scheme: str
    client: str
    claimed: Mapping[str, str] = field(default_factory=dict)
    url_for: str = ""
    location: str = ""
    docs_server: str = ""

    def __repr__(self) -> str:
        return f"{self.name}: scheme {self.scheme}, client {self.client}, redirects to {self.location or 'nothing'}"


# --- image -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImageLayer:
    """What one instruction has added to an image.

    Attributes:
        instruction: as it stands in the Dockerfile: ``COPY ./app /code/app``. Build arguments that a `RUN` could see
            stand before its command, in brackets.
        size_bytes: the files that it added, not compressed; 0 where it is only a note: ``CMD``.
        from_base: whether the base image has it, too.
    """

    instruction: str
    size_bytes: int
    from_base: bool = False


@dataclass(frozen=True)
class ImageContent:
    """The layers of one image, from the lowest.

    Attributes:
        name: the short name that the lesson gave the image.
        layers: with their sizes.
    """

    name: str
    layers: tuple[ImageLayer, ...]

    @property
    def base_bytes(self) -> int:
        return sum(layer.size_bytes for layer in self.layers if layer.from_base)

    @property
    def added_bytes(self) -> int:
        """What the image holds beyond its base."""
        return sum(layer.size_bytes for layer in self.layers if not layer.from_base)

    @property
    def size_bytes(self) -> int:
        return self.base_bytes + self.added_bytes

    def __repr__(self) -> str:
        """The instructions that added something. No sizes: they differ with the machine and the day."""
        return "\n".join(layer.instruction for layer in self.layers if layer.size_bytes and not layer.from_base)


@dataclass(frozen=True)
class Leak:
    """A place in an image where a secret can be read.

    Attributes:
        where: ``history`` (the text of an instruction), ``settings`` (a variable or a label), ``layer`` (a file).
        instruction: that put it there.
        path: of the file; empty where it is none.
        deleted_later: whether a later layer deletes the file, so that no container of the image shows it.
    """

    where: str
    instruction: str
    path: str = ""
    deleted_later: bool = False

    def __repr__(self) -> str:
        deleted = ", deleted in a later layer" if self.deleted_later else ""
        return f"in the {self.where}: {self.path or self.instruction}{deleted}"


# --- lint ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LintFinding:
    """What a linter says about one line of a Dockerfile.

    Attributes:
        rule: the linter's name for it: ``DL3025`` (hadolint), ``SC2086`` (ShellCheck, in a `RUN`).
        level: ``error``, ``warning``, ``info`` or ``style``.
        line: of the Dockerfile, from 1.
        message: what is wrong, in the linter's words.
    """

    rule: str
    level: str
    line: int
    message: str

    def __repr__(self) -> str:
        return f"line {self.line}: {self.level}: {self.rule}: {self.message}"


# --- audit -----------------------------------------------------------------------------------------------------------

VERDICTS = ("pass", "warn", "fail", "not measured")


@dataclass(frozen=True)
class Finding:
    """What one check of an audit found.

    Attributes:
        id: the check: ``stops-on-sigterm``.
        verdict: ``pass``, ``warn``, ``fail``, or ``not measured`` where nothing was observed; never a guess.
        observed: what was observed; why nothing was, where it was not measured.
        why: why it matters.
        fix: the line to change, or what to do; empty where there is nothing to fix.
        lesson: the lesson that teaches it: ``03_exec_or_shell``.
        line: the line of the Dockerfile that it is about, from 1; None where it is not about one line.
    """

    id: str
    verdict: str
    observed: str
    why: str
    fix: str = ""
    lesson: str = ""
    line: int | None = None

    def __repr__(self) -> str:
        return f"{self.verdict}: {self.id}: {self.observed}"


@dataclass(frozen=True)
class Substitution:
    """A base image that could not be pulled, and the one that was taken instead.

    Attributes:
        image: as the Dockerfile names it: ``python:3.12-slim``.
        by: what the build began with: ``dockerlab/base:trixie``.
        line: the line of the Dockerfile that names it, from 1.
    """

    image: str
    by: str
    line: int | None = None


@dataclass(frozen=True)
class Audit:
    """The report card of one project.

    Attributes:
        version: of the laboratory that made it: ``0.1.0``.
        project: the folder that was audited, as it was named.
        dockerfile: the path of its Dockerfile, from that folder.
        substituted: the base images that were replaced.
        checks: what was found, in the order of the checks.
        left_out: what of a Compose file was not taken: a sentence each.
        limited: what limited the application's containers: ``512 MB of memory``.
        not_limited: what did not.
    """

    version: str
    project: str
    dockerfile: str
    substituted: tuple[Substitution, ...]
    checks: tuple[Finding, ...]
    left_out: tuple[str, ...] = ()
    limited: tuple[str, ...] = ()
    not_limited: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """A line for each check: its verdict and its id."""
        return "\n".join(f"{finding.verdict:12} {finding.id}" for finding in self.checks)

    def count(self, verdict: str) -> int:
        return sum(finding.verdict == verdict for finding in self.checks)

    def check(self, id_: str) -> Finding:
        """The finding of one check.

        Raises:
            LookupError: that check was not asked for.
        """
        for finding in self.checks:
            if finding.id == id_:
                return finding
        raise LookupError(f"{id_!r} was not checked; the checks are {', '.join(f.id for f in self.checks)}")
