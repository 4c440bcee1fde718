"""What a stop does to each way of starting a container: firm verdicts, and no test that looks at seconds closely."""

from dataclasses import replace

import pytest
from dockerlab import labels
from dockerlab.errors import AppCrashed, LabError
from dockerlab.serve import serve
from dockerlab.stop import Variant, stop, stop_side_by_side

GRACE = 4
"""Seconds, for those that will be killed: they have to be waited for."""

MORE_GRACE = 30
"""Seconds, for those that will end by themselves, however busy the machine is."""

FASTAPI = "fastapi run app/main.py --port 80"
UVICORN = "uvicorn app.main:app --host 0.0.0.0 --port 80"
WITHOUT_HANDLER = ["python3", "-c", "import time; time.sleep(1000)"]
DRAIN = {"UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN": "1"}


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
    with serve(lab, sample, name="web") as service:
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


def test_requests_in_flight_count_from_the_signal(lab, sample):
    with serve(lab, sample) as service:
        (request,) = stop(service, in_flight=["/slow?seconds=3"]).requests
    assert (request.path, request.fate, request.status) == ("/slow?seconds=3", "answered", 200)
    assert -3 < request.started_seconds < 0 < request.started_seconds + request.seconds


def test_the_server_works_on_each_request_before_the_stop_begins(lab, sample):
    paths = [f"/slow?seconds={seconds}" for seconds in (3.0, 3.1, 3.2, 3.3, 3.4)]
    with serve(lab, sample) as service:
        stopped = stop(service, in_flight=paths)
    assert [(request.path, request.fate) for request in stopped.requests] == [(path, "answered") for path in paths]
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

# How it is started: exit code, whether it had to be killed, whether lifespan shutdown ran.
STARTED = {
    "exec form": (Variant("", FASTAPI.split()), 0, False, True),
    "shell form": (Variant("", shell(FASTAPI)), 137, True, False),
    "shell form, exec": (Variant("", shell(f"exec {FASTAPI}")), 0, False, True),
    "bash": (Variant("", shell(FASTAPI, "/bin/bash")), 0, False, True),
    "bash, 2>&1": (Variant("", shell(f"{FASTAPI} 2>&1", "/bin/bash")), 137, True, False),
    "bash, pipe": (Variant("", shell(f"{FASTAPI} | cat", "/bin/bash")), 137, True, False),
    "exec form, --init": (Variant("", FASTAPI.split(), init=True), 143, False, True),
    "shell form, --init": (Variant("", shell(FASTAPI), init=True), 143, False, False),
    "two workers": (Variant("", [*FASTAPI.split(), "--workers", "2"]), 0, False, True),
    "no handler": (Variant("", WITHOUT_HANDLER, port=None), 137, True, None),
    "no handler, --init": (Variant("", WITHOUT_HANDLER, port=None, init=True), 143, False, None),
}

# What is in flight: exit code, whether lifespan shutdown ran, the fate of the request.
IN_FLIGHT = {
    "a request": (Variant("", in_flight=("/slow?seconds=2",)), 0, True, "answered"),
    "a request, shell form": (Variant("", shell(FASTAPI), in_flight=("/slow?seconds=2",)), 137, False, "answered"),
    "a long request": (Variant("", in_flight=("/slow?seconds=7",)), 137, False, "cut"),
    "a long request, more grace": (Variant("", in_flight=("/slow?seconds=7",)), 0, True, "answered"),
    "a stream": (Variant("", in_flight=("/stream",)), 137, False, "cut"),
    "a stream, fastapi, drain timeout": (Variant("", environment=DRAIN, in_flight=("/stream",)), 137, False, "cut"),
    "a stream, uvicorn, drain timeout": (
        Variant("", UVICORN.split(), environment=DRAIN, in_flight=("/stream",)),
        0,
        True,
        "cut",
    ),
    "a request, uvicorn, drain timeout": (
        Variant("", [*UVICORN.split(), "--timeout-graceful-shutdown", "1"], in_flight=("/slow?seconds=9",)),
        0,
        True,
        "answered 500",
    ),
}


def of_the_sample(sample, table):
    return {
        name: replace(variant, image=sample, grace=GRACE if exit_code == 137 else MORE_GRACE)
        for name, (variant, exit_code, *_) in table.items()
    }


def test_how_the_main_process_is_started_decides(lab, sample):
    stops = stop_side_by_side(lab, of_the_sample(sample, STARTED))
    assert containers(lab) == []
    seen = {stopped.name: (stopped.exit_code, stopped.killed, stopped.shutdown_ran) for stopped in stops}
    assert seen == {name: row[1:] for name, row in STARTED.items()}
    assert [stopped.name for stopped in stops] == list(STARTED), "in the order of the variants"
    for stopped in stops:
        assert stopped.killed == ("SIGKILL" in what(stopped)) == (stopped.seconds >= stopped.grace_seconds)
        assert ("shutdown" in what(stopped)) == bool(stopped.shutdown_ran)


def test_what_is_in_flight_decides(lab, sample):
    stops = stop_side_by_side(lab, of_the_sample(sample, IN_FLIGHT))
    seen = {stopped.name: (stopped.exit_code, stopped.shutdown_ran, stopped.requests[0].outcome) for stopped in stops}
    assert seen == {name: row[1:] for name, row in IN_FLIGHT.items()}


def test_one_that_fails_is_named_and_the_others_are_removed(lab, sample):
    variants = {
        "good": Variant(sample),
        "crashes": Variant(sample, ["python3", "-c", "import nothing"]),
        "also good": Variant(sample),
    }
    with pytest.raises(AppCrashed, match="'crashes' ended with exit code 1"):
        stop_side_by_side(lab, variants)
    assert containers(lab) == []


def test_a_stop_that_fails_is_named_and_the_others_are_removed(lab, sample):
    variants = {"good": Variant(sample), "too fast": Variant(sample, in_flight=("/",))}
    with pytest.raises(LabError, match="'too fast'"):
        stop_side_by_side(lab, variants)
    assert containers(lab) == []
