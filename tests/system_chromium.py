"""The system's Chromium, for tests: how it is found and started, and what it may ask for."""

from __future__ import annotations

import contextlib
import shlex
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import network_namespace
import pytest

NAMES = ("chromium", "google-chrome", "chromium-browser", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",  # in a container, as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
IN_THE_PAGE = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")


@dataclass(frozen=True)
class Chromium:
    """A Chromium to be started.

    Attributes:
        executable: its path.
        network: the id of a process in its network namespace; None where that is the machine's own.
    """

    executable: str
    network: int | None

    def reaching(self, port: int) -> AbstractContextManager[None]:
        """Let it reach a port of this machine, at 127.0.0.1, as in any case where its network is the machine's own."""
        return network_namespace.reached_from(self.network, port) if self.network else contextlib.nullcontext()


@contextlib.contextmanager
def apart(path: str, folder: Path) -> Iterator[Chromium]:
    """A Chromium in a network namespace of its own, where one can be made; else as it is.

    A container that starts or ends changes the machine's network, and at each change Chromium breaks off what it is
    asking for (`net::ERR_NETWORK_CHANGED`): beside tests that start containers, 13 of 250 searches of the site failed.

    Args:
        path: of the Chromium.
        folder: for a script that starts it.
    """
    if not network_namespace.can_be_made():
        yield Chromium(path, None)
        return
    with network_namespace.network_namespace(loopback=True) as network:
        script = folder / "chromium"
        script.write_text(f'#!/bin/sh\nexec {shlex.join(network_namespace.inside(network, path))} "$@"\n')
        script.chmod(0o755)
        yield Chromium(str(script), network)


def needed() -> str:
    """The path of the first Chromium that there is; without one, the test fails."""
    if path := next(filter(None, map(shutil.which, NAMES)), None):
        return path
    pytest.fail(f"Looked for {', '.join(NAMES)}, and found no Chromium. Install one: apt-get install chromium")


def keep_inside(context) -> list[str]:
    """Let a browser's context reach this machine only. Returns what else it will have asked for."""
    outside: list[str] = []

    def only_this_machine(route) -> None:
        if route.request.url.startswith(IN_THE_PAGE):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    context.route("**/*", only_this_machine)
    return outside
