"""How a stop is read from what an engine tells: here an engine that tells what real ones do rarely."""

import contextlib
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from dockerlab.errors import AppCrashed, LabError
from dockerlab.records import Request
from dockerlab.run.container import Service
from dockerlab.run.stop import Variant, _counted_from, stop, stop_side_by_side

BEGAN = 1_795_517_339_418_363_661
"""When the stop signal was sent, in nanoseconds since the epoch."""

TERM, KILL = ("kill", "15"), ("kill", "9")


class Stream(list):
    def close(self):
        pass


class Engine:
    """Tells of events, each an action, a signal and seconds; and of one container, that ends when it is stopped."""

    def __init__(self, *events, exit_code=0, log=(), kind="docker"):
        self.kind = kind
        self.url = "unix:///engine"
        self.client = SimpleNamespace(api=self)
        self.id = "c0ffee"
        self._events = events
        self._log = log
        self._exit_code = exit_code
        self._status = "running"

    def info(self):
        return {"SystemTime": at(-0.1)}

    def events(self, **_):
        return Stream(
            {"Action": action, "Actor": {"Attributes": {"signal": signal}}, "timeNano": BEGAN + round(seconds * 1e9)}
            for (action, signal), seconds in self._events
        )

    @property
    def attrs(self):
        state = {"Status": self._status, "Pid": 4711, "ExitCode": self._exit_code, "OOMKilled": False}
        return {"State": state, "HostConfig": {"Memory": 0}}

    def stop(self, timeout):
        self._status = "exited"

    def reload(self):
        pass

    def top(self, ps_args):
        return {"Processes": [["4711", "fastapi run"]]}

    def logs(self, **_):
        return "".join(f"{at(seconds)} {line}\n" for line, seconds in self._log).encode()


def at(seconds, zone="Z"):
    moment = datetime.fromtimestamp(BEGAN // 10**9 + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{moment}000{zone}"


def stopped(engine, **options):
    lab = SimpleNamespace(client=engine.client, engine=engine)
    return stop(Service(lab, "web", engine, None, "/"), **options)


def what(record):
    return [event.what for event in record.events]


def test_from_the_first_signal_to_the_end():
    record = stopped(Engine((TERM, 0), (("die", None), 0.25)))
    assert record.seconds == 0.25
    assert [(event.what, event.seconds) for event in record.events] == [("SIGTERM", 0), ("exit", 0.25)]
    assert record.pid1 == "fastapi run"


def test_who_ignores_the_signal_is_killed():
    record = stopped(Engine((TERM, 0), (KILL, 10.01), (("die", None), 10.2), exit_code=137))
    assert (record.killed, record.pace, what(record)) == (True, "had to be killed", ["SIGTERM", "SIGKILL", "exit"])


def test_a_sigkill_that_reached_nobody_does_not_count():
    record = stopped(Engine((TERM, 0), (KILL, 4.01), (("die", None), 4.3), exit_code=0))
    assert (record.killed, record.pace, what(record)) == (False, "at once", ["SIGTERM", "exit"])


def test_137_without_sigkill_is_not_the_engines_doing():
    assert not stopped(Engine((TERM, 0), (("die", None), 0.2), exit_code=137)).killed


def test_a_signal_without_a_name_is_told_by_its_number():
    assert what(stopped(Engine((("kill", "37"), 0), (("die", None), 0.2)))) == ["signal 37", "exit"]


def test_other_events_do_not_matter():
    other = [(("exec_start: cat /proc/1/cmdline", None), -1), (("exec_die", None), 0.01)]
    assert what(stopped(Engine(*other, (TERM, 0), (("die", None), 0.2)))) == ["SIGTERM", "exit"]


@pytest.mark.parametrize(
    ("log", "ran"),
    [
        ([], None),
        ([("some other line", 0.1)], None),
        ([("lifespan: startup", -5), ("lifespan: shutdown", 0.1)], True),
        ([("lifespan: startup", -5)], False),
        ([("lifespan: startup", -5), ("lifespan: startup", -5), ("lifespan: shutdown", 0.1)], False),
        ([("lifespan: startup", -5), ("lifespan: startup", -5)] + [("lifespan: shutdown", 0.1)] * 2, True),
    ],
)
def test_whether_shutdown_ran_in_every_worker(log, ran):
    record = stopped(Engine((TERM, 0), (("die", None), 0.2), log=log))
    assert record.shutdown_ran is ran
    assert ("shutdown" in what(record)) == bool(ran)


def test_the_shutdowns_time_is_that_of_its_log_line():
    log = [("lifespan: startup", -5), ("INFO: lifespan: shutdown", 0.5)]
    shutdown = stopped(Engine((TERM, 0), (("die", None), 0.9), log=log)).events[1]
    assert shutdown.what == "shutdown"
    assert shutdown.seconds == pytest.approx(0.5 - 0.418, abs=0.001)  # BEGAN is 0.418 s after a whole second


def test_the_markers_can_be_others():
    log = [("up", -5), ("down", 0.1)]
    engine = Engine((TERM, 0), (("die", None), 0.2), log=log)
    assert stopped(engine, startup_marker="up", shutdown_marker="down").shutdown_ran


def test_the_drain_timeout_is_what_the_caller_says(monkeypatch):
    ended = (TERM, 0), (("die", None), 0.2)
    assert stopped(Engine(*ended)).drain_seconds is None
    engines = {"drains": Engine(*ended), "waits": Engine(*ended)}
    variants = {"drains": Variant("shop", drain=2), "waits": Variant("shop", ["--timeout-graceful-shutdown", "8"])}
    services = {
        name: Service(SimpleNamespace(client=engine.client, engine=engine), name, engine, None, "/")
        for name, engine in engines.items()
    }
    monkeypatch.setattr("dockerlab.run.stop.serve_side_by_side", lambda lab, variants: contextlib.nullcontext(services))
    assert [record.drain_seconds for record in stop_side_by_side(None, variants)] == [2, None]


def test_who_ended_before_the_signal_has_crashed():
    with pytest.raises(AppCrashed, match="'web' ended with exit code 3 before it was stopped"):
        stopped(Engine((("die", None), -0.01), exit_code=3))


def test_an_engine_that_does_not_tell_of_the_end_is_an_error():
    with pytest.raises(LabError, match="did not report the end of 'web'"):
        stopped(Engine((TERM, 0)))


@pytest.mark.parametrize(
    ("ended", "killed", "events"),
    [(0.3, False, ["stop signal", "exit"]), (10.2, True, ["stop signal", "SIGKILL", "exit"])],
)
def test_podman_tells_of_the_end_alone(ended, killed, events):
    # The signal was sent when we asked for it: on Podman's clock, 0.1 s before BEGAN and a little later.
    engine = Engine((("die", None), ended), exit_code=137 if killed else 0, kind="podman")
    record = stopped(engine)
    assert (record.killed, what(record)) == (killed, events)


@pytest.mark.parametrize(
    ("fate", "ended", "is_in_flight"),
    [
        ("answered", 103.0, True),
        ("cut", 103.0, True),
        ("cut", 101.9, True),  # between the request to stop and the moment in which we heard of the signal
        ("answered", 101.9, False),
        ("cut", 100.9, False),
    ],
)
def test_what_was_in_flight_when_the_stop_began(fate, ended, is_in_flight):
    request = Request("/slow", started_seconds=0.0, seconds=ended - 100, fate=fate)
    running = SimpleNamespace(began=100.0, traffic=SimpleNamespace(requests=(request,)))
    expected = contextlib.nullcontext() if is_in_flight else pytest.raises(LabError, match="it was not in flight")
    with expected:
        (counted,) = _counted_from(102.0, 101.0, "web", running)
        assert counted.started_seconds == -2
