"""BuildKit's messages become the steps of our Dockerfile, also while it builds for others."""

import base64

import pytest
from dockerlab.build import dockerfile
from dockerlab.build.buildkit_trace import Trace, decode, status_response
from dockerlab.lab.build_cache import is_work_of

DOCKERFILE = (
    "ARG BASE=a\nFROM ${BASE}\nWORKDIR /code\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY . .\n"
)

# Two messages as Docker Engine 26.1.5 sends them.
RECORDED_LOG = (
    "Gl4KR3NoYTI1NjpjNTI4NmExMjYzNDdjYzNjODJhZGY1YWY4ZGRhNjhjYmNhZTlhMWMwOGY3MDg4ZTJmN2Y1NzlhYmVjMzQzMDQ5EgwI9emV2AYQ8b7c"
    "nQMYASIDaGkK"
)
RECORDED_FAILURE = (
    "CpoCCkdzaGEyNTY6YzUyODZhMTI2MzQ3Y2MzYzgyYWRmNWFmOGRkYTY4Y2JjYWU5YTFjMDhmNzA4OGUyZjdmNTc5YWJlYzM0MzA0ORJHc2hhMjU2OjM3"
    "ZTU4NjY3ZTUxZWZiODBhODk3YzEzZTVkYjA4MWZkYzNmZmYyNGRmYWI2YjJkYjE2ZmIxOWU2YWExYTdkZmYaGVsyLzJdIFJVTiBlY2hvIGhpOyBleGl0"
    "IDMqDAj16ZXYBhCLrZyHATILCPbpldgGELb5pwU6UHByb2Nlc3MgIi9iaW4vc2ggLWMgZWNobyBoaTsgZXhpdCAzIiBkaWQgbm90IGNvbXBsZXRlIHN1"
    "Y2Nlc3NmdWxseTogZXhpdCBjb2RlOiAz"
)


def vertex(name, *, at=None, seconds=None, cached=False, error="", digest=None, log=b"", fetched=0):
    """A message about one vertex. `at` and `seconds` count on an engine's clock that began at 1000."""
    response = status_response()()
    reported = response.vertexes.add(digest=digest or name, name=name, cached=cached, error=error)
    if at is not None:
        reported.started.FromNanoseconds(int((1000 + at) * 1e9))
    if seconds is not None:
        reported.completed.FromNanoseconds(int((1000 + at + seconds) * 1e9))
    if log:
        response.logs.add(vertex=digest or name, msg=log)
    if fetched:
        response.statuses.add(vertex=digest or name, total=fetched)
    return base64.b64encode(response.SerializeToString()).decode()


OUR_CONTEXT = vertex("[internal] load remote build context", at=10, seconds=0.1, digest="ours")


def steps(*messages, text=DOCKERFILE, target=None):
    trace = Trace(dockerfile.parse(text), target)
    for message in messages:
        trace.add(message)
    return trace.steps()


def states(*messages, **keywords):
    return {step.instruction: step.state for step in steps(*messages, **keywords)}


def test_recorded_messages_are_decoded():
    (log,) = decode(RECORDED_LOG).logs
    assert log.msg == b"hi\n"
    (failure,) = decode(RECORDED_FAILURE).vertexes
    assert failure.name == "[2/2] RUN echo hi; exit 3"
    assert failure.digest == log.vertex
    assert failure.error.endswith("exit code: 3")
    assert 0 < failure.completed.ToNanoseconds() - failure.started.ToNanoseconds() < 2e9


def test_the_steps_are_those_of_the_dockerfile_as_written_and_in_its_order():
    found = steps(
        OUR_CONTEXT,
        vertex("[5/5] COPY . .", at=22, seconds=0.5),
        vertex("[4/5] RUN pip install -r requirements.txt", at=12, seconds=9.25, log=b"Collecting fastapi\n"),
        vertex("[3/5] COPY requirements.txt .", at=11, seconds=0.25),
        vertex("[2/5] WORKDIR /code", cached=True, at=10, seconds=0),
        vertex("[1/5] FROM docker.io/library/a@sha256:12", at=10, seconds=0),
        vertex("exporting to image", at=23, seconds=1),
    )
    assert [(step.instruction, step.state, step.seconds) for step in found] == [
        ("FROM ${BASE}", "cached", 0.0),
        ("WORKDIR /code", "cached", 0.0),
        ("COPY requirements.txt .", "built", 0.25),
        ("RUN pip install -r requirements.txt", "built", 9.25),
        ("COPY . .", "built", 0.5),
    ]
    assert found[3].log == "Collecting fastapi\n"


def test_a_base_image_counts_as_cached_unless_it_was_fetched():
    name = "[1/5] FROM docker.io/library/a@sha256:12"
    assert steps(vertex(name, at=10, seconds=3))[0].state == "cached"
    assert steps(vertex(name, at=10, seconds=3, cached=True))[0].state == "cached"
    fetched = steps(vertex(name, at=10, seconds=0), vertex(name, at=11, seconds=3, fetched=3001108))[0]
    assert (fetched.state, fetched.seconds) == ("built", 3)


def test_a_step_is_waiting_then_running_then_built():
    name = "[2/5] WORKDIR /code"
    assert steps(vertex(name))[0].state == "waiting"
    running = steps(vertex(name), vertex(name, at=10))[0]
    assert running.state == "running"
    assert 0 <= running.seconds < 1, "counted on our clock from when we were told, whatever the engine's clock says"
    assert steps(vertex(name), vertex(name, at=10), vertex(name, at=10, seconds=1))[0].state == "built"


def test_a_failed_step_has_its_error_and_its_log():
    failed = steps(vertex("[4/5] RUN pip install", at=10, seconds=1, error="exit code: 1", log=b"\x1b[31mno\x1b[0m\n"))[
        0
    ]
    assert (failed.state, failed.error, failed.log) == ("failed", "exit code: 1", "no\n")


def test_twelve_steps_are_padded_and_stages_have_names():
    text = "FROM a AS build\n" + "RUN x\n" * 11 + "FROM a\nCOPY --from=build /x /x\n"
    found = steps(
        vertex("[build  2/12] RUN x", at=1, seconds=7), vertex("[stage-1 2/2] COPY --from=build /x /x"), text=text
    )
    assert found[1].seconds == 7


def test_a_platform_before_the_stage_is_no_part_of_its_name():
    text = "FROM a AS build\nARG X\nCOPY $X /\nRUN x\nFROM a AS web\nARG X\nCOPY $X /\nCOPY --from=build /x /x\n"
    found = steps(
        vertex("[linux/amd64 web 2/3] COPY x /", at=1, seconds=2),
        vertex("[linux/amd64 build 2/3] COPY y /", at=1, seconds=3),
        text=text,
    )
    assert [step.seconds for step in found if step.instruction == "COPY $X /"] == [3, 2]


def test_a_stage_shares_the_base_image_of_another():
    text = "FROM a AS build\nRUN x\nFROM a\nCOPY --from=build /x /x\n"
    found = states(vertex("[build 1/2] FROM docker.io/library/a", at=1, seconds=0), text=text)
    assert found == {"FROM a AS build": "cached", "FROM a": "cached"}


def test_variables_in_a_copy_are_told_with_their_values():
    text = "FROM a\nARG X=b\nCOPY $X .\nCOPY b .\n"
    found = states(vertex("[2/3] COPY b .", at=1, seconds=1), vertex("[3/3] COPY b .", cached=True), text=text)
    assert found == {"COPY $X .": "built", "COPY b .": "cached"}


def test_a_stage_that_is_not_needed_is_not_told():
    text = "FROM a AS unused\nRUN x\nFROM a\nRUN y\n"
    assert "RUN x" not in states(vertex("[stage-1 2/2] RUN y", at=1, seconds=1), text=text)


# What follows was seen on a real engine that built two images at once: work is shared, and told under the other's name.


def test_our_own_vertex_counts_where_another_build_did_the_work():
    found = states(
        OUR_CONTEXT,
        vertex("[4/6] RUN pip install -r requirements.txt", at=11, seconds=3, digest="theirs"),
        vertex("[4/5] RUN pip install -r requirements.txt", at=12, seconds=0, cached=True, digest="mine"),
    )
    assert found["RUN pip install -r requirements.txt"] == "cached"


@pytest.mark.parametrize("theirs", ["[4/5]", "[4/6]", "[web 4/6]"])
def test_work_that_another_build_began_before_us_was_found_like_a_cached_one(theirs):
    found = states(
        vertex("[internal] load remote build context", at=8, seconds=0.1, digest="their context"),
        OUR_CONTEXT,
        vertex("[4/5] RUN pip install -r requirements.txt", digest="mine"),
        vertex(f"{theirs} RUN pip install -r requirements.txt", at=9, seconds=3, digest="theirs"),
    )
    assert found["RUN pip install -r requirements.txt"] == "cached"


@pytest.mark.parametrize("theirs", ["[4/5]", "[4/6]", "[web 4/6]"])
def test_work_that_another_build_began_after_us_was_not_in_the_cache(theirs):
    found = states(
        OUR_CONTEXT,
        vertex("[4/5] RUN pip install -r requirements.txt", digest="mine"),
        vertex(f"{theirs} RUN pip install -r requirements.txt", at=11, seconds=3, digest="theirs"),
    )
    assert found["RUN pip install -r requirements.txt"] == "built"


def test_a_step_is_found_under_the_name_that_another_build_gave_it():
    found = states(OUR_CONTEXT, vertex("[2/6] WORKDIR /code", at=11, seconds=1), vertex("[2/6] WORKDIR /other"))
    assert found == {"WORKDIR /code": "built"}


# The build cache: which records a build has made.


def describes(*names):
    trace = Trace(dockerfile.parse(DOCKERFILE))
    for name in names:
        trace.add(vertex(name))
    return trace.describes


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("copy /context /", "copy /context /"),
        ("", "http url http://build-context-ihvpcot809um09js49h6y62wo"),
        ("[3/5] COPY requirements.txt .", "[3/5] COPY requirements.txt ."),
        ("[4/5] RUN pip  install", "mount / from exec /bin/sh -c pip install"),
        (
            "[4/5] RUN --mount=type=cache,target=/c   a &&   b",
            'cached mount /c from exec /bin/sh -c a &&   b with id "//c"',
        ),
        ('[4/5] RUN ["echo", "a b"]', "mount / from exec echo a b"),
        ("[4/5] RUN <<EOT (echo hi...)", "mount / from exec /bin/sh -c echo hi\necho ho\n"),
        ("[1/5] FROM docker.io/library/a@sha256:12", "pulled from docker.io/library/a@sha256:12"),
        ("[1/5] FROM docker.io/library/a", "from local "),
    ],
)
def test_records_of_the_build_are_recognized(name, record):
    assert describes(name)(record)


@pytest.mark.parametrize(
    "record",
    [
        "local source for context",
        "local source for dockerfile",
        "[3/5] COPY . /elsewhere",
        "mount / from exec /bin/sh -c make",
        "[2/2] COPY pip install /",
        "pulled from docker.io/library/b@sha256:34",
        "",
    ],
)
def test_records_of_the_readers_own_builds_are_not(record):
    vertices = ["[1/5] FROM docker.io/library/a@sha256:12", "[3/5] COPY . .", "[4/5] RUN pip install"]
    assert not describes(*vertices)(record)


def test_a_build_that_found_all_in_the_cache_has_made_nothing():
    cached = [
        vertex("[internal] load remote build context", at=1, seconds=0, cached=True),
        vertex("[internal] load metadata for docker.io/library/a", at=1, seconds=0),
        vertex("[1/2] FROM docker.io/library/a", at=1, seconds=0),
        vertex("[2/2] COPY . .", at=1, seconds=0, cached=True),
        vertex("exporting to image", at=1, seconds=0),
    ]
    trace = Trace(dockerfile.parse("FROM a\nCOPY . .\n"))
    for message in cached:
        trace.add(message)
    assert trace.is_all_cached
    trace.add(vertex("copy /context /", at=2, seconds=1))
    assert not trace.is_all_cached


@pytest.mark.parametrize(
    ("instruction", "record", "is_it"),
    [
        ("COPY ./app /code/app", "[4/5] COPY ./app /code/app", True),
        ("COPY ./app /code/app", "[build 4/5] COPY  ./app  /code/app", True),
        ("COPY ./app /code/app", "[4/5] COPY ./app /code/app2", False),
        ("COPY ./app ${HOME}/app", "[4/5] COPY ./app /root/app", True),
        ("WORKDIR /code", "[2/5] WORKDIR /code", True),
        ("WORKDIR /code", "[2/5] COPY /code", False),
        ("RUN echo $WORD", "mount / from exec /bin/sh -c echo $WORD", True),
        ("RUN --mount=type=cache,target=/c pip install x", "cached mount /c from exec /bin/sh -c pip install x", True),
        ("RUN echo one", "mount / from exec /bin/sh -c echo two", False),
        ("FROM base", "from local ", True),
        ("FROM base", "pulled from docker.io/library/b@sha256:34", False),
        ("COPY base /", "from local ", False),
    ],
)
def test_an_instruction_is_found_in_the_description_of_its_record(instruction, record, is_it):
    assert is_work_of(instruction, record) is is_it
