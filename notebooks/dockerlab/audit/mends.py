"""Suggestions that are proven: the mended Dockerfile is audited, in a folder of its own, before it is shown."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..build import build_context
from ..build.build_context import Source
from ..errors import LabError
from ..records import VERDICTS, Audit
from .auditor import audit
from .observations import Observations
from .project import Project
from .suggest import Suggestion, suggest

_TRIES = 3


def proven(
    project: Project,
    card: Audit,
    observed: Observations,
    options: Mapping[str, Any],
    report: Callable[[str], None],
) -> tuple[Suggestion, ...]:
    """The mends whose checks pass on a mended copy of the Dockerfile, where no other check is worse than before.

    Args:
        project: what was audited.
        card: what was found.
        observed: what was observed.
        options: what `audit` was called with.
        report: is told what goes on, and which mend was tried and not kept.
    """
    source = build_context.find(project.folder, project.dockerfile)
    written = text_of(project)
    sent = set(build_context.sent_paths(source))
    wanted = card
    for _ in range(_TRIES):
        found = suggest(
            written,
            wanted,
            read=lambda path: _text(source, path, sent),
            target=project.target,
            writes_own_folders=_writes(observed),
        )
        if not found:
            return ()
        report("Auditing a copy of the Dockerfile with the mends that come into question …")
        not_kept = _not_kept(project, source, card, found, options, report)
        if not not_kept:
            return found
        report(f"Tried, and not kept: {', '.join(sorted(not_kept))} did not pass with the mend.")
        checks = tuple(f for f in wanted.checks if f.id not in not_kept)
        wanted = replace(wanted, checks=checks)
    return ()


def _not_kept(
    project: Project,
    source: Source,
    before: Audit,
    found: tuple[Suggestion, ...],
    options: Mapping[str, Any],
    report: Callable[[str], None],
) -> set[str]:
    """The checks of mends that do not mend, or that make another check worse."""
    with tempfile.TemporaryDirectory(prefix="dockerlab-mend-") as folder:
        copy = Path(folder) / "Dockerfile"
        copy.write_text(found[-1].text, encoding="utf-8", newline="")
        if source.ignore_file and source.ignore_file.name != ".dockerignore":
            shutil.copyfile(source.ignore_file, copy.with_name("Dockerfile.dockerignore"))
        try:
            after = audit(replace(project, dockerfile=copy), **options)
        except LabError as error:
            report(f"With the mends it could not be audited: {error.seen}")
            return set(found[-1].checks)
    verdicts = {finding.id: finding.verdict for finding in after.checks}
    bad = {id_ for suggestion in found for id_ in suggestion.checks if verdicts.get(id_) != "pass"}
    if bad:
        return {id_ for suggestion in found if bad & set(suggestion.checks) for id_ in suggestion.checks}
    order = {verdict: number for number, verdict in enumerate(VERDICTS)}
    worse = [
        f.id for f in before.checks if order[verdicts.get(f.id, "pass")] > order[f.verdict] and f.verdict != "fail"
    ]
    return set(found[-1].checks) if worse else set()


def text_of(project: Project) -> str:
    """The Dockerfile with the line ends that it has, so that a diff of it can be applied."""
    return project.path.read_bytes().decode("utf-8-sig")


def _text(source: Source, path: str, sent: set[str]) -> str | None:
    """A file of the build context, or None where it is not sent or is no text."""
    if path not in sent or not (source.folder / path).is_file():
        return None
    try:
        return (source.folder / path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _writes(observed: Observations) -> bool:
    """Whether the application writes anywhere but to /tmp, or that is not known."""
    if not observed.idle or not observed.read_only:
        return True
    return bool(observed.idle.written) or not observed.read_only.answered
