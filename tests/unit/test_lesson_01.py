"""How much of a build context was sent, by what `docker build` printed."""

import pytest
from dockerlab.claims.lesson_01 import sent
from dockerlab.errors import LabError

OUTPUT = """\
#0 building with "default" instance using docker driver

#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 294B done
#1 DONE 0.0s

#3 [internal] load .dockerignore
#3 transferring context: 30MB done
#3 DONE 0.0s

#5 [internal] load build context
#5 transferring context: 5.84kB 0.0s done
#5 DONE 0.0s

#6 [3/5] COPY ./requirements.txt /code/requirements.txt
#6 CACHED
"""
CONTEXT = "5.84kB 0.0s done"


def measured(tmp_path, text):
    (tmp_path / "build.log").write_text(text)
    return sent(tmp_path / "build.log")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (CONTEXT, "a few kB"),
        ("2B done", "a few kB"),
        ("310.2kB done", "a few hundred kB"),
        ("25.31MB 0.2s done", "all of it"),
        ("1.2GB 9.0s done", "all of it"),
        ("5.01MB done", "5 MB"),
        ("12.3MB 5.1s\n#6 CACHED\n#5 transferring context: 25.31MB 6.0s done", "all of it"),
    ],
)
def test_what_was_sent_in_words(tmp_path, told, expected):
    assert measured(tmp_path, OUTPUT.replace(CONTEXT, told)) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (OUTPUT + 'ERROR: failed to solve: "/app": not found\n', "The build failed: ERROR: failed to solve"),
        ("Sending build context to Docker daemon  25.31MB\n", "needs BuildKit"),
        ("", "needs BuildKit"),
    ],
)
def test_a_build_that_failed_and_another_builder_are_errors(tmp_path, text, told):
    with pytest.raises(LabError, match=told):
        measured(tmp_path, text)
