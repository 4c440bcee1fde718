"""The base image on a real engine: that it behaves as the official one, and the ways to get it."""

import secrets
import ssl

import pytest
import zstandard
from docker.errors import ImageNotFound
from dockerlab import labels
from dockerlab.engine import certificates, versions
from dockerlab.engine import kit as kits
from dockerlab.engine.base import base_image, bootstrap, official
from dockerlab.errors import BaseImageMissing
from some_authority import AUTHORITY


@pytest.fixture
def base(client):
    return base_image.ensure(client).tag


@pytest.fixture
def scratch(client, monkeypatch, tmp_path):
    """A repository and a cache of this test's own: there seems to be no base image, and no registry."""
    repository = f"dockerlab-test-{secrets.token_hex(4)}/base"
    monkeypatch.setattr(labels, "BASE_REPOSITORY", repository)
    monkeypatch.setattr(versions, "BASE_IMAGE", f"{repository}:official")
    monkeypatch.setattr(official, "registry_problem", lambda *_, **__: "no registry in this test")
    monkeypatch.setattr(certificates, "of_this_machine", tuple)
    monkeypatch.setenv("DOCKERLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(base_image.VARIABLE, raising=False)
    yield repository
    for image in client.api.images(name=repository):
        for tag in image["RepoTags"]:
            client.api.remove_image(tag, force=True)


def run(client, image, *command):
    return client.containers.run(image, list(command), remove=True, labels=labels.made_for("test")).decode()


def test_it_is_there_once_it_was_ensured(client, base):
    assert base_image.ensure(client, pytest.fail) == base_image.BaseImage(base, "present")
    assert base == versions.BASE_IMAGE or base.startswith("dockerlab/base:")


def test_it_behaves_as_the_official_image(client, base):
    script = """
    python -c 'import sys; print(sys.version_info >= (3, 10), sys.executable)'
    which python3 pip pip3 apt-get useradd
    basename "$(readlink -f /bin/sh)"
    pip install --no-index --dry-run pip 2>&1 | grep -ci externally || true
    python -m venv /tmp/venv && echo venv
    python -c 'import ssl, zoneinfo; zoneinfo.ZoneInfo("Europe/Berlin"); print("modules")'
    find /usr/share/doc /usr/share/man /var/cache/apt /var/lib/apt/lists -type f ! -name lock ! -name copyright | wc -l
    """
    assert run(client, base, "sh", "-c", script).splitlines() == [
        "True /usr/local/bin/python",
        "/usr/local/bin/python3",
        "/usr/local/bin/pip",
        "/usr/local/bin/pip3",
        "/usr/bin/apt-get",
        "/usr/sbin/useradd",
        "dash",
        "0",
        "venv",
        "modules",
        "0",
    ]


def test_pip_installs_from_the_index_that_a_reader_has(client, monkeypatch):
    """All other builds of `make test` take packages from a local place (`local_packages.py`)."""
    monkeypatch.setenv(base_image.VARIABLE, "")
    base = base_image.ensure(client).tag
    said = run(client, base, "pip", "install", "--no-cache-dir", "idna==3.20")
    assert "Successfully installed idna-3.20" in said
    assert ("Processing /opt/dockerlab-kit" in said) == kits.is_tag(base)


def test_the_image_that_a_variable_names_goes_before_all_others(client, base, scratch, monkeypatch):
    client.images.get(base).tag(scratch, "named")
    monkeypatch.setenv(base_image.VARIABLE, f"{scratch}:named")
    assert base_image.ensure(client, pytest.fail) == base_image.BaseImage(f"{scratch}:named", "present")
    monkeypatch.setenv(base_image.VARIABLE, f"{scratch}:nowhere")
    with pytest.raises(BaseImageMissing, match=f"DOCKERLAB_BASE_IMAGE names {scratch}:nowhere, and the engine has no"):
        base_image.ensure(client, pytest.fail)


def test_it_is_told_by_its_label(client, base):
    image = client.images.get(base)
    assert image.attrs["Config"]["Cmd"] == ["python3"]
    if base != versions.BASE_IMAGE:
        assert image.labels == {labels.BASE: "1"}


@pytest.mark.parametrize("suffix", [".tar", ".tar.zst"])
def test_loaded_from_a_bundle(client, scratch, tmp_path, monkeypatch, suffix):
    monkeypatch.setenv("DOCKERLAB_KIT", "")  # with a kit, nothing else is tried
    tag = f"{scratch}:{suffix.strip('.').replace('.', '-')}"
    bootstrap._import(client, tag, iter([b"\0" * 1024]), ())  # an archive with nothing in it
    saved = b"".join(client.images.get(tag).save(named=True))
    client.api.remove_image(tag)
    (tmp_path / f"base{suffix}").write_bytes(zstandard.compress(saved) if suffix == ".tar.zst" else saved)
    monkeypatch.setenv("DOCKERLAB_BUNDLE", str(tmp_path))
    said = []
    assert base_image.ensure(client, said.append) == base_image.BaseImage(tag, "loaded")
    assert said[-1] == f"Base image: {tag} is ready (loaded)."


def test_a_base_that_is_cut_off_while_it_is_made_is_not_there(client, scratch):
    def cut_off():
        yield b"\0" * 512
        raise BaseImageMissing("mmdebstrap could not make the base image (exit code 25).")

    with pytest.raises(BaseImageMissing, match="mmdebstrap"):
        bootstrap._import(client, f"{scratch}:cut", cut_off(), ())
    with pytest.raises(ImageNotFound):
        client.images.get(f"{scratch}:cut")


def test_derived_where_tls_is_opened(client, base, scratch, monkeypatch):
    monkeypatch.setenv("DOCKERLAB_KIT", "")  # with a kit, nothing else is tried
    client.images.get(base).tag(scratch, "official")
    monkeypatch.setattr(certificates, "of_this_machine", lambda: (AUTHORITY,))
    monkeypatch.setattr(official, "_is_stopped", lambda _: True)
    derived = base_image.ensure(client, lambda _: None)
    assert derived.tag == official.derived_tag((AUTHORITY,))
    image = client.images.get(derived.tag)
    assert image.labels[labels.BASE] == "1"
    assert f"PIP_CERT={certificates.BUNDLE}" in image.attrs["Config"]["Env"]
    assert image.attrs["Config"]["Cmd"] == ["python3"]
    trusted = run(client, derived.tag, "cat", certificates.BUNDLE)
    assert ssl.PEM_cert_to_DER_cert(AUTHORITY) in map(ssl.PEM_cert_to_DER_cert, certificates._PEM.findall(trusted))
    client.api.remove_image(derived.tag)
    assert image.id not in {other["Id"] for other in client.api.images()}


def test_what_stops_pip_is_asked_in_a_container(client, base, scratch):
    client.images.get(base).tag(scratch, "official")
    assert official._is_stopped(client) is False  # with a network or without one: no certificate is refused
    assert not client.api.containers(all=True, filters={"label": f"{labels.LAB}=base"})
