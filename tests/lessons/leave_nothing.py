"""A pytest plugin (`-p leave_nothing`): after the run the engine holds what it held before, or the run is red.

With pytest-xdist only the controlling process looks: before it starts its workers, and after they have ended.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator

import docker
import pytest
from dockerlab import engine, labels
from dockerlab.errors import EngineMissing, EngineUnreachable
from dockerlab.lab import cleanup
from engine_snapshot import Snapshot, snapshot

LEFT = pytest.StashKey[list[str]]()
"""What is not as it was before, and was not swept, a line each; after the run, in its configuration's stash."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shared-engine",
        action="store_true",
        help="others use the engine meanwhile: look for what dead labs left only, not for every difference",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.pluginmanager.register(LeaveNothing(config))


class LeaveNothing:
    def __init__(self, config: pytest.Config) -> None:
        self.shared = config.getoption("--shared-engine")
        self.before: Snapshot | None = None
        self.left: list[str] = []
        self.id = secrets.token_hex(4)
        # Whoever runs the tests has attempts at exercises in a workspace of their own, and the tests must not touch it.
        self.workspace = tempfile.mkdtemp(prefix="dockerlab-tests-")
        os.environ["DOCKERLAB_WORKSPACE"] = self.workspace

    def pytest_sessionstart(self) -> None:
        with found_client() as client:
            if client:
                cleanup.sweep(client)
                self.before = snapshot(client)
                # As if another learner had a lesson open: the build cache stays to the end of the run.
                own = {labels.LAB: self.id, labels.LESSON: "tests", labels.OWNER: str(labels.Owner.current())}
                client.volumes.create(f"dockerlab-{self.id}-open", labels=own)

    @pytest.hookimpl(trylast=True)  # after pytest-xdist has ended its workers
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        with found_client() as client:
            if client:
                self.left = [f"{item} was left by a dead process, and is swept now" for item in cleanup.sweep(client)]
                cleanup.remove_lab(client, self.id)
            session.config.stash[LEFT] = self.differences(client)
            self.left += session.config.stash[LEFT]
        if self.left:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def differences(self, client: docker.DockerClient | None) -> list[str]:
        """What is not as it was before, a line each."""
        if client and self.shared:
            return []
        if client and self.before:
            return self.before.difference(snapshot(client))
        if client:
            return ["an engine was started during the run, so nothing can be compared: `make setup` first"]
        return ["the engine is gone"] if self.before else []

    def pytest_terminal_summary(self, terminalreporter) -> None:
        if self.left:
            terminalreporter.section("the engine is not as it was before", red=True)
            terminalreporter.write_line("\n".join(self.left))

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(self.workspace, ignore_errors=True)


@contextlib.contextmanager
def found_client() -> Iterator[docker.DockerClient | None]:
    """A client of the engine; None where there is none. That is for the tests that need one to complain about."""
    try:
        client = engine.find().client()
    except (EngineMissing, EngineUnreachable):
        client = None
    with contextlib.closing(client) if client else contextlib.nullcontext():
        yield client
