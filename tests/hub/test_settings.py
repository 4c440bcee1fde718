"""A hub's settings, its files, and what is refused. That learners work at one is proven by `make hub-proof`."""

import json
import re
import sys
from pathlib import Path

import pytest
from dockerlab import labels
from dockerlab.errors import LabError
from dockerlab.lab import copies

ROOT = Path(__file__).parents[2]
HUB = ROOT / "workshop" / "hub"
sys.path.insert(0, str(HUB))

import room  # noqa: E402


def given(tmp_path, **settings):
    values = {"PASSWORD": "long enough", "STATE": str(tmp_path / "state"), **settings}
    return {f"DOCKERLAB_HUB_{name}": text for name, text in values.items()}


def test_a_password_is_all_that_a_hub_needs(tmp_path):
    found = room.settings(given(tmp_path))
    assert (found.password, found.learners, found.url) == ("long enough", (), "http://127.0.0.1:8000")
    assert found.state.stat().st_mode & 0o777 == 0o700, "its folder holds the cookies' secret"


def test_names_may_be_separated_by_commas_or_spaces(tmp_path):
    assert room.settings(given(tmp_path, LEARNERS="ada, grace barbara")).learners == ("ada", "grace", "barbara")


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        ({"PASSWORD": ""}, "no password"),
        ({"PASSWORD": "short"}, "no password"),
        ({"SEAT": "3"}, "no setting DOCKERLAB_HUB_SEAT"),
        ({"SEATS": "many"}, "DOCKERLAB_HUB_SEATS is 'many'"),
        ({"URL": "http://0.0.0.0:8000"}, "plain text"),
        ({"URL": "http://:8000"}, "plain text"),
        ({"URL": "https://hub.example"}, "needs a certificate"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, settings, seen):
    with pytest.raises(LabError, match=re.escape(seen)):
        room.settings(given(tmp_path, **settings))


def test_the_readme_tells_every_setting():
    text = (HUB / "README.md").read_text()
    wanted = {f"DOCKERLAB_HUB_{name.upper()}" for name in room.Settings.__dataclass_fields__}
    assert wanted == set(re.findall(r"DOCKERLAB_HUB_[A-Z_]+", text))


def test_learners_files_are_not_what_dockerlab_clean_removes():
    assert labels.LAB not in room.labels_of("files")
    for part in ("image", "network", "server"):
        assert labels.LAB in room.labels_of(part)
        assert labels.OWNER not in room.labels_of(part), "a sweep would take it for left behind"


def test_a_learner_sees_their_copies_and_one_from_before_there_were_any_sees_the_lessons():
    config, start = (HUB / "jupyterhub_config.py").read_text(), (HUB / "start.sh").read_text()
    (first,) = re.findall(r'default_url = "/lab/tree/(.*)"', config)
    assert first == copies.names()[0]
    (asked,) = re.findall(rf"! -e {room.FOLDER}/(\S+)", start)
    assert ROOT / asked == Path(copies.__file__), "what tells a laboratory with copies from one without"
    assert f"ServerApp.root_dir={room.FOLDER} " in start
    assert f"DEFAULT_URL=/lab/tree/notebooks/{first}" in start


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ \n]+)", path.read_text(), re.MULTILINE))


def test_its_pins_are_the_laboratorys_where_both_have_one():
    lab, hub = pins(ROOT / "requirements.txt"), pins(HUB / "requirements.txt")
    assert [name for name in hub.keys() & lab.keys() if hub[name] != lab[name]] == []
    assert {"jupyterhub", "dockerspawner", "docker"} <= hub.keys()


def test_its_proxy_is_pinned_with_all_that_it_needs():
    asked = json.loads((HUB / "package.json").read_text())["dependencies"]
    locked = json.loads((HUB / "package-lock.json").read_text())["packages"]
    assert list(asked) == ["configurable-http-proxy"]
    assert asked == locked[""]["dependencies"]
    assert asked["configurable-http-proxy"] == locked["node_modules/configurable-http-proxy"]["version"]
    assert all(package.get("integrity") for name, package in locked.items() if name)
