"""Why a build failed, and what to do: the builder's messages in a reader's words."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence

from ..engine.engine_errors import DISK_FULL, MAKE_ROOM
from ..errors import BuildFailed
from . import build_context
from .build_context import BuildSource
from .build_progress import LiveStep

_LOG_LINES = 10

# The wording of BuildKit and of Podman, in this order where they differ.
_PARSE = re.compile(r"parse error (?:on )?line (\d+): (.+)", re.DOTALL)
_EXIT_CODE = re.compile(r"(?:exit code: |exit status )(\d+)")
_NO_SOURCE = re.compile(
    r'"/?([^"]+)": not found'
    r"|\blstat (?:\S*/buildkit-mount\d+)?/?([^:\s]+): no such file"
    r'|\bstat: "/?([^"]+)": no such file'
)
_NO_IMAGE = re.compile(
    r"failed to resolve source metadata|pull access denied|manifest (?:for \S+ not found|unknown)|unable to find image"
    r"|no such image|initializing source|no stage or image found|(?:Get|Head) \"https?://",
    re.IGNORECASE,
)
_IMAGE = re.compile(
    r"source metadata for ([^\s:]+(?::\d+/[^\s:]+)?(?::[^\s:]+)?)|denied for ([^\s,]+)|manifest for (\S+)"
    r"|initializing source docker://(\S+):\s"
)

_INTERNALS = (
    (r"failed to (?:compute cache key|solve|calculate checksum of ref [^:]+::[^:]+): ", ""),
    (r'^building at STEP ".*?": (?:Build error: |checking on sources under "[^"]*": copier: )?', ""),
    (r"/\S*/buildkit-mount\d+/", "/"),
    (r"(?s) &imagebuilder\.Step\{.*", ""),
)
"""What a builder's message has that means nothing to a reader, and what is written there."""

# What pip, apt, curl and others print.
_CERTIFICATE = re.compile(
    r"certificate[ _]verif|SSLError|SSL certificate|x509:|local issuer certificate|self[- ]signed certificate",
    re.IGNORECASE,
)
_NETWORK = re.compile(
    r"name or service not known|temporary failure (?:in name resolution|resolving)|could not resolve|no such host"
    r"|getaddrinfo|network is unreachable|no route to host|failed to establish a new connection|connection refused"
    r"|connection timed out|connecttimeout|readtimeout|read timed out|proxyerror|unable to connect to",
    re.IGNORECASE,
)
_NO_PACKAGE = re.compile(r"No matching distribution found for (\S+)|Unable to locate package (\S+)")


def explain(source: BuildSource, message: str, steps: Sequence[LiveStep], hint: str = "") -> BuildFailed:
    """The error to raise for what a builder said.

    Args:
        source: what was built.
        message: the error at the end of the builder's answer.
        steps: what is known of the steps.
        hint: why an image was not given, where more is known of it than the message says.
    """
    failed = _failed(steps)
    log = _last_lines(failed.log) if failed else ""
    said = _in_few_words((failed and failed.error) or message)
    name = source.dockerfile.name

    if found := _PARSE.search(message):
        return _wrong_line(source, int(found[1]), found[2].strip())
    if DISK_FULL.search(message) or DISK_FULL.search(log):
        where = f" at `{_short(failed.instruction)}`" if failed else ""
        return BuildFailed(f"The disk was full{where}.", MAKE_ROOM, log=log or said)
    if failed and (found := _EXIT_CODE.search(failed.error) or _EXIT_CODE.search(message)):
        seen = f"`{_short(failed.instruction)}` ended with exit code {found[1]}."
        return BuildFailed(seen, _advice(failed.log, int(found[1])), log=log)
    if (not failed or failed.instruction.startswith(("COPY", "ADD"))) and (found := _NO_SOURCE.search(message)):
        return _missing_source(source, failed, next(filter(None, found.groups())), said)
    if (not failed or failed.instruction.startswith(("FROM", "COPY"))) and _NO_IMAGE.search(message):
        return _missing_image(source, message, said, hint)
    if failed:
        seen = f"`{_short(failed.instruction)}` failed: {said}."
        return BuildFailed(seen, f"Correct it in {source.dockerfile}, and build again.", log=log)
    return BuildFailed(f"The builder refused {name}: {said}.", f"Correct {source.dockerfile}, and build again.")


def _failed(steps: Sequence[LiveStep]) -> LiveStep | None:
    """The step at which it went wrong. Where stages are built side by side, the others were only cancelled."""
    failed = [step for step in steps if step.state == "failed"]
    return next((step for step in failed if "context canceled" not in step.error), failed[0] if failed else None)


def _wrong_line(source: BuildSource, number: int, what: str) -> BuildFailed:
    lines = source.text.split("\n")  # only LF ends a line of a Dockerfile
    text = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    return BuildFailed(
        f"The builder does not understand line {number} of {source.dockerfile.name}: {what}.",
        f"Correct that line of {source.dockerfile}, and build again.",
        log=f"{number} | {text}",
    )


def _missing_source(source: BuildSource, failed: LiveStep | None, path: str, said: str) -> BuildFailed:
    instruction = f"`{_short(failed.instruction)}`" if failed else "COPY"
    if failed and (stage := re.search(r"--from=(\S+)", failed.instruction)):
        return BuildFailed(
            f"{instruction} found no {path} in {stage[1]}.",
            f"See what is there: build with target={stage[1]!r}, and list the files of that image.",
            log=said,
        )
    file = source.folder / path
    if source.ignore_file and os.path.lexists(file) and path not in build_context.sent_paths(source):
        ignore = source.ignore_file.name
        return BuildFailed(
            f"{instruction} found no {path} in the build context: {ignore} keeps it out.",
            f"Take the pattern that matches it out of {ignore}, or add the line `!{path}` at the end.",
            log=said,
        )
    names = [item.name for item in file.parent.iterdir()] if file.parent.is_dir() else []
    if close := difflib.get_close_matches(file.name, names, n=1, cutoff=0.75):
        do = f"There is {file.with_name(close[0]).relative_to(source.folder)}: is that the one?"
    else:
        do = f"It has to be in {source.folder}: paths in COPY start at the folder that is sent, not at the Dockerfile."
    return BuildFailed(f"{instruction} found no {path} in the build context.", do, log=said)


def _missing_image(source: BuildSource, message: str, said: str, hint: str) -> BuildFailed:
    found = _IMAGE.search(message)
    image = next(filter(None, found.groups())).removeprefix("docker.io/library/") if found else ""
    stage = re.escape(image.removesuffix(":latest"))
    if image and (reference := re.search(rf"(?:--|\b)from={stage}(?=[\s,])", source.text)):
        return BuildFailed(
            f"`{reference[0]}` names neither a stage of {source.dockerfile.name} nor an image that can be fetched.",
            "A stage gets its name in the line that begins it: `FROM … AS name`.",
            log=said,
        )
    return BuildFailed(
        f"The base image{' ' + image if image else ''} is not on the engine, and it could not be fetched.",
        hint
        or "Check its name and tag, and log in with `docker login` if it is private; if no registry can be reached, "
        "begin the Dockerfile as the lessons do, with `ARG BASE_IMAGE` and `FROM ${BASE_IMAGE}`: the lab passes an "
        "image that is here.",
        log=said,
    )


def _advice(log: str, exit_code: int) -> str:
    """What to do about an instruction that ended with an exit code, judging by its log."""
    if _CERTIFICATE.search(log):
        return (
            "Inside the build, a certificate is not trusted: where a network replaces the certificates of sites, the "
            "base image has to know the authority that signs them; `dockerlab doctor` tells whether the lab's does."
        )
    if _NETWORK.search(log):
        return (
            "The network inside the build is at fault, not the Dockerfile: check that the engine's containers reach "
            "the package index; if your network has a proxy, pass it with build_args={'HTTPS_PROXY': …}."
        )
    if found := _NO_PACKAGE.search(log):
        package = found[1] or found[2]
        return f"Check the name and version of {package}, and that there is one for the image's Python and system."
    if exit_code == 137:
        return "It was killed, as happens when the engine's memory is used up: give the engine more of it."
    return "The last lines that it printed say why." if log.strip() else "It printed nothing that explains why."


def _last_lines(log: str) -> str:
    return "\n".join([line for line in log.splitlines() if line.strip()][-_LOG_LINES:])


def _in_few_words(message: str) -> str:
    """The builder's message without its internals: ids, temporary folders, data structures."""
    message = message.strip()
    for internal, kept in _INTERNALS:
        message = re.sub(internal, kept, message)
    return message.rstrip(".")


def _short(instruction: str) -> str:
    return instruction if len(instruction) <= 100 else instruction[:98] + " …"
