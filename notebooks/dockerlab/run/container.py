"""Start a container, wait until its application answers, and remove it in the end."""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import urllib3
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container

from ..engine import engine_errors
from ..errors import AppCrashed, EngineUnreachable, LabError, NeverListened, NotReached, PortTaken
from ..lab.lab import Lab
from ..records import Build
from . import docker_exec

if TYPE_CHECKING:
    import httpx

LOG_LINES = 30
"""How much of a log an error shows: enough for the last frames of a Python traceback and its message."""

PIDS_LIMIT = 512
"""How many processes and threads a container may have: an application needs far fewer, a runaway one takes far more."""

PATIENCE = 2
"""Seconds that the first request may take; each that took longer is given up, and the next may take twice as long. A
connection that a broken network keeps open without end costs no more than that."""

LOOK_EVERY = 0.5
"""Seconds after which the engine is asked again whether the container still runs. The application is asked oftener."""

LOOK_INSIDE_EVERY = 10
"""Seconds without an answer after which the application is asked from inside its container."""


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
        with asking(self.lab, self.name), contextlib.suppress(NotFound):
            self.container.remove(force=True, v=True)

    def logs(self) -> str:
        """All that the container has printed so far, to stdout and stderr."""
        with looking(self.lab, self.name):
            return self.container.logs().decode(errors="replace")

    @cached_property
    def pid1(self) -> str:
        """The command line of the container's main process: ``/bin/sh -c fastapi run app/main.py``."""
        with looking(self.lab, self.name):
            return docker_exec.command_line(self.container)

    def wait(self, timeout: float = 60) -> None:
        """Wait until the application answers over HTTP. `serve` has done so already.

        Args:
            timeout: how many seconds it may take.

        Raises:
            AppCrashed: the main process ended.
            NeverListened: nothing answered in time.
        """
        _wait(self, "", timeout)

    def must_run(self, meanwhile: str) -> None:
        """Make sure that the main process has not ended.

        Args:
            meanwhile: what has not happened yet: ``before it answered``.

        Raises:
            AppCrashed: it has ended.
            EngineUnreachable: the engine no longer answers.
        """
        with looking(self.lab, self.name):
            self.container.reload()
            state = self.container.attrs["State"]
            if state["Status"] not in ("exited", "dead"):
                return
            log = self.container.logs(tail=LOG_LINES).decode(errors="replace")
        hint = _hint(state["ExitCode"], state.get("OOMKilled", False), self.container.attrs["HostConfig"]["Memory"])
        raise AppCrashed(f"{self.name!r} ended with exit code {state['ExitCode']} {meanwhile}.", hint, log=log)


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
        path: what is asked for until it is answered; any HTTP status will do.
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
    short = name or (image.name if isinstance(image, Build) else "container")

    def started() -> Service:
        return _create(
            lab,
            image.image if isinstance(image, Build) else image,
            short,
            port,
            path,
            command=command,
            entrypoint=entrypoint,
            init=init,
            environment=environment or {},
            ports={f"{port}/tcp": ("127.0.0.1", host_port)} if port else {},
            name=lab.name(short) + ("" if name else f"-{secrets.token_hex(3)}"),
            labels=lab.labels,
            mem_limit=memory,
            pids_limit=PIDS_LIMIT,
            **options,
        )

    with contextlib.ExitStack() as unreached:
        service = started()
        for attempt in (1, 2):
            try:
                with asking(lab, short):
                    _start(service, host_port)
                _wait(service, ready, timeout)
                break
            except BaseException as error:
                if not isinstance(error, NotReached) or attempt == 2 or host_port:
                    service.__exit__(type(error), error, error.__traceback__)
                    raise
                unreached.enter_context(service)  # it keeps its address until the other has started with its own
                with asking(lab, short):
                    service.container.rename(f"{service.container.name}-unreached")
                service = started()
    return service


def _port(value: int | str | None) -> int | None:
    """A port as a number; learners write it as a text, too."""
    if value is None:
        return None
    if str(value).isdecimal() and 0 < int(value) < 65536:
        return int(value)
    raise LabError(f"{value!r} is not a port.", "A port is a number from 1 to 65535.")


def _create(lab: Lab, image: str, short: str, port: int | None, path: str, **how: Any) -> Service:
    with creating(lab, short, image):
        return Service(lab, short, lab.client.containers.create(image, **how), port, path)


_NOT_TAKEN = (DockerException, TypeError, ValueError, AttributeError)
"""What the SDK raises for an argument that it cannot read itself: a unit that there is not, an unknown keyword."""


@contextlib.contextmanager
def creating(lab: Lab, short: str, image: str) -> Iterator[None]:
    """Say it clearly where a container cannot be created.

    Args:
        lab: the open lab.
        short: the container's short name.
        image: what it is created from.
    """
    try:
        with asking(lab, short):
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
    except _NOT_TAKEN as error:
        seen = f"The container for {short!r} cannot be created so: {str(error).rstrip('.')}."
        raise LabError(seen, "Look at the arguments.") from error


@contextlib.contextmanager
def asking(lab: Lab, name: str) -> Iterator[None]:
    """Say it clearly where the engine goes away in the middle of an experiment, or a file is not to be had."""
    try:
        yield
    except (APIError, LabError):
        raise
    except (OSError, urllib3.exceptions.HTTPError) as error:
        if told := engine_errors.explain(error, lab.engine.url, f"during the work on {name!r}"):
            raise told from error
        raise


@contextlib.contextmanager
def looking(lab: Lab, name: str) -> Iterator[None]:
    """As `asking`, where a container is looked at: it may be gone."""
    try:
        with asking(lab, name):
            yield
    except NotFound as error:
        seen = f"The container of {name!r} is gone: it was closed, or removed."
        raise LabError(seen, "Run the cell that starts it, and look at it inside its `with` block.") from error


# --- start -----------------------------------------------------------------------------------------------------------


def _start(service: Service, host_port: int | None) -> None:
    try:
        service.container.start()
    except APIError as error:
        words = str(error.explanation or error).strip()
        # The engine's words for a taken port differ with its version and system; these are in all of them.
        if "already allocated" in words or "already in use" in words:
            raise _port_taken(service.lab, host_port) from error
        if crash := _not_startable(service.name, words):
            raise crash from error
        raise LabError(f"The engine would not start {service.name!r}: {words}.", "Look at what it says.") from error


def _port_taken(lab: Lab, host_port: int | None) -> PortTaken:
    holder = "something else on this machine"
    for item in lab.client.api.containers():
        if any(published.get("PublicPort") == host_port for published in item.get("Ports") or []):
            holder = f"the container {item['Names'][0].lstrip('/')}"
    return PortTaken(
        f"Port {host_port} of this machine is taken, by {holder}.",
        "Stop that, or choose another port; without `host_port` the engine picks a free one.",
    )


def _not_startable(name: str, words: str) -> AppCrashed | None:
    """The error where the main process could not be started, as runc and crun tell it; None where it is another."""
    told = re.search(r'(exec: ".*?|executable file .*?)(: unknown)?$', words)
    for reason, exit_code in [("not found", 127), ("no such file", 127), ("permission denied", 126)]:
        if told and reason in told[1].lower():
            return AppCrashed(f"{name!r} could not be started: {told[1]}.", _hint(exit_code, oom=False, memory=0))
    return None


def _hint(exit_code: int, oom: bool, memory: int) -> str:
    """What to do about an exit code; 126 and up are the shell's and the engine's conventions (128 + signal number)."""
    match exit_code:
        case _ if oom:
            return f"It needed more memory than its limit of {memory // 2**20} MiB, and was killed: allow it more."
        case 0:
            return "It had nothing more to do. A container lives as long as its main process: start one that stays."
        case 126:
            return "126 means that its program may not be executed: is it `chmod +x`, and is its first line right?"
        case 127:
            return "127 means that its program was not found: is it spelt right, and is it installed in the image?"
        case 137:
            return "137 is 128 + 9, SIGKILL: somebody killed it, or the machine has no memory left."
        case 139:
            return "139 is 128 + 11, SIGSEGV: a compiled package crashed. Was it built for this processor and system?"
        case _:
            return "The last lines of its log say why."


# --- wait ------------------------------------------------------------------------------------------------------------


def _wait(service: Service, ready: str, timeout: float) -> None:
    import httpx  # slow to load: only now needed

    began = looked_inside = time.monotonic()
    looked = began - LOOK_EVERY
    deadline = began + timeout
    patience = PATIENCE
    answers_inside = False
    problem: httpx.TransportError | None = None
    with httpx.Client(trust_env=False) as client:  # a proxy that the environment names is not for this
        while True:
            if time.monotonic() - looked >= LOOK_EVERY:
                looked = time.monotonic()
                service.must_run("before it answered" if service.port else "right after its start")
            left = deadline - time.monotonic()
            if left <= 0:
                raise _never_listened(service, ready, timeout, problem)
            if service.port is None:
                if ready in service.logs():
                    return
            elif address := _published(service):
                limit = httpx.Timeout(min(left, patience), connect=2)
                try:
                    # The head of the answer will do: its body may have no end.
                    with client.stream("GET", f"{address}{service.path}", timeout=limit):
                        service.url = address
                        return
                except httpx.TransportError as error:
                    problem = error
                if isinstance(problem, httpx.ReadTimeout):
                    patience *= 2
                if answers_inside:  # and has done so before this was asked
                    raise _not_reached(service, address, time.monotonic() - began, problem)
                if time.monotonic() - looked_inside > LOOK_INSIDE_EVERY and _was_taken(problem):
                    with asking(service.lab, service.name):
                        answers_inside = docker_exec.answers(service.container, service.port, service.path)
                    if answers_inside:
                        patience = min(patience, docker_exec.SECONDS)
                    looked_inside = time.monotonic()
            time.sleep(0.1)


def _was_taken(problem: httpx.TransportError) -> bool:
    """Whether somebody on this machine took the connection: its engine, for one on another machine does not."""
    import httpx

    return not isinstance(problem, httpx.ConnectError | httpx.ConnectTimeout)


def _not_reached(service: Service, address: str, seconds: float, problem: httpx.TransportError) -> NotReached:
    with asking(service.lab, service.name):
        log = service.container.logs(tail=LOG_LINES).decode(errors="replace")
    networks = service.container.attrs["NetworkSettings"]["Networks"].values()
    where = ", ".join(network["IPAddress"] for network in networks)
    return NotReached(
        f"{service.name!r} answers inside its container, and no request to {address} reaches it there, at {where} "
        f"(asked for {seconds:.0f} seconds; the last ended with {type(problem).__name__}).",
        "The engine's network has lost it. Restart the engine, then run the lesson from its first cell.",
        log=log,
    )


def _published(service: Service) -> str:
    """Where the container's port is published: `must_run` has just read it anew."""
    bindings = service.container.attrs["NetworkSettings"]["Ports"].get(f"{service.port}/tcp") or []
    return f"http://127.0.0.1:{bindings[0]['HostPort']}" if bindings else ""


def _never_listened(
    service: Service, ready: str, timeout: float, problem: httpx.TransportError | None
) -> NeverListened:
    with asking(service.lab, service.name):
        log = service.container.logs(tail=LOG_LINES).decode(errors="replace")
        listening = docker_exec.listening(service.container)
    name, port = service.name, service.port
    if port is None:
        seen, do = f"{name!r} runs, and has not printed {ready!r}", "Look at its log: is it still starting?"
    elif listening is None:
        seen = f"{name!r} runs, and nothing answers on its port {port}"
        do = "Nothing in the image can tell what it listens on; its log may."
    elif not listening:
        seen = f"{name!r} runs, and listens on no port"
        do = f"Look at its log: is it still starting? If so, allow more than {timeout:g} seconds."
    elif any(socket.port == port and not socket.is_loopback for socket in listening):
        seen, do = f"{name!r} listens on port {port}, and does not answer", "Look at its log: what is it busy with?"
        if problem and not _was_taken(problem):
            seen = f"{name!r} listens on port {port}, and it cannot be reached from here"
            do = f"The lessons need an engine on the machine that they run on; this one is at {service.lab.engine.url}."
    else:
        where = ", ".join(sorted({str(socket) for socket in listening}))
        seen = f"{name!r} listens on {where}, and not on 0.0.0.0:{port}"
        do = f"Start it with --host 0.0.0.0 --port {port}."
        if any(socket.is_loopback for socket in listening):
            do += " Inside a container, 127.0.0.1 is the container alone: nobody outside reaches it."
        else:
            do += f" Or say port={next(iter(listening)).port} where you serve it."
    return NeverListened(f"{seen} (asked for {timeout:g} seconds).", do, log=log)
