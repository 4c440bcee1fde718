"""A table's text depends on its facts alone: not on seconds, and not on how a terminal would guess at numbers."""

import re

import pytest
from dockerlab.errors import LabError
from dockerlab.figures.tables import short_command, stops_table, table
from dockerlab.records import Request, Stop

SECONDS = re.compile(r"\s*\d+\.\d\d s")


def a_stop(**changes):
    fields = {
        "name": "exec form",
        "pid1": "/usr/bin/python3 /usr/local/bin/fastapi run app/main.py",
        "seconds": 0.4,
        "exit_code": 0,
        "killed": False,
        "shutdown_ran": True,
        "grace_seconds": 10,
    }
    return Stop(**fields | changes)


def sanitised(text):
    return SECONDS.sub("SECONDS", text)


@pytest.mark.parametrize("title", ["s", "seconds", "the stop's seconds"])
@pytest.mark.parametrize("seconds", [(0.0, 0.004), (9.99, 10.0), (99.99, 0.1), (999.99, 120)])
def test_the_layout_is_the_same_whatever_the_seconds_are(title, seconds):
    def drawn(values):
        rows = [{"what": name, "seconds": value, "ran": True} for name, value in zip("ab", values, strict=True)]
        return table(rows, {"what": "what", "seconds": title, "ran": "ran"})

    reference, other = drawn((0.41, 10.23)), drawn(seconds)
    assert sanitised(repr(other)) == sanitised(repr(reference))
    assert sanitised(other._repr_html_()) == sanitised(reference._repr_html_())
    assert {len(line) for line in repr(other).splitlines()} == {len(line) for line in repr(reference).splitlines()}


def test_cells_say_what_a_person_would():
    shown = table([{"a": True, "b": False, "c": None, "d": 137, "seconds": 0.414, "size_bytes": 1_234_567, "e": "1e3"}])
    assert shown.rows == (("yes", "no", "-", "137", "0.41 s", "1.2 MB", "1e3"),)
    assert repr(shown).splitlines()[-1].split() == ["yes", "no", "-", "137", "0.41", "s", "1.2", "MB", "1e3"]


def test_text_stands_left_and_numbers_stand_right():
    lines = repr(table([{"name": "a", "count": 5}, {"name": "bcdef", "count": 120}])).splitlines()
    assert lines == ["name      count", "------  -------", "a             5", "bcdef       120"]


def test_html_shows_text_as_text():
    assert "&lt;b&gt;" in table([{"a": "<b>"}])._repr_html_()


def test_a_record_is_a_row_with_its_fields_and_properties():
    shown = table([a_stop(killed=True)], {"name": "started by", "pace": "how it ended"})
    assert shown.headers == ("started by", "how it ended")
    assert shown.rows == (("exec form", "had to be killed"),)


def test_without_columns_a_record_shows_all_its_fields():
    assert table([Request("/", 0, 0.1, "cut")]).headers == (
        "path",
        "started_seconds",
        " seconds",
        "fate",
        "status",
        "error",
        "version",
        "late_seconds",
    )


@pytest.mark.parametrize(("row", "has"), [({"a": 1, "b": 2}, "a, b"), (a_stop(), "name, pid1")])
def test_a_column_that_a_row_lacks_is_an_error_that_names_those_it_has(row, has):
    with pytest.raises(LabError, match=rf"no column 'missing'.\nIt has {has}"):
        table([row], ["missing"])
    with pytest.raises(LabError, match="no column 'm'"):
        table([row], "m")


def test_what_is_no_row_is_told():
    with pytest.raises(LabError, match="'a' is not a row"):
        table({"a": 1})  # one row, and not a list of it


def test_no_rows_are_no_table():
    assert repr(table([])) == ""


@pytest.mark.parametrize(
    ("command_line", "short"),
    [
        ("/usr/bin/python3 /usr/local/bin/fastapi run app/main.py --port 80", "fastapi run app/main.py --port 80"),
        ("/usr/local/bin/python3.13 /usr/local/bin/uvicorn app.main:app", "uvicorn app.main:app"),
        ("/bin/sh -c fastapi run app/main.py", "sh -c fastapi run app/main.py"),
        ("/sbin/docker-init -- fastapi run app/main.py", "docker-init -- fastapi run app/main.py"),
        ("/bin/sh /code/start.sh fastapi run", "sh /code/start.sh fastapi run"),
        ("python -m http.server 80", "python -m http.server 80"),
        ("python /code/serve.py", "python /code/serve.py"),
        ("python3", "python3"),
    ],
)
def test_a_command_line_is_shown_without_what_differs_between_images(command_line, short):
    assert short_command(command_line) == short


def test_stops_without_requests():
    shown = stops_table(
        [a_stop(), a_stop(name="shell form", pid1="/bin/sh -c fastapi", exit_code=137, shutdown_ran=None)]
    )
    assert shown.headers == ("how PID 1 is started", "PID 1", " seconds", "exit code", "lifespan shutdown ran")
    assert shown.rows == (
        ("exec form", "fastapi run app/main.py", "0.40 s", "0", "yes"),
        ("shell form", "sh -c fastapi", "0.40 s", "137", "-"),
    )


def test_stops_with_requests():
    requests = (Request("/slow", -1, 5, "answered", 200), Request("/stream", -1, 5, "cut", 200))
    shown = stops_table([a_stop(requests=requests), a_stop(requests=(Request("/", -1, 5, "answered", 500),)), a_stop()])
    assert shown.headers[-1] == "in flight"
    assert [row[-1] for row in shown.rows] == ["/slow answered, /stream cut", "/ answered 500", "-"]
