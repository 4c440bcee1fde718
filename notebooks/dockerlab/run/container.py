"""Start a container, wait until its application answers, and remove it in the end."""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import urllib3
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container

from ..engine import engine_errors
from ..errors import AppCrashed, EngineUnreachable, LabError, NeverListened, NotReached, PortTaken
from ..lab.lab import Lab
from ..records import Build
from ..wait import tries
from . import docker_exec

if TYPE_CHECKING:
    import httpx

LOG_LINES = 30
"""How much of a log an error shows: enough for the last frames of a Python traceback and its message."""

LINE_LENGTH = 500
"""How much of a log's line an error keeps."""

PIDS_LIMIT = 512
"""How many processes and threads a container may have: an application needs far fewer, a runaway one takes far more."""

PATIENCE = 2
"""Seconds that the first request may take. One that takes longer is given up, and the next may take twice as long: a
connection that a broken network never closes costs no more than that."""

CHECK_EVERY = 0.5
"""Seconds between two checks that the container still runs. Requests are sent more often."""

EXEC_EVERY = 10
"""Seconds without an answer after which a request is sent from inside the container."""


@dataclass(frozen=True)
class Exit:
    """How a container's main process ended: its exit code, what to do about that, and the last lines of its log."""

    code: int
    hint: str
    log: str


class Service:
    """A running container. Made by `serve`; removed by `close`, or at the end of a `with` block.

    Attributes:
        lab: the lab it belongs to.
        name: the short name that the lesson gave it.
        container: the docker SDK's container, to use as its documentation says.
        port: the port that the application listens on inside the container; None where it serves no HTTP.
        path: a path that it answers.
        url: where it answers: ``http://127.0.0.1:49153``; empty where it serves no HTTP.
    """

    def __init__(self, lab: Lab, name: str, container: Container, port: int | None, path: str) -> None:
        self.lab = lab
        self.name = name
        self.container = container
        self.port = port
        self.path = path
        self.url = ""

    def __enter__(self) -> Service:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        try:
            self.close()
        except EngineUnreachable:
            if error is None:  # what went wrong in the block says more
                raise

    def __repr__(self) -> str:
        return f"{self.name} answers" if self.url else f"{self.name} runs"

    def close(self) -> None:
        """Remove the container, whatever state it is in. Safe to call twice.

        Raises:
            EngineUnreachable: the engine no longer answers.
        """
        with errors_explained(self.lab, self.name), contextlib.suppress(NotFound):
            self.container.remove(force=True, v=True)

    def logs(self) -> str:
        """All that the container has printed so far, to stdout and stderr."""
        with container_errors_explained(self.lab, self.name):
            return self.container.logs().decode(errors="replace")

    def log_tail(self) -> str:
        """The last lines of its log, for an error."""
        with errors_explained(self.lab, self.name):
            log = self.container.logs(tail=LOG_LINES).decode(errors="replace")
        return "\n".join(line[:LINE_LENGTH] for line in log.splitlines())

    @cached_property
    def pid1(self) -> str:
        """The command line of the container's main process: ``/bin/sh -c fastapi run app/main.py``."""
        with container_errors_explained(self.lab, self.name):
            return docker_exec.command_line(self.container)

    def wait(self, timeout: float = 60, ready: str = "") -> None:
        """Wait until the application answers over HTTP. `serve` has done so already.

        Args:
            timeout: how many seconds it may take.
            ready: a text to wait for in the log, where it serves no HTTP.

        Raises:
            AppCrashed: the main process ended.
            NeverListened: nothing answered in time.
            NotReached: it answers inside its container, but no request from here reaches it.
        """
        import httpx  # slow to load: only now needed

        began = exec_tried = time.monotonic()
        checked = began - CHECK_EVERY
        patience: float = PATIENCE
        answers_in_container = False
        problem: httpx.TransportError | None = None
        with httpx.Client(trust_env=False) as client:  # a proxy that the environment names is not for this
            for left in tries(timeout, every=0.1):
                if time.monotonic() - checked >= CHECK_EVERY:
                    checked = time.monotonic()
                    self.must_run("before it answered" if self.port else "right after its start")
                if not left:
                    break
                if self.port is None:
                    if ready in self.logs():
                        return
                elif address := self.published(self.port):
                    problem = failure(client, f"{address}{self.path}", min(left, patience))
                    if not problem:
                        self.url = address
                        return
                    if isinstance(problem, httpx.ReadTimeout):
                        patience *= 2
                    if answers_in_container:  # and did so before this request was sent
                        raise _not_reached(self, address, time.monotonic() - began, problem)
                    if time.monotonic() - exec_tried > EXEC_EVERY and _was_accepted(problem):
                        with errors_explained(self.lab, self.name):
                            answers_in_container = docker_exec.answers(self.container, self.port, self.path)
                        if answers_in_container:
                            patience = min(patience, docker_exec.SECONDS)
                        exec_tried = time.monotonic()
        raise _never_listened(self, ready, timeout, problem)

    def must_run(self, meanwhile: str) -> None:
        """Make sure that the main process has not ended.

        Args:
            meanwhile: what has not happened yet: ``before it answered``.

        Raises:
            AppCrashed: it has ended.
            EngineUnreachable: the engine no longer answers.
        """
        with container_errors_explained(self.lab, self.name):
            ended = self.exited()
        if ended:
            raise AppCrashed(f"{self.name!r} ended with exit code {ended.code} {meanwhile}.", ended.hint, log=ended.log)

    def exited(self) -> Exit | None:
        """How the main process ended; None while it runs.

        Raises:
            NotFound: the container is gone.
            EngineUnreachable: the engine no longer answers.
        """
        with errors_explained(self.lab, self.name):
            self.container.reload()
        state = self.container.attrs["State"]
        if state["Status"] not in ("exited", "dead"):
            return None
        code, memory = state["ExitCode"], self.container.attrs["HostConfig"]["Memory"]
        return Exit(code, _exit_hint(code, state.get("OOMKilled", False), memory), self.log_tail())

    def published(self, port: int) -> str:
        """The URL at which a port of the container is published, as last read from the engine; "" where it is not."""
        bindings = (self.container.attrs["NetworkSettings"]["Ports"] or {}).get(f"{port}/tcp") or []
        return f"http://127.0.0.1:{bindings[0]['HostPort']}" if bindings else ""

    def start(self, host_port: int | None = None) -> None:
        """Start the container. `serve` has done so already.

        Args:
            host_port: the port of this machine that it was created with, if a fixed one.

        Raises:
            AppCrashed: the main process could not be started.
            PortTaken: something else has `host_port`.
            EngineUnreachable: the engine no longer answers.
            LabError: the engine would not start it.
        """
        with errors_explained(self.lab, self.name):
            try:
                self.container.start()
            except APIError as error:
                words = str(error.explanation or error)
                # The words for a taken port differ with the engine's version and system; these are in all of them.
                if "already allocated" in words or "already in use" in words:
                    raise _port_taken(self.lab, host_port) from error
                raise refusal(error, self.name, f"start {self.name!r}", "Look at what it says.") from error


def serve(
    lab: Lab,
    image: str | Build,
    *,
    name: str | None = None,
    port: int | None = 80,
    host_port: int | None = None,
    command: str | Sequence[str] | None = None,
    entrypoint: str | Sequence[str] | None = None,
    init: bool = False,
    environment: Mapping[str, str] | None = None,
    path: str = "/",
    ready: str = "",
    timeout: float = 60,
    memory: str = "512m",
    **options: Any,
) -> Service:
    """Start a container and wait until its application answers over HTTP.

    The port is published on 127.0.0.1, so that nothing outside this machine reaches it. Use the result in a `with`
    block, or close it yourself; closing the lab removes the container, too.

    An engine may give a container an address that its own machine does not reach, because another device was known by
    it before (moby/moby issue 36069). Where the application answers inside its container and not outside, a second
    container, which gets another address, takes the place of the first, once.

    Args:
        lab: the open lab.
        image: the image's tag, or the build that made it.
        name: the short name for errors, records and the container; else the build's.
        port: the port that the application listens on inside the container; None where it serves no HTTP.
        host_port: the port of this machine that it is published on; else the engine picks a free one.
        command: instead of the image's CMD.
        entrypoint: instead of the image's ENTRYPOINT.
        init: whether a small init process is process 1, as with `docker run --init`.
        environment: environment variables for the container.
        path: of the requests that are sent until one is answered; any HTTP status counts.
        ready: a text to wait for in the log, where there is no HTTP to wait for.
        timeout: how many seconds it may take until the first answer; one answer alone may take half of them.
        memory: the most memory that the container may use, as `docker run --memory` takes it.
        options: further arguments for the docker SDK's `containers.create`: ``network=``, ``user=``, ….

    Raises:
        AppCrashed: the main process ended, or could not be started.
        NeverListened: nothing answered in time.
        NotReached: it answers inside its container, and twice the engine brought no request to it.
        PortTaken: something else has `host_port`.
        EngineUnreachable: the engine no longer answers.
        LabError: there is no such image, or the engine takes an argument not so; its own words are in the message.
    """
    port, host_port = _port(port), _port(host_port)
    path = path if path.startswith("/") else f"/{path}"
    tag, short = (image.image, name or image.name) if isinstance(image, Build) else (image, name or "container")
    settings: dict[str, Any] = dict(
        command=command,
        entrypoint=entrypoint,
        init=init,
        environment=environment or {},
        ports={f"{port}/tcp": ("127.0.0.1", host_port)} if port else {},
        labels=lab.labels,
        mem_limit=memory,
        pids_limit=PIDS_LIMIT,
        **options,
    )

    def created() -> Service:
        unique = "" if name else f"-{secrets.token_hex(3)}"
        with create_errors_explained(lab, short, tag):
            container = lab.client.containers.create(tag, name=lab.name(short) + unique, **settings)
        return Service(lab, short, container, port, path)

    with contextlib.ExitStack() as unreached:
        service = created()
        for attempt in (1, 2):
            try:
                service.start(host_port)
                service.wait(timeout, ready)
                break
            except BaseException as error:
                if not isinstance(error, NotReached) or attempt == 2 or host_port:
                    service.__exit__(type(error), error, error.__traceback__)
                    raise
                unreached.enter_context(service)  # it keeps its address until the other has started with its own
                with errors_explained(lab, short):
                    service.container.rename(f"{service.container.name}-unreached")
                service = created()
    return service


def until_logged(lab: Lab, name: str, text: str, seconds: float = 60, *, times: int = 1) -> None:
    """Wait until a container that a typed command started has printed a text.

    Args:
        lab: the open lab.
        name: of the container, without ``-$LAB``: ``web``.
        text: what to wait for in its log.
        seconds: how long it may take.
        times: how often it has to be there.

    Raises:
        LabError: there is no such container; it ended, or time was up, before it had printed that.
    """
    with container_errors_explained(lab, name):
        container = lab.client.containers.get(lab.cli_name(name))
        container_logged(container, lab.cli_name(name), text, seconds, times)


def container_logged(container: Container, name: str, text: str, seconds: float, times: int) -> None:
    """Wait until a container, which the error calls by a name, has printed a text so many times.

    Raises:
        LabError: it ended, or time was up, before.
    """
    log = ""
    for _ in tries(seconds, every=0.1):
        container.reload()
        log = container.logs().decode(errors="replace")
        if log.count(text) >= times:
            return
        if container.status == "exited":
            break
    tail = log.strip().splitlines()[-1:] or ["(nothing)"]
    often = f" {times} times" if times > 1 else ""
    raise LabError(
        f"{name} has not printed {text!r}{often}: it is {container.status}, and the last line of its log is: "
        f"{tail[0][:LINE_LENGTH]}",
        f"Look at its log: docker logs {container.name}",
    )


def url_of(lab: Lab, name: str, port: int = 80) -> str:
    """Where the engine has published a port of a container that a typed command started: ``http://127.0.0.1:49153``.

    Args:
        lab: the open lab.
        name: of the container, without ``-$LAB``: ``web``.
        port: of the container.

    Raises:
        LabError: there is no such container, or the port is not published.
    """
    cli_name = lab.cli_name(name)
    with container_errors_explained(lab, name):
        container = lab.client.containers.get(cli_name)
    if address := Service(lab, name, container, port, "/").published(port):
        return address
    raise LabError(f"Port {port} of {cli_name} is not published.", f"See what is: docker port {cli_name}")


def _port(value: int | str | None) -> int | None:
    """A port as a number; learners write it as a text, too."""
    if value is None:
        return None
    if str(value).isdecimal() and 0 < int(value) < 65536:
        return int(value)
    raise LabError(f"{value!r} is not a port.", "A port is a number from 1 to 65535.")


@contextlib.contextmanager
def create_errors_explained(lab: Lab, short: str, image: str) -> Iterator[None]:
    """Explain why a container could not be created.

    Args:
        lab: the open lab.
        short: the container's short name.
        image: what it is created from.
    """
    try:
        with errors_explained(lab, short):
            yield
    except ImageNotFound as error:
        seen = f"There is no image {image} on the engine."
        raise LabError(seen, "Build it first: run the cells above this one.") from error
    except APIError as error:
        if error.status_code != 409:
            seen = f"The engine would not create the container for {short!r}: {error.explanation}."
            raise LabError(seen, "Look at what it says.") from error
        seen = f"There is a container for {short!r} already, from a cell that was run before."
        raise LabError(seen, "Close that one first, or give this one another name.") from error
    except (DockerException, TypeError, ValueError, AttributeError) as error:  # the SDK itself cannot read an argument
        seen = f"The container for {short!r} cannot be created like this: {str(error).rstrip('.')}."
        raise LabError(seen, "Look at the arguments.") from error


@contextlib.contextmanager
def errors_explained(lab: Lab, name: str) -> Iterator[None]:
    """Explain it where the engine goes away during the work on `name`, or a file cannot be used.

    What the engine refuses (`APIError`) passes through: the caller knows more about that.
    """
    try:
        yield
    except (APIError, LabError):
        raise
    except (OSError, urllib3.exceptions.HTTPError) as error:
        if explained := engine_errors.explain(error, lab.engine.url, f"during the work on {name!r}"):
            raise explained from error
        raise


@contextlib.contextmanager
def container_errors_explained(lab: Lab, name: str) -> Iterator[None]:
    """As `errors_explained`, and where the container itself may be gone."""
    try:
        with errors_explained(lab, name):
            yield
    except NotFound as error:
        seen = f"The container of {name!r} is gone: it was closed, or removed."
        raise LabError(seen, "Run the cell that starts it, and look at it inside its `with` block.") from error


# --- start -----------------------------------------------------------------------------------------------------------


def _port_taken(lab: Lab, host_port: int | None) -> PortTaken:
    holder = "something else on this machine"
    for item in lab.client.api.containers():
        if any(published.get("PublicPort") == host_port for published in item.get("Ports") or []):
            holder = f"the container {item['Names'][0].lstrip('/')}"
    return PortTaken(
        f"Port {host_port} of this machine is taken, by {holder}.",
        "Stop that, or choose another port; without `host_port` the engine picks a free one.",
    )


def refusal(error: APIError, name: str, what: str, do: str) -> LabError:
    """The error to show where the engine would not do something; `AppCrashed` where the main process did not start.

    Args:
        error: the engine's, which quotes the words of runc or crun.
        name: what an `AppCrashed` calls the application.
        what: what the engine would not do: ``start 'web'``.
        do: what to do where it is not an `AppCrashed`.
    """
    words = str(error.explanation or error).strip()
    if found := re.search(r'(exec: ".*?|executable file .*?)(: unknown)?$', words):
        for reason, exit_code in [("not found", 127), ("no such file", 127), ("permission denied", 126)]:
            if reason in found[1].lower():
                return AppCrashed(f"{name!r} could not be started: {found[1]}.", _exit_hint(exit_code))
    return LabError(f"The engine would not {what}: {words}.", do)


def _exit_hint(exit_code: int, oom: bool = False, memory: int = 0) -> str:
    """What to do about an exit code; 126 and up are the shell's and the engine's conventions (128 + signal number)."""
    match exit_code:
        case _ if oom:
            return f"It needed more memory than its limit of {memory // 2**20} MiB, and was killed: allow it more."
        case 0:
            return "It had nothing more to do. A container lives as long as its main process: start one that stays."
        case 126:
            return "126 means that its program may not be executed: is it `chmod +x`, and is its first line right?"
        case 127:
            return "127 means that its program was not found: is it spelled right, and is it installed in the image?"
        case 137:
            return "137 is 128 + 9, SIGKILL: somebody killed it, or the machine has no memory left."
        case 139:
            return "139 is 128 + 11, SIGSEGV: a compiled package crashed. Was it built for this processor and system?"
        case _:
            return "The last lines of its log say why."


# --- wait ------------------------------------------------------------------------------------------------------------


def failure(client: httpx.Client, url: str, seconds: float) -> httpx.TransportError | None:
    """Send one request, and return what went wrong; None where an answer begins: it may have no end.

    Args:
        client: what sends it.
        url: where to.
        seconds: how long each step may take; the connection gets 2 at most.
    """
    import httpx

    try:
        with client.stream("GET", url, timeout=httpx.Timeout(seconds, connect=2)):
            return None
    except httpx.TransportError as error:
        return error


def _was_accepted(problem: httpx.TransportError) -> bool:
    """Whether the connection was accepted on this machine, by its engine; one on another machine does not do that."""
    import httpx

    return not isinstance(problem, httpx.ConnectError | httpx.ConnectTimeout)


def _not_reached(service: Service, address: str, seconds: float, problem: httpx.TransportError) -> NotReached:
    networks = service.container.attrs["NetworkSettings"]["Networks"].values()
    where = ", ".join(network["IPAddress"] for network in networks)
    return NotReached(
        f"{service.name!r} answers inside its container, but no request to {address} reaches it there, at {where} "
        f"(tried for {seconds:.0f} seconds; the last ended with {type(problem).__name__}).",
        "The engine's network has lost it. Restart the engine, then run the lesson from its first cell.",
        log=service.log_tail(),
    )


def _never_listened(
    service: Service, ready: str, timeout: float, problem: httpx.TransportError | None
) -> NeverListened:
    log = service.log_tail()
    with errors_explained(service.lab, service.name):
        listening = docker_exec.listening(service.container)
    name, port = service.name, service.port
    if port is None:
        seen, do = f"{name!r} runs, but has not printed {ready!r}", "Look at its log: is it still starting?"
    elif listening is None:
        seen = f"{name!r} runs, but nothing answers on its port {port}"
        do = "Nothing in the image can tell what it listens on; its log may."
    elif not listening:
        seen = f"{name!r} runs, but listens on no port"
        do = f"Look at its log: is it still starting? If so, allow more than {timeout:g} seconds."
    elif any(socket.port == port and not socket.is_loopback for socket in listening):
        seen, do = f"{name!r} listens on port {port}, but does not answer", "Look at its log: what is it busy with?"
        if problem and not _was_accepted(problem):
            seen = f"{name!r} listens on port {port}, but it cannot be reached from here"
            do = f"The lessons need an engine on the machine that they run on; this one is at {service.lab.engine.url}."
    else:
        seen = f"{name!r} listens on {docker_exec.shown(listening)}, and not on 0.0.0.0:{port}"
        do = f"Start it with --host 0.0.0.0 --port {port}."
        if any(socket.is_loopback for socket in listening):
            do += " Inside a container, 127.0.0.1 is the container alone: nobody outside reaches it."
        else:
            do += f" Or say port={next(iter(listening)).port} where you serve it."
    return NeverListened(f"{seen} (tried for {timeout:g} seconds).", do, log=log)
