"""The verdicts: what each check makes of what was observed. Nothing here touches the engine."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..records import Finding, Stop
from ..run.docker_exec import Process
from .image_secrets import secret_in_file
from .observations import Observations
from .probe import FORGED
from .rebuilds import installs

WARN_CONTEXT_BYTES = 50_000_000
WARN_SIZE_FACTOR = 1.5
WARN_MEMORY_FACTOR = 0.8
"""From which point a check warns: of choice, not measured. The lesson's image sends 5 kB and needs some 60 MB."""

Verdict = tuple[str, str, str, int | None]
"""A verdict, what was observed, the line to change, and the line of the Dockerfile that it is about."""


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


def check(id_: str, lesson: str, why: str, *needs: str) -> Callable[[Callable[[Observations], Verdict]], Callable]:
    """Add a check. Its function is given what was observed, and returns the verdict."""

    def add(judge: Callable[[Observations], Verdict]) -> Callable[[Observations], Verdict]:
        CHECKS.append(Check(id_, lesson, why, frozenset(needs), judge))
        return judge

    return add


def passed(observed: str) -> Verdict:
    return "pass", observed, "", None


def warn(observed: str, fix: str, line: int | None = None) -> Verdict:
    return "warn", observed, fix, line


def fail(observed: str, fix: str, line: int | None = None) -> Verdict:
    return "fail", observed, fix, line


def not_measured(reason: str, fix: str = "") -> Verdict:
    return "not measured", reason, fix, None


# --- it runs ---------------------------------------------------------------------------------------------------------


@check("builds", "02_build_and_run", "Without an image there is nothing to deploy.")
def _builds(o: Observations) -> Verdict:
    steps = len(o.build.steps)
    return passed(f"the image is built, in {steps} step{'s' if steps != 1 else ''}")


@check("starts", "02_build_and_run", "A container that nobody can reach serves nobody.", "idle")
def _starts(o: Observations) -> Verdict:
    if not o.idle:
        return not_measured(o.reason("idle"))
    notes = "".join(f"; {note}" for note in o.project.notes)
    return passed(f"it answers on port {o.idle.port}{notes}")


# --- it stops --------------------------------------------------------------------------------------------------------


@check(
    "stops-on-sigterm",
    "03_exec_or_shell",
    "Each deployment stops the old container. One that does not hear the signal is killed when its time is over.",
    "idle",
)
def _stops(o: Observations) -> Verdict:
    if not o.idle:
        return not_measured(o.reason("idle"))
    told = _told(o.idle.stop)
    return fail(told, *_start_fix(o)) if o.idle.stop.killed else passed(told)


@check(
    "lifespan-shutdown",
    "03_exec_or_shell",
    "What the application does at its end (close a pool, flush a queue, hand back a lock) is lost where it is killed.",
    "idle",
)
def _lifespan(o: Observations) -> Verdict:
    if not o.idle:
        return not_measured(o.reason("idle"))
    ran = o.idle.stop.shutdown_ran
    if ran is None:
        why = o.idle.no_probe or "no lifespan began: the server may have it switched off"
        return not_measured(f"{why}, and the log tells of no lifespan")
    if ran:
        return passed("the lifespan's shutdown ran to its end")
    if o.idle.restarts:
        return fail(f"{o.idle.restarts}; not each was shut down", "Find in its log why workers end.")
    return fail(f"the lifespan began, and its shutdown did not run: {_told(o.idle.stop)}", *_start_fix(o))


@check(
    "inflight-requests-finish",
    "03_exec_or_shell",
    "A request that is cut off in a deployment is an error that a user sees.",
    "idle",
    "in-flight",
)
def _in_flight(o: Observations) -> Verdict:
    if not o.in_flight:
        return not_measured(o.reason("in-flight"))
    fates = [request.outcome for request in o.in_flight.requests]
    told = f"a request of 3 s that was in flight at the stop was {', '.join(fates)}"
    if all(fate == "answered" for fate in fates):
        return passed(told + ("; the server had not heard of the stop" if o.in_flight.killed else ""))
    fix = "Let the server drain: no --timeout-graceful-shutdown shorter than your longest request, no kill before."
    return fail(told, fix, _command_line(o))


@check(
    "stream-does-not-block-stop",
    "03_exec_or_shell",
    "A server waits for its open streams. Without a limit it waits until it is killed, and then nothing is shut down.",
    "idle",
    "stream",
)
def _stream(o: Observations) -> Verdict:
    if not o.stream:
        return not_measured(o.reason("stream"))
    if not o.stream.killed:
        return passed(f"with an open stream, {_told(o.stream)}")
    fix = (
        f"Give the server a limit below the grace period of {o.project.grace_seconds} s: `uvicorn … "
        "--timeout-graceful-shutdown 5` (`fastapi run` has no such option), `gunicorn … --graceful-timeout 5`."
    )
    if o.idle and o.idle.stop.killed:
        fix, line = _start_fix(o)
        return warn(f"with an open stream, {_told(o.stream)}, as without", fix, line)
    return warn(f"with an open stream, {_told(o.stream)}", fix, _command_line(o))


@check(
    "pid-1",
    "03_exec_or_shell",
    "The engine sends its signal to process 1 alone: it has to be the server, or hand the signal on.",
    "idle",
)
def _pid1(o: Observations) -> Verdict:
    if not o.idle:
        return not_measured(o.reason("idle"))
    stop, processes = o.idle.stop, o.idle.processes
    if not processes:
        return not_measured("neither the engine nor the image can tell the processes")
    first = processes[0]
    children = [process for process in processes if process.parent == first.pid]
    shown = _short(first.command)
    if first.is_shell and children:
        if not stop.killed and stop.shutdown_ran is not False:
            return passed(f"process 1 is a shell, `{shown}`, that hands the signal on")
        return fail(f"process 1 is a shell, `{shown}`, and the server is its child", *_start_fix(o))
    if first.is_init:
        shells = [p for p in children if p.is_shell and any(other.parent == p.pid for other in processes)]
        if shells:
            told = f"process 1 is an init, `{shown}`, and hands signals to a shell, `{_short(shells[0].command)}`"
            return fail(f"{told}, which does not hand them on", *_start_fix(o))
        return passed(f"process 1 is an init, `{first.program}`, with the server below it")
    if _is_launcher(first) and children:
        if stop.killed:
            return fail(f"process 1 is `{shown}`, which does not hand the signal on", *_start_fix(o))
        return passed(f"process 1 is `{shown}`, and it hands the signal on")
    return passed(f"process 1 is the server: `{shown}`")


def _is_launcher(process: Process) -> bool:
    return process.program in {
        "uv",
        "poetry",
        "pdm",
        "pipenv",
        "hatch",
        "make",
        "npm",
        "su",
        "sudo",
        "gosu",
        "env",
    } or (bool(re.search(r"/(poetry|pipenv|pdm|hatch|supervisord|circusd|honcho)\b", process.command)))


@check(
    "workers-stop",
    "07_replicas",
    "With several worker processes, each has a lifespan of its own, and each has to end it.",
    "idle",
)
def _workers(o: Observations) -> Verdict:
    if not o.idle:
        return not_measured(o.reason("idle"))
    count = o.idle.lifespans
    if count is None:
        return not_measured(o.idle.restarts or o.idle.no_probe or "no lifespan began")
    if count == 1:
        return not_measured("the server is one process, so there are no workers to stop")
    if o.idle.stop.shutdown_ran and not o.idle.stop.killed:
        return passed(f"all {count} workers ended their lifespans")
    return fail(f"{count} workers began a lifespan, and not all ended it: {_told(o.idle.stop)}", *_start_fix(o))


# --- it is built again -----------------------------------------------------------------------------------------------


@check(
    "code-change-keeps-dependencies-cached",
    "04_layer_cache",
    "Code changes many times a day, dependencies seldom: a rebuild should not install them again.",
    "rebuilds",
)
def _code_change(o: Observations) -> Verdict:
    if not o.rebuilds:
        return not_measured(o.reason("rebuilds"))
    if not o.rebuilds.changed:
        return not_measured("no Python file is in the build context, so none could be changed")
    steps = o.rebuilds.changed.steps
    installing = [(installs(step.instruction), step) for step in steps]
    installing = [(kind, step) for kind, step in installing if kind in ("dependencies", "both")]
    if not installing:
        return not_measured("no step was recognised that installs dependencies")
    if all(step.cached for step in steps):
        return not_measured(f"a change in {o.rebuilds.file} changed no step: the image does not hold that file")
    kept = [step for _, step in installing if step.cached]
    again = [step for kind, step in installing if not step.cached and not (kind == "both" and kept)]
    if not again:
        return passed(f"after a change in {o.rebuilds.file}, `{_short(kept[0].instruction)}` is taken from the cache")
    first = next((step for step in steps if not step.cached), again[0])
    line = _line(o, first.instruction)
    return fail(
        f"after a change in {o.rebuilds.file}, `{_short(again[0].instruction)}` runs again, because "
        f"`{_short(first.instruction)}`{f' (line {line})' if line else ''} comes before it",
        "Copy the file that names the dependencies first, install, then copy the code.",
        line,
    )


@check(
    "unchanged-rebuild-cached",
    "04_layer_cache",
    "A build of the same files should cost nothing: it is what most builds in CI are.",
    "rebuilds",
)
def _unchanged(o: Observations) -> Verdict:
    if not o.rebuilds:
        return not_measured(o.reason("rebuilds"))
    again = [step for step in o.rebuilds.unchanged.steps if not step.cached]
    if not again:
        return passed("all steps are taken from the cache")
    fix = "Find what differs in two builds of the same files: a date, a download, a build argument."
    return warn(f"`{_short(again[0].instruction)}` runs again", fix, _line(o, again[0].instruction))


@check(
    "build-context",
    "01_project_structure",
    "All that is sent to the builder can end up in an image, makes the build slower, and spoils the cache.",
    "context",
)
def _context(o: Observations) -> Verdict:
    if not o.context:
        return not_measured(o.reason("context"))
    secrets, folders = [], {}
    for file in o.context.sent:
        path = PurePosixPath(file.path)
        folder = _needless_folder(path)
        if folder:
            folders[folder] = folders.get(folder, 0) + file.size_bytes
        elif file.size_bytes < 1_000_000 and (what := secret_in_file(file.path, _content(o, file.path))):
            secrets.append(f"{file.path} ({what})")
    size = f"{o.context.sent_bytes / 1e6:.1f} MB in {len(o.context.sent)} files"
    if secrets:
        names = ", ".join(secrets[:3]) + (f" and {len(secrets) - 3} more" if len(secrets) > 3 else "")
        return fail(f"{names} is sent to the builder", f"Name it in .dockerignore: {secrets[0].split(' (')[0]}")
    if folders:
        return warn(
            f"{', '.join(sorted(folders))} is sent to the builder ({size})", f"In .dockerignore: {min(folders)}"
        )
    if o.context.sent_bytes > WARN_CONTEXT_BYTES:
        largest = max(o.context.sent, key=lambda file: file.size_bytes)
        told = f"{size} are sent to the builder; the largest is {largest.path}, {largest.size_bytes / 1e6:.0f} MB"
        return warn(told, f"If the image does not need it, name it in .dockerignore: {largest.path}")
    return passed(f"{size} are sent to the builder, and nothing among them that should not be")


_NEEDLESS = {
    ".git",
    ".hg",
    ".svn",
    "node_modules",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".tox",
}
_NEEDLESS |= {".venv", "venv", ".nox", ".idea", ".vscode", ".ipynb_checkpoints"}


def _needless_folder(path: PurePosixPath) -> str:
    """The folder that an image does not need, and that a file is in: ``.git``."""
    for number, part in enumerate(path.parts[:-1]):
        if part in _NEEDLESS:
            return "/".join(path.parts[: number + 1])
    if path.name == "pyvenv.cfg":
        return str(path.parent)
    return ""


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


@check(
    "behind-tls-proxy",
    "06_tls_proxy",
    "Where a proxy ends TLS, an application that does not believe it redirects its clients to plain http, and takes "
    "the proxy for the client.",
    "idle",
)
def _behind_proxy(o: Observations) -> Verdict:
    if not o.idle:
        return not_measured(o.reason("idle"))
    if o.idle.no_probe or not o.idle.honest:
        return not_measured(o.idle.no_probe)
    seen = o.idle.honest
    if seen.scheme == "https" and seen.client != o.idle.peer:
        return passed(f"it sees {seen.url.split('/__')[0]} and the client that the proxy tells of")
    if o.idle.trusts_other and o.idle.trusts_other not in ("*", "127.0.0.1"):
        return not_measured(f"it trusts {o.idle.trusts_other}, which the audit's requests do not come from")
    parts = []
    if seen.scheme != "https":
        parts.append(f"it believes {seen.scheme}, so it redirects to {seen.scheme}://{seen.host}")
    if seen.client == o.idle.peer:
        parts.append("takes the proxy for the client")
    return warn(
        "behind a proxy that ends TLS, " + " and ".join(parts),
        "Start the server with --forwarded-allow-ips and the address or network of your proxy, or set "
        "FORWARDED_ALLOW_IPS where you deploy. With no proxy in front, leave it.",
        _command_line(o),
    )


@check(
    "rejects-forged-client",
    "06_tls_proxy",
    "A client may send X-Forwarded-For itself. An application that believes it logs, limits and admits whom it claims.",
    "idle",
)
def _forged(o: Observations) -> Verdict:
    if not o.idle:
        return not_measured(o.reason("idle"))
    if o.idle.no_probe or not o.idle.forged:
        return not_measured(o.idle.no_probe)
    if o.idle.forged.client != FORGED:
        return passed("an address that the client claims is not believed, through a proxy that appends to it")
    return warn(
        "it believes the address that a client claims, where a proxy appends to X-Forwarded-For, or there is no proxy",
        "Trust the network of your proxy instead of `*`; or let the proxy overwrite the header (Nginx: "
        "`proxy_set_header X-Forwarded-For $remote_addr;`) and let nobody else reach the application.",
        _command_line(o),
    )


# --- what it may do --------------------------------------------------------------------------------------------------


@check(
    "non-root",
    "08_production_image",
    "Who breaks into an application that runs as root is root in the container, and one mistake away from more.",
    "idle",
)
def _non_root(o: Observations) -> Verdict:
    if not o.idle:
        return not_measured(o.reason("idle"))
    user = o.project.user if o.project.user is not None else o.user
    is_root = user.split(":")[0] in ("", "0", "root")
    uids = {process.uid for process in o.idle.processes}
    serving = {process.uid for process in o.idle.processes[1:]} or uids
    if is_root and uids and 0 not in serving:
        return passed("it begins as root, and the server runs as another user")
    if is_root:
        return warn("it runs as root", "USER 10001, below the last RUN and COPY that need root", None)
    return passed(f"it runs as the user {user}")


@check(
    "read-only-root",
    "08_production_image",
    "With a read-only root file system nobody can change the application, and nothing is lost with the container.",
    "idle",
    "read-only",
)
def _read_only(o: Observations) -> Verdict:
    if not o.read_only:
        return not_measured(o.reason("read-only"))
    written = list(o.read_only.refused) or list(o.idle.written if o.idle else ())
    paths = ", ".join(written[:3]) + (f" and {len(written) - 3} more" if len(written) > 3 else "")
    if o.read_only.answered:
        more = f"; it goes on without {paths}, which it writes otherwise" if paths else ""
        return passed(f"it starts and answers with a read-only root and a tmpfs at /tmp{more}")
    return warn(
        f"with a read-only root it does not start: it writes {paths or 'somewhere, which its log does not name'}",
        "Write to /tmp or to a volume, and start it with `--read-only --tmpfs /tmp`.",
    )


@check(
    "health-check",
    "05_compose",
    "An orchestrator waits for, and replaces, what it can see. Without a check it sees a process, not an answer.",
    "idle",
    "health",
)
def _health(o: Observations) -> Verdict:
    if not o.health:
        return not_measured(o.reason("health"))
    health = o.health
    line = next((i.line for i in o.dockerfile.instructions if i.keyword == "HEALTHCHECK"), None)
    if not health.test:
        port = o.idle.port if o.idle else 80
        do = (
            f'HEALTHCHECK --interval=5s CMD ["python", "-c", "import urllib.request as r; '
            f"r.urlopen('http://127.0.0.1:{port}/health', timeout=3)\"]"
        )
        return warn("there is no health check", f"{do}, with a path of yours; not needed where Kubernetes probes it")
    if health.exit_code == 0:
        if health.tried_stopped and health.when_stopped == 0:
            return warn(
                f"`{_short(health.test)}` says healthy even while the server stands still", "Ask the server.", line
            )
        return passed(f"`{_short(health.test)}` says healthy")
    said = f": {_short(health.output)}" if health.output else ""
    code = "could not be run" if health.exit_code is None else f"ends with exit code {health.exit_code}"
    missing = health.exit_code in (126, 127) or re.search(r"not found|no such file", health.output, re.IGNORECASE)
    fix = (
        "What it calls is not in the image: ask with Python's urllib." if missing else "Look at its port and its path."
    )
    return fail(f"`{_short(health.test)}` {code} while the application answers{said}", fix, line)


# --- what is in it ---------------------------------------------------------------------------------------------------


@check(
    "secrets-in-layers",
    "08_production_image",
    "Whoever has the image can read each of its layers, also what a later one deletes, and its history.",
    "layers",
)
def _secrets(o: Observations) -> Verdict:
    if not o.layers:
        return not_measured(o.reason("layers"))
    if not o.layers.secrets:
        return passed("nothing in the history, the environment or the files looks like a secret")
    found = [f"{secret.what} in {secret.where}" for secret in o.layers.secrets]
    names = "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")
    return fail(
        names,
        "Keep files out with .dockerignore, pass what a build needs with `RUN --mount=type=secret`, and what the "
        "application needs when it is started. What was pushed once is known: replace it.",
        o.layers.secrets[0].line,
    )


@check(
    "image-size",
    "08_production_image",
    "What is in the image is pulled at each start on a new machine, and each program in it may have a hole.",
    "layers",
    "context",
)
def _size(o: Observations) -> Verdict:
    if not o.layers:
        return not_measured(o.reason("layers"))
    sent = o.context.sent_bytes if o.context else 0
    needed = o.layers.reference_bytes + o.layers.packages_bytes + sent
    size = o.layers.size_bytes
    told = f"{size / 1e6:.0f} MB; the same packages and files on the lesson's base image need {needed / 1e6:.0f} MB"
    if needed and size > WARN_SIZE_FACTOR * needed:
        return warn(told, "A slim base image, and a stage that compiles apart from the one that is shipped.")
    return passed(told)


@check(
    "memory",
    "05_compose",
    "Memory at rest, times the number of processes, is what each replica costs before the first request.",
    "idle",
)
def _memory(o: Observations) -> Verdict:
    if not o.idle:
        return not_measured(o.reason("idle"))
    if o.idle.memory_bytes is None:
        return not_measured("the engine does not tell how much memory it uses")
    used, limit = o.idle.memory_bytes, o.memory_limit_bytes
    told = f"{used / 2**20:.0f} MiB at rest"
    if o.idle.lifespans and o.idle.lifespans > 1:
        told += f" with {o.idle.lifespans} workers, {used / 2**20 / o.idle.lifespans:.0f} MiB for each"
    if limit and used > WARN_MEMORY_FACTOR * limit:
        return warn(f"{told}, of a limit of {limit / 2**20:.0f} MiB", "Fewer workers in a container, or more memory.")
    return passed(told)


@check(
    "dockerfile-lint",
    "08_production_image",
    "A linter knows mistakes that no experiment shows: what differs from build to build, what is quoted wrongly.",
    "lint",
)
def _lint(o: Observations) -> Verdict:
    if o.lint is None:
        return not_measured(o.reason("lint"))
    serious = [finding for finding in o.lint if finding.level in ("error", "warning")]
    if not serious:
        hints = f" ({len(o.lint)} hint{'s' if len(o.lint) > 1 else ''})" if o.lint else ""
        return passed(f"hadolint finds no error and warns of nothing{hints}")
    worst = min(serious, key=lambda finding: (finding.level != "error", finding.line))
    told = f"line {worst.line}: {worst.rule}: {worst.message}"
    told += f"; and {len(serious) - 1} more" if len(serious) > 1 else ""
    verdict = fail if worst.level == "error" else warn
    return verdict(told, f"hadolint's page on {worst.rule} shows the mend.", worst.line)


# --- words -----------------------------------------------------------------------------------------------------------


def _told(stop: Stop) -> str:
    """A stop in words that are the same on each machine."""
    if stop.killed:
        return f"it did not end by itself, and was killed after {stop.grace_seconds} s (exit code {stop.exit_code})"
    return f"it ended by itself (exit code {stop.exit_code})"


def _short(text: str, most: int = 70) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _line(o: Observations, instruction: str) -> int | None:
    lines = [i.line for i in o.dockerfile.instructions if i.text == " ".join(instruction.split())]
    return lines[-1] if lines else None


def _command_line(o: Observations) -> int | None:
    """The line of the last CMD or ENTRYPOINT: what is started."""
    lines = [i.line for i in o.dockerfile.instructions if i.keyword == "CMD"]
    lines = lines or [i.line for i in o.dockerfile.instructions if i.keyword == "ENTRYPOINT"]
    return lines[-1] if lines else None


def _start_fix(o: Observations) -> tuple[str, int | None]:
    """What to change in how the server is started, where it does not hear the stop signal, and in which line."""
    if o.stop_signal.upper().removeprefix("SIG") not in ("", "TERM", "INT", "15", "2"):
        line = next((i.line for i in o.dockerfile.instructions if i.keyword == "STOPSIGNAL"), None)
        return f"A stop sends {o.stop_signal}, for which servers do not stop: without it, SIGTERM is sent.", line
    if o.project.command is not None or o.project.entrypoint is not None:
        return "In the Compose file: a `command` that begins with the server's program, and no shell.", None
    starts = [i for i in o.dockerfile.instructions if i.keyword in ("CMD", "ENTRYPOINT")]
    for instruction in reversed(starts):
        words = instruction.text.split(maxsplit=1)[1] if " " in instruction.text else ""
        if not words.lstrip().startswith("["):
            kind = instruction.keyword
            return f'Line {instruction.line}: exec form, {kind} ["…", "…"], in place of `{_short(instruction.text)}`', (
                instruction.line
            )
    processes = o.idle.processes if o.idle else ()
    scripts = [
        word
        for p in processes[:2]
        if p.is_shell
        for word in p.command.split()[1:]
        if word.endswith(".sh") or "/" in word
    ]
    line = starts[-1].line if starts else None
    if scripts:
        return f'{scripts[0]}: put `exec` before the command that starts the server, as in `exec "$@"`', line
    return (
        "Let process 1 be the server, or hand it the signal: exec form, `exec` in scripts, a handler for SIGTERM.",
        line,
    )
