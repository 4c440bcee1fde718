"""The reports of an audit are valid to their schemas, whatever a project's texts hold, and tell the same verdicts."""

import dataclasses
import functools
import io
import json
import re
import xml.etree.ElementTree as ET
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import xmlschema
from dockerlab.audit import reports
from dockerlab.audit.reports import FORMATS, render
from dockerlab.errors import LabError
from dockerlab.records import VERDICTS, Audit, Finding, Substitution
from markdown_it import MarkdownIt
from rich.cells import cell_len

SCHEMAS = Path(__file__).parents[1] / "schemas"
OURS = json.loads((resources.files("dockerlab.audit") / "schema.json").read_text(encoding="utf-8"))
SARIF = json.loads((SCHEMAS / "sarif-2.1.0-rtm.5.json").read_text(encoding="utf-8"))

AUDIT = Audit(
    version="0.1.0",
    project="services/api",
    dockerfile="docker/Dockerfile",
    substituted=(Substitution("python:3.12-slim", "dockerlab/base:trixie", 1),),
    checks=(
        Finding("stops-on-sigterm", "pass", "It ended by itself.", "A deployment waits.", "", "03_exec_or_shell"),
        Finding("health-check", "warn", "There is none.", "Nobody sees it hang.", "HEALTHCHECK CMD …", "02_build"),
        Finding(
            "pid-1", "fail", "`/bin/sh` is PID 1.", "A shell passes no signal on.",
            'CMD ["fastapi", "run"]', "03_exec_or_shell", 12,
        ),
        Finding("workers-stop", "not measured", "There is one process.", "Each has work.", "", "03_exec_or_shell"),
    ),
    left_out=("compose.yaml names the variable TOKEN, and nothing was taken from your environment.",),
    limited=("512 MB of memory", "no mounts"),
    not_limited=("the network",),
)  # fmt: skip

HOSTILE = [
    "\x00\x01\x1b[31mred\x1b[0m\x07\x7f\x9b",
    "]]> <![CDATA[ & < > \" ' </failure> &amp; &#0;",
    "a | b || c\n| d |\n\n# heading\n- item\n```\ncode | more\n```",
    "[bold red]x[/] [/nothing] [link=http://evil.example]x[/link] :smile:",
    "![i](http://evil.example/i.png) [a](javascript:alert(1)) <script>alert(1)</script> @everyone www.evil.example",
    "`unbalanced | `a|b` `` *x* _y_ __z__ ~~s~~ $m$ \\| \\",
    "\ud800\udfff \ufffe\uffff \U0001ffff \u2028\u2029\x85",
    "\u202egnp.exe\u2066",
    "wörter 漢字 👩‍👩‍👧 e\u0301",
    "{0} {1} {name} %s %(x)s",
    "x" * 100_000,
    "two words " * 20_000,
    "\r\n\r\t tab\ttab \n\n\n",
    "--- ===\n1. one\n+ two\n> quoted",
    " ",
]


def hostile(text: str, verdict: str = "fail") -> Audit:
    finding = Finding("pid-1", verdict, text, text, text, "03_exec_or_shell", 3)
    other = dataclasses.replace(finding, id="non-root")
    return Audit("0.1.0", text, text, (Substitution(text, text, 1),), (finding, other), (text,), (text,), (text,))


def with_checks(*checks: Finding) -> Audit:
    return dataclasses.replace(AUDIT, checks=checks)


def cases(audit: Audit) -> list[ET.Element]:
    return list(ET.fromstring(render(audit, "junit")).iter("testcase"))


def sarif_run(audit: Audit) -> dict:
    (run,) = json.loads(render(audit, "sarif"))["runs"]
    return run


def valid_sarif(text: str) -> None:
    jsonschema.Draft4Validator(SARIF, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER).validate(
        json.loads(text)
    )


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_json_has_the_promised_keys():
    report = json.loads(render(AUDIT, "json"))
    assert list(report) == ["version", "project", "substituted", "left_out", "limited", "not_limited", "checks"]
    assert report["left_out"] == list(AUDIT.left_out)
    assert (report["limited"], report["not_limited"]) == (["512 MB of memory", "no mounts"], ["the network"])
    assert report["substituted"] == [{"image": "python:3.12-slim", "by": "dockerlab/base:trixie"}]
    assert [list(check) for check in report["checks"]] == [["id", "verdict", "observed", "why", "fix", "lesson"]] * 4
    assert report["checks"][2]["fix"] == 'CMD ["fastapi", "run"]'


def test_an_image_on_two_lines_is_replaced_once():
    twice = (Substitution("a", "b", 1), Substitution("a", "b", 9), Substitution("c", "b", 2))
    report = json.loads(render(dataclasses.replace(AUDIT, substituted=twice), "json"))
    assert report["substituted"] == [{"image": "a", "by": "b"}, {"image": "c", "by": "b"}]


def test_json_is_valid_to_its_schema():
    jsonschema.Draft202012Validator.check_schema(OURS)
    jsonschema.Draft202012Validator(OURS).validate(json.loads(render(AUDIT, "json")))


@pytest.mark.parametrize(
    "change",
    [
        lambda report: report.pop("version"),
        lambda report: report.update(extra=1),
        lambda report: report["checks"][0].pop("why"),
        lambda report: report["checks"][0].update(line=1),
        lambda report: report["checks"][0].update(verdict="unknown"),
        lambda report: report["checks"][0].update(id="Not An Id"),
        lambda report: report["checks"][0].update(lesson="lesson three"),
        lambda report: report["checks"][0].update(observed=""),
        lambda report: report["checks"][0].update(fix=None),
        lambda report: report["substituted"][0].pop("by"),
        lambda report: report.update(checks={}),
        lambda report: report.pop("not_limited"),
        lambda report: report.update(left_out=[7]),
    ],
)
def test_the_schema_is_strict(change):
    report = json.loads(render(AUDIT, "json"))
    change(report)
    assert not jsonschema.Draft202012Validator(OURS).is_valid(report)


def test_the_schema_knows_all_verdicts():
    assert OURS["properties"]["checks"]["items"]["properties"]["verdict"]["enum"] == list(VERDICTS)
    assert set(reports.SYMBOLS) == set(VERDICTS)


@pytest.mark.parametrize("format", ["table", "markdown", "sarif"])
def test_what_was_left_out_and_what_is_not_limited_is_told(format):
    told = re.sub(r"\s+", " ", render(AUDIT, format, width=500))
    assert AUDIT.left_out[0] in told
    limits = "The application's containers had these limits: 512 MB of memory, no mounts. Not limited: the network."
    assert limits in told


# --- JUnit -----------------------------------------------------------------------------------------------------------


def test_junit_tells_each_verdict():
    passed, warned, failed, skipped = cases(AUDIT)
    assert passed.findtext("system-out") == "pass: It ended by itself."
    assert warned.findtext("system-out").startswith("warn: There is none.")
    assert "fix: HEALTHCHECK CMD …" in warned.findtext("system-out")
    assert failed.find("failure").get("message") == "`/bin/sh` is PID 1."
    assert "where: docker/Dockerfile, line 12" in failed.findtext("failure")
    assert skipped.find("skipped").get("message") == "There is one process."
    assert [len(case) for case in cases(AUDIT)] == [1, 1, 1, 1]


def test_junit_counts():
    root = ET.fromstring(render(AUDIT, "junit"))
    (suite,) = root
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("4", "1", "0")
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "1", "1")
    assert {each.get("name"): each.get("value") for each in suite.iter("property")} == {
        "version": "0.1.0",
        "dockerfile": "docker/Dockerfile",
        "warnings": "1",
        "substituted": "python:3.12-slim by dockerlab/base:trixie",
        "left-out": "compose.yaml names the variable TOKEN, and nothing was taken from your environment.",
        "limited": "no mounts",
        "not-limited": "the network",
    }


@functools.cache
def junit_schema() -> xmlschema.XMLSchema:
    """Read when the first test asks for it: each of pytest's processes imports this file, and one runs its tests."""
    return xmlschema.XMLSchema(SCHEMAS / "junit-10.xsd")


def test_junit_is_valid_to_its_schema():
    junit_schema().validate(io.StringIO(render(AUDIT, "junit")))


# --- SARIF -----------------------------------------------------------------------------------------------------------


def test_sarif_names_what_to_fix_and_where():
    warned, failed = sarif_run(AUDIT)["results"]
    assert (warned["ruleId"], warned["level"]) == ("health-check", "warning")
    assert (failed["ruleId"], failed["level"]) == ("pid-1", "error")
    (location,) = failed["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "services/api/docker/Dockerfile"},
        "region": {"startLine": 12},
    }
    assert "region" not in warned["locations"][0]["physicalLocation"]
    assert 'CMD ["fastapi", "run"]' in failed["message"]["text"]


def test_sarif_has_a_rule_for_each_check():
    run = sarif_run(AUDIT)
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [finding.id for finding in AUDIT.checks]
    assert [rules[result["ruleIndex"]]["id"] for result in run["results"]] == ["health-check", "pid-1"]
    assert rules[2]["fullDescription"]["text"] == "A shell passes no signal on."
    assert "notebooks/03_exec_or_shell.ipynb" in rules[2]["help"]["text"]
    assert rules[2]["name"] == "Pid1"


def test_sarif_notes_what_was_not_measured_and_what_was_replaced():
    replaced, *_, skipped = sarif_run(AUDIT)["invocations"][0]["toolExecutionNotifications"]
    assert replaced["message"]["text"].startswith("The base image python:3.12-slim was replaced by")
    assert skipped["associatedRule"] == {"id": "workers-stop", "index": 3}
    assert skipped["message"]["text"] == "workers-stop was not measured: There is one process."


def test_sarif_is_valid_to_its_schema():
    valid_sarif(render(AUDIT, "sarif"))


def test_an_invalid_sarif_is_seen():
    with pytest.raises(jsonschema.ValidationError):
        valid_sarif(render(AUDIT, "sarif").replace('"ruleIndex": 1', '"ruleIndex": "1"'))


def test_sarif_messages_hold_no_links_and_no_places_for_arguments():
    (result,) = sarif_run(with_checks(Finding("pid-1", "fail", "[a](http://evil.example) {0} {name}", "")))["results"]
    assert result["message"]["text"] == "[a] (http://evil.example) {{0}} {name}"


@pytest.mark.parametrize(
    ("project", "dockerfile", "uri"),
    [
        (".", "Dockerfile", "Dockerfile"),
        ("services/api", "../../docker/Dockerfile", "docker/Dockerfile"),
        ("../api", "Dockerfile", "../api/Dockerfile"),
        ("my app ü", "Dockerfile", "my%20app%20%C3%BC/Dockerfile"),
        ("a:b", "Dockerfile#?%", "a%3Ab/Dockerfile%23%3F%25"),
    ],
)
def test_the_dockerfile_is_named_from_the_working_folder(project, dockerfile, uri):
    audit = dataclasses.replace(AUDIT, project=project, dockerfile=dockerfile)
    assert sarif_run(audit)["artifacts"][0]["location"]["uri"] == uri
    valid_sarif(render(audit, "sarif"))


def test_a_project_with_an_absolute_path(tmp_path):
    audit = dataclasses.replace(AUDIT, project=str(tmp_path / "a b"))
    assert sarif_run(audit)["artifacts"][0]["location"]["uri"] == (tmp_path / "a b/docker/Dockerfile").as_uri()
    valid_sarif(render(audit, "sarif"))


# --- table -----------------------------------------------------------------------------------------------------------


def test_the_table_tells_the_verdicts_by_word_and_sign():
    text = render(AUDIT, "table")
    for finding in AUDIT.checks:
        assert f"{reports.SYMBOLS[finding.verdict]} {finding.verdict}" in text
    assert "1 pass, 1 warn, 1 fail, 1 not measured" in text
    assert "line 12" in text
    assert "03_exec_or_shell" in text
    assert "The base image python:3.12-slim was replaced by dockerlab/base:trixie" in text
    assert "\x1b" not in text


def test_what_passes_takes_no_advice():
    text = render(with_checks(AUDIT.checks[0]), "table")
    assert "A deployment waits" not in text


@pytest.mark.parametrize("width", [80, 40, 120])
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_line_of_the_table_is_too_long(width, text):
    lines = render(hostile(text), "table", width=width).splitlines()
    assert max(cell_len(line) for line in lines) <= width


def test_color_adds_nothing_but_color():
    colored = render(AUDIT, "table", color=True)
    assert "\x1b[" in colored
    plain = "\n".join(line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", colored).splitlines())
    assert plain == render(AUDIT, "table").rstrip("\n")


def test_the_surroundings_change_nothing(monkeypatch):
    before = render(AUDIT, "table"), render(AUDIT, "table", color=True)
    for name, value in {"COLUMNS": "30", "NO_COLOR": "1", "TERM": "dumb", "FORCE_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    assert (render(AUDIT, "table"), render(AUDIT, "table", color=True)) == before


def test_markup_is_shown_as_text():
    text = "[bold]x[/bold] [/] :smile:"
    assert text in render(with_checks(Finding("pid-1", "pass", text, "")), "table")


# --- Markdown --------------------------------------------------------------------------------------------------------


def markdown_table(text: str) -> list[list[str]]:
    """The cells of the one table, as a reader sees them."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)
    assert sum(token.type == "table_open" for token in tokens) == 1
    rows: list[list[str]] = []
    for index, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in {"th_open", "td_open"}:
            inline = tokens[index + 1]
            for child in inline.children:
                assert child.type in {"text", "code_inline", "html_inline", "text_special"}, child
                assert child.type != "html_inline" or child.content == "<br>"
            rows[-1].append(
                "".join("\n" if child.type == "html_inline" else child.content for child in inline.children)
            )
    return rows


def test_markdown_is_a_table():
    assert markdown_table(render(AUDIT, "markdown")) == [
        ["verdict", "check", "observed"],
        ["✓ pass", "stops-on-sigterm", "It ended by itself."],
        ["! warn", "health-check", "There is none."],
        ["✗ fail", "pid-1", "/bin/sh is PID 1."],
        ["– not measured", "workers-stop", "There is one process."],
    ]


def test_markdown_names_what_to_fix():
    text = render(AUDIT, "markdown")
    assert "### What to fix" in text
    assert 'fix: `CMD ["fastapi", "run"]`' in text
    assert "where: docker/Dockerfile, line 12" in text
    assert "What to fix" not in render(with_checks(AUDIT.checks[0]), "markdown")


@pytest.mark.parametrize(
    "text", ["a | b", "`a | b`", "*x* _y_ <b>z</b> & &amp; [a](b)", "C:\\x", "x_y __z__", "1. a", "- a"]
)
def test_a_cell_shows_the_text_as_it_is(text):
    row = markdown_table(render(with_checks(Finding("pid-1", "pass", text, "")), "markdown"))[1]
    assert row[2] == text.replace("`", "")


def test_markdown_mentions_nobody_and_links_to_nothing():
    text = render(
        with_checks(Finding("pid-1", "fail", "@everyone https://evil.example www.evil.example", "")), "markdown"
    )
    assert not re.search(r"@everyone|https://evil|www\.evil", text)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_breaks_out_of_its_cell(text):
    rows = markdown_table(render(hostile(text), "markdown"))
    assert [len(row) for row in rows] == [3, 3, 3]
    assert [row[1] for row in rows[1:]] == ["pid-1", "non-root"]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_becomes_a_link_an_image_or_html(text):
    tokens = (
        MarkdownIt("commonmark", {"html": True})
        .enable(["table", "strikethrough"])
        .parse(render(hostile(text), "markdown"))
    )
    kinds = {token.type for token in tokens} | {child.type for token in tokens for child in token.children or ()}
    assert not kinds & {"link_open", "image", "html_block", "fence", "blockquote_open", "hr", "s_open", "em_open"}
    assert {child.content for t in tokens for child in t.children or () if child.type == "html_inline"} <= {"<br>"}
    assert sum(token.type == "heading_open" for token in tokens) == 2


# --- whatever the texts hold -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_stay_valid(text, verdict):
    audit = hostile(text, verdict)
    jsonschema.Draft202012Validator(OURS).validate(json.loads(render(audit, "json")))
    valid_sarif(render(audit, "sarif"))
    junit_schema().validate(io.StringIO(render(audit, "junit")))
    assert [case.get("name") for case in cases(audit)] == ["pid-1", "non-root"]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_report_holds_what_a_terminal_obeys(text, format):
    report = render(hostile(text), format)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", report)
    report.encode()
    assert report.endswith("\n")


def test_control_characters_are_written_out():
    (check,) = json.loads(render(with_checks(Finding("pid-1", "fail", "a\x1b[31m\u202e", "")), "json"))["checks"]
    assert check["observed"] == r"a\x1b[31m\u202e"


def test_long_texts_are_whole_in_json_only():
    audit = with_checks(Finding("pid-1", "fail", "x" * 100_000, ""))
    assert "x" * 100_000 in render(audit, "json")
    for format in ("table", "junit", "sarif", "markdown"):
        assert len(render(audit, format)) < 15_000, format
        assert "characters more" in " ".join(render(audit, format).split()), format


@pytest.mark.parametrize("format", FORMATS)
def test_an_audit_without_checks(format):
    report = render(Audit("0.1.0", ".", "Dockerfile", (), ()), format)
    if format == "sarif":
        valid_sarif(report)
    if format == "junit":
        junit_schema().validate(io.StringIO(report))


def test_no_other_format():
    with pytest.raises(LabError, match="no report format 'html'") as error:
        render(AUDIT, "html")
    assert error.value.do == "The formats are table, json, junit, sarif, markdown."
