"""Which command line can build with a secret, from what it says of itself."""

from types import SimpleNamespace

import pytest
from dockerlab.build import secret_build
from dockerlab.build.secret_build import build_with_secrets, builder_with_secrets
from dockerlab.errors import BuildFailed, LabError


def lab_with(folder):
    return SimpleNamespace(id="0123abcd", engine=SimpleNamespace(environment={"PATH": str(folder)}))


def docker(folder, *, buildx, version):
    """A program `docker` that answers as one with or without buildx does."""
    path = folder / "docker"
    told = "echo buildx v0.13.1" if buildx else "echo \"docker: 'buildx' is not a docker command.\" >&2; exit 1"
    path.write_text(f'#!/bin/sh\ncase "$1" in\nbuildx) {told};;\nversion) echo {version};;\nesac\n')
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("buildx", "version", "expected"),
    [
        (True, "26.1.5", ["docker", "buildx", "build"]),
        (True, "20.10.24", ["docker", "buildx", "build"]),
        (False, "20.10.24+dfsg1", ["docker", "build"]),
        (False, "23.0.1", None),
        (False, "29.1.3", None),
        (False, "17.12.0", None),
        (False, "dev", None),
    ],
)
def test_the_builder_is_found_by_what_it_says(tmp_path, buildx, version, expected):
    docker(tmp_path, buildx=buildx, version=version)
    assert builder_with_secrets(lab_with(tmp_path)) == expected


def test_without_a_command_line_there_is_no_builder(tmp_path):
    assert builder_with_secrets(lab_with(tmp_path)) is None
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(LabError, match="Nothing here can build with a secret"):
        build_with_secrets(lab_with(tmp_path), tmp_path, {"token": "x"}, name="x")


def test_a_folder_without_a_dockerfile_is_refused_first(tmp_path, monkeypatch):
    monkeypatch.setattr(secret_build, "builder_with_secrets", lambda lab: pytest.fail("it was not looked for"))
    with pytest.raises(BuildFailed, match="There is no Dockerfile"):
        build_with_secrets(lab_with(tmp_path), tmp_path, {}, name="x")
