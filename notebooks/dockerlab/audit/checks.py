"""The verdicts: what each check makes of what was observed. Nothing here, or below it, talks to the engine."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Generic, TypeVar

from ..records import FORGED, Build, Context, Finding, LintFinding, Process, Stop
from .install_steps import installs
from .observations import Health, Idle, Layers, Observations, ReadOnly, Rebuilds
from .secret_signs import secret_in_file

WARN_CONTEXT_BYTES = 50_000_000
WARN_SIZE_FACTOR = 1.5
WARN_MEMORY_FACTOR = 0.8
"""From which point a check warns: of choice, not measured. The lesson's image sends 5 kB and needs some 60 MB."""

Verdict = tuple[str, str, str, int | None]
"""A verdict, what was observed, the line to change, and the line of the Dockerfile that it is about."""


T = TypeVar("T")


@dataclass(frozen=True)
class Experiment(Generic[T]):
    """What a check reads: the experiment's name, and its result among all that was observed."""

    name: str
    result: Callable[[Observations], T | None]


BUILD = Experiment[Build]("build", lambda o: o.build)
IDLE = Experiment[Idle]("idle", lambda o: o.idle)
IN_FLIGHT = Experiment[Stop]("in-flight", lambda o: o.in_flight)
STREAM = Experiment[Stop]("stream", lambda o: o.stream)
READ_ONLY = Experiment[ReadOnly]("read-only", lambda o: o.read_only)
HEALTH = Experiment[Health]("health", lambda o: o.health)
REBUILDS = Experiment[Rebuilds]("rebuilds", lambda o: o.rebuilds)
LAYERS = Experiment[Layers]("layers", lambda o: o.layers)
CONTEXT = Experiment[Context]("context", lambda o: o.context)
LINT = Experiment[tuple[LintFinding, ...]]("lint", lambda o: o.lint)


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        id: ``stops-on-sigterm``.
        lesson: the lesson that teaches it.
        why: why it matters.
        needs: the experiments that it reads.
        judge: makes the verdict.
    """

    id: str
    lesson: str
    why: str
    needs: frozenset[str]
    judge: Callable[[Observations], Verdict]

    def find(self, observed: Observations) -> Finding:
        verdict, text, fix, line = self.judge(observed)
        return Finding(self.id, verdict, text, self.why, fix, self.lesson, line)


CHECKS: list[Check] = []

Judge = Callable[[Observations, T], Verdict]


def check(id_: str, lesson: str, reads: Experiment[T], *also: Experiment[Context]) -> Callable[[Judge[T]], Judge[T]]:
    """Add a check: a function that is given all that was observed, and what it reads, where that was observed.

    Its docstring says why it matters, and is shown in reports.
    """

    def add(judge: Judge[T]) -> Judge[T]:
        def verdict(o: Observations) -> Verdict:
            result = reads.result(o)
            return not_measured(o.reason(reads.name)) if result is None else judge(o, result)

        why = " ".join((judge.__doc__ or "").split())
        CHECKS.append(Check(id_, lesson, why, frozenset({reads.name, *(each.name for each in also)}), verdict))
        return judge

    return add


def passed(observed: str) -> Verdict:
    return "pass", observed, "", None


def warn(observed: str, fix: str, line: int | None = None) -> Verdict:
    return "warn", observed, fix, line


def fail(observed: str, fix: str, line: int | None = None) -> Verdict:
    return "fail", observed, fix, line


def not_measured(reason: str) -> Verdict:
    return "not measured", reason, "", None


# --- it runs ---------------------------------------------------------------------------------------------------------


@check("builds", "02_build_and_run", BUILD)
def _builds(o: Observations, build: Build) -> Verdict:
    """Without an image there is nothing to deploy."""
    steps = len(build.steps)
    return passed(f"the image is built, in {steps} step{'s' if steps != 1 else ''}")


@check("starts", "02_build_and_run", IDLE)
def _starts(o: Observations, app: Idle) -> Verdict:
    """A container that nobody can reach serves nobody."""
    notes = "".join(f"; {note}" for note in o.project.notes)
    return passed(f"it answers on port {app.port}{notes}")


# --- it stops --------------------------------------------------------------------------------------------------------


@check("stops-on-sigterm", "03_exec_or_shell", IDLE)
def _stops(o: Observations, app: Idle) -> Verdict:
    """Each deployment stops the old container. One that does not hear the signal is killed when its time is over."""
    told = _told(app.stop)
    return fail(told, *_start_fix(o)) if app.stop.killed else passed(told)


@check("lifespan-shutdown", "03_exec_or_shell", IDLE)
def _lifespan(o: Observations, app: Idle) -> Verdict:
    """What the application does at its end (close a pool, flush a queue, hand back a lock) is lost where it is
    killed.
    """
    ran = app.stop.shutdown_ran
    if ran is None:
        why = app.no_probe or "no lifespan began: the server may have it switched off"
        return not_measured(f"{why}, and the log shows no lifespan")
    if ran:
        return passed("the lifespan's shutdown ran to its end")
    if app.restarts:
        return fail(f"{app.restarts}; not each was shut down", "Find in its log why workers end.")
    return fail(f"the lifespan began, and its shutdown did not run: {_told(app.stop)}", *_start_fix(o))


@check("inflight-requests-finish", "03_exec_or_shell", IN_FLIGHT)
def _in_flight(o: Observations, stop: Stop) -> Verdict:
    """A request that is cut off in a deployment is an error that a user sees."""
    fates = [request.outcome for request in stop.requests]
    told = f"a request of 3 s that was in flight at the stop was {', '.join(fates)}"
    if all(fate == "answered" for fate in fates):
        return passed(told + ("; the server had not received the stop signal" if stop.killed else ""))
    fix = (
        "Let the server drain: set no --timeout-graceful-shutdown shorter than your longest request, and do not kill "
        "it earlier."
    )
    return fail(told, fix, _command_line(o))


@check("stream-does-not-block-stop", "03_exec_or_shell", STREAM)
def _stream(o: Observations, stop: Stop) -> Verdict:
    """A server waits for its open streams. Without a limit it waits until it is killed, and then nothing is shut
    down.
    """
    if not stop.killed:
        return passed(f"with an open stream, {_told(stop)}")
    fix = (
        f"Give the server a limit below the grace period of {o.project.grace_seconds} s: `uvicorn … "
        "--timeout-graceful-shutdown 5` (`fastapi run` has no such option), `gunicorn … --graceful-timeout 5`."
    )
    if o.idle and o.idle.stop.killed:
        fix, line = _start_fix(o)
        return warn(f"with an open stream, {_told(stop)}, as without", fix, line)
    return warn(f"with an open stream, {_told(stop)}", fix, _command_line(o))


@check("pid-1", "03_exec_or_shell", IDLE)
def _pid1(o: Observations, app: Idle) -> Verdict:
    """The engine sends its signal to PID 1 alone: it has to be the server, or hand the signal on."""
    stop, processes = app.stop, app.processes
    if not processes:
        return not_measured("neither the engine nor the image can list the processes")
    first = processes[0]
    children = [process for process in processes if process.parent == first.pid]
    shown = _short(first.command)
    if first.is_shell and children:
        if not stop.killed and stop.shutdown_ran is not False:
            return passed(f"PID 1 is a shell, `{shown}`, that passes the signal on")
        return fail(f"PID 1 is a shell, `{shown}`, and the server is its child", *_start_fix(o))
    if first.is_init:
        shells = [p for p in children if p.is_shell and any(other.parent == p.pid for other in processes)]
        if shells:
            told = f"PID 1 is an init, `{shown}`, and passes signals to a shell, `{_short(shells[0].command)}`"
            return fail(f"{told}, which does not pass them on", *_start_fix(o))
        return passed(f"PID 1 is an init, `{first.program}`, with the server below it")
    if _is_launcher(first) and children:
        if stop.killed:
            return fail(f"PID 1 is `{shown}`, which does not pass the signal on", *_start_fix(o))
        return passed(f"PID 1 is `{shown}`, and it passes the signal on")
    return passed(f"PID 1 is the server: `{shown}`")


def _is_launcher(process: Process) -> bool:
    by_name = r"uv|poetry|pdm|pipenv|hatch|make|npm|su|sudo|gosu|env"
    by_path = r"/(poetry|pipenv|pdm|hatch|supervisord|circusd|honcho)\b"
    return bool(re.fullmatch(by_name, process.program) or re.search(by_path, process.command))


@check("workers-stop", "07_replicas", IDLE)
def _workers(o: Observations, app: Idle) -> Verdict:
    """With several worker processes, each has a lifespan of its own, and each has to end it."""
    count = app.lifespans
    if count is None:
        return not_measured(app.restarts or app.no_probe or "no lifespan began")
    if count == 1:
        return not_measured("the server is one process, so there are no workers to stop")
    if app.stop.shutdown_ran and not app.stop.killed:
        return passed(f"all {count} workers ended their lifespans")
    return fail(f"{count} workers began a lifespan, and not all ended it: {_told(app.stop)}", *_start_fix(o))


# --- it is built again -----------------------------------------------------------------------------------------------


@check("code-change-keeps-dependencies-cached", "04_layer_cache", REBUILDS)
def _code_change(o: Observations, rebuilds: Rebuilds) -> Verdict:
    """Code changes many times a day, dependencies seldom: a rebuild should not install them again."""
    if not rebuilds.changed:
        return not_measured("no Python file is in the build context, so none could be changed")
    steps = rebuilds.changed.steps
    kinds = [(installs(step.instruction), step) for step in steps]
    installing = [(kind, step) for kind, step in kinds if kind in ("dependencies", "both")]
    if not installing:
        return not_measured("no step that installs dependencies was recognized")
    if all(step.cached for step in steps):
        return not_measured(f"a change in {rebuilds.file} changed no step: the image does not hold that file")
    kept = [step for _, step in installing if step.cached]
    again = [step for kind, step in installing if not step.cached and not (kind == "both" and kept)]
    if not again:
        return passed(f"after a change in {rebuilds.file}, `{_short(kept[0].instruction)}` is taken from the cache")
    first = next((step for step in steps if not step.cached), again[0])
    line = _line(o, first.instruction)
    return fail(
        f"after a change in {rebuilds.file}, `{_short(again[0].instruction)}` runs again, because "
        f"`{_short(first.instruction)}`{f' (line {line})' if line else ''} comes before it",
        "Copy the file that names the dependencies first, install, then copy the code.",
        line,
    )


@check("unchanged-rebuild-cached", "04_layer_cache", REBUILDS)
def _unchanged(o: Observations, rebuilds: Rebuilds) -> Verdict:
    """A build of the same files should cost nothing: it is what most builds in CI are."""
    again = [step for step in rebuilds.unchanged.steps if not step.cached]
    if not again:
        return passed("all steps are taken from the cache")
    fix = "Find what differs in two builds of the same files: a date, a download, a build argument."
    return warn(f"`{_short(again[0].instruction)}` runs again", fix, _line(o, again[0].instruction))


@check("build-context", "01_project_structure", CONTEXT)
def _context(o: Observations, context: Context) -> Verdict:
    """All that is sent to the builder can end up in an image, makes the build slower, and spoils the cache."""
    secrets: list[str] = []
    folders: set[str] = set()
    for file in context.sent:
        if folder := _needless_folder(PurePosixPath(file.path)):
            folders.add(folder)
        elif file.size_bytes < 1_000_000 and (what := secret_in_file(file.path, _content(o, file.path))):
            secrets.append(f"{file.path} ({what})")
    size = f"{context.sent_bytes / 1e6:.1f} MB in {len(context.sent)} files"
    if secrets:
        return fail(
            f"{_first_three(secrets)} is sent to the builder", f"Name it in .dockerignore: {secrets[0].split(' (')[0]}"
        )
    if folders:
        return warn(
            f"{', '.join(sorted(folders))} is sent to the builder ({size})", f"In .dockerignore: {min(folders)}"
        )
    if context.sent_bytes > WARN_CONTEXT_BYTES:
        largest = max(context.sent, key=lambda file: file.size_bytes)
        told = f"{size} are sent to the builder; the largest is {largest.path}, {largest.size_bytes / 1e6:.0f} MB"
        return warn(told, f"If the image does not need it, name it in .dockerignore: {largest.path}")
    return passed(f"{size} are sent to the builder, and nothing among them that should not be")


_NEEDLESS = frozenset({".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".ipynb_checkpoints"})
_NEEDLESS |= {".pytest_cache", ".mypy_cache", ".ruff_cache", ".tox", ".nox", ".idea", ".vscode"}


def _needless_folder(path: PurePosixPath) -> str:
    """The folder that an image does not need, and that a file is in: ``.git``."""
    for number, part in enumerate(path.parts[:-1]):
        if part in _NEEDLESS:
            return "/".join(path.parts[: number + 1])
    return str(path.parent) if path.name == "pyvenv.cfg" else ""


def _content(o: Observations, path: str) -> bytes:
    """How a file of the context begins; nothing of a link, a pipe or a device, which lead out or wait for ever."""
    file = o.project.folder / path
    try:
        if not stat.S_ISREG(file.lstat().st_mode):
            return b""
        with file.open("rb") as content:
            return content.read(65536)
    except OSError:
        return b""


# --- behind a proxy --------------------------------------------------------------------------------------------------


@check("behind-tls-proxy", "06_tls_proxy", IDLE)
def _behind_proxy(o: Observations, app: Idle) -> Verdict:
    """Where a proxy ends TLS, an application that does not believe it redirects its clients to plain http, and takes
    the proxy for the client.
    """
    if app.no_probe or not app.honest:
        return not_measured(app.no_probe)
    seen = app.honest
    if seen.scheme == "https" and seen.client != app.peer:
        return passed(f"it sees {seen.url.split('/__')[0]} and the client that the proxy tells of")
    if app.trusts_other and app.trusts_other not in ("*", "127.0.0.1"):
        return not_measured(f"it trusts {app.trusts_other}, which the audit's requests do not come from")
    parts = []
    if seen.scheme != "https":
        parts.append(f"it sees {seen.scheme}, so it redirects to {seen.scheme}://{seen.host}")
    if seen.client == app.peer:
        parts.append("takes the proxy for the client")
    return warn(
        "behind a proxy that ends TLS, " + " and ".join(parts),
        "Start the server with --forwarded-allow-ips and the address or network of your proxy, or set "
        "FORWARDED_ALLOW_IPS where you deploy. With no proxy in front, leave it.",
        _command_line(o),
    )


@check("rejects-forged-client", "06_tls_proxy", IDLE)
def _forged(o: Observations, app: Idle) -> Verdict:
    """A client may send X-Forwarded-For itself. An application that believes it logs, limits and admits whom it
    claims.
    """
    if app.no_probe or not app.forged:
        return not_measured(app.no_probe)
    if app.forged.client != FORGED:
        return passed("an address that the client claims is not trusted, through a proxy that appends to it")
    return warn(
        "it trusts the address that a client claims, where a proxy appends to X-Forwarded-For, or there is no proxy",
        "Trust the network of your proxy instead of `*`; or let the proxy overwrite the header (Nginx: "
        "`proxy_set_header X-Forwarded-For $remote_addr;`) and let nobody else reach the application.",
        _command_line(o),
    )


# --- what it may do --------------------------------------------------------------------------------------------------


@check("non-root", "08_production_image", IDLE)
def _non_root(o: Observations, app: Idle) -> Verdict:
    """Who breaks into an application that runs as root is root in the container, and one mistake away from more."""
    user = o.project.user if o.project.user is not None else o.user
    is_root = user.split(":")[0] in ("", "0", "root")
    uids = {process.uid for process in app.processes}
    serving = {process.uid for process in app.processes[1:]} or uids
    if is_root and uids and 0 not in serving:
        return passed("it starts as root, and the server runs as another user")
    if is_root:
        return warn("it runs as root", "USER 10001, below the last RUN and COPY that need root")
    return passed(f"it runs as the user {user}")


@check("read-only-root", "08_production_image", READ_ONLY)
def _read_only(o: Observations, started: ReadOnly) -> Verdict:
    """With a read-only root file system nobody can change the application, and nothing is lost with the container."""
    paths = _first_three(started.refused or (o.idle.written if o.idle else ()))
    if started.answered:
        more = f"; it goes on without {paths}, which it writes otherwise" if paths else ""
        return passed(f"it starts and answers with a read-only root and a tmpfs at /tmp{more}")
    return warn(
        f"with a read-only root it does not start: it writes {paths or 'somewhere, which its log does not name'}",
        "Write to /tmp or to a volume, and start it with `--read-only --tmpfs /tmp`.",
    )


@check("health-check", "05_compose", HEALTH)
def _health(o: Observations, health: Health) -> Verdict:
    """An orchestrator waits for, and replaces, what it can see. Without a check it sees a process, not an answer."""
    line = _line_of(o, "HEALTHCHECK")
    if not health.test:
        port = o.idle.port if o.idle else 80
        do = (
            f'HEALTHCHECK --interval=5s CMD ["python", "-c", "import urllib.request as r; '
            f"r.urlopen('http://127.0.0.1:{port}/health', timeout=3)\"]"
        )
        return warn("there is no health check", f"{do}, with a path of yours; not needed where Kubernetes probes it")
    if health.exit_code == 0:
        if health.tried_stopped and health.when_stopped == 0:
            return warn(f"`{_short(health.test)}` says healthy even while the server hangs", "Ask the server.", line)
        return passed(f"`{_short(health.test)}` says healthy")
    said = f": {_short(health.output)}" if health.output else ""
    code = "could not be run" if health.exit_code is None else f"ends with exit code {health.exit_code}"
    missing = health.exit_code in (126, 127) or re.search(r"not found|no such file", health.output, re.IGNORECASE)
    fix = (
        "What it calls is not in the image: ask with Python's urllib." if missing else "Look at its port and its path."
    )
    return fail(f"`{_short(health.test)}` {code} while the application answers{said}", fix, line)


# --- what is in it ---------------------------------------------------------------------------------------------------


@check("secrets-in-layers", "08_production_image", LAYERS)
def _secrets(o: Observations, layers: Layers) -> Verdict:
    """Whoever has the image can read each of its layers, also what a later one deletes, and its history."""
    if not layers.secrets:
        return passed("nothing in the history, the environment or the files looks like a secret")
    return fail(
        _first_three([f"{secret.what} in {secret.where}" for secret in layers.secrets], "; ", "; and "),
        "Keep files out with .dockerignore, pass what a build needs with `RUN --mount=type=secret`, and what the "
        "application needs when it is started. A secret in an image that was pushed has leaked: replace it.",
        layers.secrets[0].line,
    )


@check("image-size", "08_production_image", LAYERS, CONTEXT)
def _size(o: Observations, layers: Layers) -> Verdict:
    """What is in the image is pulled at each start on a new machine, and each program in it may have a hole."""
    sent = o.context.sent_bytes if o.context else 0
    needed = layers.reference_bytes + layers.packages_bytes + sent
    size = layers.size_bytes
    told = f"{size / 1e6:.0f} MB; the same packages and files on the lesson's base image need {needed / 1e6:.0f} MB"
    if needed and size > WARN_SIZE_FACTOR * needed:
        return warn(told, "Use a slim base image, and compile in a stage apart from the one that you ship.")
    return passed(told)


@check("memory", "05_compose", IDLE)
def _memory(o: Observations, app: Idle) -> Verdict:
    """Memory at rest, times the number of processes, is what each replica costs before the first request."""
    if app.memory_bytes is None:
        return not_measured("the engine does not report how much memory it uses")
    used, limit = app.memory_bytes, o.memory_limit_bytes
    told = f"{used / 2**20:.0f} MiB at rest"
    if app.lifespans and app.lifespans > 1:
        told += f" with {app.lifespans} workers, {used / 2**20 / app.lifespans:.0f} MiB for each"
    if limit and used > WARN_MEMORY_FACTOR * limit:
        return warn(
            f"{told}, of a limit of {limit / 2**20:.0f} MiB", "Use fewer workers in a container, or allow more memory."
        )
    return passed(told)


@check("dockerfile-lint", "08_production_image", LINT)
def _lint(o: Observations, found: tuple[LintFinding, ...]) -> Verdict:
    """A linter knows mistakes that no experiment shows: what differs from build to build, what is quoted wrongly."""
    serious = [finding for finding in found if finding.level in ("error", "warning")]
    if not serious:
        hints = f" ({len(found)} hint{'s' if len(found) > 1 else ''})" if found else ""
        return passed(f"hadolint finds no error and warns of nothing{hints}")
    worst = min(serious, key=lambda finding: (finding.level != "error", finding.line))
    told = f"line {worst.line}: {worst.rule}: {worst.message}"
    told += f"; and {len(serious) - 1} more" if len(serious) > 1 else ""
    verdict = fail if worst.level == "error" else warn
    return verdict(told, f"hadolint's page on {worst.rule} shows the fix.", worst.line)


# --- words -----------------------------------------------------------------------------------------------------------


def _told(stop: Stop) -> str:
    """A stop in words that are the same on each machine."""
    if stop.killed:
        return f"it did not end by itself, and was killed after {stop.grace_seconds} s (exit code {stop.exit_code})"
    return f"it ended by itself (exit code {stop.exit_code})"


def _first_three(texts: Sequence[str], separator: str = ", ", last: str = " and ") -> str:
    more = f"{last}{len(texts) - 3} more" if len(texts) > 3 else ""
    return separator.join(texts[:3]) + more


def _short(text: str, most: int = 70) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _line(o: Observations, instruction: str) -> int | None:
    """The line of an instruction as a build shows it."""
    lines = [i.line for i in o.dockerfile.instructions if i.text == " ".join(instruction.split())]
    return lines[-1] if lines else None


def _line_of(o: Observations, keyword: str) -> int | None:
    """The line of the last instruction with that keyword."""
    return next((i.line for i in reversed(o.dockerfile.instructions) if i.keyword == keyword), None)


def _command_line(o: Observations) -> int | None:
    """The line of the last CMD or ENTRYPOINT: what is started."""
    return _line_of(o, "CMD") or _line_of(o, "ENTRYPOINT")


def _start_fix(o: Observations) -> tuple[str, int | None]:
    """What to change in how the server is started, where it does not hear the stop signal, and in which line."""
    if o.stop_signal.upper().removeprefix("SIG") not in ("", "TERM", "INT", "15", "2"):
        fix = f"A stop sends {o.stop_signal}, for which servers do not stop: without it, SIGTERM is sent."
        return fix, _line_of(o, "STOPSIGNAL")
    if o.project.command is not None or o.project.entrypoint is not None:
        return "In the Compose file: a `command` that begins with the server's program, and no shell.", None
    starts = [i for i in o.dockerfile.instructions if i.keyword in ("CMD", "ENTRYPOINT")]
    for start in reversed(starts):
        if not start.text.removeprefix(start.keyword).lstrip().startswith("["):
            form = f'exec form, {start.keyword} ["…", "…"], in place of `{_short(start.text)}`'
            return f"Line {start.line}: {form}", start.line
    line = starts[-1].line if starts else None
    shells = [process for process in (o.idle.processes[:2] if o.idle else ()) if process.is_shell]
    words = [word for shell in shells for word in shell.command.split()[1:]]
    if script := next((word for word in words if word.endswith(".sh") or "/" in word), ""):
        return f'{script}: put `exec` before the command that starts the server, as in `exec "$@"`', line
    fix = "Make the server PID 1, or pass it the signal: exec form, `exec` in scripts, a handler for SIGTERM."
    return fix, line
