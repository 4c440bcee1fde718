"""The command `dockerlab audit`."""

from __future__ import annotations

import math
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from ..errors import LabError
from ..records import Audit
from . import fixes, reports
from .auditor import CHECK_IDS, TIMEOUT_SECONDS, chosen, examine
from .dockerfile_images import parse_base
from .project import Project, environment_file, find


def command(
    path: Annotated[str, typer.Argument(help="The folder of the project, which is its build context.")] = ".",
    dockerfile: Annotated[
        str | None, typer.Option(help="The Dockerfile, from here or from the folder; else the folder's own.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="The build stage to stop at; else the last.")] = None,
    build_arg: Annotated[list[str] | None, typer.Option(help="K=V, a build argument; may be repeated.")] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(help="K=V, a variable of the container and the Compose file, or K, with your value of it."),
    ] = None,
    env_file: Annotated[str | None, typer.Option(help="A file of such variables, as `docker run` takes it.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Where it listens in the container; else it is found.")
    ] = None,
    command: Annotated[str | None, typer.Option(help="What is started instead of the image's CMD.")] = None,
    compose: Annotated[
        str | None,
        typer.Option(
            help="A Compose file, for what it says of a service. It takes no variable from your environment, and no "
            "file from outside the project, but what another option names."
        ),
    ] = None,
    service: Annotated[str | None, typer.Option(help="The service in it.")] = None,
    base: Annotated[
        list[str] | None,
        typer.Option(
            help="IMAGE[=SUBSTITUTE]: what to build on where IMAGE cannot be fetched; else the lab's base image."
        ),
    ] = None,
    check: Annotated[list[str] | None, typer.Option(help="Run this check only; may be repeated.")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Skip this check; may be repeated.")] = None,
    format: Annotated[str, typer.Option(help="table, json, junit, sarif or markdown.")] = "table",
    output: Annotated[str | None, typer.Option(help="The file to write the report to; else it is printed.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds, the project's own build included.")] = TIMEOUT_SECONDS,
    fail_on: Annotated[str, typer.Option(help="fail or warn: from which verdict on the exit code is 1.")] = "fail",
    suggest: Annotated[bool, typer.Option("--suggest", help="Print a diff where the fix is certain.")] = False,
) -> None:
    """Hold a project against the experiments of the lessons. Its files are only read.

    Exit code 0: no check failed. 1: one failed. 2: it could not be audited.
    """
    signal.signal(signal.SIGTERM, _interrupt)  # ended from outside, it cleans up as after Ctrl-C
    _known("--format", format, reports.FORMATS)
    _known("--fail-on", fail_on, ("fail", "warn"))
    for id_ in [*(check or []), *(skip or [])]:
        _known("a check", id_, CHECK_IDS)
    if not 0 < timeout < math.inf:
        raise LabError(f"--timeout {timeout:g} is not a limit.", "Name the seconds that it may take: --timeout 900.")
    _writable(output)
    project = _project(
        path,
        compose,
        service,
        dockerfile,
        {
            "target": target,
            "build_args": _pairs("--build-arg", build_arg),
            "environment": {**(environment_file(env_file) if env_file else {}), **_pairs("--env", env)},
            "port": port,
            "command": _words(command),
        },
    )
    bases, checks = _bases(base), chosen(check or (), skip or ())
    err = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(line: str) -> None:
        err.print(escape(line), style="dim")

    def again(changed: Project) -> Audit:
        return examine(changed, checks, bases, timeout, lambda line: None)[0]

    try:
        card, observed = examine(project, checks, bases, timeout, say)
        _give(card, format, output)
        if suggest:
            # A report for machines stays whole: the diff does not follow it into the same file.
            onto = sys.stdout if output or format in ("table", "markdown") else sys.stderr
            found = fixes.proven(project, card, observed, again, say)
            onto.write(_suggested(project, found, say))
    except KeyboardInterrupt:
        err.print("Interrupted. Nothing from the audit is left.")
        raise typer.Exit(130) from None
    counted = card.count("fail") + (card.count("warn") if fail_on == "warn" else 0)
    raise typer.Exit(1 if counted else 0)


def _project(
    path: str, compose: str | None, service: str | None, dockerfile: str | None, options: dict[str, Any]
) -> Project:
    if service and not compose:
        raise LabError(
            "--service names a service, and no Compose file is named.", "Name it, too: --compose compose.yaml."
        )
    if not compose:
        return find(path, dockerfile=dockerfile, **options)
    named = {"given": options.pop("environment"), "build_args": options.pop("build_args"), "dockerfile": dockerfile}
    from .compose_file import from_compose  # slow to load: few projects are audited by a Compose file

    project = from_compose(path, compose, service, **named)
    return replace(project, **{name: value for name, value in options.items() if value is not None})


def _words(command: str | None) -> list[str] | None:
    if command is None:
        return None
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise LabError(
            f"--command {command} cannot be read ({error}).", "Write it as in a shell: each quote has its counterpart."
        ) from None
    if not words:
        raise LabError("--command names no program.", "Leave it out, and the image's own command is started.")
    return words


def _pairs(option: str, items: list[str] | None) -> dict[str, str]:
    """`NAME=value` items; a name alone takes its value from here, as with `docker run`."""
    pairs = {}
    for item in items or []:
        name, given, value = item.partition("=")
        if not name or not (given or name in os.environ):
            raise LabError(f"{option} {item} has no value.", f"Write {option} NAME=value, or export NAME.")
        pairs[name] = value if given else os.environ[name]
    return pairs


def _bases(items: list[str] | None) -> dict[str, str]:
    return dict(parse_base(item) for item in items or [])


def _known(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise LabError(f"{what}: there is no {value!r}.", f"It is one of {', '.join(known)}.")


def _writable(output: str | None) -> None:
    """Fail before the work, not after it, where the report cannot be written."""
    if output and not Path(output).absolute().parent.is_dir():
        raise LabError(f"The report cannot be written: there is no folder for {output}.", "Make the folder first.")
    if output and Path(output).is_dir():
        raise LabError(f"The report cannot be written: {output} is a folder.", "Name a file in it.")


def _give(card: Audit, format: str, output: str | None) -> None:
    if not output:
        width = max(60, min(shutil.get_terminal_size((80, 24)).columns, 120))
        sys.stdout.write(reports.render(card, format, width=width, color=sys.stdout.isatty()))
        return
    try:
        Path(output).write_text(reports.render(card, format), encoding="utf-8")
    except OSError as error:
        raise LabError(f"The report {output} cannot be written ({error.strerror}).", "Name another file.") from error


def _suggested(project: Project, found: Sequence[fixes.Fix], say: Callable[[str], None]) -> str:
    """The diff of all fixes."""
    if not found:
        say("No fix is certain enough to be suggested.")
        return ""
    for fix in found:
        say(f"{', '.join(fix.checks)}: {fix.description}")
    say("Audited with these fixes: the checks pass, and no other check is worse.")
    name = project.dockerfile if not project.dockerfile.is_absolute() else project.dockerfile.name
    return fixes.diff(fixes.text_of(project), found[-1].text, str(name))


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
