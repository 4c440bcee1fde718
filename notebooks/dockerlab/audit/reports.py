"""The report card of an audit, written for people (table, Markdown) and for CI systems (JSON, JUnit, SARIF).

A report depends on the audit alone: it holds no date, no machine and no seconds but those in the findings. Where a
project's own text could act on what displays it (terminal codes, markup, characters that XML forbids), it is shown as
text.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os.path
import re
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import LabError
from ..records import VERDICTS, Audit, Finding

SYMBOLS = {"pass": "✓", "warn": "!", "fail": "✗", "not measured": "–"}
"""A sign for each verdict, beside its word."""

_COLOURS = {"pass": "green", "warn": "yellow", "fail": "red", "not measured": "dim"}
_LEVELS = {"fail": "error", "warn": "warning"}  # SARIF's words for what is to be fixed
_TOOL = "dockerlab audit"
_SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def _written_out(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


# Control characters, other line ends than LF, directions of writing, halves of characters, and what is none at all.
_HIDDEN = {
    code: _written_out(code)
    for codes in (
        *(range(0x09), range(0x0B, 0x20), range(0x7F, 0xA0), range(0x2028, 0x202F), range(0x2066, 0x206A)),
        range(0xD800, 0xE000),
        *((plane << 16 | 0xFFFE, plane << 16 | 0xFFFF) for plane in range(17)),
    )
    for code in codes
}

_INSTRUCTION = re.compile(r"(?:CMD|COPY|ENTRYPOINT|ENV|FROM|HEALTHCHECK|RUN|STOPSIGNAL|USER) [^`\n]+")

_LONGEST_TOLD = 2000  # characters of one text in a report that people read; JSON holds all of it
_LONGEST_CELL = 400  # characters of one text in a cell of a table


def render(audit: Audit, format: str, *, width: int = 80, color: bool = False) -> str:
    """A report of an audit, as text that ends with a line end.

    Args:
        audit: what was found.
        format: ``table``, ``json``, ``junit``, ``sarif`` or ``markdown``.
        width: of a table, in characters.
        color: whether a table is colored, by terminal codes. Each verdict has a word and a sign, too.

    Raises:
        LabError: there is no such format.
    """
    if format not in _FORMATS:
        raise LabError(f"There is no report format {format!r}.", f"The formats are {', '.join(FORMATS)}.")
    audit = _cleaned(audit)
    text = _table(audit, width, color) if format == "table" else _FORMATS[format](audit)
    return text.rstrip("\n") + "\n"


# --- JSON ------------------------------------------------------------------------------------------------------------


def _json(audit: Audit) -> str:
    """The audit as `schema.json` beside this module describes it."""
    report = {
        "version": audit.version,
        "project": audit.project,
        "substituted": [{"image": image, "by": by} for image, by in _replaced(audit)],
        "left_out": list(audit.left_out),
        "limited": list(audit.limited),
        "not_limited": list(audit.not_limited),
        "checks": [
            {key: getattr(finding, key) for key in ("id", "verdict", "observed", "why", "fix", "lesson")}
            for finding in audit.checks
        ],
    }
    return json.dumps(report, indent=2, ensure_ascii=False)


# --- table -----------------------------------------------------------------------------------------------------------


def _table(audit: Audit, width: int, color: bool) -> str:
    written = io.StringIO()
    console = Console(
        file=written, width=max(width, 40), force_terminal=color, no_color=not color,
        color_system="standard" if color else None, legacy_windows=False, highlight=False, emoji=False, markup=False,
    )  # fmt: skip
    console.print(Text(f"{_TOOL} of {_title(audit)}", style="bold", overflow="fold"))
    for told in _told_first(audit):
        console.print(Text(_shortened(told, _LONGEST_TOLD), overflow="fold"))
    console.print()
    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    for finding in audit.checks:
        cell = Text(overflow="fold")
        cell.append(finding.id, style="bold")
        cell.append(f": {_shortened(finding.observed, _LONGEST_TOLD)}")
        for name, text in _advice(audit, finding):
            cell.append(f"\n{name}: ", style="bold")
            cell.append(_shortened(text, _LONGEST_TOLD))
        rows.add_row(Text(f"{SYMBOLS[finding.verdict]} {finding.verdict}", style=_COLOURS[finding.verdict]), cell)
    console.print(rows)
    console.print()
    console.print(Text(_counts(audit), style="bold"))
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


# --- Markdown --------------------------------------------------------------------------------------------------------


def _markdown(audit: Audit) -> str:
    lines = [f"## {_TOOL} of {_in_markdown(_title(audit))}", "", f"**{_counts(audit)}**", ""]
    lines += [line for told in _told_first(audit) for line in (_in_markdown(told), "")]
    lines += ["| verdict | check | observed |", "|---|---|---|"]
    lines += [
        f"| {SYMBOLS[each.verdict]} {each.verdict} | {_in_markdown(each.id)} | {_in_markdown(each.observed)} |"
        for each in audit.checks
    ]
    to_fix = [(finding, advice) for finding in audit.checks if (advice := _advice(audit, finding))]
    if to_fix:
        lines += ["", "### What to fix", ""]
    for finding, advice in to_fix:
        lines.append(f"- **{SYMBOLS[finding.verdict]} {_in_markdown(finding.id)}**")
        lines += [f"  - {name}: {_in_markdown(_as_code(text))}" for name, text in advice]
    return "\n".join(lines)


def _in_markdown(text: str) -> str:
    """Text that is shown as it is, on one line, also in a cell; what stands between two backticks is code."""
    text = _shortened(text, _LONGEST_CELL)
    parts = re.split(r"`([^`\n]+)`", text)
    return "".join(_code(part) if number % 2 else _escaped(part) for number, part in enumerate(parts))


def _as_code(text: str) -> str:
    """An instruction of a Dockerfile between backticks; any other text as it is."""
    return f"`{text}`" if _INSTRUCTION.fullmatch(text) else text


def _code(text: str) -> str:
    return "`" + text.replace("|", r"\|") + "`"


def _escaped(text: str) -> str:
    text = re.sub(r"([\\`*{}\[\]|~$])", r"\\\1", text)
    text = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)
    text = re.sub(r"^(\s*)([#+-])", r"\1\\\2", text)
    text = re.sub(r"^(\s*\d+)([.)])", r"\1\\\2", text)
    # As entities: no backslash helps against a mention, or an address that is made into a link.
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")
    text = text.replace("://", "&#58;//").replace("www.", "www&#46;")
    return "<br>".join(re.sub(r"\s+", " ", line) for line in text.split("\n"))


# --- JUnit -----------------------------------------------------------------------------------------------------------


def _junit(audit: Audit) -> str:
    """A test case for each check: a failure where it fails, skipped where nothing was measured.

    JUnit knows no warnings: they pass, and say so in their output.
    """
    counts = {"tests": str(len(audit.checks)), "failures": str(audit.count("fail")), "errors": "0"}
    root = ET.Element("testsuites", {"name": _TOOL, **counts})
    skipped = {"skipped": str(audit.count("not measured"))}
    suite = ET.SubElement(root, "testsuite", {"name": audit.project, **skipped, **counts})
    properties = ET.SubElement(suite, "properties")
    named = [("version", audit.version), ("dockerfile", audit.dockerfile), ("warnings", str(audit.count("warn")))]
    named += [("substituted", f"{image} by {by}") for image, by in _replaced(audit)]
    named += [("left-out", _shortened(text, _LONGEST_TOLD)) for text in audit.left_out]
    named += [("limited", text) for text in audit.limited] + [("not-limited", text) for text in audit.not_limited]
    for name, value in named:
        ET.SubElement(properties, "property", name=name, value=value)
    for finding in audit.checks:
        case = ET.SubElement(suite, "testcase", name=finding.id, classname=_TOOL)
        observed = _shortened(finding.observed, _LONGEST_TOLD)
        advice = [f"{name}: {_shortened(text, _LONGEST_TOLD)}" for name, text in _advice(audit, finding)]
        match finding.verdict:
            case "fail":
                failure = ET.SubElement(case, "failure", type="fail", message=observed)
                failure.text = "\n".join([observed, *advice])
            case "not measured":
                ET.SubElement(case, "skipped", type="not measured", message=observed)
            case verdict:
                ET.SubElement(case, "system-out").text = "\n".join([f"{verdict}: {observed}", *advice])
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


# --- SARIF -----------------------------------------------------------------------------------------------------------


def _sarif(audit: Audit) -> str:
    """A rule for each check, and a result for each that fails (an error) or warns (a warning).

    What passes is no result: some viewers would show it as a fault. What was not measured is a note of the tool.
    """
    dockerfile = {"uri": _uri(audit)}
    results: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = [_note(told) for told in _told_first(audit)]
    for index, finding in enumerate(audit.checks):
        if finding.verdict in _LEVELS:
            region = {"region": {"startLine": finding.line}} if finding.line else {}
            results.append(
                {
                    "ruleId": finding.id,
                    "ruleIndex": index,
                    "level": _LEVELS[finding.verdict],
                    "message": {"text": _in_sarif("\n".join([finding.observed, finding.fix]).strip())},
                    "locations": [{"physicalLocation": {"artifactLocation": dockerfile, **region}}],
                }
            )
        elif finding.verdict == "not measured":
            note = _note(f"{finding.id} was not measured: {finding.observed}")
            notes.append({**note, "associatedRule": {"id": finding.id, "index": index}})
    rules = [_rule(finding) for finding in audit.checks]
    run = {
        "tool": {"driver": {"name": _TOOL, "version": audit.version, "rules": rules}},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notes}],
        "artifacts": [{"location": dockerfile}],
        "results": results,
        "properties": {"project": audit.project},
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _note(text: str) -> dict[str, Any]:
    return {"level": "note", "message": {"text": _in_sarif(text)}}


def _rule(finding: Finding) -> dict[str, Any]:
    """What a check is about. The help names its lesson: a `helpUri` needs a place that everyone can reach."""
    why = _in_sarif(finding.why) or finding.id
    rule: dict[str, Any] = {
        "id": finding.id,
        "name": "".join(word.capitalize() for word in re.findall(r"\w+", finding.id)) or "Check",
        "shortDescription": {"text": finding.id.replace("-", " ") or "check"},
        "fullDescription": {"text": why},
        "help": {"text": why},
        "properties": {"tags": ["docker", "deployment"]},
    }
    if finding.lesson:
        notebook = f"notebooks/{finding.lesson}.ipynb"
        rule["help"] = {
            "text": f"{why}\nThe lesson {notebook} of dockerlab measures it.",
            "markdown": f"{_in_markdown(finding.why)}\n\nThe lesson `{notebook}` of dockerlab measures it.",
        }
        rule["properties"]["lesson"] = finding.lesson
    return rule


def _uri(audit: Audit) -> str:
    """Where the Dockerfile is: relative where the project was named so, as CI systems want it."""
    path = PurePath(os.path.normpath(PurePath(audit.project) / audit.dockerfile))
    return path.as_uri() if path.is_absolute() else urllib.parse.quote(path.as_posix())


def _in_sarif(text: str) -> str:
    """Text in which nothing is a link or a place for an argument, which SARIF's messages may hold."""
    return re.sub(r"\{(\d+)\}", r"{{\1}}", _shortened(text, _LONGEST_TOLD).replace("](", "] ("))


# --- what several formats show ---------------------------------------------------------------------------------------


def _title(audit: Audit) -> str:
    return f"{audit.project} ({audit.dockerfile}), version {audit.version}"


def _counts(audit: Audit) -> str:
    return ", ".join(f"{audit.count(verdict)} {verdict}" for verdict in VERDICTS)


def _replaced(audit: Audit) -> list[tuple[str, str]]:
    """Each replaced image and its replacement, once each."""
    return list(dict.fromkeys((each.image, each.by) for each in audit.substituted))


def _told_first(audit: Audit) -> list[str]:
    """What a reader has to know before the findings."""
    told = [
        f"The base image {each.image} was replaced by {each.by}"
        + (f" (line {each.line} of {audit.dockerfile})." if each.line else ".")
        for each in audit.substituted
    ]
    told += audit.left_out
    if audit.limited or audit.not_limited:
        limited, free = (", ".join(texts) or "nothing" for texts in (audit.limited, audit.not_limited))
        told.append(f"The application's containers had these limits: {limited}. Not limited: {free}.")
    return told


def _advice(audit: Audit, finding: Finding) -> list[tuple[str, str]]:
    """Why a finding matters, what to do, and where: only where there is something to fix."""
    if finding.verdict not in _LEVELS:
        return []
    where = f"{audit.dockerfile}, line {finding.line}" if finding.line else ""
    told = (("why", finding.why), ("where", where), ("fix", finding.fix), ("lesson", finding.lesson))
    return [(name, text) for name, text in told if text]


# --- text that comes from elsewhere ----------------------------------------------------------------------------------


def _cleaned(audit: Audit) -> Audit:
    """The audit, with nothing in its texts but what can be shown."""
    return dataclasses.replace(
        audit,
        version=_on_one_line(audit.version),
        project=_on_one_line(audit.project),
        dockerfile=_on_one_line(audit.dockerfile),
        substituted=tuple(
            dataclasses.replace(each, image=_on_one_line(each.image), by=_on_one_line(each.by))
            for each in audit.substituted
        ),
        left_out=tuple(map(_on_one_line, audit.left_out)),
        limited=tuple(map(_on_one_line, audit.limited)),
        not_limited=tuple(map(_on_one_line, audit.not_limited)),
        checks=tuple(
            dataclasses.replace(each, observed=_shown(each.observed), why=_shown(each.why), fix=_shown(each.fix))
            for each in audit.checks
        ),
    )


def _on_one_line(text: str) -> str:
    return _shown(text).replace("\n", r"\n")


def _shown(text: str) -> str:
    """Text whose control characters are written out (`\\x1b`), as are those that turn the direction of writing.

    Line ends and tabs stay. So do all others that XML and JSON can hold.
    """
    return text.replace("\r\n", "\n").translate(_HIDDEN)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text) - longest} characters more)"


_FORMATS: dict[str, Callable[..., str]] = {
    "table": _table, "json": _json, "junit": _junit, "sarif": _sarif, "markdown": _markdown,
}  # fmt: skip

FORMATS = tuple(_FORMATS)
"""The names of the report formats."""
