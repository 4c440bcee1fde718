"""What is audited: a folder with a Dockerfile, and what its owner passes when it is built and started."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..engine import Engine
from ..errors import ComposeMissing, LabError

DEFAULT_GRACE_SECONDS = 10
"""What `docker stop` waits (Docker's documentation)."""

LONGEST_GRACE_SECONDS = 30
"""A longer `stop_grace_period` is not waited for: nothing in the experiments needs more than a few seconds."""

COMMON_PORTS = (80, 8000, 8080, 5000)
"""Where applications listen of which neither the image nor the command tells: Uvicorn's, and what is customary."""


@dataclass(frozen=True)
class Project:
    """A project, and how it is built and started.

    Attributes:
        shown: the project as its owner named it: ``../shop``.
        folder: the build context.
        dockerfile: the Dockerfile: a path from the folder, or an absolute one.
        target: the build stage to stop at; the last if None.
        build_args: values for the Dockerfile's `ARG`s.
        environment: variables for the container.
        port: the port that the application listens on in the container; None: find it.
        command: instead of the image's CMD.
        entrypoint: instead of the image's ENTRYPOINT.
        init: whether a small init process is process 1.
        user: instead of the image's USER.
        stop_signal: instead of the image's STOPSIGNAL.
        grace_seconds: how long a stop may take.
        health_check: the test of a Compose file's `healthcheck`, instead of the image's; None: the image's.
        notes: what of a Compose file is left out in the experiments.
    """

    shown: str
    folder: Path
    dockerfile: Path = Path("Dockerfile")
    target: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    command: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    init: bool = False
    user: str | None = None
    stop_signal: str | None = None
    grace_seconds: int = DEFAULT_GRACE_SECONDS
    health_check: Sequence[str] | None = None
    notes: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The Dockerfile's path."""
        return self.folder / self.dockerfile


def find(path: str | Path, *, dockerfile: str | Path | None = None, **rest: Any) -> Project:
    """The project in a folder.

    Args:
        path: the folder, which is the build context.
        dockerfile: a path from where the command is run or from the folder; `Dockerfile` in the folder if None.
        rest: further attributes of the `Project`.

    Raises:
        LabError: there is no such folder, or no Dockerfile in it.
    """
    folder = Path(path)
    if not folder.exists():
        raise LabError(f"There is no {path} in {Path.cwd()}.", "Name the folder of a project with a Dockerfile.")
    if not folder.is_dir():
        do = "Name the folder of the project; a Dockerfile of another name or place is named with --dockerfile."
        raise LabError(f"{path} is a file, not the folder of a project.", do)
    folder = folder.resolve()
    return Project(str(path), folder, _dockerfile(str(path), folder, dockerfile), **rest)


def _dockerfile(shown: str, folder: Path, named: str | Path | None) -> Path:
    if named is None:
        if (folder / "Dockerfile").is_file():
            return Path("Dockerfile")
        others = [path.relative_to(folder).as_posix() for path in _dockerfiles(folder)]
        if others:
            do = f"Is it one of these? Name it: --dockerfile {others[0]}" + "".join(
                f" | {name}" for name in others[1:5]
            )
        else:
            do = "Lesson 01 writes one; the audit runs what a Dockerfile makes of a project."
        raise LabError(f"There is no Dockerfile in {shown}.", do)
    for candidate in (folder / named, Path(named).resolve()):
        if candidate.is_file():
            return candidate.relative_to(folder) if candidate.is_relative_to(folder) else candidate
    raise LabError(f"There is no Dockerfile {named}, neither from here nor from {shown}.", "Look at its path.")


def _dockerfiles(folder: Path) -> list[Path]:
    names = re.compile(r"(?i)(dockerfile|containerfile)([._-].*)?$|.*\.dockerfile$")
    found = []
    for root, folders, files in os.walk(folder):
        depth = len(Path(root).relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if depth < 2 and name not in (".git", ".venv", "node_modules"))
        found += [
            Path(root, name) for name in sorted(files) if names.match(name) and not name.endswith(".dockerignore")
        ]
    return found[:20]


def environment_file(path: str | Path) -> dict[str, str]:
    """The variables in a file as `docker run --env-file` takes it.

    Raises:
        LabError: it cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise LabError(
            f"The file {path} cannot be read ({reason}).", "It holds lines of the form NAME=value."
        ) from error
    # As Docker reads it: no quotes, no expansion; a name alone takes its value from here.
    variables = {}
    for line in text.splitlines():
        if not (line := line.lstrip()) or line.startswith("#"):
            continue
        name, given, value = line.partition("=")
        if given or name in os.environ:
            variables[name.strip()] = value if given else os.environ[name]
    return variables


# --- Compose ---------------------------------------------------------------------------------------------------------


def from_compose(project_path: str | Path, file: str | Path, service: str | None, engine: Engine) -> Project:
    """The project that a service of a Compose file builds and starts.

    Args:
        project_path: the folder that was named; the Compose file's path may begin there.
        file: the Compose file.
        service: its name; may be None where one service has a `build`.

    Raises:
        LabError: there is no such file or service, or the service builds no image.
    """
    candidates = [Path(project_path) / file, Path(file)]
    found = next((path.resolve() for path in candidates if path.is_file()), None)
    if found is None:
        raise LabError(
            f"There is no Compose file {file}, neither from here nor from {project_path}.", "Look at its path."
        )
    services = _resolved(found, engine).get("services") or {}
    building = {name: definition for name, definition in services.items() if (definition or {}).get("build")}
    if service is None and len(building) == 1:
        service = next(iter(building))
    if service is None:
        raise LabError(
            f"{file} has {len(building)} services that build an image ({', '.join(building) or 'none'}).",
            "Name the one to audit: --service NAME.",
        )
    if service not in services:
        raise LabError(f"{file} has no service {service!r}; it has {', '.join(services)}.", "Look at its name.")
    if service not in building:
        raise LabError(
            f"The service {service!r} has no `build`: it runs an image that is built elsewhere.",
            "Audit the project that it is built from.",
        )
    return _of_service(str(project_path), found, services[service])


def _resolved(file: Path, engine: Engine) -> dict[str, Any]:
    """The Compose file with its variables filled in: by Compose, or where that is missing, as it is written."""
    import yaml  # slow to load, as is dotenv: few projects are audited by a Compose file

    from ..compose import require_compose

    environment = engine.environment
    try:
        require_compose(environment)
    except ComposeMissing:
        try:
            return yaml.safe_load(file.read_text()) or {}
        except (OSError, yaml.YAMLError) as error:
            raise LabError(f"{file.name} cannot be read: {error}.", "It has to be a Compose file.") from error
    command = ["docker", "compose", "--file", str(file), "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(
        command, env=environment, cwd=file.parent, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise LabError(f"{file.name} is refused by Docker Compose.", "Mend it first.", log=done.stderr)
    return json.loads(done.stdout)


def _of_service(shown: str, file: Path, service: Mapping[str, Any]) -> Project:
    from dotenv import dotenv_values

    build = service["build"] if isinstance(service["build"], dict) else {"context": service["build"]}
    folder = (file.parent / build.get("context", ".")).resolve()
    notes = []
    if service.get("volumes"):
        notes.append("its volumes are not mounted")
    if service.get("depends_on"):
        notes.append("the services that it depends on are not started")
    environment = _mapping(service.get("environment"))
    for name in _names(service.get("env_file")):  # Compose has resolved it already, where it was there to ask
        environment = {**{k: v or "" for k, v in dotenv_values(file.parent / name).items()}, **environment}
    ports = [_container_port(port) for port in [*(service.get("ports") or []), *(service.get("expose") or [])]]
    test = (service.get("healthcheck") or {}).get("test")
    project = Project(
        shown=shown,
        folder=folder,
        target=build.get("target"),
        build_args=_mapping(build.get("args")),
        environment=environment,
        port=next((port for port in ports if port), None),
        command=_command(service.get("command")),
        entrypoint=_command(service.get("entrypoint")),
        init=bool(service.get("init")),
        user=str(service["user"]) if service.get("user") else None,
        stop_signal=service.get("stop_signal"),
        grace_seconds=min(_seconds(service.get("stop_grace_period")), LONGEST_GRACE_SECONDS),
        health_check=["CMD-SHELL", test] if isinstance(test, str) else test,
        notes=tuple(notes),
    )
    return replace(project, dockerfile=_dockerfile(folder.name, folder, build.get("dockerfile")))


def _mapping(value: Any) -> dict[str, str]:
    """`environment` and `args` may be a mapping or a list; a name without a value takes it from here."""
    pairs = value.items() if isinstance(value, dict) else (str(item).partition("=")[::2] for item in value or [])
    known = {}
    for name, text in pairs:
        if text is None or (text == "" and not isinstance(value, dict) and f"{name}=" not in value):
            if name in os.environ:
                known[name] = os.environ[name]
        else:
            known[name] = "true" if text is True else "false" if text is False else str(text)
    return known


def _names(value: Any) -> list[str]:
    items = [value] if isinstance(value, str | dict) else value or []
    return [item["path"] if isinstance(item, dict) else item for item in items]


def _command(value: Any) -> list[str] | None:
    import shlex

    if value is None:
        return None
    return shlex.split(value) if isinstance(value, str) else [str(item) for item in value]


def _container_port(value: Any) -> int | None:
    if isinstance(value, dict):
        value = value.get("target")
    found = re.search(r"(\d+)(?:/tcp)?$", str(value))
    return int(found[1]) if found else None


def _seconds(value: Any) -> int:
    """A duration as Compose writes it: ``1m30s``."""
    if value is None:
        return DEFAULT_GRACE_SECONDS
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6}
    total = sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(h|ms|us|m|s)", str(value)))
    return max(1, round(total))


# --- the port --------------------------------------------------------------------------------------------------------


def likely_ports(
    exposed: Sequence[int], command: Sequence[str], environment: Mapping[str, str], shell_text: str = ""
) -> list[int]:
    """The ports that the application may listen on, the likeliest first.

    Args:
        exposed: what the image's EXPOSE names.
        command: what the container runs, entrypoint included.
        environment: the container's variables.
        shell_text: what else may name one: the text of an entrypoint script.
    """
    text = " ".join(command) + "\n" + shell_text
    for name, value in environment.items():
        text = re.sub(rf"\$\{{{re.escape(name)}(:-[^}}]*)?\}}|\${re.escape(name)}\b", lambda _, v=value: v, text)
    text = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", text)
    pattern = (
        r"(?:--port|-p|--bind|-b|--PORT)[ =,\"']+(?:\S*:)?(\d{2,5})\b|(?:0\.0\.0\.0|\[::\]|127\.0\.0\.1):(\d{2,5})\b"
    )
    told = [int(a or b) for a, b in re.findall(pattern, text)]
    named = [int(v) for n, v in environment.items() if re.fullmatch(r"(\w+_)?PORT", n) and v.isdecimal()]
    found = dict.fromkeys([*told, *exposed, *named, *COMMON_PORTS])
    return [port for port in found if 0 < port < 65536]
