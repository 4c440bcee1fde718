"""The experiments of an audit: start a project's image as its owner would, and look. Each returns what it observed.

The image stays as it was built. A probe is put into the created containers (`probe/sitecustomize.py`). Containers have
no mounts, no privileges and no way to new ones, limits of memory, processors and processes, and ports on 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
from docker.errors import APIError
from docker.models.containers import Container
from docker.types import LogConfig

from ..errors import AppCrashed, LabError, NeverListened
from ..lab.lab import Lab
from ..run import docker_exec, traffic
from ..run.container import LOG_LINES, PIDS_LIMIT, Service, _hint, _not_startable, asking
from ..run.container_files import copy_into
from ..run.stop import stop
from . import probe as guest
from . import trouble
from .limits import Limits
from .observations import FORGED, Health, Process, ReadOnly, Rest, SeenRequest
from .project import Project, likely_ports

PROBE = "/dockerlab-probe"
"""The folder in the container."""

MEMORY_BYTES = 512 * 2**20
"""What a container may use; lessons use the same."""

CPUS = 1
"""Processors. Python's interpreter uses one; a miner, or a loop without end, takes all that there are."""

_CPU_PERIOD = 100_000  # microseconds, the engine's default

START_SECONDS = 60
"""How long an application may take until it answers, beside several others on a small machine."""

WORKERS_SECONDS = 15
"""How long worker processes may take to start, one after the other, once the first answers."""

NEXT_WORKER_SECONDS = (1.0, 3.0)
"""How long to wait for one more to start: as long as the first answer took, but no less and no more than this."""

SLOW_SECONDS = 3
"""The request in flight: longer than any noise, shorter than the engine's grace period of 10 s."""

CLIENT = "198.51.100.23"
"""The client that a proxy tells of: an address that RFC 5737 keeps for documentation."""

HOST = "shop.example"

LONGEST_TOLD = 2000
"""Characters that are kept of each thing that the probe tells, for an application may answer in its place."""

CHANGES_BYTES = 16_000_000
"""What is read of the engine's list of changed files: some 200,000 of them."""

_LONGEST_PATH = 300  # characters of a path in a log
_MOST_REFUSALS = 1000  # lines of a log that are looked at for one

_TLS = re.compile(r"(?i)running on https://\S+|listening at: https://\S+")

_RESTARTS = "lifespans begin again and again: workers end, and others take their place"

_UVICORN_STARTED = "Application startup complete"
_UVICORN_ENDED = "Application shutdown complete"


def container_limits(info: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What limits a container of the audit, and what does not: an engine leaves out what its machine cannot hold.

    Args:
        info: what the engine tells of itself, as `docker info` shows it.
    """
    held = {
        f"{MEMORY_BYTES // 2**20} MB of memory": info.get("MemoryLimit", True),
        f"{CPUS} processor": info.get("CpuCfsQuota", True),
        f"{PIDS_LIMIT} processes": info.get("PidsLimit", True),
    }
    limited = [limit for limit, is_held in held.items() if is_held]
    free = [limit.split(" ", 1)[1].removeprefix("MB of ") for limit, is_held in held.items() if not is_held]
    return (*limited, "no new privileges", "no mounts"), ("the network, of the build and of the containers", *free)


class Runner:
    """Starts containers of one image.

    Args:
        lab: what the containers belong to.
        project: how they are started.
        image: the image's tag.
        limits: the limits of the audit.
    """

    def __init__(self, lab: Lab, project: Project, image: str, limits: Limits) -> None:
        self.lab = lab
        self.project = project
        self.image = image
        self.limits = limits
        with asking(lab, project.shown):
            self.config: dict[str, Any] = lab.client.api.inspect_image(image)["Config"]
        self.port: int | None = project.port
        self.lifespans: int | None = None
        self.known = threading.Event()

    # --- what is run ---

    @property
    def environment(self) -> dict[str, str]:
        """The container's variables: the image's, and the project's above them."""
        own = dict(item.partition("=")[::2] for item in self.config.get("Env") or [])
        return {**own, **self.project.environment}

    @property
    def command(self) -> list[str]:
        """What the container runs, entrypoint included."""
        entrypoint = self.project.entrypoint
        if entrypoint is None:
            entrypoint = self.config.get("Entrypoint") or []
        command = self.project.command
        if command is None:  # another entrypoint resets the image's command
            command = [] if self.project.entrypoint is not None else self.config.get("Cmd") or []
        return [*entrypoint, *command]

    @property
    def health_test(self) -> list[str]:
        """The test of the health check, as the engine keeps it: ``["CMD", "python", "check.py"]``; empty: none."""
        test = self.project.health_check
        if test is None:
            test = (self.config.get("Healthcheck") or {}).get("Test")
        return list(test) if len(test or ()) > 1 else []  # one word, ``NONE``, is no test

    # --- start ---

    @contextlib.contextmanager
    def started(self, name: str, *, probe: bool = True, read_only: bool = False) -> Iterator[Service]:
        """A container whose application answers; it is removed at the end of the block.

        Raises:
            AppCrashed: the main process ended.
            NeverListened: nothing answered in time.
            LabError: the engine would not create it.
        """
        ports = [self.port] if self.port else self._candidates()
        service = self._create(name, ports, probe=probe, read_only=read_only)
        try:
            try:
                self._start_and_wait(service, ports)
            except _ListensElsewhere as elsewhere:
                service.close()
                service = self._create(name, [elsewhere.port], probe=probe, read_only=read_only)
                try:
                    self._start_and_wait(service, [elsewhere.port])
                except _ListensElsewhere as again:
                    raise NeverListened(
                        f"The application listens on another port at each start: {elsewhere.port}, then {again.port}.",
                        "Give it a port that stays, by --env or --command, and name that: --port 8000.",
                        log=_tail(service),
                    ) from None
            yield service
        finally:
            service.close()

    def _candidates(self) -> list[int]:
        exposed = [int(port.split("/")[0]) for port in self.config.get("ExposedPorts") or {} if port.endswith("/tcp")]
        return likely_ports(exposed, self.command, self.environment)

    def _create(self, name: str, ports: Sequence[int], *, probe: bool, read_only: bool) -> Service:
        environment = dict(self.project.environment)
        if probe:
            own = self.environment.get("PYTHONPATH", "")
            environment["PYTHONPATH"] = f"{PROBE}:{own}" if own else PROBE
        project = self.project
        options: dict[str, Any] = {
            key: value for key, value in {"user": project.user, "stop_signal": project.stop_signal}.items() if value
        }
        with asking(self.lab, name):
            try:
                container = self.lab.client.containers.create(
                    self.image,
                    project.command,
                    entrypoint=project.entrypoint,
                    init=project.init,
                    environment=environment,
                    ports={f"{port}/tcp": ("127.0.0.1", None) for port in ports},
                    name=self.lab.name(f"{name}-{secrets.token_hex(3)}"),
                    labels=self.lab.labels,
                    mem_limit=MEMORY_BYTES,
                    memswap_limit=MEMORY_BYTES,
                    pids_limit=PIDS_LIMIT,
                    # Not `nano_cpus`, which an engine refuses that cannot limit them; this it leaves out.
                    cpu_period=_CPU_PERIOD,
                    cpu_quota=CPUS * _CPU_PERIOD,
                    security_opt=["no-new-privileges"],
                    # A health check of the image would run beside the experiments: it is tried on its own.
                    healthcheck={"test": ["NONE"]},
                    log_config=LogConfig(type="json-file", config={"max-size": "8m"}),
                    read_only=read_only,
                    tmpfs={"/tmp": ""} if read_only else {},
                    **options,
                )
            except APIError as error:
                if crash := _not_startable("the application", str(error.explanation)):
                    raise crash from error
                raise LabError(f"The engine would not create a container: {error.explanation}.") from error
            service = Service(self.lab, name, container, ports[0], "/")
            try:
                if probe:
                    copy_into(container, {f"{PROBE}/sitecustomize.py": guest.SOURCE})
            except BaseException:
                service.close()
                raise
            return service

    def _start_and_wait(self, service: Service, ports: Sequence[int]) -> None:
        with asking(self.lab, service.name):
            try:
                service.container.start()
            except APIError as error:
                words = str(error.explanation or error).strip()
                raise _not_startable("the application", words) or LabError(
                    f"The engine would not start a container: {words}.", "Look at what it says."
                ) from error
        began = time.monotonic()
        deadline = began + min(START_SECONDS, self.limits.left)
        look_inside = began + 2
        with httpx.Client(trust_env=False) as client:
            while True:
                self._must_run(service)
                answering = [
                    (port, url)
                    for port, url in self._published(service, ports)
                    if _answers(client, url, max(1.0, deadline - time.monotonic()))
                ]
                if answering:  # of several, the one at which the application is, if the probe knows it
                    probed = [(port, url) for port, url in answering[1:] if _has_probe(client, url)]
                    known = not probed or _has_probe(client, answering[0][1])
                    service.port, service.url = answering[0] if known else probed[0]
                    return
                now = time.monotonic()
                if reason := self.limits.trouble():
                    raise LabError(reason, "Look at its log.", log=_tail(service))
                if now > look_inside:
                    self._look_inside(service, ports, waited=now - began)
                    look_inside = now + 1
                if now > deadline:
                    raise self._never_listened(service, ports, now - began)
                time.sleep(0.1)

    def _must_run(self, service: Service, when: str = "before it answered") -> None:
        with asking(self.lab, service.name):
            service.container.reload()
            state = service.container.attrs["State"]
            if state["Status"] not in ("exited", "dead"):
                return
            log = _tail(service)
        hint = trouble.advice(log)
        if not hint and (unset := trouble.unset_variables(self.command, self.environment)):
            names = ", ".join(unset)
            hint = f"Its command uses {names}, without a value: " + " ".join(f"--env {name}=…" for name in unset)
        hint = hint or _hint(state["ExitCode"], state.get("OOMKilled", False), MEMORY_BYTES)
        raise AppCrashed(f"The application ended with exit code {state['ExitCode']} {when}.", hint, log=log)

    def _published(self, service: Service, ports: Sequence[int]) -> Iterator[tuple[int, str]]:
        published = service.container.attrs["NetworkSettings"]["Ports"] or {}
        for port in ports:
            for binding in published.get(f"{port}/tcp") or []:
                yield port, f"http://127.0.0.1:{binding['HostPort']}"
                break

    def _look_inside(self, service: Service, ports: Sequence[int], *, waited: float) -> None:
        """Where the application listens, if not where it was expected.

        Args:
            waited: for how many seconds it has not answered. At first it may still be starting, so that only a port
                that others reach counts.
        """
        patient = waited < 8
        with asking(self.lab, service.name):
            listening = docker_exec.listening(service.container) or []
        reachable = [socket for socket in listening if not socket.is_loopback]
        if reachable and not any(socket.port in ports for socket in reachable):
            if self.project.port is None:
                raise _ListensElsewhere(reachable[0].port)
            if waited > 0.75 * START_SECONDS:  # told before an audit of a minute is over
                raise self._never_listened(service, ports, waited)
        if reachable and waited > 25 and all(socket.address == "::" for socket in reachable):
            self._must_not_be_v6_only(service, reachable)
        if not patient and (found := _TLS.search(service.logs())):
            raise NeverListened(
                f"The application speaks TLS itself ({found[0]}), and the audit does not.",
                "Start it without its certificate for the audit, by --command; in front of it, a proxy can end TLS.",
                log=_tail(service),
            )
        if listening and not reachable and not patient:
            where = ", ".join(sorted({str(socket) for socket in listening}))
            raise NeverListened(
                f"The application listens on {where} only: nobody outside its container reaches it.",
                "Start it with --host 0.0.0.0.",
                log=_tail(service),
            )

    def _must_not_be_v6_only(self, service: Service, listening: Sequence[docker_exec.Socket]) -> None:
        """A socket at `::` may accept IPv4, too: where it did, it would have answered by now."""
        where = ", ".join(sorted({str(socket) for socket in listening}))
        raise NeverListened(
            f"The application listens on {where}, by IPv6 only, and does not answer the engine, which asks by IPv4.",
            "Start it with --host 0.0.0.0.",
            log=_tail(service),
        )

    def _never_listened(self, service: Service, ports: Sequence[int], seconds: float) -> NeverListened:
        with asking(self.lab, service.name):
            listening = docker_exec.listening(service.container)
        log = _tail(service)
        asked = ", ".join(map(str, ports))
        if listening:
            where = ", ".join(sorted({str(socket) for socket in listening}))
            seen = f"The application listens on {where}, and did not answer there within {seconds:.0f} s"
            if not any(socket.port in ports for socket in listening):
                seen = f"The application listens on {where}, and nothing answered on port {asked} for {seconds:.0f} s"
        elif listening is None:
            seen = f"Nothing answered on port {asked} within {seconds:.0f} s"
        else:
            seen = f"The application listened on no port for {seconds:.0f} s"
        do = trouble.advice(log) or "Where it needs longer, or a port of its own: --timeout, --port."
        return NeverListened(f"{seen}.", do, log=log)

    # --- the experiments ---

    def rest(self, checks_health: bool) -> tuple[Rest, Health]:
        """Start the application, ask it, look at it, and stop it."""
        began = time.monotonic()
        with self.started("rest") as service:
            try:
                return self._rest(service, checks_health, time.monotonic() - began)
            except (APIError, LookupError) as error:  # it ended while it was looked at
                self._must_run(service, "while it was looked at")
                raise LabError(f"The engine would not tell of the application: {error}.", log=_tail(service)) from error

    def _rest(self, service: Service, checks_health: bool, start_seconds: float) -> tuple[Rest, Health]:
        self.port = service.port
        no_probe = self._no_probe(service)
        lifespans, restarts = self._lifespans(service, not no_probe, start_seconds)
        self.lifespans = lifespans
        self.no_probe = no_probe
        self.known.set()
        processes = _processes(service.container)
        _know_pid1(service, processes, self.command)
        honest = forged = None
        peer = ""
        if not no_probe:
            peer = self._seen(service, {}).client
            passed = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": HOST, "X-Forwarded-Port": "443"}
            honest = self._seen(service, {**passed, "X-Forwarded-For": CLIENT})
            forged = self._seen(service, {**passed, "X-Forwarded-For": f"{FORGED}, {CLIENT}"})
        with asking(self.lab, service.name):
            memory = _memory_bytes(service.container)
            written = _written(service.container)
        health, is_left = self._health(service) if checks_health else (Health(""), False)
        if is_left:  # nothing but the container's end stops what the check has left running
            log = _tail(service)
            service.close()
            stopped = self.stopped_with("stop", None)
        else:
            stopped = self._stop(service, ())
            log = _tail(service)
        return Rest(
            port=service.port or 0,
            probe=not no_probe,
            no_probe=no_probe,
            pid1=service.pid1,
            processes=processes,
            lifespans=lifespans,
            restarts=restarts,
            honest=honest,
            forged=forged,
            peer=peer,
            trusts_other=_trusts(" ".join(self.command) + " " + service.pid1, self.environment),
            memory_bytes=memory,
            written=written,
            stop=stopped,
            log=log,
        ), health

    def stopped_with(self, name: str, path: str | None) -> Any:
        """Start the application, and stop it, while it answers a request for a path of the probe where one is given."""
        if path and (reason := self._probe_missing()):
            raise LabError(reason)
        with self.started(name) as service:
            self._wait_for_all(service)
            _know_pid1(service, _processes(service.container), self.command)
            return self._stop(service, (path,) if path else ())

    def read_only(self) -> ReadOnly:
        """Start the application with a read-only root file system and a tmpfs at /tmp."""
        try:
            with self.started("read-only", probe=False, read_only=True) as service:
                log = service.logs()
                return ReadOnly(True, _refused(log))
        except (AppCrashed, NeverListened) as error:
            return ReadOnly(False, _refused(error.log), error.seen)

    def _stop(self, service: Service, in_flight: Sequence[str]) -> Any:
        startup, shutdown = self._markers()
        return stop(
            service,
            grace=self.project.grace_seconds,
            in_flight=in_flight,
            startup_marker=startup,
            shutdown_marker=shutdown,
        )

    def _markers(self) -> tuple[str, str]:
        if self._probe_missing():
            return _UVICORN_STARTED, _UVICORN_ENDED
        return guest.STARTED, guest.ENDED

    def _probe_missing(self) -> str:
        """Why the probe is not in, once the first container has told."""
        while not self.known.wait(0.1):
            if reason := self.limits.trouble():
                raise LabError(reason)
        return self.no_probe

    def _no_probe(self, service: Service) -> str:
        """Why the probe does not answer; empty where it does."""
        try:
            with httpx.Client(trust_env=False) as client:
                answer = traffic.get(client, f"{service.url}{guest.PREFIX}seen", seconds=10)
        except httpx.TransportError as error:
            return f"the probe could not be asked ({type(error).__name__})"
        if answer.headers.get("x-dockerlab-probe"):
            with contextlib.suppress(ValueError):
                _what_it_saw(answer.body)
                return ""
            return "something else answers in the place of the probe"
        command = " ".join(self.command)
        if not re.search(r"python|uvicorn|gunicorn|hypercorn|granian|fastapi|uv |poetry|daphne|flask", command):
            return "nothing tells that its main process is Python's, so the probe could not be put in"
        if re.search(r"python[\d.]* (-\w+ )*-\w*[IES]", command):
            return "Python runs isolated (-I, -E or -S), so the probe could not be put in"
        return "the application does not answer by Starlette, or Python was started without PYTHONPATH: no probe"

    def _seen(self, service: Service, headers: dict[str, str]) -> SeenRequest:
        with httpx.Client(trust_env=False) as client:
            try:
                url = f"{service.url}{guest.PREFIX}seen"
                return _what_it_saw(traffic.get(client, url, headers={"Host": HOST, **headers}, seconds=20).body)
            except (httpx.HTTPError, ValueError) as error:
                self._must_run(service, "while it was asked")
                raise LabError(
                    f"The application answered, and then no more ({type(error).__name__}).", log=_tail(service)
                ) from error

    def _lifespans(self, service: Service, probe: bool, start_seconds: float) -> tuple[int | None, str]:
        """How many lifespans have started, when all had time to. Worker processes start one after the other.

        Where new ones begin in the place of others, there is no such number, and a sentence tells so.
        """
        marker = guest.STARTED if probe else _UVICORN_STARTED
        least, most = NEXT_WORKER_SECONDS
        patience = min(max(start_seconds, least), most)
        began = since = time.monotonic()
        count = service.logs().count(marker)
        while time.monotonic() < since + (patience if self._may_have_workers(service) else 0.2):
            time.sleep(0.1)
            if (now := service.logs().count(marker)) != count:
                count, since = now, time.monotonic()
            if since > began + WORKERS_SECONDS:
                return None, _RESTARTS
        if 0 < len(_processes(service.container)) < count:
            return None, _RESTARTS
        return count or None, ""

    def _may_have_workers(self, service: Service) -> bool:
        return len(_processes(service.container)) > 1 or "worker" in " ".join(self.command).lower()

    def _wait_for_all(self, service: Service) -> None:
        """Wait until as many lifespans have started as in the first container."""
        marker, deadline = self._markers()[0], time.monotonic() + WORKERS_SECONDS
        while service.logs().count(marker) < (self.lifespans or 0) and time.monotonic() < deadline:
            time.sleep(0.1)

    # --- the health check ---

    def _health(self, service: Service) -> tuple[Health, bool]:
        """Try the health check. Also: whether it may have left something running."""
        if not (test := self.health_test):
            return Health(""), False
        shown = " ".join(test)
        # An application that has just begun to answer may need a moment more: the engine would try again, too.
        for _ in range(3):
            ran = self._try_health(service, test)
            if ran.exit_code == 0 or ran.is_left:
                break
            time.sleep(1)
        if ran.exit_code != 0 or ran.is_left:
            return Health(shown, ran.exit_code, ran.text), ran.is_left
        with asking(self.lab, service.name):
            service.container.kill(signal="SIGSTOP")
            try:
                stopped = self._try_health(service, test, seconds=5)
            finally:
                service.container.kill(signal="SIGCONT")
            is_left, deadline = stopped.is_left, time.monotonic() + 5
            while is_left and time.monotonic() < deadline:  # it has waited for the server, and ends with its answer
                time.sleep(0.1)
                is_left = docker_exec.still_runs(service.container, stopped.id)
            is_alone = len(_processes(service.container)) == 1
        return Health(shown, ran.exit_code, ran.text, stopped.exit_code, tried_stopped=is_alone), is_left

    def _try_health(self, service: Service, test: Sequence[str], seconds: float = 15) -> docker_exec.Ran:
        """Run the test in the container as the engine does. No exit code where it did not start or end."""
        if test[0] == "CMD-SHELL":
            command = [*(self.config.get("Shell") or ["/bin/sh", "-c"]), test[1]]
        else:
            command = list(test[1:])
        try:
            ran = docker_exec.run(service.container, command, seconds)
        except (APIError, OSError) as error:
            # The engine's client adds the words; the exit code of a program that is missing differs with versions.
            return docker_exec.Ran(None, str(getattr(error, "explanation", "") or error).encode(), False, "")
        if ran.exit_code is not None:
            return replace(ran, output=ran.output.strip())
        too_much = len(ran.output) == traffic.KEPT_BYTES
        why = f"it printed more than {traffic.KEPT_BYTES / 1e6:g} MB" if too_much else f"it ran for over {seconds:g} s"
        return replace(ran, output=why.encode())


class _ListensElsewhere(Exception):
    def __init__(self, port: int) -> None:
        self.port = port


# --- what a container tells ------------------------------------------------------------------------------------------


def _answers(client: httpx.Client, url: str, seconds: float) -> bool:
    try:
        with client.stream("GET", url, timeout=httpx.Timeout(min(seconds, 10), connect=2)):
            return True
    except httpx.TransportError:
        return False


def _has_probe(client: httpx.Client, url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return "x-dockerlab-probe" in traffic.get(client, f"{url}{guest.PREFIX}seen", seconds=5).headers
    return False


def _what_it_saw(body: bytes) -> SeenRequest:
    """What the probe tells of a request.

    Raises:
        ValueError: it is not the probe that tells it.
    """
    try:
        told = json.loads(body)
        saw = [told[name] for name in ("scheme", "client", "url", "host")]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError("it is no answer of the probe") from error
    if not all(isinstance(text, str) for text in saw):
        raise ValueError("it is no answer of the probe")
    return SeenRequest(*(text[:LONGEST_TOLD] for text in saw))


def _tail(service: Service) -> str:
    with asking(service.lab, service.name):
        log = service.container.logs(tail=LOG_LINES).decode(errors="replace")
    return "\n".join(line[:500] for line in log.splitlines())


def _processes(container: Container) -> tuple[Process, ...]:
    """The container's processes, the main one first; empty where the engine's machine has no `ps`."""
    with contextlib.suppress(APIError, ValueError, KeyError):
        container.reload()
        main = container.attrs["State"]["Pid"]
        rows = container.top(ps_args="-eo pid,ppid,uid,rss,args")["Processes"]
        found = [Process(int(pid), int(up), int(uid), int(rss) * 1024, args) for pid, up, uid, rss, args in rows]
        return tuple(sorted(found, key=lambda process: (process.pid != main, process.pid)))
    return ()


def _know_pid1(service: Service, processes: Sequence[Process], command: Sequence[str]) -> None:
    """Keep the main process's command line, which nothing can tell once it has stopped."""
    try:
        service.pid1  # noqa: B018 - asked for now
    except LookupError:
        service.__dict__["pid1"] = processes[0].command if processes else " ".join(command)


def _memory_bytes(container: Container) -> int | None:
    """What the container uses, without the page cache, as `docker stats` counts it."""
    with contextlib.suppress(APIError, KeyError, ValueError):
        memory = container.stats(stream=False)["memory_stats"]
        cache = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
        return memory["usage"] - cache
    return None


def _written(container: Container) -> tuple[str, ...]:
    """The files that were written since the start, without those that are elsewhere with a read-only root."""
    elsewhere = (PROBE, "/tmp", "/run", "/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
    paths = _without_folders(_changed(container))
    return tuple(sorted(path for path in paths if not path.startswith(elsewhere) and "__pycache__" not in path))


def _changed(container: Container) -> Iterator[str]:
    """The paths that differ from the image's, as `docker diff` lists them: the first `CHANGES_BYTES` of the list."""
    api = container.client.api
    response = api._get(api._url("/containers/{0}/changes", container.id), stream=True)
    api._raise_for_status(response)
    listed = bytearray()
    with contextlib.closing(response):
        for chunk in response.iter_content(65536):
            listed.extend(chunk)
            if len(listed) > CHANGES_BYTES:
                break
    return _listed(listed.decode(errors="replace"))


def _listed(text: str) -> Iterator[str]:
    """The paths of a list in JSON, whose end may be missing; ``null`` is an empty one."""
    decoder, place = json.JSONDecoder(), text.find("{")
    with contextlib.suppress(ValueError):
        while 0 <= place < len(text):
            item, place = decoder.raw_decode(text, place)
            yield item["Path"]
            place += 1  # the comma


def _without_folders(paths: Iterable[str]) -> list[str]:
    """The paths below which no other lies."""
    # In this order, what lies in a folder comes right after it.
    ordered = sorted(set(paths), key=lambda path: path.replace("/", "\0"))
    following = itertools.chain(ordered[1:], [""])
    return [path for path, after in zip(ordered, following, strict=False) if not after.startswith(f"{path}/")]


def _refused(log: str) -> tuple[str, ...]:
    """The paths that a log says could not be written."""
    after: dict[str, None] = {}
    before: dict[str, None] = {}
    # So many times, and so much on either side: a pattern that looks for paths in all of a log may take hours for it.
    for told in itertools.islice(re.finditer(r"(?i)read-only file ?system", log), _MOST_REFUSALS):
        if found := re.match(r":?\s*['\"]([^'\"]+)['\"]", log[told.end() :][:_LONGEST_PATH]):
            after[found[1]] = None
        if found := re.search(r"(/[^\s'\"`:]+)['\"`]?:? $", log[max(0, told.start() - _LONGEST_PATH) : told.start()]):
            before[found[1]] = None
    return tuple(after | before)


def _trusts(command: str, environment: dict[str, str]) -> str:
    """Whom the command or a variable names as trusted proxies: ``*``, addresses, networks; empty where nobody."""
    told = re.search(r"--(?:forwarded-allow-ips|trusted-hosts)[= ]+['\"]?([^\s'\"]+)", command)
    return told[1] if told else environment.get("FORWARDED_ALLOW_IPS", "")
