"""A pytest plugin (`-p longest_first`): quick tests first, then what takes long, the longest first.

pytest-xdist hands tests out in the order of the collection. What is handed out last decides when the run ends, so that
must be short. `seconds.json` holds how long tests took; it only orders them, and a test that it does not know runs
among the quick ones. Refresh it from pytest's own reports (`--junitxml`):

    python tests/longest_first.py report.xml …
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

TABLE = Path(__file__).with_name("seconds.json")

KEPT_SECONDS = 2
"""Tests that take less are not in the table."""

QUICK_SECONDS = 5
"""What takes no longer as a whole runs first: it fails early, and ends before the long ones do."""


@pytest.hookimpl(trylast=True)  # once all others have chosen what runs
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=order([item.nodeid for item in items], json.loads(TABLE.read_text()), whole=_is_whole(config)))


def order(tests: list[str], seconds: dict[str, float], *, whole: bool):
    """The key to sort tests by. Those of one module or notebook stay together, in their order.

    Args:
        tests: the names of all that run.
        seconds: how long tests took, by name.
        whole: whether a module is handed out as a whole; else each test by itself.
    """
    unit = _module if whole else str
    total = Counter[str]()
    for test in tests:
        total[unit(test)] += seconds.get(test, 0)

    def key(item: pytest.Item) -> tuple[float, str]:
        name = unit(item.nodeid)
        return (-total[name] if total[name] > QUICK_SECONDS else float("-inf"), name if whole else "")

    return key


def _module(test: str) -> str:
    return test.partition("::")[0]


def _is_whole(config: pytest.Config) -> bool:
    """The same in each of pytest-xdist's processes, or they would collect different orders."""
    return config.getoption("dist", "no") in {"no", "loadscope", "loadfile"}


def read(report: Path) -> dict[str, float]:
    """How long the tests of a report took, in seconds, by name as pytest gives it."""
    found = Counter[str]()
    for case in ET.parse(report).iter("testcase"):
        found[_name(case)] += float(case.get("time", 0))
    return dict(found)


def _name(case: ET.Element) -> str:
    """`notebooks.03_exec_or_shell.ipynb` and `stop`: the path of the file, and the test in it."""
    classname, name = case.get("classname", ""), case.get("name", "")
    if classname.endswith(".ipynb"):
        return f"{classname.removesuffix('.ipynb').replace('.', '/')}.ipynb::{name}"
    return f"{classname.replace('.', '/')}.py::{name}"


def main(reports: list[str]) -> None:
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    for report in reports:
        table |= read(Path(report))
    kept = {test: round(seconds) for test, seconds in sorted(table.items()) if seconds >= KEPT_SECONDS}
    TABLE.write_text(json.dumps(kept, indent=0, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
