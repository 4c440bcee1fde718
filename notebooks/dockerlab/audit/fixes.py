"""Fixes of a Dockerfile, each proven before it is shown: a changed copy is audited. The project stays as it is."""

from __future__ import annotations

import difflib
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ..build import build_context
from ..build.build_context import BuildSource
from ..errors import LabError
from ..records import VERDICTS, Audit
from .fix_order import Read, dependencies_first
from .fix_start import exec_form, forwarded_allow_ips, user
from .observations import Observations
from .project import Project

_ORDER = "code-change-keeps-dependencies-cached"
_STOPS = ("stops-on-sigterm", "lifespan-shutdown", "pid-1", "workers-stop")


@dataclass(frozen=True)
class Fix:
    """One fix.

    Attributes:
        checks: the checks that it fixes: ``("pid-1", "stops-on-sigterm")``.
        description: what it does and why, in a sentence or two.
        text: the whole Dockerfile with it.
    """

    checks: tuple[str, ...]
    description: str
    text: str


def candidates(
    text: str, card: Audit, *, read: Read, target: str | None = None, writes_own_folders: bool = True
) -> tuple[Fix, ...]:
    """The fixes for what an audit found. Each builds on the one before, so the last one's text has all of them.

    Args:
        text: the Dockerfile that was audited, as its owner wrote it.
        card: what was found.
        read: gives the files of the build context.
        target: the build stage that was audited; the last if None.
        writes_own_folders: whether the application writes anywhere but to `/tmp`: then another user could not.
    """
    lines = {finding.id: finding.line for finding in card.checks}

    def found(verdict: str, *ids: str) -> tuple[str, ...]:
        return tuple(each.id for each in card.checks if each.id in ids and each.verdict == verdict)

    steps: list[tuple[tuple[str, ...], Callable[[str], tuple[str, str] | None]]] = [
        # First, because it goes by the number of a line.
        (found("fail", _ORDER), partial(dependencies_first, read=read, line=lines.get(_ORDER))),
        (found("fail", *_STOPS), partial(exec_form, target=target)),
        (found("warn", "behind-tls-proxy"), partial(forwarded_allow_ips, target=target)),
        (() if writes_own_folders else found("warn", "non-root"), partial(user, target=target)),
    ]
    fixes: list[Fix] = []
    for ids, fix in steps:
        if ids and (fixed := fix(fixes[-1].text if fixes else text)):
            fixes.append(Fix(ids, fixed[1], fixed[0]))
    return tuple(fixes)


def proven(
    project: Project,
    card: Audit,
    observed: Observations,
    audit: Callable[[Project], Audit],
    report: Callable[[str], None],
) -> tuple[Fix, ...]:
    """The fixes whose checks pass on a changed copy of the Dockerfile, where no other check is worse than before.

    Args:
        project: what was audited.
        card: what was found.
        observed: what was observed.
        audit: audits a project in the same way.
        report: is called with what goes on, and which fix was tried and not kept.
    """
    source = build_context.find(project.folder, project.dockerfile)
    text = text_of(project)
    sent = set(build_context.sent_paths(source))
    app, read_only = observed.idle, observed.read_only
    writes = not (app and read_only and read_only.answered) or bool(app.written)
    wanted = card
    while found := candidates(
        text,
        wanted,
        read=lambda path: _text(source.folder / path) if path in sent else None,
        target=project.target,
        writes_own_folders=writes,
    ):
        report("Auditing a copy of the Dockerfile with the possible fixes …")
        if not (failed := _not_proven(project, source, card, found, audit, report)):
            return found
        report(f"Tried, and not kept: {', '.join(sorted(failed))} did not pass with the fix.")
        wanted = replace(wanted, checks=tuple(each for each in wanted.checks if each.id not in failed))
    return ()


def _not_proven(
    project: Project,
    source: BuildSource,
    before: Audit,
    found: tuple[Fix, ...],
    audit: Callable[[Project], Audit],
    report: Callable[[str], None],
) -> set[str]:
    """The checks of fixes that do not fix them, or that make another check worse."""
    with tempfile.TemporaryDirectory(prefix="dockerlab-fix-") as folder:
        copy = Path(folder) / "Dockerfile"
        copy.write_text(found[-1].text, encoding="utf-8", newline="")
        if source.ignore_file and source.ignore_file.name != ".dockerignore":
            shutil.copyfile(source.ignore_file, copy.with_name("Dockerfile.dockerignore"))
        try:
            after = audit(replace(project, dockerfile=copy))
        except LabError as error:
            report(f"With the fixes it could not be audited: {error.seen}")
            return set(found[-1].checks)
    verdicts = {finding.id: finding.verdict for finding in after.checks}
    if not_passed := {id_ for fix in found for id_ in fix.checks if verdicts.get(id_) != "pass"}:
        return {id_ for fix in found if not_passed & set(fix.checks) for id_ in fix.checks}
    is_worse = any(
        VERDICTS.index(verdicts.get(each.id, "pass")) > VERDICTS.index(each.verdict) and each.verdict != "fail"
        for each in before.checks
    )
    return set(found[-1].checks) if is_worse else set()


def diff(old: str, new: str, name: str) -> str:
    """A unified diff that `git apply` and `patch -p1` take; empty where the texts are the same.

    Args:
        old: the text as it is.
        new: the text with the fix.
        name: the file's path, from where the diff is to be applied.
    """
    old_lines, new_lines = (re.findall(r"[^\n]*\n|[^\n]+$", text) for text in (old, new))  # only LF ends a line
    lines = difflib.unified_diff(old_lines, new_lines, f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def text_of(project: Project) -> str:
    """The Dockerfile with the line ends that it has, so that a diff of it can be applied."""
    return project.path.read_bytes().decode("utf-8-sig")


def _text(path: Path) -> str | None:
    """A file's text; None where it is no file or no text."""
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else None
    except (OSError, UnicodeDecodeError):
        return None
