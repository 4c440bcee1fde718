"""What tests on a real engine share."""

from pathlib import Path

import pytest
from dockerlab import open_lab
from dockerlab.build.builder import build
from dockerlab.records import Build

SAMPLE_APP = Path(__file__).resolve().parents[2] / "sample_app"


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Build:
    """The sample application's image. Its lab stays open until the last test, and so the build cache stays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path_factory.mktemp("workspace")))
        patch.chdir(tmp_path_factory.mktemp("folder"))
        lab = open_lab("test-sample")
    yield build(lab, SAMPLE_APP, name="sample", progress=False)
    assert not lab.close().left
