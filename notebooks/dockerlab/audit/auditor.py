"""Audit a project: build it, run the experiments side by side, and make the report card."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, DockerException

from .. import engine
from ..build import build_context
from ..build import dockerfile as dockerfiles
from ..build.builder import build
from ..build.lint import hadolint
from ..errors import BuildFailed, LabError
from ..lab import build_cache, cleanup, workspace
from ..lab.lab import Lab
from ..records import Audit, Build
from ..run.container import errors_explained
from . import bases as base_images
from . import image_secrets, probe, rebuilds
from .checks import CHECKS, Check
from .limits import MEMORY_BYTES, Limits, container_limits
from .observations import Observations
from .project import Project, find

if TYPE_CHECKING:
    from .runner import Runner

CHECK_IDS = tuple(check.id for check in CHECKS)
"""The checks, in their order."""

TIMEOUT_SECONDS = 900
"""How long an audit may take by default: nearly all of it is the project's own build."""

LARGE_CONTEXT_BYTES = 100_000_000
"""A build context of this size does not stay in the build cache until other labs are closed, too."""

Report = Callable[[str], None]


def audit(
    project: str | Path | Project,
    *,
    bases: Mapping[str, str] | None = None,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    timeout: float = TIMEOUT_SECONDS,
    report: Report = lambda line: None,
) -> Audit:
    """Run the experiments of the lessons on a project, and return its report card.

    The project's folder is only read. All that is made on the engine is removed at the end, however it ends.

    Args:
        project: a folder with a Dockerfile, or a `Project`, which also says how it is built and started.
        bases: what to use instead of base images that cannot be pulled: ``{"python:3.12-slim": ""}``; an empty text is
            the lab's base image.
        only: the ids of the checks to make; all, if empty.
        skip: the ids of checks to leave out.
        timeout: in seconds.
        report: is called with each line about what goes on.

    Raises:
        LabError: it could not be audited: there is no Dockerfile, the build failed, the application never listened,
            ended, or needs a variable or a server that its log names; or there is no such check.
    """
    return examine(project, chosen(only, skip), bases or {}, timeout, report)[0]


def examine(
    project: str | Path | Project, checks: Sequence[Check], bases: Mapping[str, str], timeout: float, report: Report
) -> tuple[Audit, Observations]:
    """As `audit`, and what was observed."""
    if not isinstance(project, Project):
        project = find(project)
    with audit_lab(report) as lab:
        limits = Limits(lab.engine, lab.client.info()["DockerRootDir"], timeout)
        try:
            return _Audit(lab, project, checks, limits, report).carry_out(bases)
        finally:
            limits.cancelled.set()


def chosen(only: Collection[str], skip: Collection[str]) -> list[Check]:
    """The selected checks, in their order.

    Raises:
        LabError: there is no such check.
    """
    only, skip = ([given] if isinstance(given, str) else given for given in (only, skip))
    if unknown := [id_ for id_ in [*only, *skip] if id_ not in CHECK_IDS]:
        raise LabError(f"There is no check {unknown[0]!r}.", f"The checks are {', '.join(CHECK_IDS)}.")
    return [check for check in CHECKS if (not only or check.id in only) and check.id not in skip]


@contextlib.contextmanager
def audit_lab(report: Report) -> Iterator[Lab]:
    """A lab for an audit. At the end, nothing of it is left on the engine or in the workspaces."""
    found = engine.ensure(report)
    with contextlib.closing(found.client()) as client:
        cleanup.sweep(client)
        base = engine.base_image.ensure(client, report)
    lab = Lab("audit", found, base)
    try:
        yield lab
    finally:
        try:
            if (closed := lab.close()).left:
                report(str(closed))
            with contextlib.suppress(APIError, DockerException, OSError):
                build_cache.prune_large_contexts(lab.client, LARGE_CONTEXT_BYTES)
            lab.client.close()
        finally:
            workspace.remove(lab.workspace)


class _Audit:
    def __init__(self, lab: Lab, project: Project, checks: Sequence[Check], limits: Limits, report: Report) -> None:
        self.lab = lab
        self.project = project
        self.checks = checks
        self.limits = limits
        self.report = report
        self.needs = frozenset().union(*(check.needs for check in checks))

    def carry_out(self, bases: Mapping[str, str]) -> tuple[Audit, Observations]:
        project = self.project
        source = build_context.find(project.folder, project.dockerfile)
        prepared = base_images.prepare(self.lab, project, source, bases)
        for line in project.left_out:
            self.report(line)
        for line in dict.fromkeys(f"{item.image} is replaced by {item.by}." for item in prepared.substituted):
            self.report(line)
        parsed = dockerfiles.parse(source.text)
        self.report(f"Building {project.shown} …")
        try:
            made = self._build(prepared.dockerfile)
        except BuildFailed as error:
            if prepared.substituted:
                others = ", ".join(
                    dict.fromkeys(f"{item.by} in place of {item.image}" for item in prepared.substituted)
                )
                error.do += f" It was built on {others}: another Python or system may be the reason."
            raise
        with errors_explained(self.lab, project.shown):
            config = self.lab.client.images.get(made.image).attrs["Config"]
        observed = Observations(
            project,
            parsed,
            made,
            user=config.get("User") or "",
            stop_signal=project.stop_signal or config.get("StopSignal") or "",
            memory_limit_bytes=MEMORY_BYTES,
        )
        with errors_explained(self.lab, project.shown):
            limited, not_limited = container_limits(self.lab.client.info())
        self.report("Running the experiments …")
        self._experiment(observed, prepared.dockerfile, source.dockerfile)
        card = Audit(
            version=version("dockerlab"),
            project=project.shown,
            dockerfile=project.dockerfile.as_posix(),
            substituted=prepared.substituted,
            checks=tuple(check.find(observed) for check in self.checks),
            left_out=project.left_out,
            limited=limited,
            not_limited=not_limited,
        )
        return card, observed

    def _build(self, dockerfile: Path) -> Build:
        with self.limits.on_builds():
            return build(
                self.lab,
                self.project.folder,
                name="audit",
                dockerfile=dockerfile,
                build_args=self.project.build_args,
                target=self.project.target,
                progress=False,
                timeout=self.limits.left + 30,  # the limits themselves say it better
                watch=self.limits.reached,
            )

    def _experiment(self, observed: Observations, dockerfile: Path, original: Path) -> None:
        """Run the experiments that the checks need, side by side, and keep what they observed."""
        from .runner import SLOW_SECONDS, Runner

        runner = Runner(self.lab, self.project, observed.build.image, self.limits)
        needs = self.needs | ({"idle"} if self.needs & {"in-flight", "stream", "read-only", "health"} else set())
        work: dict[str, Callable[[], Any]] = {
            "idle": lambda: runner.idle("health" in needs),
            "in-flight": lambda: runner.stopped_with("in-flight", f"{probe.PREFIX}slow?seconds={SLOW_SECONDS}"),
            "stream": lambda: runner.stopped_with("stream", f"{probe.PREFIX}stream"),
            "read-only": runner.read_only,
            "rebuilds": lambda: rebuilds.rebuild(
                self.lab, self.project, dockerfile, self.lab.workspace / "changed", self.limits
            ),
            "layers": lambda: image_secrets.read(
                self.lab, observed.build.image, observed.dockerfile, self.limits.reached
            ),
            "context": lambda: build_context.context(self.project.folder, self.project.dockerfile),
            "lint": lambda: hadolint(original),
        }
        pool = ThreadPoolExecutor(len(work), thread_name_prefix="audit")
        try:
            with self.limits.on_builds():
                running = {name: pool.submit(do) for name, do in work.items() if name in needs}
                self._wait(running, runner)
        except BaseException:
            # Containers go first: threads that wait for one end then.
            self.limits.cancelled.set()
            runner.known.set()
            with contextlib.suppress(LabError):
                cleanup.remove_containers(self.lab.client, self.lab.id)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        self._keep(observed, running)

    def _wait(self, running: Mapping[str, Future[Any]], runner: Runner) -> None:
        """Wait for all experiments. Raise at once what keeps the application from being audited at all."""
        waiting = set(running.values())
        while waiting:
            _, waiting = wait(waiting, timeout=0.25)
            if "idle" in running and running["idle"].done() and not runner.known.is_set():
                running["idle"].result()
            if reason := self.limits.reached():
                raise LabError(reason, "Allow it longer with --timeout, or see in its log what it waits for.")

    def _keep(self, observed: Observations, running: Mapping[str, Future[Any]]) -> None:
        from httpx import HTTPError

        for name, future in running.items():
            try:
                result = future.result()
            except LabError as error:
                if name == "idle":
                    raise
                observed.reasons[name] = error.seen.rstrip(".")
                continue
            except (OSError, ValueError, LookupError, DockerException, HTTPError) as error:
                if name == "idle":
                    raise LabError(f"The application could not be observed: {error!r}.", "Try again.") from error
                observed.reasons[name] = f"it could not be observed ({type(error).__name__}: {error})"
                continue
            if name == "idle":
                observed.idle, observed.health = result
            else:
                setattr(observed, name.replace("-", "_"), result)
