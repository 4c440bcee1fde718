"""The command `dockerlab`: what it finds, starts and cleans up, without a notebook."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from . import engine, folders
from .audit import command as auditing
from .engine import diagnosis
from .engine.own import embedded
from .errors import EngineMissing, LabError
from .lab import cleanup, copies, workspace

UNUSABLE = 2
"""The exit code where there is no engine, or no base image, to work with."""

console = Console(highlight=False, soft_wrap=True)


class Commands(TyperGroup):
    """Commands whose errors are two sentences (what was seen, what to do) in place of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            from .engine.engine_errors import explain  # only needed here

            explained = explain(error, "", "in the middle of the command", "Look at it: `dockerlab doctor`.")
            if explained is None or isinstance(error, BrokenPipeError):  # of `dockerlab … | head`
                raise
        Console(highlight=False, soft_wrap=True, stderr=True).print(escape(str(explained)))
        raise typer.Exit(UNUSABLE)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A laboratory in notebooks: deploy FastAPI with Docker, and measure the advice.",
)
engine_app = typer.Typer(no_args_is_help=True, help="The embedded engine, for a Linux machine that has none.")
app.add_typer(engine_app, name="engine")
app.command("audit")(auditing.command)


def say(line: str) -> None:
    console.print(escape(line))


def say_kept(kept: Mapping[Path, str]) -> None:
    for folder, why in kept.items():
        say(f"Kept {folder}: {why}.")


@app.command()
def setup() -> None:
    """Have an engine and a base image, whatever it takes."""
    found = engine.ensure(say)
    with contextlib.closing(found.client()) as client:
        base = engine.base_image.ensure(client, say)
    say(f"Ready: {found.describe()}; base image {base.tag}.")


@app.command()
def lab(
    options: Annotated[list[str] | None, typer.Argument(help="Options of `jupyter lab`, after `--`.")] = None,
    hub: Annotated[bool, typer.Option("--hub", help="Start a learner's server of a JupyterHub instead.")] = False,
) -> None:
    """Open JupyterLab on your own copies of the lessons. What you have run or changed is never overwritten."""
    folders.make_absolute()  # kernels and terminals have other working folders
    say_kept(copies.update())
    root = folders.workspaces()
    command = [sys.executable, "-m", "jupyterhub.singleuser" if hub else "jupyterlab", "--allow-root"]
    command.append(f"--ServerApp.root_dir={root}")
    if not sys.stdout.isatty():
        # Jupyter would start login shells in its terminals, and those set PATH anew.
        shell = os.environ.get("SHELL") or shutil.which("bash") or "sh"
        command.append(f"--ServerApp.terminado_settings={ {'shell_command': [shell]} }")
    if not hub:  # which says itself what to open
        command += [str(root / name) for name in copies.names()[:1]]
    environment = engine.shell_environment()
    # After all else: a terminal finds `dockerlab`, and no other program than before.
    scripts = sysconfig.get_path("scripts")
    environment["PATH"] = os.pathsep.join([environment.get("PATH", os.defpath), scripts])
    sys.stdout.flush()
    os.chdir(root)  # terminals begin where the server did
    os.execve(sys.executable, [*command, *(options or [])], environment)


@app.command()
def bundle(
    folder: Annotated[
        Path | None, typer.Argument(help="What becomes the kit (dockerlab-kit-ARCHITECTURE, in this folder).")
    ] = None,
    python: Annotated[list[str] | None, typer.Option(help="A further Python that participants have: 3.13.")] = None,
) -> None:
    """Write the offline kit: all that the lab fetches, in one folder, for machines that have no network."""
    from dockerlab_kit import making  # only needed here

    found = engine.ensure(say)
    with contextlib.closing(found.client()) as client:
        place = folder or Path(f"dockerlab-kit-{client.version()['Arch']}")
        making.make(place.resolve(), client, say, python or [])


@app.command()
def share(
    folder: Annotated[Path | None, typer.Argument(help="The kit (the one that the lab itself would use).")] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 for one that is free.")] = 8800,
) -> None:
    """Serve the offline kit to a room, over plain HTTP, and show who has it."""
    from dockerlab_kit import sharing  # only needed here

    from .engine.kit import find

    if folder is None:
        if not (kit := find()):
            do = "Make one, `dockerlab bundle`, and name it: `dockerlab share FOLDER`."
            raise LabError("There is no kit here.", do)
        folder = kit.folder
    sharing.share(folder, host, port)


@app.command()
def doctor() -> None:
    """Show in one screen what was found, and what to do. Exit code 2 where the lessons cannot run."""
    findings = diagnosis.examine()
    if findings.usable:  # an engine that hangs is not waited for twice
        with contextlib.suppress(LabError), contextlib.closing(engine.find().client()) as client:
            left = cleanup.leftovers(client)
            findings.rows.append(("Leftovers", ", ".join(left) or "none"))
            if left:
                findings.advice.append("The next lesson removes what dead ones left, or do it now: `dockerlab clean`.")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in findings.rows:
        table.add_row(name, escape(value))
    Console(highlight=False).print(table)
    for advice in findings.advice:
        say(f"→ {advice}")
    if not findings.usable:
        raise typer.Exit(UNUSABLE)


@app.command()
def clean(
    everything: bool = typer.Option(
        False,
        "--everything",
        help="Also remove the embedded engine, the lab's cache folder, and what you have not changed in your folder.",
    ),
) -> None:
    """Remove all that the lab ever labeled on the engine, and nothing else."""
    try:
        found = engine.find()
    except EngineMissing:
        say("No engine runs here, so nothing from the lab is on one.")
    else:
        with contextlib.closing(found.client()) as client:
            for line in cleanup.clean(client):
                say(f"Removed {line}.")
        say(f"Nothing from the lab is left on {found.describe()}.")
    if everything:
        say_kept(workspace.remove_all())
        kept = embedded.remove() | folders.remove_cache()  # the cache folder may be the user's own, with more in it
        say_kept(kept)
        if not kept:
            say(f"Nothing from the lab is left in {folders.cache()}.")


@engine_app.command()
def start() -> None:
    """Start the embedded engine, fetching it first where it is missing. Where there is an engine, that one is used."""
    found = engine.ensure(say)
    say(f"{found.describe()}: {found.url}")


@engine_app.command()
def stop() -> None:
    """Stop the embedded engine. Its data stay."""
    say("The embedded engine was stopped." if embedded.stop() else "The embedded engine does not run.")


@engine_app.command()
def status() -> None:
    """Tell whether the embedded engine runs. Exit code 2 where it does not."""
    endpoint = embedded.running()
    if not endpoint:
        raise EngineMissing("The embedded engine does not run.", "Start it: `dockerlab engine start`.")
    say(f"{engine.probe(endpoint).describe()}: {endpoint.url}")


@engine_app.command()
def remove() -> None:
    """Stop the embedded engine, and delete its packages and its data."""
    home = embedded.home()
    there = home.exists()
    if kept := embedded.remove():
        raise LabError(f"{home} is not deleted: {kept[home]}.", "Look at what is in it, and delete it yourself.")
    say(f"Removed {home}." if there else f"There is no embedded engine in {home}.")


if __name__ == "__main__":
    app()
