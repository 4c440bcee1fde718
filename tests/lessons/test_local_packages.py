"""Which base image a test's builds get."""

import os
from types import SimpleNamespace

import local_packages
import pytest
from dockerlab.engine.base import base_image


def item(nodeid, *markers):
    return SimpleNamespace(nodeid=nodeid, get_closest_marker=lambda name: name in markers or None)


@pytest.mark.parametrize(
    ("asked", "image"),
    [
        (item("notebooks/03_exec_or_shell.ipynb::setup"), "compiled"),
        (item("notebooks/08_production_image.ipynb::setup"), "plain"),
        (item("tests/lessons/test_seeded_faults.py::test[08_production_image: as root]", "prove"), "plain"),
        (item("tests/audit/test_projects.py::test_project[no_dockerfile]"), "compiled"),
        (item("tests/audit/test_projects.py::test_project[granian]", "prove"), ""),
        (item("tests/audit/test_hostile.py::test[endless]", "alone"), ""),
        (item("tests/kit/test_offline.py::test_make_lab", "prove"), ""),
    ],
)
def test_the_image_is_chosen_by_what_is_proven(monkeypatch, asked, image):
    monkeypatch.setenv(base_image.VARIABLE, "another")
    local_packages.Chosen("plain", "compiled").pytest_runtest_setup(asked)
    assert os.environ[base_image.VARIABLE] == image


def test_each_process_chooses_itself(pytestconfig):
    """Named by the controlling process, an image would be what all of pytest-xdist's workers use, lesson 08 too."""
    named = os.environ.get(base_image.VARIABLE, "")
    if local_packages.TAGS.exists() and named in local_packages.TAGS.read_text().split():
        plugins = pytestconfig.pluginmanager.get_plugins()
        assert any(type(plugin).__name__ == "Chosen" for plugin in plugins)
