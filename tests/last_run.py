"""A pytest plugin (`-p last_run`): writes down how a run ended, and what was red, for `rerun_failed.py`."""

from __future__ import annotations

import pytest
from leave_nothing import LEFT

KEY = "dockerlab/last-run"
"""In pytest's own cache folder."""


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and hasattr(config, "cache"):
        config.pluginmanager.register(LastRun(config.cache))


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
