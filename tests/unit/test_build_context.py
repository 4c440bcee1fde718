"""What a build sends: what Docker would send, and clear words for what cannot be."""

import errno
import os
import socket
import tarfile

import pytest
from dockerlab.build import build_context
from dockerlab.build.build_context import archive, context, find
from dockerlab.errors import BuildFailed


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    files = {"Dockerfile": "FROM a\n", "requirements.txt": "fastapi\n", "app/main.py": "app = 1\n", ".env": "KEY=1\n"}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def ignore(project, *patterns, name=".dockerignore"):
    (project / name).write_text("".join(f"{pattern}\n" for pattern in patterns))


def paths(files):
    return [file.path for file in files]


def sent(project, dockerfile="Dockerfile"):
    """The members of the archive, by name, and the number of bytes."""
    with (
        build_context.archive(build_context.find(project, dockerfile)) as (file, size),
        tarfile.open(fileobj=file) as tar,
    ):
        return {member.name: member for member in tar.getmembers()}, size


def test_everything_is_sent_where_nothing_is_ignored(project):
    found = context(project)
    assert paths(found.sent) == [".env", "Dockerfile", "app/main.py", "requirements.txt"]
    assert found.ignored == ()
    assert found.sent_bytes == 6 + 7 + 8 + 8


def test_what_is_ignored_is_not_sent_and_is_measured(project):
    (project / "#notes").touch()
    ignore(project, "#notes", ".env", "", "**/__pycache__")
    (project / "app" / "__pycache__").mkdir()
    (project / "app" / "__pycache__" / "main.pyc").write_bytes(b"x" * 100)
    found = context(project)
    assert paths(found.ignored) == [".env", "app/__pycache__/main.pyc"]
    assert [file.size_bytes for file in found.ignored] == [6, 100]
    members, size = sent(project)
    assert ".env" not in members
    assert "#notes" in members, "a comment is no pattern"
    assert not any("__pycache__" in name for name in members)
    assert size == found.sent_bytes


def test_an_exception_sends_a_file_of_an_ignored_folder(project):
    (project / "app" / "other.py").touch()
    ignore(project, "*", "!app/main.py")
    assert paths(context(project).sent) == [".dockerignore", "Dockerfile", "app/main.py"]


@pytest.mark.parametrize("pattern", ["Dockerfile", ".dockerignore", "*"])
def test_the_dockerfile_and_the_ignore_file_are_always_sent(project, pattern):
    ignore(project, pattern)
    assert {"Dockerfile", ".dockerignore"} <= sent(project)[0].keys()


def test_a_dockerfile_has_an_ignore_file_of_its_own(project):
    (project / "web.Dockerfile").write_text("FROM a\n")
    ignore(project, "app")
    ignore(project, ".env", name="web.Dockerfile.dockerignore")
    assert "app/main.py" not in paths(context(project).sent)
    assert paths(context(project, "web.Dockerfile").ignored) == [".env"]


def test_a_dockerfile_outside_is_put_into_the_context(project, tmp_path):
    outside = tmp_path / "elsewhere" / "Dockerfile"
    outside.parent.mkdir()
    outside.write_text("FROM outside\n")
    source = build_context.find(project, outside)
    assert source.text == "FROM outside\n"
    members, size = sent(project, outside)
    assert members[source.name].size == len("FROM outside\n")
    assert size == context(project, outside).sent_bytes
    assert build_context.find(project, outside).name == source.name, "a new name each time would miss the cache"
    assert build_context.find(project, "../elsewhere/Dockerfile").text == "FROM outside\n"


def test_a_dockerfile_that_is_a_link_is_sent_with_its_content(project, tmp_path):
    (tmp_path / "shared.Dockerfile").write_text("FROM shared\n")
    (project / "Dockerfile").unlink()
    (project / "Dockerfile").symlink_to("../shared.Dockerfile")
    members, _ = sent(project)
    assert members[build_context.find(project).name].isfile()

    (project / "web.Dockerfile").write_text("FROM web\n")
    (project / "Dockerfile").unlink()
    (project / "Dockerfile").symlink_to("web.Dockerfile")
    source = build_context.find(project)
    assert (source.name, source.is_outside) == ("web.Dockerfile", False)


def test_links_are_sent_as_links_wherever_they_lead(project):
    (project / "out").symlink_to("/etc/passwd")
    (project / "folder").symlink_to(project.parent)
    members, size = sent(project)
    assert (members["out"].issym(), members["out"].linkname) == (True, "/etc/passwd")
    assert members["folder"].issym()
    assert not any(name.startswith("folder/") for name in members)
    assert size == context(project).sent_bytes
    assert {"out": 0, "folder": 0}.items() <= {file.path: file.size_bytes for file in context(project).sent}.items()


def test_a_named_pipe_is_sent_as_one_and_a_socket_is_left_out(project, monkeypatch):
    os.mkfifo(project / "pipe")
    monkeypatch.chdir(project)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        members, _ = sent(project)
    assert members["pipe"].isfifo()
    assert "socket" not in members


def test_files_belong_to_root_and_keep_their_mode(project):
    (project / "start.sh").write_text("#!/bin/sh\n")
    (project / "start.sh").chmod(0o755)
    if os.geteuid() == 0:
        os.chown(project / "start.sh", 1234, 1234)
    members, _ = sent(project)
    assert {(member.uid, member.gid, member.uname) for member in members.values()} == {(0, 0, "")}
    assert members["start.sh"].mode == 0o755


def test_the_same_files_give_the_same_archive(project):
    def content():
        with build_context.archive(build_context.find(project)) as (file, _):
            return file.read()

    assert content() == content()


def test_a_file_that_cannot_be_read_is_named(project, monkeypatch):
    opened = type(project).open

    def refuse(path, *arguments, **keywords):
        if path.name == ".env":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **keywords)

    monkeypatch.setattr(type(project), "open", refuse)
    with pytest.raises(
        BuildFailed, match=r"^\.env in the build context cannot be read \(Permission denied\)\.\nMake it"
    ):
        sent(project)


def test_a_folder_that_cannot_be_read_is_named(project, monkeypatch):
    def refuse(path="."):
        raise PermissionError(13, "Permission denied", str(project / "app"))

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(BuildFailed, match=r"^app in the build context cannot be read"):
        sent(project)


def test_a_missing_dockerfile_is_told_with_what_is_there(project):
    with pytest.raises(
        BuildFailed, match=r"^There is no dockerfile in .*project\.\nThe folder holds .*Dockerfile, app"
    ):
        context(project, "dockerfile")


@pytest.mark.parametrize(("name", "what"), [("nowhere", "does not exist"), ("Dockerfile", "is not a folder")])
def test_a_missing_project_is_told(project, name, what):
    with pytest.raises(BuildFailed, match=what):
        context(project / name)


def test_a_dockerfile_that_is_no_text_is_told(project):
    (project / "Dockerfile").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BuildFailed, match=r"Dockerfile cannot be read"):
        context(project)


def test_a_pattern_that_is_none_is_told(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / ".dockerignore").write_text("[z-a]\n")
    with pytest.raises(BuildFailed, match=r"pattern in .* z-a"):
        context(tmp_path)


def test_a_full_disk_of_this_machine_is_not_told_as_an_unreadable_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(BuildFailed, match="no room for the build context"), archive(find(tmp_path)):
        pass


def test_a_dockerfile_that_is_larger_than_the_memory_is_told(project):
    with (project / "Dockerfile").open("wb") as file:
        file.truncate(1 << 36)
    with pytest.raises(BuildFailed, match=r"cannot be read \(it is larger than 50 MB\)"):
        context(project)


def test_an_ignore_file_may_hold_any_bytes(project):
    (project / ".dockerignore").write_bytes(b"\xff\n*.log\n")
    (project / "x.log").touch()
    assert "x.log" not in sent(project)
