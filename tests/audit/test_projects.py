"""The audit finds in each project what is known of it, and its verdict turns when the project is changed."""

import re
from collections.abc import Mapping
from pathlib import Path

import audits
import pytest
from dockerlab.audit import CHECK_IDS
from projects.expected import PROJECTS

REPORT = {"version", "project", "substituted", "left_out", "limited", "not_limited", "checks"}
QUICK = ("needs_a_variable", "no_dockerfile")
"""What `make test` tries, beside the projects of lesson 09. All others, and the other direction: `make prove`."""


def hold(
    outcome: audits.Outcome,
    folder: Path,
    before: Mapping[str, object],
    about: Mapping[str, str],
    told: str,
    says: Mapping[str, str],
) -> None:
    assert audits.contents(folder) == before, "the audit has changed the project"
    if told:
        assert outcome.exit == 2, outcome.report
        assert re.search(told, outcome.told), outcome.told
        assert not outcome.crashed, outcome.told
        return
    assert outcome.exit in (0, 1), outcome.told
    verdicts = outcome.verdicts
    differ = {check for check in verdicts if verdicts[check] != about.get(check, verdicts[check])}
    differ |= audits.fails(verdicts) ^ audits.fails(about)
    assert not differ, {check: (verdicts[check], outcome.said(check)) for check in differ}
    assert set(about) <= set(verdicts)
    assert outcome.exit == (1 if "fail" in about.values() else 0)
    assert set(outcome.json) == REPORT
    assert set(verdicts.values()) <= audits.VERDICTS
    for check, pattern in says.items():
        assert re.search(pattern, outcome.said(check)), outcome.said(check)


@pytest.mark.proves("audit projects")
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.prove) for name in PROJECTS]
)
def test_project(name, tmp_path, client):
    project = PROJECTS[name]
    folder = audits.copied(name, tmp_path)
    before = audits.contents(folder)
    outcome = audits.run(folder, *project.options)
    hold(outcome, folder, before, project.about, project.told, project.says)
    if not project.told:
        assert set(outcome.verdicts) == set(CHECK_IDS)
    assert not audits.left(client, outcome.pid)


@pytest.mark.prove
@pytest.mark.proves("changed projects")
@pytest.mark.parametrize("name", PROJECTS)
def test_changed_project(name, tmp_path, client):
    """The other direction: after the change, the verdict is another one."""
    project, turned = PROJECTS[name], PROJECTS[name].turned
    folder = audits.copied(name, tmp_path)
    audits.edit(folder, turned.edits)
    before = audits.contents(folder)
    options = project.options if turned.options is None else turned.options
    outcome = audits.run(folder, *options, *audits.checks(list(turned.about)))
    hold(outcome, folder, before, turned.about, turned.told, {})
    assert not audits.left(client, outcome.pid)


def test_each_change_turns_a_verdict():
    """A row of the table that says the same before and after would prove nothing."""
    for name, project in PROJECTS.items():
        changes = {check for check, verdict in project.turned.about.items() if project.about.get(check, "") != verdict}
        assert changes or bool(project.told) != bool(project.turned.told), name


def test_each_project_is_in_the_table():
    folders = {path.name for path in audits.FOLDER.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(PROJECTS)


def test_each_check_is_turned_by_a_project():
    """Each check but those that can only pass (else there is no report), and one that no project can fail."""
    seen: dict[str, set[str]] = {check: set() for check in CHECK_IDS}
    for project in PROJECTS.values():
        for verdicts in (project.about, project.turned.about):
            for check, verdict in verdicts.items():
                seen[check].add(verdict)
    always = {"builds", "starts", "unchanged-rebuild-cached"}
    assert {check for check, verdicts in seen.items() if not {"warn", "fail"} & verdicts} == always
    assert all("pass" in verdicts for verdicts in seen.values())
