"""Build an image, and see what the builder did with each instruction.

The engine is asked by its API, as `docker build` asks it: the folder goes there as a tar file, and the answer tells how
the build goes. With `version=2`, BuildKit does the work and answers with structured messages. An engine that has no
BuildKit answers otherwise, and that is read, too.
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
from ..engine import engine_errors, registry
from ..errors import BuildFailed, EngineUnreachable, LabError
from ..lab import build_cache, ledger
from ..lab.lab import Lab
from ..records import Build, Step
from . import build_context, build_errors, build_progress
from . import dockerfile as dockerfiles
from .build_context import Source, context
from .buildkit_trace import Trace
from .classic_builder import ClassicText

__all__ = ["build", "context"]

_REFRESH_SECONDS = 0.25
_HEAD_SECONDS = 60
"""How long to wait for what `_settle_heads` does: a fraction of a second, on a busy machine several."""


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
        no_cache: carry out everything anew.
        progress: show the steps while they are carried out. What stays of that in a notebook is an empty output.
        timeout: seconds after which the build is cancelled.
        watch: asked several times a second; the build is cancelled for the reason that it returns, if any.

    Raises:
        BuildFailed: the project is incomplete, an instruction failed, the disk is full, or the time is over. Nothing is
            left of it on the engine but what the build cache has kept.
        EngineUnreachable: the engine does not answer, or went away in the middle.
    """
    source = build_context.find(project, dockerfile)
    parsed = dockerfiles.parse(source.text)
    name = name or source.folder.resolve().name
    given = {key: value if value is None else str(value) for key, value in (build_args or {}).items()}
    arguments = {**lab.client.api._proxy_configs.get_environment(), **given}
    if parsed.declares("BASE_IMAGE"):
        arguments.setdefault("BASE_IMAGE", lab.base_image)
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
    run = _Run(lab, source, Trace(parsed, target), ClassicText(parsed), timeout, watch)
    shown = build_progress.start(progress)
    try:
        if lab.engine.kind == "docker":
            run.have_images(parsed.images(target, arguments))
            _settle_heads(lab, parsed, target, arguments)
        run.begin([step.text for step in parsed.steps(target)])
        with (
            engine_errors.explained(lab.engine.url, f"while {name!r} was built"),
            build_context.archive(source) as (tar, size),
        ):
            seconds = run.carry_out(parameters, tar, shown)
        run.expect_image()
    finally:
        shown.end(run.builder.steps())
        run.clean_up()
    return Build(
        name=name,
        image=tag,
        image_id=run.image or lab.client.api.inspect_image(tag)["Id"],
        seconds=seconds,
        steps=tuple(
            Step(step.instruction, step.state != "built", step.seconds if step.state == "built" else 0.0, log=step.log)
            for step in run.builder.steps()
        ),
        builder="buildkit" if run.builder is run.trace else "classic",
        context_bytes=size,
    )


def _settle_heads(lab: Lab, parsed: dockerfiles.Dockerfile, target: str | None, arguments: Mapping[str, str]) -> None:
    """Have the first step that many projects share in the build cache before any build goes on from it.

    While a build goes on, BuildKit holds the steps that it has carried out in a way in which another build that begins
    with them finds none of its own later steps in the cache, and carries them all out again (pull request 6954 of
    github.com/moby/buildkit describes it; the mend, 6955, was merged in July 2026). Steps that were found in the cache
    do no such harm. What projects share that have nothing to do with each other is `FROM` and `WORKDIR`. These take a
    moment, so a build of their own carries them out.

    That build is a precaution: what is wrong with the project, the project's own build tells.
    """
    for base, text in parsed.heads(target, arguments):
        if text in lab.cached_prefixes:
            continue
        with contextlib.suppress(LabError, APIError, DockerException, requests.RequestException, OSError):
            lab.client.api.inspect_image(base)  # what would have to be pulled is left to the project's build, and shown
            # One at a time: of two that carry the step out together, the later end is what counts.
            with ledger.alone(lab.client, _HEAD_SECONDS):
                _settle(lab, text, arguments)
        lab.cached_prefixes.add(text)


def _settle(lab: Lab, text: str, arguments: Mapping[str, str]) -> None:
    parsed = dockerfiles.parse(text)
    with tempfile.TemporaryDirectory() as folder:
        source = Source(Path(folder), Path(folder, "Dockerfile"), text, "Dockerfile", is_outside=True, ignore_file=None)
        run = _Run(lab, source, Trace(parsed), ClassicText(parsed), _HEAD_SECONDS, lambda: "")
        run.begin([step.text for step in parsed.steps()])
        parameters = {
            "dockerfile": source.name,
            "buildargs": json.dumps(arguments),
            "labels": json.dumps(lab.labels | {labels.HEAD: "1"}),
        }
        try:
            with build_context.archive(source) as (tar, _):
                run.carry_out(parameters, tar, build_progress.start(False))
            lab.client.api.remove_image(run.image or run.text.image)
        finally:
            run.clean_up()


class _Run:
    """One request to build, and what has come of it.

    Attributes:
        builder: what reads the answer: the trace of BuildKit, or the text of another builder.
        image: the id of the image, when it is built.
    """

    def __init__(
        self, lab: Lab, source: Source, trace: Trace, text: ClassicText, timeout: float, watch: Callable[[], str]
    ) -> None:
        self._lab = lab
        self._client = lab.client
        self._url = lab.engine.url
        self._source = source
        self._timeout = timeout
        self._watch = watch
        self.trace = trace
        self.text = text
        self.builder: Trace | ClassicText = trace
        self.image = ""
        self._begun: Path | None = None

    def begin(self, instructions: Sequence[str]) -> None:
        """Note that a build begins, whatever becomes of this process."""
        with contextlib.suppress(APIError, DockerException, requests.RequestException, OSError):
            self._begun = ledger.begin_build(self._client, instructions)

    def have_images(self, images: Sequence[str]) -> None:
        """Pull the images that the engine does not have; the lab removes them when it is closed."""
        for image in images:
            try:
                if image != self._lab.base_image:
                    self._client.api.inspect_image(image)
            except ImageNotFound:
                self._pull(image)
            except (APIError, DockerException, requests.RequestException, OSError):
                continue  # whatever it is, the build tells

    def _pull(self, image: str) -> None:
        deadline = time.monotonic() + self._timeout
        try:
            for _ in registry.pull(self._client, image, self._timeout):
                if time.monotonic() > deadline:
                    raise self._too_slow()
                if reason := self._watch():
                    raise self._cancelled(reason)
        except registry.NotPulled as error:
            # As BuildKit says it.
            said = f"failed to resolve source metadata for {image}: {error.seen}"
            raise self._gone("") or build_errors.explain(self._source, said, [], error.do) from error
        self._lab.pulled.add(image)

    def carry_out(self, parameters: Mapping[str, Any], tar: IO[bytes], shown: build_progress.Progress) -> float:
        """Send the context, follow the answer to its end, and return how long that took."""
        began = last_shown = time.monotonic()
        error = ""
        with self._answer(parameters, tar) as messages:
            for message in self._until(began + self._timeout, messages):
                if message is not None:
                    error = self._read(message) or error
                if time.monotonic() - last_shown >= _REFRESH_SECONDS:
                    shown.show(self.builder.steps())
                    last_shown = time.monotonic()
                    self._goes_on()
        seconds = time.monotonic() - began
        if error:
            self.text.fail(error)
            raise self._gone(error) or build_errors.explain(self._source, error, self.builder.steps())
        return seconds

    def expect_image(self) -> None:
        if not self.image and not self.text.image:
            raise self._gone("") or BuildFailed("The builder's answer ended without an image.", "Build again.")

    def clean_up(self) -> None:
        """Note what the build has put into the build cache; of a failed one, remove what has no name."""
        with contextlib.suppress(APIError, DockerException, requests.RequestException, OSError):
            if not self.trace.is_all_cached:
                ledger.note_build_records(self._client, self._records())
            if self._begun:
                ledger.end_build(self._begun)
            if not self.text.image:
                for image in reversed(self.text.made):
                    with contextlib.suppress(APIError, ImageNotFound):  # something else has been built on it
                        self._client.api.remove_image(image)

    def _goes_on(self) -> None:
        with contextlib.suppress(OSError):
            if self._begun:
                self._begun.touch()

    # --- the request ---

    @contextlib.contextmanager
    def _answer(self, parameters: Mapping[str, Any], tar: IO[bytes]) -> Iterator[Iterator[dict[str, Any]]]:
        """The messages of the answer. Leaving the block before their end makes the engine cancel the build."""
        response = self._post({**parameters, "version": "2"}, tar)
        if response.status_code >= 400 and "buildkit" in response.text.lower():
            tar.seek(0)
            response = self._post({**parameters, "version": "1"}, tar)
        if response.status_code >= 400:
            message = _message(response)
            raise build_errors.explain(self._source, message, [])
        lines = CancellableStream(response.iter_lines(chunk_size=64 * 1024), response)
        try:
            yield (json.loads(line) for line in lines if line)
        finally:
            with contextlib.suppress(OSError, DockerException, AttributeError):
                lines.close()
            response.close()

    def _post(self, parameters: Mapping[str, Any], tar: IO[bytes]) -> requests.Response:
        api = self._client.api
        headers = {"Content-Type": "application/x-tar"}
        # Longer than the build may take: while the answer is read, the deadline decides, and not the socket.
        silence = max(self._timeout, 0) + 5
        try:
            return api._post(
                api._url("/build"), params=parameters, data=tar, headers=headers, stream=True, timeout=silence
            )
        except requests.Timeout as error:
            raise self._too_slow() from error
        except (requests.RequestException, OSError) as error:
            raise self._unreachable("did not take the build", error) from error

    def _until(self, deadline: float, messages: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any] | None]:
        """Each message as it comes, and None every now and then while there is none."""
        arrived: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

        def read() -> None:
            with contextlib.suppress(requests.RequestException, OSError, ValueError):  # it is the end, whatever it was
                for message in messages:
                    arrived.put(message)
            arrived.put(None)

        threading.Thread(target=read, daemon=True, name="build answer").start()
        while True:
            if time.monotonic() > deadline:
                raise self._too_slow()
            if reason := self._watch():
                raise self._cancelled(reason)
            try:
                message = arrived.get(timeout=_REFRESH_SECONDS)
            except queue.Empty:
                yield None
                continue
            if message is None:
                return
            yield message

    # --- the answer ---

    def _read(self, message: dict[str, Any]) -> str:
        """Take in one message, and return the error that it tells, if any. What it is, its content says."""
        if message.get("id") == "moby.buildkit.trace":
            self.trace.add(message["aux"])
        elif "stream" in message:
            self.builder = self.text
            self.text.add(message["stream"])
        elif isinstance(aux := message.get("aux"), dict) and "ID" in aux:
            self.image = aux["ID"]
        return message.get("error", "") or message.get("errorDetail", {}).get("message", "")

    def _gone(self, error: str) -> EngineUnreachable | None:
        """The error to raise where the answer broke off because the engine is not there any more."""
        if error and "context canceled" not in error and "EOF" not in error:
            return None
        try:
            self._client.ping()
        except (APIError, DockerException, requests.RequestException, OSError) as unreachable:
            return self._unreachable("went away in the middle of the build", unreachable)
        return None

    def _unreachable(self, what: str, error: Exception) -> EngineUnreachable:
        return EngineUnreachable(
            f"The engine at {self._url} {what} ({error}).",
            "See whether it runs with `dockerlab doctor`, start it, and build again.",
        )

    def _too_slow(self) -> BuildFailed:
        return self._cancelled(
            f"The build was not done within {self._timeout:g} s, and was cancelled.",
            "See in the log what it waits for; if it only needs longer, pass a larger timeout.",
        )

    def _cancelled(self, reason: str, do: str = "The log tells what it was at.") -> BuildFailed:
        running = [step for step in self.builder.steps() if step.state == "running"]
        where = f" It was at `{running[-1].instruction}`." if running else ""
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


def _message(response: requests.Response) -> str:
    try:
        return response.json()["message"]
    except (ValueError, KeyError, TypeError):
        return response.text.strip() or f"HTTP status {response.status_code}"
