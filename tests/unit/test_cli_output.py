"""What `docker build … | tee FILE` printed, read as the record of the build. The outputs are real, and cut."""

import pytest
from dockerlab.build import steps_of
from dockerlab.errors import BuildFailed, LabError
from dockerlab.records import Step

PIP = "RUN pip install --no-cache-dir --upgrade -r /code/requirements.txt"

BEGIN = """\
#0 building with "default" instance using docker driver

#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 315B done
#1 DONE 0.0s

#2 [internal] load metadata for docker.io/dockerlab/base:trixie
#2 DONE 0.0s

#3 [internal] load .dockerignore
#3 transferring context: 2B done
#3 DONE 0.0s

#4 [1/5] FROM docker.io/dockerlab/base:trixie
#4 DONE 0.0s

#5 [internal] load build context
#5 transferring context: 1.25kB done
#5 DONE 0.0s
"""
END = """
#10 exporting to image
#10 exporting layers 0.2s done
#10 writing image sha256:32fb431d8d76dd3115ee41df4b1f6b0a6e687ccea33a9ba2bb1e7954605f492e done
#10 naming to docker.io/library/first-26819877 done
#10 DONE 0.2s
"""
FIRST = f"""{BEGIN}
#6 [2/5] WORKDIR /code
#6 CACHED

#7 [3/5] COPY ./requirements.txt /code/requirements.txt
#7 DONE 0.1s

#8 [4/5] {PIP}
#8 2.010 Collecting fastapi==0.165.0 (from -r /code/requirements.txt (line 2))
#8 5.247      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 2.3/2.3 MB 18.5 MB/s eta 0:00:00
#8 6.484{" "}
#8 6.486 Successfully installed fastapi-0.165.0
#8 DONE 6.7s

#9 [5/5] COPY ./app /code/app
#9 DONE 0.0s
{END}"""
AGAIN = f"""{BEGIN}
#6 [4/5] {PIP}
#6 CACHED

#7 [3/5] COPY ./requirements.txt /code/requirements.txt
#7 CACHED

#8 [2/5] WORKDIR /code
#8 CACHED

#9 [5/5] COPY ./app /code/app
#9 CACHED
{END}"""
STAGES = f"""\
#0 building with "default" instance using docker driver

#4 [stage-1 2/4] WORKDIR /code
#4 CACHED

#5 [data 1/3] FROM docker.io/library/python:3.13.9-slim@sha256:{64 * "0"}
#5 sha256:{64 * "1"} 29.77MB / 29.77MB 0.9s done
#5 extracting sha256:{64 * "1"}
#5 ...

#6 [internal] load build context
#6 DONE 0.0s

#5 [data 1/3] FROM docker.io/library/python:3.13.9-slim@sha256:{64 * "0"}
#5 extracting sha256:{64 * "1"} 1.2s done
#5 DONE 2.4s

#7 [data 2/3] COPY ./prices.csv /prices.csv
#7 DONE 0.0s

#8 [data 3/3] RUN sort /prices.csv > /sorted.csv
#8 DONE 0.2s

#9 [stage-1 3/4] COPY --from=data /sorted.csv ./
#9 CACHED

#10 [stage-1 4/4] RUN wc --lines sorted.csv > count.txt
#10 CACHED

#11 exporting to image
#11 exporting manifest sha256:{64 * "2"} done
#11 naming to docker.io/library/stages-26819877:latest done
#11 DONE 0.0s
"""
FAILED = f"""{BEGIN}
#6 [4/5] RUN pip install nonsense-404
#6 1.570 ERROR: Could not find a version that satisfies the requirement nonsense-404 (from versions: none)
#6 1.571 ERROR: No matching distribution found for nonsense-404
#6 ERROR: process "/bin/sh -c pip install nonsense-404" did not complete successfully: exit code: 1
------
 > [4/5] RUN pip install nonsense-404:
1.570 ERROR: Could not find a version that satisfies the requirement nonsense-404 (from versions: none)
1.571 ERROR: No matching distribution found for nonsense-404
------
Dockerfile:8
--------------------
   6 |     COPY ./requirements.txt /code/requirements.txt
   7 |
   8 | >>> RUN pip install nonsense-404
--------------------
ERROR: failed to solve: process "/bin/sh -c pip install nonsense-404" did not complete successfully: exit code: 1
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        (log := tmp_path / "first.log").write_text(text)
        return steps_of(log)

    return read


def test_a_first_build(read):
    build = read(FIRST)
    assert build.steps == (
        Step("FROM dockerlab/base:trixie", True, 0.0),
        Step("WORKDIR /code", True, 0.0),
        Step("COPY ./requirements.txt /code/requirements.txt", False, 0.1),
        Step(
            PIP,
            False,
            6.7,
            log="Collecting fastapi==0.165.0 (from -r /code/requirements.txt (line 2))\n"
            "     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 2.3/2.3 MB 18.5 MB/s eta 0:00:00\n"
            "\nSuccessfully installed fastapi-0.165.0\n",
        ),
        Step("COPY ./app /code/app", False, 0.0),
    )
    assert build.outcome == "COPY ./requirements.txt, RUN pip, COPY ./app"
    assert (build.name, build.image, build.context_bytes) == ("first", "first-26819877", 1250)
    assert build.image_id.startswith("sha256:32fb")
    assert build.seconds == pytest.approx(7.0)


def test_steps_from_the_cache_are_in_the_order_of_the_dockerfile_whatever_that_of_the_lines(read):
    build = read(AGAIN)
    assert [step.instruction.split()[0] for step in build.steps] == ["FROM", "WORKDIR", "COPY", "RUN", "COPY"]
    assert all(step.cached for step in build.steps)
    assert (build.ran, build.outcome) == ((), "nothing")


@pytest.mark.parametrize("twice", ["before", "after"])
def test_a_step_that_is_printed_twice_is_one_and_ran_if_one_of_them_did(read, twice):
    """Beside a build that shares it: `WORKDIR` once as looked up, `RUN` once more as looked up."""
    again = f"#11 [4/5] {PIP}\n#11 CACHED\n\n#12 [2/5] WORKDIR /code\n#12 CACHED\n\n"
    mark = "#6 [2/5]" if twice == "before" else "#9 [5/5]"
    build = read(FIRST.replace(mark, again + mark))
    assert [step.instruction.split()[0] for step in build.steps] == ["FROM", "WORKDIR", "COPY", "RUN", "COPY"]
    assert [step.cached for step in build.steps] == [True, True, False, False, False]


def test_stages_one_after_the_other_and_an_image_that_was_pulled(read):
    build = read(STAGES)
    assert repr(build).splitlines() == [
        "built  FROM python:3.13.9-slim",
        "built  COPY ./prices.csv /prices.csv",
        "built  RUN sort /prices.csv > /sorted.csv",
        "cached WORKDIR /code",
        "cached COPY --from=data /sorted.csv ./",
        "cached RUN wc --lines sorted.csv > count.txt",
    ]
    assert build.outcome == "COPY ./prices.csv, RUN sort"
    assert (build.image, build.image_id) == ("stages-26819877:latest", f"sha256:{64 * '2'}")


def test_a_failed_build_raises_with_the_step_and_its_last_lines(read):
    with pytest.raises(BuildFailed) as error:
        read(FAILED)
    assert error.value.seen == (
        'The build in first.log failed at `RUN pip install nonsense-404`: process "/bin/sh -c pip install '
        'nonsense-404" did not complete successfully: exit code: 1.'
    )
    assert error.value.log.splitlines()[-1] == "ERROR: No matching distribution found for nonsense-404"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ERROR: Cannot connect to the Docker daemon at unix:///x.sock.\n", "failed: Cannot connect to the Docker"),
        (f"{BEGIN}ERROR: failed to build: failed to solve: no such stage\n", "first.log failed: no such stage"),
        (FIRST.removesuffix("#10 DONE 0.2s\n"), "not the output of a whole build"),
        ("sha256:32fb431d\n", "without --quiet"),
        ("", "not the output of a whole build"),
    ],
    ids=["no engine", "no step", "broken off", "quiet", "empty"],
)
def test_what_is_no_whole_build_raises(read, text, told):
    with pytest.raises(LabError, match=told):
        read(text)


def test_a_log_that_is_not_there(tmp_path):
    with pytest.raises(LabError, match=r"first\.log cannot be read.*\n?.*Run the cell that builds"):
        steps_of(tmp_path / "first.log")
