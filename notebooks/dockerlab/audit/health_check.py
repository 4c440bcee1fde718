"""Try a health check in a running container: it must succeed, and fail once the application hangs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from docker.errors import APIError
from docker.models.containers import Container

from ..run import docker_exec
from ..run.container import Service, errors_explained
from ..run.traffic import KEPT_BYTES
from ..wait import until
from .observations import Health


def observe(service: Service, test: Sequence[str], shell: Sequence[str]) -> tuple[Health, bool]:
    """Run a health check, and again while the main process is suspended.

    Args:
        service: the running container.
        test: as the engine keeps it: ``["CMD", "python", "check.py"]``; empty where there is none.
        shell: what runs the command of a ``CMD-SHELL``.

    Returns:
        What was observed, and whether the check may have left something running.
    """
    if not test:
        return Health(""), False
    shown = " ".join(test)
    command = [*shell, test[1]] if test[0] == "CMD-SHELL" else list(test[1:])
    # An application that has just begun to answer may need a moment more: the engine would try again, too.
    for _ in range(3):
        ran = _run(service.container, command, 15)
        if ran.exit_code == 0 or ran.is_left:
            break
        time.sleep(1)
    if ran.exit_code != 0 or ran.is_left:
        return Health(shown, ran.exit_code, ran.text), ran.is_left
    with errors_explained(service.lab, service.name):
        service.container.kill(signal="SIGSTOP")
        try:
            stopped = _run(service.container, command, 5)
        finally:
            service.container.kill(signal="SIGCONT")
        # It may have waited for the server, and end with its answer.
        is_left = stopped.is_left and not until(
            lambda: not docker_exec.still_runs(service.container, stopped.id), 5, every=0.1
        )
        is_alone = len(docker_exec.processes(service.container)) == 1
    return Health(shown, ran.exit_code, ran.text, stopped.exit_code, tried_stopped=is_alone), is_left


def _run(container: Container, command: Sequence[str], seconds: float) -> docker_exec.Ran:
    """Run the command as the engine does. No exit code where it did not start or end."""
    try:
        ran = docker_exec.run(container, command, seconds)
    except (APIError, OSError) as error:
        # The engine's client adds the words; the exit code of a program that is missing differs with versions.
        return docker_exec.Ran(None, str(getattr(error, "explanation", "") or error).encode(), False, "")
    if ran.exit_code is not None:
        return replace(ran, output=ran.output.strip())
    too_much = len(ran.output) == KEPT_BYTES
    why = f"it printed more than {KEPT_BYTES / 1e6:g} MB" if too_much else f"it ran for over {seconds:g} s"
    return replace(ran, output=why.encode())
