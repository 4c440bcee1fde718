"""The experiments of an audit: start a project's image as its owner would, and look. Each returns what it observed.

The image stays as it was built. A probe is put into the created containers (`probe/sitecustomize.py`). Containers have
no mounts, no privileges and no way to new ones, limits of memory, processors and processes, and ports on 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
from docker.errors import APIError
from docker.types import LogConfig

from ..errors import AppCrashed, LabError, NeverListened
from ..lab.lab import Lab
from ..records import FORGED, Process, Stop
from ..run import docker_exec
from ..run.container import Service, errors_explained, failure, refusal
from ..run.container_files import copy_into
from ..run.stop import stop
from ..wait import tries, until
from . import file_writes, health_check, probe, startup_errors
from .limits import CONTAINER_SETTINGS, Limits
from .observations import Health, Idle, ProbeAnswer, ReadOnly
from .project import Project, likely_ports

START_SECONDS = 60
"""How long an application may take until it answers, beside several others on a small machine."""

WORKERS_SECONDS = 15
"""How long worker processes may take to start, one after the other, once the first answers."""

NEXT_WORKER_SECONDS = (1.0, 3.0)
"""How long to wait for one more to start: as long as the first answer took, but no less and no more than this."""

SLOW_SECONDS = 3
"""The request in flight: longer than any noise, shorter than the engine's grace period of 10 s."""

_TLS = re.compile(r"(?i)running on https://\S+|listening at: https://\S+")

_RESTARTS = "lifespans begin again and again: workers end, and others take their place"

_UVICORN_STARTED = "Application startup complete"
_UVICORN_ENDED = "Application shutdown complete"


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
        with errors_explained(lab, project.shown):
            self.config: dict[str, Any] = lab.client.images.get(image).attrs["Config"]
        self.port: int | None = project.port
        self.lifespans: int | None = None
        self.no_probe = ""
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
        return list(test) if test and len(test) > 1 else []  # one word, ``NONE``, is no test

    # --- start ---

    @contextlib.contextmanager
    def started(self, name: str, *, with_probe: bool = True, read_only: bool = False) -> Iterator[Service]:
        """A container whose application answers; it is removed at the end of the block.

        Raises:
            AppCrashed: the main process ended.
            NeverListened: nothing answered in time.
            LabError: the engine would not create it.
        """
        ports = [self.port] if self.port else self._candidates()
        found: int | None = None
        while True:
            service = self._create(name, ports, with_probe=with_probe, read_only=read_only)
            try:
                self._start_and_wait(service, ports)
                yield service
                return
            except _ListensElsewhere as elsewhere:
                if found:
                    raise NeverListened(
                        f"The application listens on another port at each start: {found}, then {elsewhere.port}.",
                        "Give it a port that stays, by --env or --command, and name that: --port 8000.",
                        log=service.log_tail(),
                    ) from None
                found = elsewhere.port
                ports = [found]
            finally:
                service.close()

    def _candidates(self) -> list[int]:
        exposed = [int(port.split("/")[0]) for port in self.config.get("ExposedPorts") or {} if port.endswith("/tcp")]
        return likely_ports(exposed, self.command, self.environment)

    def _create(self, name: str, ports: Sequence[int], *, with_probe: bool, read_only: bool) -> Service:
        project = self.project
        environment = dict(project.environment)
        if with_probe:
            own = self.environment.get("PYTHONPATH", "")
            environment["PYTHONPATH"] = f"{probe.FOLDER}:{own}" if own else probe.FOLDER
        settings: dict[str, Any] = {
            "command": project.command,
            "entrypoint": project.entrypoint,
            "init": project.init,
            "environment": environment,
            "ports": {f"{port}/tcp": ("127.0.0.1", None) for port in ports},
            "labels": self.lab.labels,
            **CONTAINER_SETTINGS,
            # A health check of the image would run beside the experiments: it is tried on its own.
            "healthcheck": {"test": ["NONE"]},
            "log_config": LogConfig(type="json-file", config={"max-size": "8m"}),
            "read_only": read_only,
            "tmpfs": {"/tmp": ""} if read_only else {},
            **{key: value for key, value in [("user", project.user), ("stop_signal", project.stop_signal)] if value},
        }
        full_name = self.lab.name(f"{name}-{secrets.token_hex(3)}")
        with errors_explained(self.lab, name):
            with _refusal_explained("create"):
                container = self.lab.client.containers.create(self.image, name=full_name, **settings)
            service = Service(self.lab, name, container, ports[0], "/")
            try:
                if with_probe:
                    copy_into(container, {f"{probe.FOLDER}/sitecustomize.py": probe.SOURCE})
            except BaseException:
                service.close()
                raise
            return service

    def _start_and_wait(self, service: Service, ports: Sequence[int]) -> None:
        with errors_explained(self.lab, service.name), _refusal_explained("start", "Look at what it says."):
            service.container.start()
        began = time.monotonic()
        diagnose_after = 2.0
        with httpx.Client(trust_env=False) as client:
            for left in tries(min(START_SECONDS, self.limits.left), every=0.1):
                self._must_run(service)
                limit = min(max(1.0, left), 10)
                answering = [
                    (port, url)
                    for port in ports
                    if (url := service.published(port)) and not failure(client, url, limit)
                ]
                if answering:  # of several, the one at which the application is, if the probe knows it
                    probed = (one for one in answering if len(answering) > 1 and probe.answers(one[1]))
                    service.port, service.url = next(probed, answering[0])
                    return
                if reason := self.limits.reached():
                    raise LabError(reason, "Look at its log.", log=service.log_tail())
                if (waited := time.monotonic() - began) > diagnose_after:
                    self._diagnose(service, ports, waited)
                    diagnose_after = waited + 1
        raise self._never_listened(service, ports, time.monotonic() - began)

    def _must_run(self, service: Service, when: str = "before it answered") -> None:
        if not (ended := service.exited()):
            return
        hint = startup_errors.advice(ended.log)
        if not hint and (unset := startup_errors.unset_variables(self.command, self.environment)):
            names = ", ".join(unset)
            hint = f"Its command uses {names}, without a value: " + " ".join(f"--env {name}=…" for name in unset)
        seen = f"The application ended with exit code {ended.code} {when}."
        raise AppCrashed(seen, hint or ended.hint, log=ended.log)

    def _diagnose(self, service: Service, ports: Sequence[int], waited: float) -> None:
        """Find out why it does not answer: it listens elsewhere, on an address that nobody reaches, or with TLS.

        Args:
            service: it runs.
            ports: where it was expected.
            waited: for how many seconds it has not answered. At first it may still be starting, so that only a port
                that others reach counts.

        Raises:
            _ListensElsewhere: it listens on another port, and the project names none.
            NeverListened: it will not answer, however long it gets.
        """
        with errors_explained(self.lab, service.name):
            listening = docker_exec.listening(service.container) or []
        reachable = [socket for socket in listening if not socket.is_loopback]
        if reachable and not any(socket.port in ports for socket in reachable):
            if self.project.port is None:
                raise _ListensElsewhere(reachable[0].port)
            if waited > 0.75 * START_SECONDS:  # before an audit of one minute is over
                raise self._never_listened(service, ports, waited)
        seen = ""
        if reachable and waited > 25 and all(socket.address == "::" for socket in reachable):
            # A socket at `::` may accept IPv4, too: where it did, it would have answered by now.
            seen = f"{docker_exec.shown(reachable)}, by IPv6 only, but does not answer the engine, which asks by IPv4."
        elif waited < 8:
            return
        elif found := _TLS.search(service.logs()):
            raise NeverListened(
                f"The application speaks TLS itself ({found[0]}), and the audit does not.",
                "Start it without its certificate for the audit, by --command; in front of it, a proxy can end TLS.",
                log=service.log_tail(),
            )
        elif listening and not reachable:
            seen = f"{docker_exec.shown(listening)} only: nobody outside its container reaches it."
        if seen:
            do = "Start it with --host 0.0.0.0."
            raise NeverListened(f"The application listens on {seen}", do, log=service.log_tail())

    def _never_listened(self, service: Service, ports: Sequence[int], seconds: float) -> NeverListened:
        with errors_explained(self.lab, service.name):
            listening = docker_exec.listening(service.container)
        log = service.log_tail()
        if listening:
            seen = f"The application listens on {docker_exec.shown(listening)}, and "
            if any(socket.port in ports for socket in listening):
                seen += f"did not answer there within {seconds:.0f} s"
            else:
                seen += f"nothing answered on port {', '.join(map(str, ports))} for {seconds:.0f} s"
        elif listening is None:
            seen = f"Nothing answered on port {', '.join(map(str, ports))} within {seconds:.0f} s"
        else:
            seen = f"The application listened on no port for {seconds:.0f} s"
        do = startup_errors.advice(log) or "Where it needs longer, or a port of its own: --timeout, --port."
        return NeverListened(f"{seen}.", do, log=log)

    # --- the experiments ---

    def idle(self, checks_health: bool) -> tuple[Idle, Health]:
        """Start the application, send it a few requests, look at it while it is idle, and stop it."""
        began = time.monotonic()
        with self.started("idle") as service:
            try:
                return self._idle(service, checks_health, time.monotonic() - began)
            except (APIError, LookupError) as error:  # it ended while it was looked at
                self._must_run(service, "while it was looked at")
                seen = f"The engine gave no information about the application: {error}."
                raise LabError(seen, log=service.log_tail()) from error

    def _idle(self, service: Service, checks_health: bool, start_seconds: float) -> tuple[Idle, Health]:
        self.port = service.port
        no_probe = probe.why_missing(service.url, " ".join(self.command))
        self.lifespans, restarts = self._lifespans(service, not no_probe, start_seconds)
        self.no_probe = no_probe
        self.known.set()
        processes = docker_exec.processes(service.container)
        _know_pid1(service, processes, self.command)
        honest = forged = None
        peer = ""
        if not no_probe:
            peer = self._probed(service, {}).client
            honest = self._probed(service, probe.forwarded(probe.CLIENT))
            forged = self._probed(service, probe.forwarded(f"{FORGED}, {probe.CLIENT}"))
        with errors_explained(self.lab, service.name):
            memory = docker_exec.memory_bytes(service.container)
            written = file_writes.written(service)
        shell = self.config.get("Shell") or ["/bin/sh", "-c"]
        health, is_left = health_check.observe(service, self.health_test if checks_health else (), shell)
        if is_left:  # only the container's end stops what the check has left running
            service.close()
            stopped = self.stopped_with("stop", None)
        else:
            stopped = self._stop(service, ())
        return Idle(
            port=service.port or 0,
            no_probe=no_probe,
            processes=processes,
            lifespans=self.lifespans,
            restarts=restarts,
            honest=honest,
            forged=forged,
            peer=peer,
            trusts_other=_trusts(" ".join(self.command) + " " + service.pid1, self.environment),
            memory_bytes=memory,
            written=written,
            stop=stopped,
        ), health

    def stopped_with(self, name: str, path: str | None) -> Stop:
        """Start the application, and stop it, while it answers a request for a path of the probe where one is given."""
        if path and (reason := self._probe_missing()):
            raise LabError(reason)
        with self.started(name) as service:
            # As many lifespans as in the first container.
            marker = self._markers()[0]
            until(lambda: service.logs().count(marker) >= (self.lifespans or 0), WORKERS_SECONDS, every=0.1)
            _know_pid1(service, docker_exec.processes(service.container), self.command)
            return self._stop(service, (path,) if path else ())

    def read_only(self) -> ReadOnly:
        """Start the application with a read-only root file system and a tmpfs at /tmp."""
        try:
            with self.started("read-only", with_probe=False, read_only=True) as service:
                return ReadOnly(True, file_writes.refused(service.logs()))
        except (AppCrashed, NeverListened) as error:
            return ReadOnly(False, file_writes.refused(error.log))

    def _stop(self, service: Service, in_flight: Sequence[str]) -> Stop:
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
        return probe.STARTED, probe.ENDED

    def _probe_missing(self) -> str:
        """Why the probe is not in, once that is known of the first container."""
        while not self.known.wait(0.1):  # the limits end it
            if reason := self.limits.reached():
                raise LabError(reason)
        return self.no_probe

    def _probed(self, service: Service, headers: dict[str, str]) -> ProbeAnswer:
        try:
            return probe.read(probe.send(service.url, headers={"Host": probe.HOST, **headers}, seconds=20).body)
        except (httpx.HTTPError, ValueError) as error:
            self._must_run(service, "while it was asked")
            raise LabError(
                f"The application answered, and then no more ({type(error).__name__}).", log=service.log_tail()
            ) from error

    def _lifespans(self, service: Service, has_probe: bool, start_seconds: float) -> tuple[int | None, str]:
        """How many lifespans have started, when all had time to. Worker processes start one after the other.

        Where workers end and others start, there is no such number, and the second value is a sentence that says so.
        """
        marker = probe.STARTED if has_probe else _UVICORN_STARTED
        least, most = NEXT_WORKER_SECONDS
        patience = min(max(start_seconds, least), most)
        began = since = time.monotonic()
        count = service.logs().count(marker)
        # Not a `wait`, as each lifespan that starts allows more time.
        while time.monotonic() < since + (patience if self._may_have_workers(service) else 0.2):
            time.sleep(0.1)
            if (now := service.logs().count(marker)) != count:
                count, since = now, time.monotonic()
            if since > began + WORKERS_SECONDS:
                return None, _RESTARTS
        if 0 < len(docker_exec.processes(service.container)) < count:
            return None, _RESTARTS
        return count or None, ""

    def _may_have_workers(self, service: Service) -> bool:
        return len(docker_exec.processes(service.container)) > 1 or "worker" in " ".join(self.command).lower()


class _ListensElsewhere(Exception):
    def __init__(self, port: int) -> None:
        self.port = port


# --- what a container shows ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _refusal_explained(what: str, do: str = "") -> Iterator[None]:
    """Explain why the engine would not `create` or `start` a container."""
    try:
        yield
    except APIError as error:
        raise refusal(error, "the application", f"{what} a container", do) from error


def _know_pid1(service: Service, processes: Sequence[Process], command: Sequence[str]) -> None:
    """Keep the main process's command line, which cannot be read once it has stopped."""
    try:
        service.pid1  # noqa: B018 - read now
    except LookupError:
        service.__dict__["pid1"] = processes[0].command if processes else " ".join(command)


def _trusts(command: str, environment: Mapping[str, str]) -> str:
    """Whom the command or a variable names as trusted proxies: ``*``, addresses, networks; empty where nobody."""
    named = re.search(r"--(?:forwarded-allow-ips|trusted-hosts)[= ]+['\"]?([^\s'\"]+)", command)
    return named[1] if named else environment.get("FORWARDED_ALLOW_IPS", "")
