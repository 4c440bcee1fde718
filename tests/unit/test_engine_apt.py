"""Which mirror packages come from, on machines that are told by their os-release and the targets of their apt."""

import subprocess

import pytest
from dockerlab.engine import apt
from dockerlab.errors import LabError

BOOKWORM = {"ID": "debian", "VERSION_ID": "12", "VERSION_CODENAME": "bookworm", "PRETTY_NAME": "Debian 12"}
NOBLE = {
    "ID": "ubuntu",
    "ID_LIKE": "debian",
    "VERSION_ID": "24.04",
    "VERSION_CODENAME": "noble",
    "PRETTY_NAME": "Ubuntu",
}


def targets(*rows):
    return "\n".join("|".join(row) for row in rows)


def test_debian():
    source = apt.choose_source(
        BOOKWORM,
        targets(
            ("https://other.example/debian/", "bookworm", "contrib"),
            ("https://vendor.example/packages/", "bookworm", "main"),
            ("http://mirror.example/debian/", "bookworm", "main"),
            ("http://mirror.example/debian/", "bookworm-updates", "main"),
            ("http://mirror.example/debian-security/", "bookworm-security", "main"),
        ),
    )
    assert source.lines == [
        f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/{rest} main"
        for rest in ("debian trixie", "debian trixie-updates", "debian-security trixie-security")
    ]


def test_debian_by_the_name_of_a_suite():
    source = apt.choose_source(BOOKWORM, targets(("http://mirror.example/debian/", "stable", "main")))
    assert (source.mirror, source.security, source.codename) == ("http://mirror.example/debian", "", "trixie")


def test_ubuntu_has_its_own_packages():
    rows = [
        (f"http://mirror.example/{path}/", release, "main")
        for path, release in (("ubuntu", "noble"), ("ubuntu", "noble-updates"), ("security", "noble-security"))
    ]
    source = apt.choose_source(NOBLE, targets(*rows))
    assert source.lines == [
        f"deb [signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] http://mirror.example/{rest} main universe"
        for rest in ("ubuntu noble", "ubuntu noble-updates", "security noble-security")
    ]


def test_a_derivative_names_what_it_derives_from():
    mint = {"ID": "linuxmint", "ID_LIKE": "ubuntu debian", "VERSION_CODENAME": "wilma", "UBUNTU_CODENAME": "noble"}
    source = apt.choose_source(mint, targets(("http://mirror.example/ubuntu/", "noble", "main")))
    assert (source.family, source.codename) == ("ubuntu", "noble")


@pytest.mark.parametrize("release", [BOOKWORM | {"VERSION_ID": "11"}, NOBLE | {"VERSION_ID": "20.04"}])
def test_an_old_release_is_refused(release):
    with pytest.raises(apt.NoSource, match="too old"):
        apt.choose_source(release, "")


def test_another_distribution_is_refused():
    with pytest.raises(apt.NoSource, match="no packages for Fedora"):
        apt.choose_source({"ID": "fedora", "PRETTY_NAME": "Fedora Linux 42"}, "")


def test_a_machine_without_a_mirror_is_refused():
    with pytest.raises(apt.NoSource, match="no source for Debian bookworm"):
        apt.choose_source(BOOKWORM, targets(("https://vendor.example/", "nodistro", "main")))


def test_a_list_of_mirrors(tmp_path):
    listed = tmp_path / "debian.list"
    listed.write_text("# ours\nhttps://first.example/debian/ priority:1\nhttps://second.example/debian\n")
    assert apt.resolve_mirror(f"mirror+file:{listed}") == "https://first.example/debian"
    assert apt.resolve_mirror(f"mirror+file://{listed}") == "https://first.example/debian"
    assert apt.resolve_mirror("http://mirror.example/debian/") == "http://mirror.example/debian"


needs_apt = pytest.mark.skipif(not apt.program("apt-get"), reason="a system without apt")


@needs_apt
def test_a_mirror_that_does_not_answer_is_told(tmp_path):
    state = apt.AptState(tmp_path / "apt", [f"deb file:{tmp_path}/nowhere trixie main"])
    with pytest.raises(LabError, match="no usable package lists"):
        state.update()


@needs_apt
def test_the_machine_s_own_sources_and_lists_are_not_used(tmp_path):
    state = apt.AptState(tmp_path / "apt", [])
    dump = subprocess.run(["apt-config", "dump"], env=state.environ, capture_output=True, text=True, check=True).stdout
    settings = dict(line.lower().rstrip(";").split(" ", 1) for line in dump.splitlines())
    for name in (
        "Dir::Etc::SourceList",
        "Dir::Etc::SourceParts",
        "Dir::State::Lists",
        "Dir::State::status",
        "Dir::Cache",
    ):
        assert settings[name.lower()].strip('"').startswith(str(tmp_path).lower()), name
    targets = subprocess.run(["apt-get", "indextargets"], env=state.environ, capture_output=True, text=True, check=True)
    assert targets.stdout == ""
