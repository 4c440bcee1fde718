"""What the engine needs from the machine, `iptables` and `runc`: for which releases a kit has them, and who asks.

No Ubuntu is at hand here, so a machine is told by its `os-release` and its apt sources.
"""

import platform
import subprocess

import pytest
from dockerlab.engine import apt
from dockerlab.engine import kit as kits
from dockerlab.engine.own import packages
from dockerlab.errors import EngineMissing
from dockerlab_kit import build_packages, host_packages
from kit.conftest import write_kit

DEBIAN = apt.AptSource("debian", "trixie", "http://mirror.example/debian", "")
UBUNTU = apt.AptSource("ubuntu", "noble", "http://mirror.example/ubuntu", "")


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The sources that a mirror is asked by; it has every package."""
    lines = []

    class State:
        def __init__(self, folder, sources):
            self.folder = folder
            lines.extend(sources)

        def update(self):
            pass

        def closure(self, packages, without):
            paths = [self.folder / f"{name}_1_amd64.deb" for name in packages]
            for path in paths:
                path.touch()
            return paths

    monkeypatch.setattr(apt, "AptState", State)
    monkeypatch.setattr(build_packages, "index", lambda folder, names: "\n".join(sorted(names)))
    return lines


def on(monkeypatch, source: apt.AptSource, codename: str) -> None:
    """This machine is one of a release, and apt has this source."""
    monkeypatch.setattr(apt, "machine_source", lambda: source)
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"VERSION_CODENAME": codename})


def test_a_kit_of_a_debian_is_for_debian_and_says_so(monkeypatch, tmp_path, asked):
    on(monkeypatch, DEBIAN, "bookworm")
    host, left_out = host_packages.fetch(tmp_path)
    assert host == {"bookworm": "debs/host-bookworm", "trixie": "debs/host-trixie"}
    assert [line for line in left_out if "Ubuntu" in line]
    assert {line.split()[3] for line in asked} == {"bookworm", "bookworm-updates", "trixie", "trixie-updates"}
    assert (tmp_path / "debs/host-bookworm/runc_1_amd64.deb").exists()


def test_a_kit_of_an_ubuntu_is_for_its_release(monkeypatch, tmp_path, asked):
    on(monkeypatch, UBUNTU, "noble")
    host, left_out = host_packages.fetch(tmp_path)
    assert host == {"noble": "debs/host-noble"}
    assert left_out == []
    assert {line.split()[2] for line in asked} == {UBUNTU.mirror}


@pytest.mark.parametrize(("codename", "fits"), [("bookworm", True), ("trixie", True), ("noble", False)])
def test_a_machine_that_lacks_them(monkeypatch, tmp_path, codename, fits):
    host = {"bookworm": "debs/host-bookworm", "trixie": "debs/host-trixie"}
    folder = write_kit(tmp_path / "kit", {f"{place}/Packages": 9 for place in host.values()}, host=host)
    monkeypatch.setenv(kits.VARIABLE, str(folder))
    on(monkeypatch, UBUNTU, codename)
    monkeypatch.setattr(apt, "program", lambda name: None)
    installed = []
    monkeypatch.setattr(apt, "install_on_host", lambda *asked: installed.append(asked))
    if fits:
        packages.ensure_host_programs(print)
        assert installed == [(["iptables", "runc"], folder / host[codename])]
        return
    with pytest.raises(EngineMissing) as told:
        packages.ensure_host_programs(print)
    assert "iptables and runc" in told.value.seen
    assert f"bookworm and trixie, not for {codename}" in told.value.seen
    assert "apt-get install iptables runc" in told.value.do
    assert not installed


def test_a_machine_that_has_them_needs_none_of_the_kit(monkeypatch, tmp_path):
    folder = write_kit(tmp_path / "kit", {}, host={})
    monkeypatch.setenv(kits.VARIABLE, str(folder))
    on(monkeypatch, UBUNTU, "noble")
    monkeypatch.setattr(apt, "program", lambda name: f"/usr/sbin/{name}")
    packages.ensure_host_programs(pytest.fail)


def test_apt_takes_the_packages_from_wherever_the_kit_lies(monkeypatch, tmp_path):
    """For real, up to what apt would install: the index is found, and the package in it, and nothing is left."""
    repository = tmp_path / 'it\'s a café, "x"' / "debs"
    (tmp_path / "package/DEBIAN").mkdir(parents=True)
    (tmp_path / "package/DEBIAN/control").write_text(
        "Package: of-the-kit\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\n"
    )
    repository.mkdir(parents=True)
    build = ["dpkg-deb", "--build", "--root-owner-group", tmp_path / "package", repository / "of-the-kit_1_all.deb"]
    subprocess.run(build, check=True, capture_output=True, timeout=60)
    (repository / "Packages").write_text(build_packages.index(repository, ["of-the-kit_1_all.deb"]))
    monkeypatch.setenv("DOCKERLAB_CACHE", str(tmp_path / "cache"))
    said, run = [], apt.run

    def only_simulated(command, **how):
        said.append(run([*command, "--simulate"] if "install" in command else command, **how).stdout)

    monkeypatch.setattr(apt, "run", only_simulated)
    apt.install_on_host(["of-the-kit"], repository)
    assert "Inst of-the-kit (1 " in said[-1]
    assert not (tmp_path / "cache").exists()
