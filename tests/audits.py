"""Run `dockerlab audit` as a user does, and see what it says and what it leaves: shared by the tests of the audit."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import dockerlab
from dockerlab import labels
from projects.expected import PROJECTS, Edit

FOLDER = Path(__file__).parent / "projects"
VERDICTS = {"pass", "warn", "fail", "not measured"}


@dataclass(frozen=True)
class Outcome:
    """How an audit ended.

    Attributes:
        exit: the exit code.
        report: what it wrote to the standard output.
        told: what it wrote to the standard error.
        seconds: how long it took.
        pid: the process that ran it.
    """

    exit: int
    report: str
    told: str
    seconds: float
    pid: int

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.report)

    @property
    def verdicts(self) -> dict[str, str]:
        return {check["id"]: check["verdict"] for check in self.json["checks"]}

    @property
    def crashed(self) -> bool:
        """Whether it ended in a traceback of its own. The application's log may hold another."""
        return str(Path(dockerlab.__file__).parent) in self.told

    def said(self, check: str) -> str:
        """What a finding observed, and what to change."""
        (found,) = (found for found in self.json["checks"] if found["id"] == check)
        return f"{found['observed']}\n{found['fix']}"


@dataclass
class Running:
    """An audit that runs."""

    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)

    def interrupt(self) -> None:
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def end(self, timeout: float) -> Outcome:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it did not end.
        """
        report, told = self.process.communicate(timeout=timeout)
        return Outcome(
            self.process.returncode,
            report.decode(errors="replace"),
            told.decode(errors="replace"),
            time.monotonic() - self.began,
            self.process.pid,
        )


@contextlib.contextmanager
def started(folder: Path | str, *options: str, cwd: Path | None = None):
    """An audit as a process of its own. Leaving the block ends it, if need be."""
    command = [sys.executable, "-m", "dockerlab.cli", "audit", str(folder), *options]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=os.environ,
        # A shell starts what it puts into the background so that it ignores Ctrl-C, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield Running(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def run(folder: Path | str, *options: str, format: str = "json", patience: float = 240) -> Outcome:
    """Audit a folder, to the end. Options that name files of the project name them from there."""
    with started(folder, "--format", format, *options, cwd=Path(folder) if Path(folder).is_dir() else None) as audit:
        return audit.end(patience)


def left(client: docker.DockerClient, pid: int) -> list[str]:
    """What is on the engine of an audit that the process `pid` ran."""
    filters = {"label": labels.OWNER}
    found = [(item["Names"][0], item["Labels"]) for item in client.api.containers(all=True, filters=filters)]
    found += [(item["Name"], item["Labels"]) for item in client.api.networks(filters=filters)]
    found += [(item["Name"], item["Labels"]) for item in client.api.volumes(filters)["Volumes"] or []]
    found += [(str(item["RepoTags"]), item["Labels"]) for item in client.api.images(filters=filters)]
    owners = [(name, labels.Owner.parse((given or {}).get(labels.OWNER, ""))) for name, given in found]
    return [name for name, owner in owners if owner and owner.pid == pid]


def copied(name: str, to: Path) -> Path:
    """A copy of a project, with what no repository can hold."""
    folder = to / name
    shutil.copytree(FOLDER / name, folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in PROJECTS[name].adds.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def edit(folder: Path, edits: Mapping[str, Edit]) -> None:
    """Change files of a project. What is to be replaced must be there, once."""
    for name, change in edits.items():
        path = folder / name
        match change:
            case str():
                path.write_text(change)
            case (old, new):
                text = path.read_text()
                assert text.count(old) == 1, f"{path} holds {text.count(old)} times: {old}"
                path.write_text(text.replace(old, new))
            case _:
                text = path.read_text()
                assert change(text) != text, f"nothing was changed in {path}"
                path.write_text(change(text))


def contents(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """All that is in a folder: mode, time of change, and bytes or target of each path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        stat = path.lstat()
        data = bytes(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[path.relative_to(folder).as_posix()] = (stat.st_mode, stat.st_mtime_ns, data)
    return found


def fails(verdicts: Mapping[str, str]) -> set[str]:
    return {check for check, verdict in verdicts.items() if verdict == "fail"}


def checks(ids: Sequence[str]) -> list[str]:
    """Options that ask for these checks only."""
    return [word for id_ in ids for word in ("--check", id_)]
