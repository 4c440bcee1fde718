"""What a kit is refused for, each time by the name of the file."""

import subprocess
import sys
from pathlib import Path

import pytest
from dockerlab.engine import kit as kits
from dockerlab.engine import portable
from dockerlab.engine.kit import KitRefused
from kit.conftest import write_kit

DIGEST = "a" * 64
DEB = "debs/trixie/a+b~1%3a2_amd64.deb"


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    """As `make` does, before there is a lab: with nothing but Python."""
    command = [sys.executable, "-I", "-S", portable.__file__, "check", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_whole_kit(kit):
    result = check(kit)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_sha256sum_reads_the_checksums(kit):
    command = ["sha256sum", "--check", "--strict", "--quiet", portable.SUMS]
    assert subprocess.run(command, cwd=kit, check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda kit: (kit / DEB).write_bytes((kit / DEB).read_bytes()[:-1]), f"{DEB} is truncated: 299999 of 300000"),
        (lambda kit: (kit / DEB).write_bytes(b""), f"{DEB} is truncated: 0 of"),
        (lambda kit: (kit / DEB).write_bytes(b"x" + (kit / DEB).read_bytes()[1:]), f"{DEB} is altered"),
        (lambda kit: (kit / DEB).write_bytes((kit / DEB).read_bytes() + b"x"), f"{DEB} is altered"),
        (lambda kit: (kit / DEB).unlink(), f"{DEB} is missing"),
        (lambda kit: (kit / "wheels/two-2-py3-none-any.whl").touch(), "wheels/two-2-py3-none-any.whl is not a file of"),
        (lambda kit: (kit / "kit.json").write_text("{}"), "kit.json of the kit in"),
        (lambda kit: (kit / "kit.json").unlink(), "is not a kit"),
        (lambda kit: (kit / "SHA256SUMS").unlink(), "is not a kit"),
        (lambda kit: (kit / "SHA256SUMS").write_text(""), "SHA256SUMS does not name kit.json"),
    ],
    ids=["cut", "emptied", "changed", "longer", "gone", "one too many", "about", "no about", "no sums", "empty sums"],
)
def test_refused_by_name(kit, damage, says):
    damage(kit)
    result = check(kit)
    assert result.returncode == 2
    assert says in result.stderr
    assert "again" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "a//b",
        "./a",
        "a/.",
        "a\\b",
        "C:x",
        "a/ b",
        "",
        "a\tb",
        "SHA256SUMS",
        "kit.json",
    ],
)
def test_a_name_that_no_kit_has(name):
    with pytest.raises(portable.Refused) as refused:
        portable.parse(f"{DIGEST}  kit.json\n{DIGEST}  {name}\n")
    assert "Line 2" in refused.value.seen


@pytest.mark.parametrize("line", ["x", f"{DIGEST} a", f"{DIGEST.upper()}  a", f"{DIGEST[1:]}  a", f"{DIGEST} *a"])
def test_a_line_that_is_no_checksum(line):
    with pytest.raises(portable.Refused, match="not a checksum"):
        portable.parse(f"{DIGEST}  kit.json\n{line}\n")


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"arch": "riscv64"}, "The kit is for riscv64, and this machine is"),
        ({"python": ["3.99"]}, "The kit has packages for Python 3.99, and this is Python 3."),
        ({"format": 99}, "The kit has the format 99, and this lab reads 1."),
    ],
)
def test_a_kit_for_something_else(tmp_path, about, says):
    result = check(write_kit(tmp_path / "kit", {}, **about))
    assert result.returncode == 2
    assert says in result.stderr


def test_found_by_name_or_in_the_repository_and_nowhere_else(kit, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKERLAB_KIT", str(kit))
    assert kits.find().folder == kit
    monkeypatch.setenv("DOCKERLAB_KIT", "")
    assert kits.find() is None
    monkeypatch.delenv("DOCKERLAB_KIT")
    monkeypatch.setattr(kits.folders, "NOTEBOOKS", tmp_path / "notebooks")
    assert kits.find().folder == kit
    monkeypatch.setattr(kits.folders, "NOTEBOOKS", tmp_path / "repository" / "notebooks")
    assert kits.find() is None, "a kit beside the repository is anybody's"
    monkeypatch.setenv("DOCKERLAB_KIT", str(tmp_path / "nowhere"))
    with pytest.raises(KitRefused, match="is not a kit"):
        kits.find()


def test_nothing_is_done_with_a_kit_that_is_not_whole(kit, monkeypatch):
    """Neither the engine nor the image is begun."""
    from dockerlab.engine.base import base_image
    from dockerlab.engine.own import packages

    monkeypatch.setenv("DOCKERLAB_KIT", str(kit))
    monkeypatch.setenv("DOCKERLAB_CACHE", str(kit.parent / "cache"))
    (kit / DEB).write_bytes(b"")
    monkeypatch.setattr(packages, "_unpack", lambda *_: pytest.fail("the engine was unpacked"))
    with pytest.raises(KitRefused, match="truncated"):
        packages.fetch(pytest.fail)
    engine = type("Engine", (), {"version": lambda self: pytest.fail("the engine was asked")})()
    with pytest.raises(KitRefused, match="truncated"):
        base_image._obtain(engine, pytest.fail)
