"""Whatever the builder said, the reader is told what was seen and what to do, in one sentence each."""

import pytest
from dockerlab.build import build_context
from dockerlab.build.build_errors import explain
from dockerlab.build.build_progress import LiveStep


@pytest.fixture
def source(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM a\n\nRUNN pip install\n")
    (tmp_path / "requirements.txt").write_text("fastapi\n")
    (tmp_path / "secret.txt").write_text("x\n")
    (tmp_path / ".dockerignore").write_text("secret.*\n")
    return build_context.find(tmp_path)


def failed(instruction, error="process did not complete successfully: exit code: 1", log=""):
    return [
        LiveStep("FROM a", "cached"),
        LiveStep(instruction, "failed", 1.0, error, log),
        LiveStep("COPY b b", "waiting"),
    ]


def test_each_error_is_two_sentences_and_a_log(source):
    error = explain(source, "exit code: 1", failed("RUN make", log="".join(f"line {n}\n\n" for n in range(20))))
    assert error.seen == "`RUN make` ended with exit code 1."
    assert error.do == "The last lines that it printed say why."
    assert error.log.splitlines() == [f"line {n}" for n in range(10, 20)]


@pytest.mark.parametrize(
    "message",
    [
        "dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)",
        "failed to create LLB definition: dockerfile parse error line 3: unknown instruction: RUNN",  # 20.10
    ],
)
def test_a_wrong_line_is_shown(source, message):
    error = explain(source, message, [])
    assert error.seen.startswith("The builder does not understand line 3 of Dockerfile: unknown instruction: RUNN")
    assert error.log == "3 | RUNN pip install"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('process "/bin/sh -c make" did not complete successfully: exit code: 2', 2),
        ('building at STEP "RUN make": while running runtime: exit status 2', 2),  # Podman
    ],
)
def test_the_exit_code_is_told(source, message, code):
    assert explain(source, message, failed("RUN make", message)).seen == f"`RUN make` ended with exit code {code}."


@pytest.mark.parametrize(
    ("log", "do"),
    [
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate",
            "a certificate",
        ),
        ("curl: (60) SSL certificate problem: self-signed certificate in certificate chain", "a certificate"),
        ("NewConnectionError: [Errno -3] Temporary failure in name resolution", "The network inside the build"),
        ("E: Failed to fetch http://mirror.example Could not resolve 'mirror.example'", "The network inside the build"),
        ("ERROR: No matching distribution found for fastapi==9.9", "Check the name and version of fastapi==9.9"),
        ("E: Unable to locate package ngnix", "Check the name and version of ngnix"),
        ("error: something of its own", "The last lines"),
        ("", "It printed nothing"),
    ],
)
def test_the_log_tells_what_to_do(source, log, do):
    error = explain(source, "exit code: 1", failed("RUN pip install", log=log))
    assert error.seen == "`RUN pip install` ended with exit code 1."
    assert do in error.do


def test_killed_is_told_as_such(source):
    assert "killed" in explain(source, "", failed("RUN make", "exit code: 137")).do


NOT_FOUND = {
    "buildkit": 'failed to compute cache key: failed to calculate checksum of ref 1a::2b: "/{}": not found',
    "podman": 'building at STEP "COPY": checking on sources under "/x": copier: stat: "/{}": no such file or directory',
}


@pytest.mark.parametrize("message", NOT_FOUND.values(), ids=NOT_FOUND)
@pytest.mark.parametrize(
    ("path", "seen", "do"),
    [
        ("nope.txt", "found no nope.txt in the build context.", "It has to be in"),
        (
            "requirement.txt",
            "found no requirement.txt in the build context.",
            "There is requirements.txt: is that the one?",
        ),
        ("secret.txt", ".dockerignore keeps it out.", "add the line `!secret.txt`"),
        ("folder/nope.txt", "found no folder/nope.txt", "It has to be in"),
    ],
)
def test_a_missing_source_of_a_copy(source, message, path, seen, do):
    message = message.format(path)
    error = explain(source, message, failed(f"COPY {path} /", message))
    assert error.seen.startswith(f"`COPY {path} /` found no {path}")
    assert seen in error.seen
    assert do in error.do


def test_a_file_that_was_sent_is_not_said_to_be_kept_out(source):
    message = NOT_FOUND["buildkit"].format("requirements.txt")
    assert "keeps it out" not in explain(source, message, failed("COPY requirements.txt /", message)).seen


def test_what_the_builder_said_is_kept_without_its_own_numbers(source):
    assert explain(source, NOT_FOUND["buildkit"].format("x"), failed("COPY x /", "")).log == '"/x": not found'
    assert explain(source, "", failed("COPY a b", NOT_FOUND["podman"].format("x"))).seen.endswith(
        "no such file or directory."
    )


def test_a_file_missing_in_another_stage(source):
    message = "failed to solve: lstat /var/lib/docker/tmp/buildkit-mount1412/nope.txt: no such file or directory"
    error = explain(source, message, failed("COPY --from=build nope.txt /", message))
    assert error.seen == "`COPY --from=build nope.txt /` found no nope.txt in build."
    assert error.log == "lstat /nope.txt: no such file or directory"


RESOLVE = (
    'failed to resolve source metadata for docker.io/library/{0}: failed to do request: Head "https://r/": no such host'
)


@pytest.mark.parametrize(
    ("message", "image"),
    [
        (RESOLVE.format("python:3.99"), "python:3.99"),
        (
            "pull access denied for nobody/nothing, repository does not exist or may require 'docker login'",
            "nobody/nothing",
        ),
        ("manifest for python:3.99 not found: manifest unknown: manifest unknown", "python:3.99"),
        (
            "creating build container: initializing source docker://quay.io/a/b:1: pinging container registry",
            "quay.io/a/b:1",
        ),
    ],
)
def test_a_base_image_that_cannot_be_had(source, message, image):
    for steps in ([], failed("FROM a", message)):
        error = explain(source, message, steps)
        assert error.seen == f"The base image {image} is not on the engine, and it could not be fetched."
        assert "${BASE_IMAGE}" in error.do


def test_a_base_image_whose_name_the_message_does_not_tell(source):
    error = explain(source, 'Get "https://registry-1.docker.io/v2/": dial tcp: no such host', failed("FROM a", ""))
    assert error.seen == "The base image is not on the engine, and it could not be fetched."


def test_a_stage_that_does_not_exist(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM a\nCOPY --from=build /x /x\n")
    error = explain(build_context.find(tmp_path), RESOLVE.format("build:latest"), [])
    assert error.seen == "`--from=build` names neither a stage of Dockerfile nor an image that can be fetched."


@pytest.mark.parametrize(
    ("message", "log"),
    [
        ("failed to copy files: copy file range failed: no space left on device", ""),
        ("process did not complete successfully: exit code: 1", "OSError: [Errno 28] No space left on device"),
    ],
)
def test_a_full_disk(source, message, log):
    error = explain(source, message, failed("RUN pip install", message, log))
    assert error.seen == "The disk was full at `RUN pip install`."
    assert "docker system df" in error.do
    assert "no space left" in error.log.lower()


def test_of_stages_side_by_side_the_one_that_failed_first_is_told(source):
    steps = [
        LiveStep("RUN other", "failed", error="context canceled"),
        LiveStep("RUN make", "failed", error="exit code: 2", log="why\n"),
    ]
    assert explain(source, "exit code: 2", steps).seen == "`RUN make` ended with exit code 2."


def test_anything_else_is_told_in_the_builders_words(source):
    assert explain(source, "the Dockerfile cannot be empty", []).seen == (
        "The builder refused Dockerfile: the Dockerfile cannot be empty."
    )
    assert explain(source, "", failed("COPY a b", "a strange thing")).seen == "`COPY a b` failed: a strange thing."
    assert explain(
        source, 'building at STEP "RUNN": Build error: Unknown: "RUNN" &imagebuilder.Step{Env:[]}', []
    ).seen == ('The builder refused Dockerfile: Unknown: "RUNN".')
