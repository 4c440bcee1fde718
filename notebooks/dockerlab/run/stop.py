"""Stop a container, and record what happened when, by the engine's own events."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from docker.errors import DockerException

from ..errors import LabError
from ..lab.lab import Lab
from ..records import Build, Event, Request, Stop
from ..wait import until
from . import traffic
from .container import Service, container_errors_explained, errors_explained, serve

STARTUP = "lifespan: startup"
SHUTDOWN = "lifespan: shutdown"
"""What the sample application prints when its lifespan begins and ends."""

SIGNALS = {
    1: "SIGHUP",
    2: "SIGINT",
    3: "SIGQUIT",
    9: "SIGKILL",
    10: "SIGUSR1",
    12: "SIGUSR2",
    15: "SIGTERM",
    28: "SIGWINCH",
}
"""Linux's numbers, which are the engine's: those of the machine that the lesson runs on may be others (signal(7))."""

ARRIVAL_SECONDS = 0.2
"""How long requests are given to reach the server's other processes, if it has any."""

STARTUP_SECONDS = 120
"""How long each of several applications may take that start at the same time on a small machine."""


@dataclass(frozen=True)
class Variant:
    """One of several ways to start a container.

    Attributes:
        image: the image's tag, or the build that made it.
        command: instead of the image's CMD.
        entrypoint: instead of the image's ENTRYPOINT.
        init: whether a small init process is process 1, as with `docker run --init`.
        environment: environment variables for the container.
        port: the port that it listens on; None for a program that serves no HTTP.
        ready: a text to wait for in the log, where there is no HTTP to wait for.
        in_flight: the paths of requests that are in flight when it is stopped: ``("/slow?seconds=5",)``.
        grace: seconds of grace, where they differ from those of the others.
        drain: the application's own drain timeout in seconds, where it has one. It is told here for the record and the
            figures; `command` or `environment` sets it: ``--timeout-graceful-shutdown 2`` of Uvicorn.
    """

    image: str | Build
    command: str | Sequence[str] | None = None
    entrypoint: str | Sequence[str] | None = None
    init: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = 80
    ready: str = ""
    in_flight: Sequence[str] = ()
    grace: int | None = None
    drain: float | None = None


def stop(
    service: Service,
    *,
    grace: int = 10,
    in_flight: Sequence[str] = (),
    startup_marker: str = STARTUP,
    shutdown_marker: str = SHUTDOWN,
    by: Callable[[], object] | None = None,
    drain: float | None = None,
) -> Stop:
    """Stop a container as `docker stop` does, and observe it.

    The container stays, stopped, until the service is closed.

    Args:
        service: the running container.
        grace: how many seconds the engine waits before it sends SIGKILL.
        in_flight: the paths of requests that are sent first; the stop begins when the server works on all of them.
        startup_marker: what the application prints to its log when its lifespan begins, in each worker.
        shutdown_marker: what it prints when its lifespan has ended, in each worker.
        by: what stops it, where that is not `docker stop`; it returns when the container has ended. `grace` is then how
            long it lets the engine wait.
        drain: the application's own drain timeout in seconds, for the record; None where it has none.

    Raises:
        AppCrashed: the main process ended before the stop.
        EngineUnreachable: the engine no longer answers.
        LabError: a request was not in flight when the stop began: it had been answered, or lost.
    """
    if in_flight and not service.url:
        raise LabError(f"{service.name!r} serves no HTTP, so nothing can be in flight.", "Leave `in_flight` out.")
    if not isinstance(grace, int) or grace < 0:  # a negative one would let the engine wait without end
        raise LabError(f"{grace!r} is not a grace period.", "It is a whole number of seconds, 0 or more.")
    service.must_run("before it was stopped")
    pid1 = service.pid1
    with errors_explained(service.lab, service.name):
        listener = _Listener(service, longest=grace + 180)
        running = _in_flight(service, in_flight, timeout_seconds=grace + 30) if in_flight else None
        sent = time.perf_counter()
        if by:
            by()
        else:
            service.container.stop(timeout=grace)
        signals, die = listener.heard_all()
        if not signals and service.lab.engine.kind == "podman":
            signals = _assumed(sent, listener.nanoseconds(sent), die, grace)
        if not signals:  # the main process had ended before
            service.must_run("before it was stopped")
        if running:
            running.join()
        service.container.reload()
        exit_code = service.container.attrs["State"]["ExitCode"]
        log = service.container.logs(timestamps=True).decode(errors="replace").splitlines()

    killed = exit_code == 137 and any(signal.name == "SIGKILL" for signal in signals)
    began = signals[0].nanoseconds
    events = [
        Event((signal.nanoseconds - began) / 1e9, signal.name)
        for signal in signals
        # On a busy machine the grace period may end between a process's own end and the engine's notice of it. The
        # signal is sent then, and reaches no process.
        if killed or signal.name != "SIGKILL"
    ]
    startups = [line for line in log if startup_marker in line]
    shutdowns = [line for line in log if shutdown_marker in line]
    shutdown_ran = len(shutdowns) == len(startups) if startups else None
    if shutdown_ran:
        events.append(Event(_seconds(shutdowns[-1].split()[0]) - began / 1e9, "shutdown"))
    events.append(Event((die - began) / 1e9, "exit"))
    return Stop(
        name=service.name,
        pid1=pid1,
        seconds=(die - began) / 1e9,
        exit_code=exit_code,
        killed=killed,
        shutdown_ran=shutdown_ran,
        grace_seconds=grace,
        events=tuple(sorted(events, key=lambda event: event.seconds)),
        requests=_counted_from(signals[0].heard, sent, service.name, running) if running else (),
        drain_seconds=drain,
    )


class Applications(dict[str, Service]):
    """Running applications by their names, removed together."""

    def __enter__(self) -> Applications:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{len(self)} applications: {', '.join(self)}"

    def close(self) -> None:
        """Remove their containers. Safe to call twice."""
        with ThreadPoolExecutor(max(len(self), 1)) as pool:
            list(pool.map(Service.close, self.values()))


def serve_side_by_side(
    lab: Lab, variants: Mapping[str, Variant], options: Callable[[str], Mapping[str, Any]] = lambda name: {}
) -> Applications:
    """Start a container for each variant, at the same time.

    Args:
        lab: the open lab.
        variants: what to start, by the short names for errors and records.
        options: further arguments of `serve` for the variant of that name.

    Raises:
        LabError: what `serve` raises for one of them; the others are removed, too.
    """
    with errors_explained(lab, "the engine"):
        processors = lab.client.info()["NCPU"]
    started = Applications()

    def start(name: str) -> None:
        variant = variants[name]
        started[name] = serve(
            lab,
            variant.image,
            name=name,
            port=variant.port,
            command=variant.command,
            entrypoint=variant.entrypoint,
            init=variant.init,
            environment=variant.environment,
            ready=variant.ready,
            timeout=STARTUP_SECONDS,
            **options(name),
        )

    try:
        # Start-up is work for the processors; waiting for a stop is not. More starts at once than twice the processors
        # take longer in all (eleven on two processors: 4.5 s in fours to sixes, 6.4 s all at once).
        with ThreadPoolExecutor(2 * processors) as pool:
            list(pool.map(start, variants))
    except BaseException:
        started.close()
        raise
    return Applications((name, started[name]) for name in variants)


def stop_side_by_side(lab: Lab, variants: Mapping[str, Variant], *, grace: int = 10) -> tuple[Stop, ...]:
    """Start a container for each variant, then stop all of them at the same time.

    Args:
        lab: the open lab.
        variants: what to start, by the short names for errors and records.
        grace: how many seconds the engine waits before it sends SIGKILL.

    Returns:
        The stops, in the order of the variants. Their containers are removed.

    Raises:
        LabError: what `serve` or `stop` raises for one variant, which the message names; the others are removed, too.
    """

    def end(name: str) -> Stop:
        variant = variants[name]
        seconds = grace if variant.grace is None else variant.grace
        return stop(services[name], grace=seconds, in_flight=variant.in_flight, drain=variant.drain)

    with serve_side_by_side(lab, variants) as services, ThreadPoolExecutor(max(len(variants), 1)) as pool:
        list(pool.map(lambda service: service.pid1, services.values()))  # so that only the stop is left to do
        return tuple(pool.map(end, variants))


# --- the engine's events ---------------------------------------------------------------------------------------------


def ended(lab: Lab, name: str, *, shutdown_marker: str = SHUTDOWN) -> dict[str, str | int | bool]:
    """How a container ended that typed commands started and stopped, in the names of a claim.

    Args:
        lab: the open lab.
        name: of the container, without ``-$LAB``.
        shutdown_marker: what its application prints at the end of its shutdown code.

    Returns:
        What the engine started as PID 1 (``pid_1_started_as``), the ``exit_code``, and whether the ``shutdown_ran``.

    Raises:
        LabError: there is no such container, or it still runs.
    """
    with container_errors_explained(lab, name):
        container = lab.client.containers.get(lab.cli_name(name))
        state, log = container.attrs["State"], container.logs().decode(errors="replace")
    if state["Running"]:
        raise LabError(f"{lab.cli_name(name)} still runs.", f"Stop it: docker stop {lab.cli_name(name)}")
    started = container.attrs["Path"]
    return {"pid_1_started_as": started, "exit_code": state["ExitCode"], "shutdown_ran": shutdown_marker in log}


@dataclass(frozen=True)
class _Signal:
    """A signal that the engine sent to the main process.

    Attributes:
        name: ``SIGTERM``.
        nanoseconds: when, on the engine's clock.
        heard: when we heard of it, on the clock of `time.perf_counter`.
    """

    name: str
    nanoseconds: int
    heard: float


class _Listener:
    """Listens to the engine's events of one container, until that has ended.

    Args:
        service: the running container.
        longest: after how many seconds the engine ends the stream of events, whatever happens.
    """

    def __init__(self, service: Service, longest: float) -> None:
        api = service.lab.client.api
        # The engine answers before it begins to collect events; with `since`, it sends those in between, too.
        now = _seconds(api.info()["SystemTime"])
        self._clock = now - time.perf_counter()
        self._events = api.events(  # type: ignore[call-overload]  # the stub has no fractions of a second
            since=f"{now:.6f}",
            until=f"{now + longest:.0f}",
            filters={"type": "container", "container": service.container.id},  # Podman knows `die` by another name
            decode=True,
        )
        self._name = service.name
        self._signals: list[_Signal] = []
        self._die: int | None = None
        self._thread = threading.Thread(target=self._listen, name="events", daemon=True)
        self._thread.start()

    def heard_all(self, patience: float = 30) -> tuple[list[_Signal], int]:
        """The signals, and the engine's time at which the container ended; to be called when it has.

        Raises:
            LabError: the engine sent no event of the end.
        """
        self._thread.join(patience)
        if self._die is None:
            seen = f"The engine did not report the end of {self._name!r}."
            raise LabError(seen, "See whether it runs (`dockerlab doctor`), and run this cell again.")
        return self._signals, self._die

    def nanoseconds(self, moment: float) -> int:
        """A moment on the clock of `time.perf_counter`, on the engine's."""
        return round((moment + self._clock) * 1e9)

    def _listen(self) -> None:
        # Where the engine goes away, the SDK ends this loop, and the request to stop raises the error.
        for event in self._events:
            match event["Action"]:
                case "kill":
                    number = event["Actor"]["Attributes"]["signal"]
                    name = SIGNALS.get(int(number), f"signal {number}")
                    self._signals.append(_Signal(name, event["timeNano"], time.perf_counter()))
                case "die":
                    self._die = event["timeNano"]
                    with contextlib.suppress(OSError, DockerException):  # over SSH it ends by itself
                        self._events.close()
                    return


def _assumed(sent: float, nanoseconds: int, die: int, grace: int) -> list[_Signal]:
    """The signals where the engine has an event for the end only, as Podman does (seen with 4.3.1)."""
    signals = [_Signal("stop signal", nanoseconds, sent)]
    if die - nanoseconds >= grace * 10**9:
        signals.append(_Signal("SIGKILL", nanoseconds + grace * 10**9, sent + grace))
    return signals


def _seconds(text: str) -> float:
    """A point in time as the engine writes it (RFC 3339), in seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


# --- requests in flight ----------------------------------------------------------------------------------------------


def _in_flight(service: Service, paths: Sequence[str], timeout_seconds: float) -> traffic.Running:
    """Send the requests, and return when the server works on them."""
    running = traffic.start(service.url, paths, timeout_seconds=timeout_seconds)
    requests = running.in_flight
    until(lambda: all(request.sent or request.request for request in requests), timeout_seconds, every=0.01)
    # The server reads requests in the order in which they arrive: when it answers one more, it has read those before.
    # If it is too busy for that, it works. To look at its sockets in the container would be proof, but takes over a
    # second on a busy machine, and a short request would be over.
    traffic.send(service.url, [service.path], timeout_seconds=1)
    # Several processes may share the port, and a stream still has its first event to send.
    until(lambda: all(request.answering or request.request for request in requests), ARRIVAL_SECONDS, every=0.01)
    return running


def _counted_from(signal: float, stop_sent: float, name: str, running: traffic.Running) -> tuple[Request, ...]:
    """The requests, with their times counted from the stop signal.

    Args:
        signal: when we heard of the signal. We may have heard before that of a connection that it ended.
        stop_sent: when we sent the request to stop: what was cut after that was cut by the stop.
        name: the service's.
        running: the requests.

    Raises:
        LabError: the fate of one was known before that.
    """
    requests = []
    for request in running.traffic.requests:
        moved = replace(request, started_seconds=request.started_seconds + running.began - signal)
        ended = moved.started_seconds + moved.seconds
        if ended < 0 and not (request.fate == "cut" and signal + ended >= stop_sent):
            raise LabError(
                f"{request.path} was {request.fate} before the stop signal was sent to {name!r}: it was not in flight.",
                "Ask for something that takes longer.",
            )
        requests.append(moved)
    return tuple(requests)
