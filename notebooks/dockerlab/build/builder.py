"""Build an image, and see what the builder did with each instruction.

It speaks to the engine's API as `docker build` does: the folder goes there as a tar file, and the answer reports how
the build proceeds. With `version=2`, BuildKit builds and answers with structured messages. Podman has no BuildKit and
answers with text, which is read, too.
"""

from __future__ import annotations

import contextlib
import json
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import requests
from docker.errors import APIError, DockerException, ImageNotFound
from docker.types.daemon import CancellableStream

from .. import labels
from ..engine import engine_errors, raw_api, registry
from ..errors import BuildFailed, EngineUnreachable, LabError
from ..lab import build_cache, ledger
from ..lab.lab import Lab
from ..records import Build, Step
from . import build_context, build_errors, build_progress
from . import dockerfile as dockerfiles
from .build_context import BuildSource
from .build_progress import LiveStep, StepDisplay
from .buildkit_trace import Trace
from .dockerfile import Dockerfile
from .podman_output import PodmanOutput

_REFRESH_SECONDS = 0.25
_PREFIX_SECONDS = 60
"""How long to wait for what `warm_cache` does: a fraction of a second, on a busy machine several."""

_ENGINE_ERRORS = (DockerException, OSError)  # each error of `requests` is an OSError


def build(
    lab: Lab,
    project: str | Path,
    *,
    name: str | None = None,
    dockerfile: str | Path = "Dockerfile",
    build_args: Mapping[str, str] | None = None,
    target: str | None = None,
    no_cache: bool = False,
    progress: bool = True,
    timeout: float = 600,
    watch: Callable[[], str] = lambda: "",
) -> Build:
    """Build an image of a project on the lab's engine.

    Where the Dockerfile declares `ARG BASE_IMAGE`, the lab's base image is passed for it.

    Args:
        lab: what the image belongs to: it goes when the lab is closed.
        project: the build context: the folder that is sent to the builder.
        name: a short name, for the image's tag and the record; the folder's name if None.
        dockerfile: a path from the folder, or an absolute one; it may lie outside.
        build_args: values for the Dockerfile's `ARG`s.
        target: the build stage to stop at; the last if None.
        no_cache: execute every step, whatever the build cache has.
        progress: show the steps during the build. What stays of that in a notebook is an empty output.
        timeout: seconds after which the build is cancelled.
        watch: called several times a second; the build is cancelled for the reason that it returns, if any.

    Raises:
        BuildFailed: the project is incomplete, an instruction failed, the disk is full, or the time is over. Only the
            build cache keeps something of it.
        EngineUnreachable: the engine does not answer, or went away in the middle.
    """
    source = build_context.find(project, dockerfile)
    parsed = dockerfiles.parse(source.text)
    name = name or source.folder.resolve().name
    arguments = _arguments(lab, parsed, build_args or {})
    tag = lab.tag(name)
    parameters = {
        "t": tag,
        "dockerfile": source.name,
        "buildargs": json.dumps(arguments),
        "labels": json.dumps(lab.labels),
        "target": target or "",
        "nocache": no_cache,
        "rm": True,
        "forcerm": True,  # no container is left of a failed step, where builds run in containers
    }
    request = _BuildRequest(lab, source, parsed, target, timeout, watch)
    display = build_progress.start(progress)
    try:
        if lab.engine.kind == "docker":
            request.pull_missing(parsed.images(target, arguments))
            warm_cache(lab, parsed, target, arguments)
        with engine_errors.explained(lab.engine.url, f"while {name!r} was built"):
            request.execute(parameters, display)
    finally:
        display.end(request.builder.steps())
    return Build(
        name=name,
        image=tag,
        image_id=request.image or lab.client.images.get(tag).attrs["Id"],
        seconds=request.seconds,
        steps=tuple(_step(step) for step in request.builder.steps()),
        builder="buildkit" if request.builder is request.trace else "classic",
        context_bytes=request.context_bytes,
    )


def _step(step: LiveStep) -> Step:
    is_built = step.state == "built"
    return Step(step.instruction, not is_built, step.seconds if is_built else 0.0, log=step.log)


def _arguments(lab: Lab, parsed: Dockerfile, given: Mapping[str, str]) -> dict[str, str]:
    """The build arguments: the client's proxies, then the caller's, and the base image where it is declared."""
    proxies = lab.client.api._proxy_configs  # type: ignore[attr-defined]  # the stub has no private attributes
    texts = {key: value if value is None else str(value) for key, value in given.items()}
    arguments: dict[str, str] = {**proxies.get_environment(), **texts}
    if parsed.declares("BASE_IMAGE"):
        arguments.setdefault("BASE_IMAGE", lab.base_image)
    return arguments


def warm_cache(lab: Lab, parsed: Dockerfile, target: str | None, arguments: Mapping[str, str]) -> None:
    """Put the prefix of the Dockerfile, `FROM` and `WORKDIR`, into the build cache before the build itself begins.

    While a build runs, BuildKit holds the steps that it has executed in a way in which another build that begins with
    them finds none of its own later steps in the cache, and executes them all again (pull request 6954 of
    github.com/moby/buildkit describes it; the fix, 6955, was merged in July 2026). Steps that were found in the cache
    do no such harm. Projects that have nothing to do with each other share `FROM` and `WORKDIR`. These take a moment,
    so a build of their own executes them.

    That build is a precaution: what is wrong with the project, the project's own build reports.
    """
    for base, text in parsed.prefixes(target, arguments):
        if text in lab.cached_prefixes:
            continue
        with contextlib.suppress(LabError, *_ENGINE_ERRORS):
            lab.client.images.get(base)  # what would have to be pulled is left to the project's build, and shown
            # One at a time: of two that execute the step together, the later end is what counts.
            with ledger.alone(lab.client, _PREFIX_SECONDS):
                _build_prefix(lab, text, arguments)
        lab.cached_prefixes.add(text)


def _build_prefix(lab: Lab, text: str, arguments: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "Dockerfile")
        source = BuildSource(path.parent, path, text, path.name, is_outside=True, ignore_file=None)
        request = _BuildRequest(lab, source, dockerfiles.parse(text), None, _PREFIX_SECONDS, lambda: "")
        parameters = {
            "dockerfile": source.name,
            "buildargs": json.dumps(arguments),
            "labels": json.dumps(lab.labels | {labels.CACHE_WARMING: "1"}),
        }
        request.execute(parameters, build_progress.start(False))
        lab.client.api.remove_image(request.image)


class _BuildRequest:
    """One request to build, and what has come of it.

    Attributes:
        builder: what reads the answer: BuildKit's trace, or Podman's output.
        image: the id of the image, when it is built.
        seconds: how long the build took, the sending of the context included.
        context_bytes: the size of the files that were sent.
    """

    def __init__(
        self,
        lab: Lab,
        source: BuildSource,
        dockerfile: Dockerfile,
        target: str | None,
        timeout: float,
        watch: Callable[[], str],
    ) -> None:
        self._lab = lab
        self._client = lab.client
        self._source = source
        self._instructions = [step.text for step in dockerfile.steps(target)]
        self._timeout = timeout
        self._watch = watch
        self.trace = Trace(dockerfile, target)
        self._podman = PodmanOutput(dockerfile)
        self.builder: Trace | PodmanOutput = self.trace
        self.image = ""
        self.seconds = 0.0
        self.context_bytes = 0
        self._begun: Path | None = None

    def pull_missing(self, images: Sequence[str]) -> None:
        """Pull the images that the engine does not have; the lab removes them when it is closed."""
        for image in images:
            try:
                if image != self._lab.base_image:
                    self._client.images.get(image)
            except ImageNotFound:
                self._pull(image)
            except _ENGINE_ERRORS:
                continue  # whatever it is, the build reports it

    def _pull(self, image: str) -> None:
        deadline = time.monotonic() + self._timeout
        try:
            for _ in registry.pull(self._client, image, self._timeout):
                self._check(deadline)
        except registry.NotPulled as error:
            # As BuildKit says it.
            said = f"failed to resolve source metadata for {image}: {error.seen}"
            raise self._gone("") or build_errors.explain(self._source, said, [], error.do) from error
        self._lab.pulled.add(image)

    def execute(self, parameters: Mapping[str, Any], display: StepDisplay) -> None:
        """Send the context and follow the answer to its end, with notes in the ledger whatever becomes of this process.

        Raises:
            BuildFailed: there is no image.
            EngineUnreachable: the engine went away.
        """
        with contextlib.suppress(*_ENGINE_ERRORS):
            self._begun = ledger.begin_build(self._client, self._instructions)
        try:
            with build_context.archive(self._source) as (tar, self.context_bytes):
                error = self._follow(parameters, tar, display)
            if error:
                self._podman.fail(error)
                raise self._gone(error) or build_errors.explain(self._source, error, self.builder.steps())
            if not self.image and not self._podman.image:
                raise self._gone("") or BuildFailed("The builder's answer ended without an image.", "Build again.")
        finally:
            self._clean_up()

    def _follow(self, parameters: Mapping[str, Any], tar: IO[bytes], display: StepDisplay) -> str:
        """Send the request, read the answer to its end, and return the error in it, if any."""
        began = last_shown = time.monotonic()
        error = ""
        with self._answer(parameters, tar) as messages:
            for message in self._until(began + self._timeout, messages):
                if message is not None:
                    error = self._read(message) or error
                if time.monotonic() - last_shown >= _REFRESH_SECONDS:
                    display.show(self.builder.steps())
                    last_shown = time.monotonic()
                    if self._begun:
                        with contextlib.suppress(OSError):
                            self._begun.touch()
        self.seconds = time.monotonic() - began
        return error

    def _clean_up(self) -> None:
        """Note what the build has put into the build cache; of a failed one, remove what has no name."""
        with contextlib.suppress(*_ENGINE_ERRORS):
            if not self.trace.is_all_cached:
                ledger.note_build_records(self._client, self._records())
            if self._begun:
                ledger.end_build(self._begun)
            if not self._podman.image:
                for image in reversed(self._podman.made):
                    with contextlib.suppress(APIError):  # something else has been built on it
                        self._client.api.remove_image(image)

    # --- the request ---

    @contextlib.contextmanager
    def _answer(self, parameters: Mapping[str, Any], tar: IO[bytes]) -> Iterator[Iterator[dict[str, Any]]]:
        """The messages of the answer. Leaving the block before their end makes the engine cancel the build."""
        response = self._post({**parameters, "version": "2"}, tar)
        lines = CancellableStream(response.iter_lines(chunk_size=64 * 1024), response)
        try:
            yield (json.loads(line) for line in lines if line)
        finally:
            with contextlib.suppress(OSError, DockerException, AttributeError):
                lines.close()
            response.close()

    def _post(self, parameters: Mapping[str, Any], tar: IO[bytes]) -> requests.Response:
        options = {"headers": {"Content-Type": "application/x-tar"}, "stream": True}
        # Longer than the build may take: while the answer is read, the deadline decides, and not the socket.
        silence = max(self._timeout, 0) + 5
        try:
            return raw_api.request(
                self._client, "post", "/build", params=parameters, data=tar, timeout=silence, **options
            )
        except APIError as error:
            words = error.explanation or f"HTTP status {error.status_code}"
            raise build_errors.explain(self._source, words, []) from error
        except requests.Timeout as error:
            raise self._too_slow() from error
        except OSError as error:
            raise self._unreachable("did not take the build", error) from error

    def _until(self, deadline: float, messages: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any] | None]:
        """Each message as it comes, and None every now and then while there is none.

        It waits at a queue, not by `dockerlab.wait`, which would let a message lie until the next look.
        """
        arrived: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

        def read() -> None:
            with contextlib.suppress(OSError, ValueError):  # it is the end, whatever it was
                for message in messages:
                    arrived.put(message)
            arrived.put(None)

        threading.Thread(target=read, daemon=True, name="build answer").start()
        while True:
            self._check(deadline)
            try:
                message = arrived.get(timeout=_REFRESH_SECONDS)
            except queue.Empty:
                yield None
                continue
            if message is None:
                return
            yield message

    def _check(self, deadline: float) -> None:
        """Raise the error that cancels the build, where the time is over or the caller has a reason."""
        if time.monotonic() > deadline:
            raise self._too_slow()
        if reason := self._watch():
            raise self._cancelled(reason)

    # --- the answer ---

    def _read(self, message: dict[str, Any]) -> str:
        """Take in one message, and return the error in it, if any. Its content says what it is."""
        if message.get("id") == "moby.buildkit.trace":
            self.trace.add(message["aux"])
        elif "stream" in message:
            self.builder = self._podman
            self._podman.add(message["stream"])
        elif isinstance(aux := message.get("aux"), dict) and "ID" in aux:
            self.image = aux["ID"]
        error: str = message.get("error", "") or message.get("errorDetail", {}).get("message", "")
        return error

    def _gone(self, error: str) -> EngineUnreachable | None:
        """The error to raise where the answer broke off because the engine is no longer there."""
        if error and "context canceled" not in error and "EOF" not in error:
            return None
        try:
            self._client.ping()
        except _ENGINE_ERRORS as unreachable:
            return self._unreachable("went away in the middle of the build", unreachable)
        return None

    def _unreachable(self, what: str, error: Exception) -> EngineUnreachable:
        return EngineUnreachable(
            f"The engine at {self._lab.engine.url} {what} ({error}).",
            "See whether it runs with `dockerlab doctor`, start it, and build again.",
        )

    def _too_slow(self) -> BuildFailed:
        return self._cancelled(
            f"The build did not finish within {self._timeout:g} s, and was cancelled.",
            "See in the log what it waits for; if it only needs longer, pass a larger timeout.",
        )

    def _cancelled(self, reason: str, do: str = "The log says what it was doing.") -> BuildFailed:
        running = [step for step in self.builder.steps() if step.state == "running"]
        where = f" It was running `{running[-1].instruction}`." if running else ""
        log = "\n".join(running[-1].log.splitlines()[-10:]) if running else ""
        return BuildFailed(f"{reason}{where}", do, log=log)

    # --- what stays on the engine ---

    def _records(self) -> list[str]:
        """The records in the build cache that this build has made."""
        return [
            record["ID"]
            for record in build_cache.records(self._client)
            if build_cache.created_nanoseconds(record) >= self.trace.earliest
            and self.trace.describes(record["Description"])
        ]
