"""The order in which a base image is looked for, with an engine that is played."""

import json
import types

import pytest
import requests
from docker.errors import APIError, ImageNotFound
from dockerlab import labels
from dockerlab.engine import apt, certificates, versions
from dockerlab.engine.base import base_image, bootstrap, bundle, official
from dockerlab.errors import BaseImageMissing, EngineUnreachable, LabError


class PlayedEngine:
    """Images by tag, and what its registry says. In place of a client and of its `api`."""

    base_url = "http+docker://localhost"

    def __init__(self, *tags, registry="no such host"):
        self.tags = list(tags)
        self.registry = registry
        self.asked = 0
        self.api = self

    def info(self):
        return {"ID": "played"}

    def inspect_image(self, tag):
        if tag not in self.tags:
            raise ImageNotFound("no such image")
        return {"Id": f"sha256:{tag}"}

    def images(self, name=None, filters=None):
        assert filters == {"label": "dev.dockerlab.base=1"}
        return [
            {"RepoTags": [tag], "Created": number}
            for number, tag in enumerate(self.tags)
            if tag.removeprefix("localhost/").startswith(f"{name}:")
        ]

    def _url(self, path, *arguments):
        return path.format(*arguments)

    def _get(self, url, timeout):
        assert timeout <= 5
        self.asked += 1
        if isinstance(self.registry, Exception):
            raise self.registry
        return types.SimpleNamespace(close=list)

    def _raise_for_status(self, response):
        if self.registry:
            raise APIError("500", explanation=f'Get "https://registry": dial tcp: lookup: {self.registry}')

    def _post(self, url, params, headers, stream, timeout):
        self.tags.append(f"{params['fromImage']}:{params['tag']}")
        return types.SimpleNamespace(iter_lines=lambda: [b'{"status": "done"}'], close=list)

    def load_image(self, data):
        tag = b"".join(data).decode()
        self.tags.append(tag)
        return [{"stream": f"Loaded image: {tag}\n"}]


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine with a cache of its own, no added authorities, and no bundle."""
    monkeypatch.setenv("DOCKERLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DOCKERLAB_BUNDLE", raising=False)
    monkeypatch.setattr(certificates, "of_this_machine", tuple)


@pytest.fixture
def bootstrapped(monkeypatch):
    def play(client, report):
        client.tags.append("dockerlab/base:trixie")
        return "dockerlab/base:trixie"

    monkeypatch.setattr(bootstrap, "make", play)


def quiet(_):
    pass


def test_the_official_image_goes_first():
    engine = PlayedEngine("dockerlab/base:trixie", versions.BASE_IMAGE)
    assert base_image.ensure(engine, pytest.fail) == base_image.BaseImage(versions.BASE_IMAGE, "present")


def test_the_lab_s_own_image_goes_before_a_pull():
    engine = PlayedEngine("dockerlab/base:old", "localhost/dockerlab/base:new", registry="")
    assert base_image.ensure(engine, pytest.fail) == base_image.BaseImage("dockerlab/base:new", "present")
    assert not engine.asked


def test_pulled():
    said = []
    engine = PlayedEngine(registry="")
    assert base_image.ensure(engine, said.append) == base_image.BaseImage(versions.BASE_IMAGE, "pulled")
    assert f"docker image rm {versions.BASE_IMAGE}" in said[0]
    assert said[-1] == f"Base image: {versions.BASE_IMAGE} is ready (pulled)."


@pytest.mark.parametrize("tag", [versions.BASE_IMAGE, "dockerlab/base:trixie"])
def test_loaded(tmp_path, monkeypatch, tag):
    (tmp_path / "base.tar").write_text(tag)
    monkeypatch.setenv("DOCKERLAB_BUNDLE", str(tmp_path))
    assert base_image.ensure(PlayedEngine(), quiet) == base_image.BaseImage(tag, "loaded")


def test_a_bundle_of_something_else_is_passed_over(tmp_path, monkeypatch, bootstrapped):
    (tmp_path / "other.tar").write_text("other:1")
    monkeypatch.setenv("DOCKERLAB_BUNDLE", str(tmp_path / "other.tar"))
    said = []
    assert base_image.ensure(PlayedEngine(), said.append).origin == "bootstrapped"
    assert "holds other:1" in said[1]


def test_a_bundle_that_is_mistyped_is_told(tmp_path, monkeypatch, bootstrapped):
    monkeypatch.setenv("DOCKERLAB_BUNDLE", str(tmp_path / "bsae.tar"))
    said = []
    base_image.ensure(PlayedEngine(), said.append)
    assert f"DOCKERLAB_BUNDLE names {tmp_path}/bsae.tar, and there is no such file" in said[0]


def test_bootstrapped_under_the_lab_s_own_name(bootstrapped):
    image = base_image.ensure(PlayedEngine(), quiet)
    assert image == base_image.BaseImage("dockerlab/base:trixie", "bootstrapped")
    assert image.tag.startswith(f"{labels.BASE_REPOSITORY}:")


def test_in_no_way(monkeypatch):
    def refuse():
        raise apt.NoSource("The lab knows no packages for Fedora.")

    monkeypatch.setattr(apt, "machine_source", refuse)
    with pytest.raises(BaseImageMissing, match="cannot be had") as missing:
        base_image.ensure(PlayedEngine(), quiet)
    assert missing.value.log.splitlines() == [
        "not pulled: no such host",
        "not loaded: DOCKERLAB_BUNDLE names no archive",
        "not bootstrapped: The lab knows no packages for Fedora.",
    ]
    assert "DOCKERLAB_BUNDLE" in missing.value.do


def test_a_registry_that_does_not_answer_is_remembered(bootstrapped):
    engine = PlayedEngine()
    base_image.ensure(engine, quiet)
    engine.tags.clear()
    base_image.ensure(engine, quiet)
    assert engine.asked == 1
    assert official.registry_problem(engine) == "no such host"  # the doctor asks anew
    assert engine.asked == 2
    engine.registry = ""
    assert official.registry_problem(engine) == ""
    engine.tags.clear()
    assert base_image.ensure(engine, quiet).origin == "pulled"


def test_a_registry_that_is_silent_is_given_up():
    engine = PlayedEngine(registry=requests.exceptions.ReadTimeout("5 s"))
    assert official.registry_problem(engine) == "no registry answers"


def test_an_engine_that_goes_away_is_told(monkeypatch):
    engine = PlayedEngine()
    monkeypatch.setattr(engine, "inspect_image", lambda _: (_ for _ in ()).throw(requests.ConnectionError("gone")))
    with pytest.raises(EngineUnreachable, match="did not answer"):
        base_image.ensure(engine, quiet)


def test_a_cache_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file in its place")
    with pytest.raises(BaseImageMissing, match="cannot be used"):
        base_image.ensure(PlayedEngine(), quiet)


def test_where_tls_is_opened_the_official_image_is_derived_from(monkeypatch):
    monkeypatch.setattr(certificates, "of_this_machine", lambda: ("PEM",))
    monkeypatch.setattr(official, "_is_stopped", lambda _: True)
    engine = PlayedEngine(versions.BASE_IMAGE)
    built = []
    engine.images = types.SimpleNamespace(build=lambda **options: built.append(options))
    image = base_image.ensure(engine, quiet)
    assert image.tag == official.derived_tag(("PEM",)) == built[0]["tag"]
    assert image.tag.startswith(f"{labels.BASE_REPOSITORY}:")
    assert built[0]["labels"] == {labels.BASE: "1"}
    engine.tags.append(image.tag)
    assert base_image.ensure(engine, pytest.fail) == base_image.BaseImage(image.tag, "present")


def test_where_it_is_not_opened_this_is_asked_once(monkeypatch):
    asked = []
    monkeypatch.setattr(certificates, "of_this_machine", lambda: ("PEM",))
    monkeypatch.setattr(official, "_is_stopped", lambda _: bool(asked.append(1)))
    engine = PlayedEngine(versions.BASE_IMAGE)
    for _ in range(2):
        assert base_image.ensure(engine, quiet).tag == versions.BASE_IMAGE
    assert len(asked) == 1


def test_archives_of_a_bundle(tmp_path):
    for name in ("app.tar", "base.tar.zst", "wheels.zip", "z.tgz"):
        (tmp_path / name).touch()
    assert [path.name for path in bundle.archives(tmp_path)] == ["base.tar.zst", "app.tar", "z.tgz"]
    assert bundle.archives(tmp_path / "app.tar") == [tmp_path / "app.tar"]


def test_a_foreign_processor_is_refused(monkeypatch):
    monkeypatch.setattr(apt, "run", lambda _: types.SimpleNamespace(stdout="arm64\n"))
    with pytest.raises(BaseImageMissing, match=r"This machine \(arm64\) .* processor \(amd64\)"):
        bootstrap._refuse_foreign(types.SimpleNamespace(version=lambda: {"Arch": "amd64"}))


def test_what_the_engine_says_about_an_import_is_told():
    answers = json.dumps({"error": "no space left on device"})
    engine = types.SimpleNamespace(api=types.SimpleNamespace(import_image=lambda **_: answers))
    with pytest.raises(LabError, match="no space left on device"):
        bootstrap._import(engine, "dockerlab/base:x", iter(()), ())
