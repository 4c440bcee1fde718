"""What is audited: a folder with a Dockerfile, and what its owner passes when it is built and started."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import LabError

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
        init: whether a small init process is PID 1.
        user: instead of the image's USER.
        stop_signal: instead of the image's STOPSIGNAL.
        grace_seconds: how long a stop may take.
        health_check: the test of a Compose file's `healthcheck`, instead of the image's; None: the image's.
        notes: what of a Compose file is left out in the experiments.
        left_out: what of a Compose file is not taken, since it is not the project's own: a sentence each.
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
    left_out: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The Dockerfile's path."""
        return self.folder / self.dockerfile


def find(path: str | Path, *, dockerfile: str | Path | None = None, **options: Any) -> Project:
    """The project in a folder.

    Args:
        path: the folder, which is the build context.
        dockerfile: a path from where the command is run or from the folder; `Dockerfile` in the folder if None.
        options: further attributes of the `Project`.

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
    return Project(str(path), folder, dockerfile_of(str(path), folder, dockerfile), **options)


def dockerfile_of(shown: str, folder: Path, named: str | Path | None) -> Path:
    """The Dockerfile that is named, or the folder's own: a path from the folder, or an absolute one.

    Args:
        shown: the folder as its owner named it.
        folder: the build context.
        named: as for `find`.

    Raises:
        LabError: there is none.
    """
    if named is None:
        if (folder / "Dockerfile").is_file():
            return Path("Dockerfile")
        others = [path.relative_to(folder).as_posix() for path in _dockerfiles(folder)]
        do = "Lesson 01 writes one; the audit runs what a Dockerfile makes of a project."
        if others:
            do = f"Is it one of these? Name it: --dockerfile {' | '.join(others[:5])}"
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
        reference = rf"\$\{{{re.escape(name)}(:-[^}}]*)?\}}|\${re.escape(name)}\b"
        text = re.sub(reference, value.replace("\\", r"\\"), text)
    text = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", text)
    pattern = (
        r"(?:--port|-p|--bind|-b|--PORT)[ =,\"']+(?:\S*:)?(\d{2,5})\b|(?:0\.0\.0\.0|\[::\]|127\.0\.0\.1):(\d{2,5})\b"
    )
    written = [int(a or b) for a, b in re.findall(pattern, text)]
    named = [int(v) for n, v in environment.items() if re.fullmatch(r"(\w+_)?PORT", n) and v.isdecimal()]
    found = dict.fromkeys([*written, *exposed, *named, *COMMON_PORTS])
    return [port for port in found if 0 < port < 65536]
