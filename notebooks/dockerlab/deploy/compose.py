"""Run real Docker Compose on a project of the reader, as one of many projects on an engine, and leave nothing of it.

The reader's compose.yaml stays as it is. Compose itself resolves it (`docker compose config`), and what the laboratory
needs is added to the result: labels, images that clean-up finds, ports of 127.0.0.1 that the engine picks.
"""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from docker.models.containers import Container

from ..build.builder import build
from ..errors import ComposeFailed, ComposeMissing, LabError
from ..lab.lab import Lab
from ..records import Build, Stop, ending
from ..run.container import Service, container_logged, errors_explained
from ..run.stop import SHUTDOWN
from ..run.stop import stop as observe
from ..run.traffic import send
from ..wait import tries
from .docker_cli import advice, run_command

DEFAULT_GRACE_SECONDS = 10
"""What the engine waits where a service has no `stop_grace_period` (Docker's documentation of `docker stop`)."""


class ComposeProject:
    """A Compose project of a lab. `down` removes it, or the end of a `with` block, or the lab's end.

    Made by `compose`, or by `cli_project` where a lesson's commands build and start it.

    Attributes:
        lab: the lab it belongs to.
        name: the project's name, which no other lab has; the names of its containers and networks begin with it.
        folder: the reader's folder, which has the compose.yaml.
        environment: pass it as `env` to `subprocess.run`: `docker compose` then works on this project.
        services: the names of its services, in the order of the file.
    """

    def __init__(
        self, lab: Lab, name: str, folder: Path, environment: Mapping[str, str], services: Mapping[str, Any]
    ) -> None:
        self.lab = lab
        self.name = name
        self.folder = folder
        self.environment = dict(environment)
        self.services = tuple(services)
        self._services = services

    def __enter__(self) -> ComposeProject:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        try:
            self.down()
        except LabError:
            if error is None:  # what went wrong in the block says more
                raise

    def __repr__(self) -> str:
        return f"{self.folder.name}: {', '.join(self.services)}"

    def run(self, *arguments: str, timeout: float = 120) -> str:
        """Run `docker compose` with these arguments, and return what it wrote to stdout.

        Args:
            timeout: seconds after which it is ended.

        Raises:
            ComposeFailed: it ended with an error, or the time is over.
        """
        return _run_compose(self.environment, self.folder, arguments, timeout)

    def up(self, *services: str, timeout: float = 120) -> None:
        """`docker compose up --wait`: start what is not running or has changed, and wait until it is healthy.

        Args:
            services: which, with what they depend on; all without any.
            timeout: seconds after which it is ended.

        Raises:
            ComposeFailed: a service ended or is unhealthy, or one that it depends on failed.
        """
        self.run("up", "--wait", *services, timeout=timeout)

    def down(self) -> None:
        """`docker compose down --volumes`: remove containers, networks and volumes. Safe to call twice."""
        self.run("down", "--volumes", "--remove-orphans", "--timeout", "0")

    def fails(self, *arguments: str) -> bool:
        """Run `docker compose` with these arguments, and say whether it ended with an error."""
        try:
            self.run(*arguments)
        except ComposeFailed:
            return True
        return False

    def left(self) -> dict[str, int]:
        """How many containers, networks and volumes the engine has of the project, by Compose's own label."""
        filters: dict[str, str | list[str] | bool] = {"label": f"com.docker.compose.project={self.name}"}
        return {
            "containers": len(self.lab.client.containers.list(all=True, filters=filters)),
            "networks": len(self.lab.client.networks.list(filters=filters)),
            "volumes": len(self.lab.client.volumes.list(filters=filters)),
        }

    def container(self, service: str) -> Container:
        """The docker SDK's container of a service, whether it runs or not.

        Raises:
            LabError: there is none.
        """
        wanted = {"project": self.name, "service": service, "oneoff": "False"}  # Compose's own labels
        labels = [f"com.docker.compose.{label}={value}" for label, value in wanted.items()]
        with errors_explained(self.lab, service):
            found = self.lab.client.containers.list(all=True, filters={"label": labels})
        if not found:
            known = ", ".join(self.services)
            raise LabError(
                f"The project has no container of a service {service!r}; its services are {known}.",
                "Start it first, or look at its name in compose.yaml.",
            )
        return found[0]

    def url(self, service: str) -> str:
        """Where a running service answers from outside: ``http://127.0.0.1:49153``.

        Raises:
            LabError: it publishes no port, or does not run.
        """
        for bindings in (self.container(service).attrs["NetworkSettings"]["Ports"] or {}).values():
            for binding in bindings or []:
                return f"http://127.0.0.1:{binding['HostPort']}"
        raise LabError(
            f"The service {service!r} does not run, or publishes no port.",
            "Start it, and give it `ports` in compose.yaml.",
        )

    def logs(self, service: str) -> str:
        """All that a service's container has printed so far, to stdout and stderr."""
        with errors_explained(self.lab, service):
            return self.container(service).logs().decode(errors="replace")

    def until_logged(self, service: str, text: str, times: int = 1, seconds: float = 60) -> None:
        """Wait until a service has printed a text so many times.

        Raises:
            LabError: it ended, or time was up, before.
        """
        with errors_explained(self.lab, service):
            container_logged(self.container(service), service, text, seconds, times)

    def moment(self, service: str, what: str) -> datetime:
        """When a service's container was last started, or ended: ``StartedAt``, ``FinishedAt``."""
        return datetime.fromisoformat(self.container(service).attrs["State"][what])

    def answers(self, service: str) -> bool:
        """Whether a service runs and answers a request for ``/``."""
        return self.container(service).status == "running" and send(self.url(service), ["/"]).lost == 0

    def is_back(self, service: str, restarts: int, seconds: float = 60) -> bool:
        """Wait until a service has been restarted so many times and answers, or has ended for good: whether it answers.

        Raises:
            LabError: neither happened in time.
        """
        for _ in tries(seconds, every=0.2):
            container = self.container(service)
            if container.status == "exited":
                return False
            if container.attrs["RestartCount"] >= restarts and self.answers(service):
                return True
        raise LabError(f"{service} neither ended nor answered within {seconds:g} s.", "Look at its log.")

    def ended(self, service: str) -> str:
        """How a service's container ended, as a claim says it: ``exit 137, no shutdown code``.

        Raises:
            LabError: it still runs.
        """
        state = self.container(service).attrs["State"]
        if state["Running"]:
            raise LabError(f"{service} still runs.", f"Stop it: docker compose stop {service}")
        return ending(state["ExitCode"], SHUTDOWN in self.logs(service))

    def stop(
        self,
        services: Sequence[str] = (),
        *,
        in_flight: Mapping[str, Sequence[str]] | None = None,
        path: str = "/",
        timeout: float = 60,
    ) -> tuple[Stop, ...]:
        """`docker compose stop`: stop services at the same time, and observe each.

        First it waits until each answers. The grace period of each is its own, from the Compose file. The containers
        stay, stopped.

        Args:
            services: which; without any, all that publish a port.
            in_flight: the requests that each is working on when it is stopped: ``{"web": ["/slow?seconds=12"]}``.
            path: a path that each of them answers.
            timeout: how many seconds it may take until each answers.

        Returns:
            The stops, in the order of the services.

        Raises:
            AppCrashed: a main process ended before the stop.
            NeverListened: a service did not answer in time.
            ComposeFailed: Compose ended with an error.
            LabError: a service is not there, none publishes a port, or a request was not in flight when the stop began.
        """
        if isinstance(services, str):
            services = [services]
        services = list(services) or [name for name in self.services if self._services[name].get("ports")]
        if not services:
            raise LabError(
                f"No service of {self.folder.name} publishes a port, so it is not clear which to stop.",
                f"Name them: stop([{', '.join(map(repr, self.services))}]).",
            )
        if unknown := set(in_flight or ()) - set(services):
            seen = f"Requests are to be in flight to {min(unknown)!r}, which is not stopped here."
            raise LabError(seen, f"What is stopped is {', '.join(services)}.")
        prepared = [self._service(name, path) for name in services]
        for service in prepared:
            if service.port:
                service.wait(timeout)
            service.pid1  # noqa: B018 - looked up now, so that nothing but the stop is left to do

        def stop_all() -> None:
            self.run("stop", *services, timeout=300)

        # Compose stops them with one command, once each is being observed.
        all_observed = threading.Barrier(len(services), action=stop_all)

        def observed(service: Service) -> Stop:
            try:
                return observe(
                    service,
                    grace=service.container.attrs["Config"].get("StopTimeout") or DEFAULT_GRACE_SECONDS,
                    in_flight=(in_flight or {}).get(service.name, ()),
                    by=lambda: all_observed.wait(timeout=360),
                )
            except BaseException:
                all_observed.abort()  # the others end now, with a BrokenBarrierError
                raise

        with ThreadPoolExecutor(len(services)) as pool:
            futures = [pool.submit(observed, service) for service in prepared]
        errors = [error for future in futures if (error := future.exception())]
        for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
            raise error
        return tuple(future.result() for future in futures)

    def _service(self, name: str, path: str) -> Service:
        """The container of a service as the experiments on single containers take it."""
        container = self.container(name)  # which raises where there is no such service
        ports = [port["target"] for port in self._services[name].get("ports") or []]
        return Service(self.lab, name, container, ports[0] if ports else None, path)


def compose(
    lab: Lab,
    folder: str | Path,
    *,
    file: str = "compose.yaml",
    environment: Mapping[str, str] | None = None,
) -> ComposeProject:
    """Make a folder with a Compose file a project of the lab. Nothing is started yet; images are built.

    Call it again when the file, or what the images are built from, has changed: the result is the same project, and
    its next `up` finds what has changed, as Compose does.

    Args:
        lab: the open lab.
        folder: the project's folder.
        file: the Compose file in it. Each file is a project of its own.
        environment: values for the variables in the file: ``{"PORT": "8080"}``.

    Raises:
        ComposeMissing: there is no Docker Compose, or it is the old v1.
        ComposeFailed: the file is invalid; Compose's own words are in the message.
        BuildFailed: an image could not be built.
        LabError: there is no such file.
    """
    folder = Path(folder).resolve()
    if not (folder / file).is_file():
        raise LabError(f"There is no {file} in {folder}.", "Run the cell that writes it.")
    short = short_name(folder, file)
    variables = {**lab.engine.environment, **{key: str(value) for key, value in (environment or {}).items()}}
    require_compose(variables)
    variables |= {
        "COMPOSE_PROJECT_NAME": lab.name(short),
        "COMPOSE_FILE": str(folder / file),
        "COMPOSE_ANSI": "never",
    }
    # A project's .env is read from the folder in both calls; profiles are the reader's own.
    resolved = json.loads(_run_compose(variables, folder, ["config", "--format", "json"], timeout=60))
    images = _build_all(lab, short, resolved["services"])
    adapted = adapt(resolved, images, lab.labels)
    path = lab.workspace / ".compose" / f"{short}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(adapted, indent=2) + "\n")  # JSON is YAML
    variables |= {"COMPOSE_FILE": str(path), "COMPOSE_PATH_SEPARATOR": os.pathsep}
    return ComposeProject(lab, lab.name(short), folder, variables, _in_order(folder / file, resolved["services"]))


def cli_project(lab: Lab, file: str | Path) -> ComposeProject:
    """The project that a lesson's commands run with ``docker compose --file FILE``. Nothing is built or started.

    Args:
        lab: the open lab.
        file: the Compose file, as the commands name it.

    Raises:
        ComposeMissing: there is no Docker Compose, or it is the old v1.
        ComposeFailed: the file is invalid; Compose's own words are in the message.
        LabError: there is no such file.
    """
    path = Path(file).resolve()
    if not path.is_file():
        raise LabError(f"There is no {path.name} in {path.parent}.", "Run the cell that writes it.")
    variables = {
        **lab.engine.environment,
        "LAB": lab.id,
        "COMPOSE_PROJECT_NAME": lab.cli_project,
        "COMPOSE_FILE": str(path),
        "COMPOSE_ANSI": "never",
    }
    require_compose(variables)
    resolved = json.loads(_run_compose(variables, path.parent, ["config", "--format", "json"], timeout=60))
    return ComposeProject(lab, lab.cli_project, path.parent, variables, _in_order(path, resolved["services"]))


def _in_order(file: Path, services: Mapping[str, Any]) -> dict[str, Any]:
    """Services in the order of their file: Compose resolves them in alphabetical order."""
    try:
        named = yaml.safe_load(file.read_text())["services"]
    except (yaml.YAMLError, TypeError, KeyError):  # a tag of Compose's own, or all of them are included
        named = {}
    return {name: services[name] for name in [*named, *services] if name in services}


def short_name(folder: Path, file: str) -> str:
    """The short name of a project: the folder's, and the file's where that is not compose.yaml: ``shop-stop``."""
    words = [folder.name, *([] if Path(file).stem == "compose" else [Path(file).stem])]
    return re.sub(r"[^a-z0-9_-]+", "-", "-".join(words).lower()).strip("-_") or "project"


def adapt(resolved: Mapping[str, Any], images: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, Any]:
    """A resolved Compose file with what the laboratory needs.

    Args:
        resolved: what `docker compose config --format json` prints.
        images: the tags of the images that were built, by service.
        labels: for everything that the project makes.
    """
    adapted = copy.deepcopy(dict(resolved))
    for name, service in adapted["services"].items():
        service["labels"] = {**(service.get("labels") or {}), **labels}
        service.pop("container_name", None)  # two learners cannot both have it
        if name in images:
            service.pop("build", None)
            service |= {"image": images[name], "pull_policy": "never"}
        for port in service.get("ports") or []:
            port["host_ip"] = "127.0.0.1"
            port.pop("published", None)
    for kind in ("networks", "volumes"):
        for item in (adapted.get(kind) or {}).values():
            if not item.get("external"):
                item["labels"] = {**(item.get("labels") or {}), **labels}
    return adapted


def require_compose(environment: Mapping[str, str]) -> str:
    """The version of Docker Compose that `docker compose` runs.

    Raises:
        ComposeMissing: there is none, or it is the old v1.
    """
    do = (
        "Install the plugin: `docker-compose-v2` or `docker-compose-plugin` with your system's packages, or update "
        "Docker Desktop; then restart the kernel."
    )
    try:
        done = run_command("docker", "compose", "version", "--short", environment=environment, timeout=30)
    except FileNotFoundError as error:
        raise ComposeMissing("There is no `docker` command here, so there is no Docker Compose.", do) from error
    except subprocess.TimeoutExpired as error:
        raise ComposeMissing("`docker compose version` did not answer within 30 seconds.", do) from error
    version = re.search(r"\bv?(\d+)\.\d+\S*", done.stdout)
    if done.returncode == 0 and version and int(version[1]) >= 2:
        return version[0].removeprefix("v")
    if old := _version_1(environment) or (version and version[0]):
        seen = f"Here is Docker Compose {old}, the old v1, and the lesson needs the plugin `docker compose`."
    else:
        seen = "The command `docker` is here, but its plugin `docker compose` is not."
    raise ComposeMissing(seen, do)


def _version_1(environment: Mapping[str, str]) -> str | None:
    """The version of the old `docker-compose`, where that is what there is."""
    try:
        done = run_command("docker-compose", "version", "--short", environment=environment, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\b1\.\d+\.\d+", done.stdout)
    return found[0] if found else None


# --- images ----------------------------------------------------------------------------------------------------------


def _build_all(lab: Lab, project: str, services: Mapping[str, Any]) -> dict[str, str]:
    """The tags of the services' images, by service; what several services share is built once."""
    built: dict[str, Build] = {}
    tags = {}
    sections = {name: service["build"] for name, service in services.items() if service.get("build")}
    for name, section in sections.items():
        key = json.dumps(section, sort_keys=True)
        if key not in built:
            built[key] = build(
                lab,
                section["context"],
                name=f"{project}-{name}",
                dockerfile=section.get("dockerfile") or "Dockerfile",
                build_args={key: value for key, value in (section.get("args") or {}).items() if value is not None},
                target=section.get("target"),
                progress=False,
            )
        tags[name] = built[key].image
    return tags


# --- the command -----------------------------------------------------------------------------------------------------


def _run_compose(environment: Mapping[str, str], folder: Path, arguments: Sequence[str], timeout: float) -> str:
    command = f"docker compose {' '.join(arguments)}"
    try:
        done = run_command("docker", "compose", *arguments, environment=environment, folder=folder, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise ComposeFailed(f"`{command}` did not finish within {timeout:g} s.", "See what it waits for.") from error
    except OSError as error:  # `docker` was there before
        do = "Run the cell that makes the folder, then `compose` again."
        raise ComposeFailed(f"`{command}` could not be started in {folder} ({error.strerror}).", do) from error
    if done.returncode:
        said = _said(done.stderr)
        raise ComposeFailed(f"`{command}` ended with exit code {done.returncode}: {said}", advice(said, _ADVICE))
    return done.stdout


def _said(stderr: str) -> str:
    """What Compose says last: the lines before it tell of its progress."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and " level=warning " not in line]
    return lines[-1] if lines else "it does not say why"


_ADVICE = {
    "was found but has incorrect label": (
        "Something outside this project has a network or volume of that name: choose another, or call it `external`."
    ),
    "didn't complete successfully": "A service that has to be done first has failed: look at its log.",
    "is unhealthy": "Its health check fails: run the check's command by hand, with `docker compose exec`.",
    "dependency failed to start": "Look at the log of what it depends on.",
    "not allowed": "There is no such key: look at its spelling and at its indentation.",
    "yaml:": "The file is not valid YAML: look at that line, and at the one above it.",
    "exited (": "It ended instead of running on: look at its log.",
}
