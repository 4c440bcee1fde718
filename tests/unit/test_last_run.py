"""What a run tells that it has proven: what passed, and nothing else."""

import json

import last_run
import pytest
from _pytest.reports import TestReport


def reports(nodeid, properties, **outcomes):
    """The reports of one test, as pytest-xdist hands them over: through JSON."""
    for when in ("setup", "call", "teardown"):
        if outcome := outcomes.get(when, "passed"):
            report = TestReport(nodeid, ("", 0, ""), {}, outcome, None, when, user_properties=properties)
            yield TestReport._from_json(json.loads(json.dumps(report._to_json())))


def told(*runs):
    proven = last_run.Proven()
    for run in runs:
        for report in run:
            proven.pytest_runtest_logreport(report)
    return proven.told()


def test_what_passed_counts_and_each_kind_has_its_place():
    assert told(
        reports("a", [("seeded faults", 1)]),
        reports("b", [("seeded faults", 1), ("another property", "x")]),
        reports("c", [("wrong answers", 7), ("wrong answers", 4)]),
        reports("d", [("claims", 1), ("assertions of claims", 3)]),
    ) == ("Proven: 1 claims · 3 assertions of claims · 2 seeded faults · 11 wrong answers")


@pytest.mark.parametrize(
    "outcomes",
    [
        {"call": "failed"},
        {"call": "skipped"},
        {"setup": "failed", "call": None},
        {"setup": "skipped", "call": None},
        {"teardown": "failed"},
    ],
)
def test_what_did_not_pass_does_not_count(outcomes):
    assert told(reports("a", [("claims", 1)], **outcomes)) == ""


def test_the_line_of_a_run_is_read_by_another():
    text = "3 passed\nProven: 1 claims · 3 assertions of claims\nmore\n"
    assert last_run.counted(text) == {"claims": 1, "assertions of claims": 3}
    assert last_run.counted("3 passed\n") == {}
