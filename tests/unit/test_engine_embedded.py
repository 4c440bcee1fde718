"""The embedded engine without an engine: where it keeps what, how it is fetched, and which processes are its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dockerlab import folders
from dockerlab.engine import apt, versions
from dockerlab.engine.own import embedded, engine_folder, network, packages
from dockerlab.engine.own.engine_folder import EngineFolder
from dockerlab.errors import EngineMissing, EngineUnreachable, LabError

SOURCE = apt.AptSource("debian", "trixie", "http://mirror.example/debian", "")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKERLAB_CACHE", str(tmp_path / "cache"))
    run = EngineFolder.default().run  # elsewhere, where the cache's path is long
    yield tmp_path / "cache"
    if not run.is_relative_to(tmp_path):
        shutil.rmtree(run, ignore_errors=True)


def test_all_lies_in_the_cache_folder():
    here = EngineFolder(Path("/home/me/.cache/dockerlab/engine"))
    assert here.socket == Path("/home/me/.cache/dockerlab/engine/run/docker.sock")


def test_a_long_path_gives_a_short_socket():
    home = Path("/home") / ("a" * 60) / "b"
    here, there = EngineFolder(home), EngineFolder(home / "c")
    assert here.data.is_relative_to(home)
    assert here.run.parent == Path("/run")
    assert here.run != there.run
    for places in (here, there, EngineFolder(Path("/home/me/.cache/dockerlab/engine"))):
        assert len(str(places.exec_root / "containerd/containerd-debug.sock")) <= engine_folder.LONGEST_SOCKET


def test_a_stale_pid_file_ends_no_one(cache):
    here = EngineFolder.default()
    here.run.mkdir(parents=True)
    here.pid_file.write_text(str(os.getpid()))  # a process of somebody else has the number by now: this one
    assert embedded.running() is None
    assert embedded.stop() is False
    assert not here.pid_file.exists()


def test_a_cache_folder_that_cannot_be_used_is_told(cache):
    cache.write_text("a file in its place")
    with pytest.raises(LabError, match="cannot be used") as told:
        embedded.stop()
    assert "DOCKERLAB_CACHE" in told.value.do


def test_another_daemon_on_the_same_bridge_is_not_broken(monkeypatch):
    # A stand-in: the process's name is what counts.
    with subprocess.Popen([shutil.which("sleep"), "30"]) as other:
        monkeypatch.setattr(embedded, "_daemons", lambda: [embedded.psutil.Process(other.pid)])
        with pytest.raises(EngineUnreachable, match=f"process {other.pid}"):
            embedded.start()
        monkeypatch.setattr(network, "namespace", lambda pid="self": str(pid))
        assert embedded._other_daemon(EngineFolder.default()) is None  # in another network it does no harm
        other.terminate()


def test_a_system_without_packages_is_told(monkeypatch):
    def none():
        raise apt.NoSource("The lab knows no packages for Fedora.")

    monkeypatch.setattr(apt, "machine_source", none)
    with pytest.raises(EngineMissing, match=r"cannot fetch one\. The lab knows no packages for Fedora") as missing:
        packages.fetch()
    assert "your distribution's packages" in missing.value.do


# --- fetch, with a mirror that is played ------------------------------------------------------------------------------


def build_package(folder, name, files):
    root = folder / name
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    )
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(f"{name} {file}")
    package = folder / f"{name}_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", root, package], check=True, capture_output=True)
    return package


class PlayedMirror:
    """In place of `apt.AptState`: packages of a few bytes, and interruptions where a test wants them."""

    packages: tuple[Path, ...] = ()
    interruptions = 0
    fetched = 0

    def __init__(self, folder, sources):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def update(self):
        pass

    def sizes(self, packages):
        return {package.name: package.stat().st_size for package in type(self).packages}

    def download(self, packages, into):
        into.mkdir(parents=True, exist_ok=True)
        type(self).fetched += 1
        for package in type(self).packages:
            if type(self).interruptions:
                type(self).interruptions -= 1
                (into / package.name).write_bytes(package.read_bytes()[:100])
                raise KeyboardInterrupt
            shutil.copy(package, into)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    if not shutil.which("dpkg-deb"):
        pytest.skip("a system without dpkg")
    PlayedMirror.packages = (
        build_package(tmp_path, "docker.io", ["usr/sbin/dockerd"]),
        build_package(tmp_path, "docker-buildx", ["usr/libexec/docker/cli-plugins/docker-buildx"]),
    )
    PlayedMirror.interruptions = PlayedMirror.fetched = 0
    monkeypatch.setattr(apt, "machine_source", lambda: SOURCE)
    monkeypatch.setattr(apt, "AptState", PlayedMirror)
    return PlayedMirror


def test_fetch_says_what_and_where_and_how_to_remove_it(mirror, cache):
    said = []
    packages.fetch(said.append)
    [paragraph] = said
    for part in ("Debian trixie", "docker.io", " MB", str(cache / "engine"), "dockerlab engine remove"):
        assert part in paragraph


def test_fetch_unpacks_once(mirror, cache):
    packages.fetch(lambda _: None)
    packages.fetch(lambda _: pytest.fail("said again"))
    assert mirror.fetched == 1
    unpacked = cache / "engine" / "packages"
    assert (unpacked / "usr/sbin/dockerd").read_text() == "docker.io usr/sbin/dockerd"
    assert folders.others(cache / "engine") == ["packages"]
    plugin = unpacked / "docker-config/cli-plugins/docker-buildx"
    assert plugin.resolve() == (unpacked / "usr/libexec/docker/cli-plugins/docker-buildx").resolve()


def test_an_interrupted_fetch_begins_anew(mirror, cache):
    mirror.interruptions = 1
    with pytest.raises(KeyboardInterrupt):
        packages.fetch(lambda _: None)
    assert not (cache / "engine" / "packages").exists()
    killed = cache / "engine" / "fetch-killed"  # as if it had been killed while unpacking, too
    (killed / "packages").mkdir(parents=True)
    packages.fetch(lambda _: None)
    assert (cache / "engine/packages/usr/sbin/dockerd").exists()
    assert not killed.exists()


def test_a_damaged_package_is_told(mirror, tmp_path, cache):
    damaged = tmp_path / "damaged_1_all.deb"
    damaged.write_bytes(b"!<arch>\n")
    mirror.packages = (damaged,)
    with pytest.raises(LabError, match="dpkg-deb"):
        packages.fetch(lambda _: None)
    assert not (cache / "engine" / "packages").exists()


def test_the_cli_is_found_first(mirror, cache):
    assert packages.cli_environment({"PATH": "/bin"}) == {}
    packages.fetch(lambda _: None)
    environment = packages.cli_environment({"PATH": "/bin"})
    unpacked = cache / "engine" / "packages"
    assert environment["PATH"].split(os.pathsep) == [f"{unpacked}/usr/bin", f"{unpacked}/usr/sbin", "/bin"]
    assert environment["DOCKER_CONFIG"] == f"{unpacked}/docker-config"


def test_the_cli_reads_the_user_s_settings_and_nothing_is_copied(mirror, cache, tmp_path):
    """Their `config.json` has the credentials for registries, or names the helper that has them."""
    packages.fetch(lambda _: None)
    ours = cache / "engine/packages/docker-config/config.json"
    users = tmp_path / "users/config.json"
    users.parent.mkdir()
    environ = {"PATH": "/bin", "DOCKER_CONFIG": str(users.parent)}

    packages.cli_environment(environ)
    assert not os.path.lexists(ours)
    users.write_text('{"credsStore": "x"}')
    found = packages.cli_environment(environ)
    assert ours.readlink() == users
    packages.cli_environment(environ | found)  # a child of ours, which has our folder in its environment
    assert ours.read_text() == '{"credsStore": "x"}'
    assert [path.name for path in ours.parent.iterdir()] in (["config.json", "cli-plugins"], ["cli-plugins", ours.name])

    other = tmp_path / "others/config.json"
    other.parent.mkdir()
    other.write_text("{}")
    packages.cli_environment(environ | {"DOCKER_CONFIG": str(other.parent)})
    assert ours.readlink() == other
    other.unlink()
    packages.cli_environment(environ | {"DOCKER_CONFIG": str(other.parent)})
    assert not os.path.lexists(ours)
    ours.write_text('{"auths": {}}')  # somebody has logged in with our folder in their environment
    packages.cli_environment(environ)
    assert not ours.is_symlink()
    assert users.read_text() == '{"credsStore": "x"}'


@pytest.mark.skipif(sys.platform != "linux", reason="the embedded engine is for Linux")
def test_an_engine_that_does_not_start_shows_its_log(mirror, cache, monkeypatch):
    packages.fetch(lambda _: None)
    monkeypatch.setattr(versions, "HOST_PROGRAMS", {})
    monkeypatch.setattr(embedded, "_other_daemon", lambda _: None)
    monkeypatch.setattr(network, "remember", lambda _: None)
    daemon = cache / "engine/packages/usr/sbin/dockerd"
    daemon.write_text("#!/bin/sh\necho failed to start daemon: no reason >&2\nexit 1\n")
    daemon.chmod(0o755)
    with pytest.raises(EngineUnreachable, match="did not start") as told:
        embedded.start(lambda _: None)
    assert told.value.log == "failed to start daemon: no reason"


def test_a_file_system_without_overlay_falls_back(mirror, cache, monkeypatch):
    packages.fetch(lambda _: None)
    monkeypatch.setattr(versions, "HOST_PROGRAMS", {})
    monkeypatch.setattr(embedded, "_other_daemon", lambda _: None)
    monkeypatch.setattr(network, "remember", lambda _: None)
    daemon = cache / "engine/packages/usr/sbin/dockerd"
    daemon.write_text('#!/bin/sh\necho "error initializing graphdriver: $*" >&2\nexit 1\n')
    daemon.chmod(0o755)
    with pytest.raises(EngineUnreachable) as told:
        embedded.start(lambda _: None)
    assert "--storage-driver vfs" in told.value.log
