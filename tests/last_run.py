"""A pytest plugin (`-p last_run`): tells what a run has proven, and writes down how it ended, for `rerun_failed.py`."""

from __future__ import annotations

from collections import Counter

import pytest
from leave_nothing import LEFT

KEY = "dockerlab/last-run"
"""In pytest's own cache folder."""

PROVEN = (
    "claims",
    "assertions of claims",
    "seeded faults",
    "audit projects",
    "changed projects",
    "wrong answers",
    "hostile inputs",
)
"""What is counted, in the order in which it is told.

A test counts for one by `@pytest.mark.proves("seeded faults")`. One that tries many at once tells how many, by pytest's
own fixture: `record_property("wrong answers", 12)`.
"""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "proves(what): what this test proves one of, for the counts at the end of a run")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Proven())
        if hasattr(config, "cache"):
            config.pluginmanager.register(LastRun(config.cache))


def pytest_itemcollected(item: pytest.Item) -> None:
    item.user_properties += [(what, 1) for mark in item.iter_markers("proves") for what in mark.args]


class Proven:
    """Counts what tests have proven: those that passed, from their set-up to their end. Workers send it in reports."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.passed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)
        if report.when == "teardown" and report.passed and report.nodeid in self.passed:
            for what, count in report.user_properties:
                if what in PROVEN:
                    self.counts[what] += count

    def told(self) -> str:
        """One line: ``Proven: 64 claims · 87 seeded faults``; empty where nothing that is counted was proven."""
        told = [f"{self.counts[what]} {what}" for what in PROVEN if self.counts[what]]
        return f"Proven: {' · '.join(told)}" if told else ""

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if told := self.told():
            terminalreporter.write_line(told)


def counted(text: str) -> dict[str, int]:
    """The counts in what another run has printed."""
    _, _, line = text.rpartition("Proven: ")
    words = [entry.partition(" ") for entry in line.partition("\n")[0].split(" · ")]
    return {what: int(count) for count, _, what in words if what in PROVEN}


class LastRun:
    def __init__(self, cache: pytest.Cache) -> None:
        self.cache = cache
        self.red: dict[str, None] = {}

    def pytest_sessionstart(self) -> None:
        self.cache.set(KEY, None)  # a run that is killed leaves no verdict of an earlier one

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.red[report.nodeid] = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # after all others have had their say
    def pytest_sessionfinish(self, session: pytest.Session):
        yield
        left = session.config.stash.get(LEFT, [])
        self.cache.set(KEY, {"exit_code": int(session.exitstatus), "red": list(self.red), "left": left})
