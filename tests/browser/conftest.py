"""A JupyterLab for the lessons, and a Chromium to open them in."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import system_chromium
from browser.reader import JupyterLab
from execute import ROOT, copy_of_lessons
from playwright.sync_api import BrowserContext, sync_playwright

SETTINGS = {
    # Every cell is in the page, not only those in view: figures are looked at, and the whole lesson is pictured.
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none", "scrollPastLastCell": False},
}
MAKE_LAB = re.search(r"^lab:.*\n\t\$\(BIN\)/dockerlab (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
"""What `make lab` starts: a command of `dockerlab`."""


@pytest.fixture
def jupyterlab(tmp_path) -> Iterator[JupyterLab]:
    """What `make lab` starts in a laboratory that is a copy, with nothing remembered: fresh settings, fresh workspaces.

    At the end the lessons in it are as they were: the reader has copies of them.
    """
    for name, content in SETTINGS.items():
        path = tmp_path / "jupyter" / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    notebooks = copy_of_lessons(tmp_path)
    committed = contents(notebooks)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, token = f"http://127.0.0.1:{port}", secrets.token_hex(16)
    fresh = {f"JUPYTER_{name}_DIR": str(tmp_path / "jupyter" / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    options = {
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "IdentityProvider.token": token,
        "LabApp.workspaces_dir": tmp_path / "jupyter" / "workspaces",
        "LabApp.user_settings_dir": tmp_path / "jupyter" / "settings",
    }
    command = [sys.executable, "-m", "dockerlab.cli", *shlex.split(MAKE_LAB[1])]
    command += ["--", "--no-browser", "--expose-app-in-browser"]
    environment = {**os.environ, **fresh, "PYTHONPATH": str(notebooks)}
    environment.pop("DOCKERLAB_WORKSPACE")  # the reader's folder is where it is if nobody names one
    log = tmp_path / "jupyterlab.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command + [f"--{name}={value}" for name, value in options.items()],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_it_answers(f"{url}/api?token={token}", process, log)
        # JupyterLab writes down what it would open, and the browser is sent there.
        (sent,) = (tmp_path / "jupyter" / "runtime").glob("jpserver-file-to-run-*-open.html")
        opens_at = re.search(r'href="(.*?)"', sent.read_text())[1].replace("//localhost:", "//127.0.0.1:")
        yield JupyterLab(url, token, opens_at, process.pid, tmp_path / "workspace")
    finally:
        process.terminate()  # JupyterLab shuts its kernels down before it ends
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
    assert contents(notebooks) == committed, "the lessons themselves are not as they were"


def contents(notebooks: Path) -> dict[str, bytes]:
    """All that git would look at in the folder of the lessons."""
    files = (path for path in notebooks.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(notebooks).as_posix(): path.read_bytes() for path in files}


def wait_until_it_answers(url: str, process: subprocess.Popen, log: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(url).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    pytest.fail(f"JupyterLab does not answer:\n{log.read_text()[-2000:]}")


@pytest.fixture
def browser(jupyterlab, tmp_path) -> Iterator[BrowserContext]:
    """A Chromium that knows nothing, and whose requests to anywhere but this machine fail the test."""
    with (
        system_chromium.apart(system_chromium.needed(), tmp_path) as apart,
        apart.reaching(urlsplit(jupyterlab.url).port),
        sync_playwright() as playwright,
    ):
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=apart.executable,
            args=system_chromium.FLAGS,
            viewport={"width": 1280, "height": 900},
        )
        outside = system_chromium.keep_inside(context)
        yield context
        context.close()
    assert not outside, f"the page asks outside of this machine: {outside}"
