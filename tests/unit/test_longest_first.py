"""The order in which tests are handed out."""

from types import SimpleNamespace

import longest_first

TESTS = ["a.py::one", "b.ipynb::setup", "b.ipynb::stop", "c.py::one", "a.py::two", "d.py::one"]
SECONDS = {"b.ipynb::stop": 30, "c.py::one": 40, "a.py::one": 1, "gone.py::one": 99}


def ordered(*, whole: bool) -> list[str]:
    items = [SimpleNamespace(nodeid=test) for test in TESTS]
    items.sort(key=longest_first.order(TESTS, SECONDS, whole=whole))
    return [item.nodeid for item in items]


def test_what_is_quick_or_unknown_runs_first_then_the_longest_and_a_notebook_stays_whole():
    assert ordered(whole=True) == [
        "a.py::one",
        "a.py::two",
        "d.py::one",
        "c.py::one",
        "b.ipynb::setup",
        "b.ipynb::stop",
    ]


def test_each_test_by_itself():
    quick = ["a.py::one", "b.ipynb::setup", "a.py::two", "d.py::one"]
    assert ordered(whole=False) == [*quick, "c.py::one", "b.ipynb::stop"]


def test_a_report_is_read_by_the_names_that_pytest_gives(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="notebooks.03_stop.ipynb" name="setup" time="3.6" />'
        '<testcase classname="tests.unit.test_a" name="test_b[x::y]" time="0.1" /></testsuite></testsuites>'
    )
    assert longest_first.read(report) == {
        "notebooks/03_stop.ipynb::setup": 3.6,
        "tests/unit/test_a.py::test_b[x::y]": 0.1,
    }
