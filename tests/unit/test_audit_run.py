"""What an audit makes of what a container tells, whatever that is: in bounded time and memory."""

import itertools
import json
import random
import time
from types import SimpleNamespace

import pytest
from dockerlab.audit import file_writes, limits, probe, startup_errors
from dockerlab.audit import runner as runners
from dockerlab.audit.observations import ProbeAnswer

ANSWER = {"scheme": "http", "client": "10.0.0.1", "url": "http://shop.example/", "host": "shop.example"}


# --- files that were written -----------------------------------------------------------------------------------------


def test_a_folder_is_no_file_that_was_written():
    paths = ["/a", "/a/b", "/a.txt", "/a-b", "/a/b/c", "/d"]
    assert sorted(file_writes._without_folders(paths)) == ["/a-b", "/a.txt", "/a/b/c", "/d"]
    assert file_writes._without_folders([]) == []


def test_of_100_000_paths_the_files_are_found_in_a_moment():
    files = [f"/data/{number % 100}/{number}" for number in range(100_000)]
    paths = [*files, "/data", *(f"/data/{number}" for number in range(100))]
    random.Random(7).shuffle(paths)
    began = time.monotonic()
    assert sorted(file_writes._without_folders(paths)) == sorted(files)
    assert time.monotonic() - began < 10, "each with each, it takes an hour"


def test_the_engines_list_of_changes_is_read_also_where_its_end_is_missing():
    names = ["/plain", '/a"},{"Path":"/forged', "/},{", "/last"]
    text = json.dumps([{"Path": name, "Kind": 1} for name in names], separators=(",", ":"))
    assert list(file_writes._listed(text)) == names
    assert list(file_writes._listed(text[:-10])) == names[:-1]
    assert list(file_writes._listed("null")) == list(file_writes._listed("[]")) == list(file_writes._listed("")) == []


# --- what the probe answers -----------------------------------------------------------------------------------------


def test_what_the_probe_answers_is_read():
    assert probe.read(json.dumps({**ANSWER, "pid": 7}).encode()) == ProbeAnswer(*ANSWER.values())


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="bytes"),
        pytest.param(b"[1, 2]", id="a list"),
        pytest.param(b"7", id="a number"),
        pytest.param(b"{}", id="no keys"),
        pytest.param(json.dumps({**ANSWER, "url": 7}).encode(), id="a number in it"),
        pytest.param(b"[" * 1_000_000, id="depth"),
    ],
)
def test_what_answers_in_place_of_the_probe_is_not_taken_for_it(body):
    with pytest.raises(ValueError, match="not an answer of the probe"):
        probe.read(body)


def test_of_each_text_that_the_probe_sends_so_much_is_kept():
    answer = probe.read(json.dumps({**ANSWER, "url": "x" * 900_000}).encode())
    assert len(answer.url) == probe.LONGEST_TEXT


# --- logs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "paths"),
    [
        ("OSError: [Errno 30] Read-only file system: '/data/x'", ("/data/x",)),
        ("touch: cannot touch '/a/b': Read-only file system", ("/a/b",)),
        ("mkdir: /var/lib/app: Read-only file system", ("/var/lib/app",)),
        ("sh: /x: read-only filesystem\nsh: /x: read-only filesystem", ("/x",)),
        ("OSError: [Errno 30] Read-only file system", ()),
        ("", ()),
    ],
)
def test_the_paths_that_could_not_be_written(log, paths):
    assert file_writes.refused(log) == paths


LINES = ["connection failed: " + "a" * 480, "connection failed: a" * 25, "host=" + "a." * 240, "a" * 499, "A_" * 250]


def test_no_log_holds_the_audit():
    """Patterns that try each place with each other would hold it for minutes, and nothing could break it off."""
    began = time.monotonic()
    for log in ["/" * 1_000_000, "x read-only file system " * 100_000]:
        file_writes.refused(log)
    for line in LINES:
        startup_errors.advice("\n".join([line] * 30))
    assert time.monotonic() - began < 10


# --- workers ---------------------------------------------------------------------------------------------------------


STARTED = "INFO: Application startup complete.\n"


@pytest.fixture
def runner(monkeypatch):
    """Makes a runner, and a service with so many processes, whose log is another one each time."""

    def make(logs, processes=3):
        made, texts = object.__new__(runners.Runner), iter(logs)
        monkeypatch.setattr(runners.docker_exec, "processes", lambda container: range(processes))
        return made, SimpleNamespace(logs=lambda: next(texts), container=None)

    monkeypatch.setattr(runners.Runner, "_may_have_workers", lambda runner, service: False)
    return make


def test_lifespans_are_counted_when_no_more_begin(runner):
    made, service = runner(
        itertools.chain(["", f"{runners._UVICORN_STARTED}\n"], itertools.repeat(runners._UVICORN_STARTED * 2))
    )
    assert made._lifespans(service, False, 0) == (2, "")
    assert runner([""] * 9)[0]._lifespans(runner(itertools.repeat(""))[1], False, 0) == (None, "")


def test_the_next_worker_may_take_as_long_as_the_first_did(runner, monkeypatch):
    """On a busy machine: a second worker that began 1 s after the first was not counted there."""
    monkeypatch.setattr(runners, "NEXT_WORKER_SECONDS", (0.2, 3.0))
    for start_seconds, seen in ((0.1, 1), (2.0, 2)):
        made, service = runner(itertools.chain([STARTED] * 6, itertools.repeat(STARTED * 2)))
        monkeypatch.setattr(runners.Runner, "_may_have_workers", lambda runner, service: True)
        assert made._lifespans(service, False, start_seconds) == (seen, "")


def test_more_lifespans_than_processes_are_of_workers_that_have_ended(runner):
    made, service = runner(itertools.repeat(STARTED * 4))
    assert made._lifespans(service, False, 0) == (None, runners._RESTARTS)
    made, service = runner(itertools.repeat(STARTED * 4), processes=0)
    assert made._lifespans(service, False, 0) == (4, ""), "nothing can tell the processes"


def test_workers_that_end_and_start_again_do_not_hold_the_audit(runner, monkeypatch):
    monkeypatch.setattr(runners, "WORKERS_SECONDS", 0.3)
    made, service = runner(STARTED * number for number in itertools.count())
    assert made._lifespans(service, False, 0) == (None, runners._RESTARTS)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_what_an_engine_cannot_limit_is_told():
    holds = {"MemoryLimit": True, "CpuCfsQuota": True, "PidsLimit": True}
    limited = ("512 MB of memory", "1 processor", "512 processes", "no new privileges", "no mounts")
    network = "the network, of the build and of the containers"
    assert limits.container_limits(holds) == (limited, (network,))
    assert limits.container_limits({"CpuCfsQuota": False, "MemoryLimit": False}) == (
        limited[2:],
        (network, "memory", "processor"),
    )
    assert limits.container_limits({}) == (limited, (network,))
