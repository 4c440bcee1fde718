"""What a stop does to each way of starting a container: firm verdicts, and no test that looks at seconds closely."""

from dataclasses import replace

import pytest
from dockerlab import labels
from dockerlab.errors import AppCrashed, LabError
from dockerlab.run.container import serve
from dockerlab.run.stop import Variant, stop, stop_side_by_side

GRACE = 4
"""Seconds, for those that will be killed: they have to be waited for."""

MORE_GRACE = 30
"""Seconds, for those that will end by themselves, however busy the machine is."""

FASTAPI = "fastapi run app/main.py --port 80"
WITHOUT_HANDLER = ["python3", "-c", "import time; time.sleep(1000)"]


def containers(lab):
    return lab.client.containers.list(all=True, filters={"label": f"{labels.LAB}={lab.id}"})


def shell(command, program="/bin/sh"):
    """What the builder makes of `CMD command`: the shell form."""
    return [program, "-c", command]


def what(stopped):
    return [event.what for event in stopped.events]


# --- one stop ---


def test_a_stop_is_told_by_the_engines_events(lab, sample):
    with serve(lab, sample, name="web") as service:
        stopped = stop(service)
        service.container.reload()
        assert service.container.status == "exited", "it stays until the service is closed"
    assert containers(lab) == []
    assert (stopped.name, stopped.exit_code, stopped.killed, stopped.shutdown_ran) == ("web", 0, False, True)
    assert what(stopped) == ["SIGTERM", "shutdown", "exit"]
    assert stopped.events[0].seconds == 0
    assert stopped.events[-1].seconds == stopped.seconds < stopped.grace_seconds == 10
    assert stopped.pid1.endswith(FASTAPI)
    assert repr(stopped) == "web: at once, exit code 0, lifespan shutdown ran"


def test_a_container_that_has_ended_cannot_be_stopped(lab, sample):
    with serve(lab, sample, name="web", port=None, command=WITHOUT_HANDLER) as service:
        service.container.kill()
        service.container.wait()
        with pytest.raises(AppCrashed, match="'web' ended with exit code 137 before it was stopped"):
            stop(service)


def test_the_images_own_stop_signal_is_told(lab, sample):
    with serve(lab, sample, stop_signal="SIGINT") as service:
        assert what(stop(service)) == ["SIGINT", "shutdown", "exit"]


def test_a_worker_whose_shutdown_did_not_run_counts(lab, sample):
    program = "echo up; echo up; trap 'echo down; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    with serve(lab, sample, port=None, command=shell(program), ready="ready") as service:
        stopped = stop(service, startup_marker="up", shutdown_marker="down")
    assert stopped.shutdown_ran is False
    assert what(stopped) == ["SIGTERM", "exit"]


def test_the_server_works_on_each_request_before_the_stop_begins(lab, sample):
    paths = [f"/slow?seconds={seconds}" for seconds in (3.0, 3.1, 3.2, 3.3, 3.4)]
    with serve(lab, sample) as service:
        stopped = stop(service, in_flight=paths)
    seen = [(request.path, request.fate, request.status) for request in stopped.requests]
    assert seen == [(path, "answered", 200) for path in paths]
    for request in stopped.requests:
        assert -3 < request.started_seconds < 0 < request.started_seconds + request.seconds, "counted from the signal"
    assert stopped.pace == "within the grace period"


def test_a_request_that_is_over_before_the_stop_is_not_in_flight(lab, sample):
    with serve(lab, sample) as service, pytest.raises(LabError, match="/items/5 was answered before the stop signal"):
        stop(service, in_flight=["/items/5"])


def test_only_what_serves_http_can_have_requests(lab, sample):
    with (
        serve(lab, sample, port=None, command=["sleep", "1000"]) as service,
        pytest.raises(LabError, match="no HTTP"),
    ):
        stop(service, in_flight=["/"])


# --- side by side ---

# How it is started: exit code, whether it had to be killed, whether lifespan shutdown ran. Lesson 03 tells it of all
# other ways, and of what is in flight.
STARTED = {
    "bash, 2>&1": (Variant("", shell(f"{FASTAPI} 2>&1", "/bin/bash"), grace=GRACE), 137, True, False),
    "two workers": (Variant("", [*FASTAPI.split(), "--workers", "2"], grace=MORE_GRACE), 0, False, True),
    "no handler, --init": (Variant("", WITHOUT_HANDLER, port=None, init=True, grace=MORE_GRACE), 143, False, None),
}


def test_how_the_main_process_is_started_decides(lab, sample):
    stops = stop_side_by_side(lab, {name: replace(row[0], image=sample) for name, row in STARTED.items()})
    assert containers(lab) == []
    seen = {stopped.name: (stopped.exit_code, stopped.killed, stopped.shutdown_ran) for stopped in stops}
    assert seen == {name: row[1:] for name, row in STARTED.items()}
    assert [stopped.name for stopped in stops] == list(STARTED), "in the order of the variants"
    for stopped in stops:
        assert stopped.killed == ("SIGKILL" in what(stopped)) == (stopped.seconds >= stopped.grace_seconds)
        assert ("shutdown" in what(stopped)) == bool(stopped.shutdown_ran)


def test_one_that_fails_is_named_and_the_others_are_removed(lab, sample):
    good = Variant(sample, WITHOUT_HANDLER, port=None)
    variants = {"good": good, "crashes": Variant(sample, ["python3", "-c", "import nothing"]), "also good": good}
    with pytest.raises(AppCrashed, match="'crashes' ended with exit code 1"):
        stop_side_by_side(lab, variants)
    assert containers(lab) == []


def test_a_stop_that_fails_is_named_and_the_others_are_removed(lab, sample):
    good = Variant(sample, WITHOUT_HANDLER, port=None, init=True)
    variants = {"good": good, "too fast": Variant(sample, in_flight=("/",))}
    with pytest.raises(LabError, match="'too fast'"):
        stop_side_by_side(lab, variants)
    assert containers(lab) == []
