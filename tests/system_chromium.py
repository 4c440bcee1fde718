"""The system's Chromium, for tests: how it is found and started, and what it may ask for."""

from __future__ import annotations

import shutil

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


def find() -> str | None:
    """The path of the first Chromium that there is."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def needed() -> str:
    """The path of the first Chromium that there is; without one, the test fails."""
    if path := find():
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
