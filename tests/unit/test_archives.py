"""Files as an engine takes them."""

import tarfile

import pytest
from dockerlab import archives


def test_a_text_bytes_and_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"of a file")
    (tmp_path / "file").chmod(0o600)
    with (
        archives.tar({"a": "of a text ü", "b/c": b"of bytes", "d": tmp_path / "file"}) as archive,
        tarfile.open(fileobj=archive) as tar,
    ):
        members = {member.name: (member.mode, member.uid, tar.extractfile(member).read()) for member in tar}
    assert members == {
        "a": (0o644, 0, "of a text ü".encode()),
        "b/c": (0o644, 0, b"of bytes"),
        "d": (0o644, 0, b"of a file"),
    }


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError), archives.tar({"a": tmp_path / "none"}):
        pass
