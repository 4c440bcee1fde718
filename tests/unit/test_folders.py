"""Nothing of the reader's is lost: only folders with our own mark are ever emptied or removed."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from audits import contents
from dockerlab import cli, engine, folders, open_lab
from dockerlab.audit.auditor import audit_lab
from dockerlab.engine.base import bootstrap
from dockerlab.engine.own import embedded, engine_folder, packages
from dockerlab.errors import EngineMissing, LabError
from dockerlab.lab import build_cache, cleanup, ledger, workspace
from dockerlab.lab.lessons import LessonRun
from typer.testing import CliRunner

LESSON = "03_exec_or_shell"


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"the reader's {name}")
        (folder / name).chmod(0o640)
        os.utime(folder / name, (1e9, 1e9))
    return folder


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A workspace and a cache folder, neither of which exists yet."""
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("DOCKERLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(engine_folder, "LONGEST_SOCKET", 1000)  # so that sockets are in the cache folder
    monkeypatch.setattr(embedded, "_daemons", list)  # the machine's own engine is no part of this
    monkeypatch.setattr(embedded, "_orphans", lambda here: [])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def played(monkeypatch):
    """An engine that is played: it takes all that a lab makes. `removed` has the ids of the labs that were closed."""
    removed = []
    made = SimpleNamespace(tag="base", origin="present")
    client = mock.MagicMock()
    found = SimpleNamespace(client=lambda: client, describe=lambda: "an engine", url="unix:///played", kind="docker")
    monkeypatch.setattr(engine, "ensure", lambda *_: found)
    monkeypatch.setattr(engine.base_image, "ensure", lambda *_: made)
    monkeypatch.setattr(cleanup, "sweep", lambda _: [])
    monkeypatch.setattr(ledger, "opened", mock.MagicMock())
    monkeypatch.setattr(build_cache, "prune_large_contexts", lambda *_: None)
    monkeypatch.setattr(cleanup, "remove_lab", lambda _, lab: removed.append(lab) or [])
    return SimpleNamespace(removed=removed, client=client)


@pytest.fixture
def nowhere(monkeypatch):
    def missing(*_):
        raise EngineMissing("No Docker engine was found.")

    monkeypatch.setattr(engine, "find", missing)


def dockerlab(*arguments: str):
    return CliRunner().invoke(cli.app, arguments)


# --- every command that cleans ----------------------------------------------------------------------------------------


def a_lesson():
    lab = open_lab(LESSON)
    (lab.workspace / "project").mkdir()
    lab.close()


def an_audit():
    with audit_lab(lambda line: None) as lab:
        (lab.workspace / "Dockerfile").write_text("FROM scratch")


def a_lesson_that_is_done():
    with mock.patch("dockerlab.lab.lessons._claims", return_value=[{"a"}]):
        run = LessonRun(LESSON)
        run._passed = {"a"}
        run.close()


def an_engine_that_is_fetched():
    with pytest.raises(LabError, match="holds what the lab did not make: src"):
        folders.cached("engine")
    with pytest.raises(LabError, match=r"holds what the lab did not make: letters\.txt"):
        folders.cached("base")


COMMANDS = {
    "a lesson": a_lesson,
    "an audit": an_audit,
    "a lesson that is done": a_lesson_that_is_done,
    "an engine that is fetched": an_engine_that_is_fetched,
    "clean": lambda: dockerlab("clean"),
    "clean everything": lambda: dockerlab("clean", "--everything"),
    "engine stop": lambda: dockerlab("engine", "stop"),
    "engine remove": lambda: dockerlab("engine", "remove"),
}


@pytest.fixture
def readers(places):
    """Files of the reader's by all names that we use: beside, inside, above, behind links; and a copy of a mark."""
    workspaces, cache = places / "workspace", places / "cache"
    write(places, "above.txt", "outside/thesis.txt", "outside/03/your_turn/mine.txt", "outside/packages/mine.txt")
    write(workspaces, "thesis/chapter.tex", "audit/books.xlsx", "audit/.lock", f"{LESSON}/project/app.py", ".done/mine")
    write(workspaces, "file", ".lock", "audit/your_turn/mine.txt")
    (workspaces / f"{LESSON}-2").symlink_to(places / "outside" / "03")
    (workspaces / "audit-2").symlink_to(places / "nowhere")
    (workspaces / "empty").mkdir()
    other, lock = workspace.claim("other")  # ours, and copied to a folder of the reader's
    lock.release()
    write(other, "mine.txt")
    shutil.copytree(other, workspaces / "copied")
    folders.remove(other)
    write(cache, "base/letters.txt", "base/work-2026/mine.txt", "base/lock", "engine/src/main.c", "engine/engine.log")
    write(cache, "engine/fetch-me/mine.txt", "engine/run/docker.pid", "engine/run/docker.sock", "engine/packages/mine")
    write(cache, "engine.lock", "host-lists/mine.txt", "engine/daemon.json", "mine.txt")
    (cache / "builds").symlink_to(places / "outside")
    return places


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_the_readers_stays_byte_for_byte(readers, played, nowhere, command):
    before = contents(readers)
    for _ in range(2):
        COMMANDS[command]()
    after = contents(readers)
    for name in ("workspace", "cache"):  # in these, folders of ours come and go
        assert after[name][0] == before.pop(name)[0]
    assert {name: after.get(name) for name in before} == before


def test_what_was_ours_beside_it_is_removed_and_the_rest_is_told(readers, played, nowhere):
    a_lesson()
    an_audit()
    assert (readers / "workspace" / f"{LESSON}-3").is_dir()
    assert not (readers / "workspace" / "audit-3").exists()
    cleaned = dockerlab("clean", "--everything")
    assert cleaned.exit_code == 0, cleaned.output
    assert not (readers / "workspace" / f"{LESSON}-3").exists()
    for told in (
        f"Kept {readers / 'workspace'}: it holds what the lab did not make: .done, .lock, {LESSON} and 7 more.",
        f"Kept {readers / 'cache' / 'base'}: it has no mark of the lab's",
        f"Kept {readers / 'cache'}: it holds what the lab did not make: engine.lock, host-lists, mine.txt.",
    ):
        assert told in cleaned.output


def test_a_cache_folder_of_ours_goes_and_what_the_reader_put_in_it_stays(places, nowhere):
    write(folders.cached("base"), "letters.txt", "lock", "trixie-x86_64-0.tar.zst", "work-1/x")
    write(folders.cached("builds"), "0.txt", "0.lock", "0.begun/1.json")
    write(folders.cached("engine"), "engine.log", "packages/.complete", "data/x", "run/docker.pid")
    write(places / "cache", "mine.txt", folders.ENGINE_LOCK)
    before = contents(places)
    cleaned = dockerlab("clean", "--everything")
    assert cleaned.exit_code == 0, cleaned.output
    after = contents(places)
    stays = ["cache/base/.dockerlab", "cache/base/letters.txt", "cache/mine.txt"]
    assert sorted(after) == sorted(["cache", "cache/.dockerlab", "cache/base", *stays])
    assert [after[name] for name in stays] == [before[name] for name in stays]


def test_a_cache_folder_of_ours_with_nothing_else_in_it_goes(places, nowhere):
    for name in folders.CACHED:
        folders.cached(name)
    result = dockerlab("clean", "--everything")
    assert f"Nothing from the lab is left in {places / 'cache'}." in result.output
    assert list(places.iterdir()) == []


def test_folders_that_were_there_stay_though_nothing_is_in_them(places, nowhere):
    for name in ("workspace", "cache"):
        (places / name).mkdir()
    before = contents(places)
    cleaned = dockerlab("clean", "--everything")
    assert cleaned.exit_code == 0, cleaned.output
    assert contents(places) | {"cache": ()} == before | {"cache": ()}  # in which the engine's lock was


# --- an earlier version's, which has no marks -------------------------------------------------------------------------


def test_a_cache_folder_of_an_earlier_version_is_used_and_stays(places, nowhere):
    write(places / "cache", "engine/packages/.complete", "engine/daemon.json", "engine/fetch-1/x", "base/lock")
    write(places / "cache", "base/trixie-x86_64-0.tar.zst", "builds/0.txt", "builds/0.alone.lock", "builds/0.begun/x")
    before = contents(places)
    for name in folders.CACHED:
        assert folders.cached(name) == places / "cache" / name
    packages.fetch(lambda _: pytest.fail("fetched"))
    cleaned = dockerlab("clean", "--everything")
    assert cleaned.exit_code == 0, cleaned.output
    before.pop("cache")
    assert before.items() <= contents(places).items()
    removed = dockerlab("engine", "remove")
    assert removed.exit_code == 2
    assert "no mark of the lab's" in removed.output


def test_what_a_killed_process_left_is_removed_in_our_folder_only(places, monkeypatch):
    source = SimpleNamespace(codename="trixie", lines=[])
    monkeypatch.setattr(bootstrap.subprocess, "Popen", mock.Mock(side_effect=KeyError))
    for folder, ours in ((folders.cached("base"), True), (write(places / "theirs", "x"), False)):
        write(folder, "work-1/mine.txt")
        with pytest.raises(KeyError):
            list(bootstrap._packed(source, (), folder / "archive"))
        assert (folder / "work-1").exists() != ours


def test_a_lesson_of_an_earlier_version_stays_and_the_readers_attempt_comes_along(places, played):
    old, lock = workspace.claim(LESSON)
    lock.release()
    for name in ("your_turn", "your_turn_2"):
        workspace.lay_out(old / name, {"Dockerfile": "FROM scratch\n"})
    (old / "your_turn" / "Dockerfile").write_text("FROM mine\n")
    write(old, "project/app.py")
    (old / folders.MARK).unlink()
    before = contents(old)
    lab = open_lab(LESSON)
    assert lab.workspace == old.with_name(f"{LESSON}-2")
    assert repr(lab).endswith(f"\nLeft as it is: {LESSON}, for the lab did not make it here.")
    assert folders.others(lab.workspace) == [".given.json", ".lock", "your_turn"]
    exercise = workspace.lay_out(lab.workspace / "your_turn", {"Dockerfile": "FROM scratch\n"})
    assert (exercise / "Dockerfile").read_text() == "FROM mine\n"
    shutil.rmtree(exercise)  # to begin again
    lab = open_lab(LESSON)
    assert not (lab.workspace / "your_turn").exists()
    assert contents(old) == before
    lab.close()


# --- the mark ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def ours(places) -> Path:
    folder = places / "ours"
    assert folders.make(folder)
    assert folders.make(folder)
    return folder


def test_a_folder_that_was_there_is_not_ours_even_empty(places):
    (places / "there").mkdir()
    assert not folders.make(places / "there")
    assert list((places / "there").iterdir()) == []


@pytest.mark.parametrize(
    "act",
    ["copied", "moved", "moved and linked", "linked", "behind a link", "linked mark", "altered", "a file"],
)
def test_a_mark_holds_for_its_own_folder_and_place(ours, places, act):
    other = places / "other"
    match act:
        case "copied":
            shutil.copytree(ours, other)
        case "moved":
            ours.rename(other)
        case "moved and linked":
            other = ours
            ours.rename(places / "elsewhere")
            ours.symlink_to(places / "elsewhere")
        case "linked":
            other.symlink_to(ours)
        case "behind a link":  # which leads to another folder now
            (places / "a").mkdir()
            folders.make(places / "a" / "x")
            shutil.copytree(places / "a", places / "b")
            (places / "link").symlink_to(places / "b")
            other = places / "link" / "x"
        case "linked mark":
            other = ours
            (ours / folders.MARK).rename(places / "mark")
            (ours / folders.MARK).symlink_to(places / "mark")
        case "altered":
            other = ours
            (ours / folders.MARK).write_text("")
        case "a file":
            other.write_bytes((ours / folders.MARK).read_bytes())
    before = contents(places)
    assert not folders.is_ours(other)
    with pytest.raises(PermissionError):
        folders.remove(other)
    assert contents(places) == before


def test_a_laboratory_that_is_moved_as_a_whole_keeps_its_workspaces(places, monkeypatch):
    monkeypatch.delenv("DOCKERLAB_WORKSPACE")
    monkeypatch.setattr(folders, "NOTEBOOKS", places / "old" / "notebooks")
    folders.NOTEBOOKS.mkdir(parents=True)
    _, lock = workspace.claim(LESSON)
    lock.release()
    (places / "old").rename(places / "new")
    monkeypatch.setattr(folders, "NOTEBOOKS", places / "new" / "notebooks")
    again, lock = workspace.claim(LESSON)
    lock.release()
    assert again == places / "new" / "workspace" / LESSON
    assert workspace.remove_all() == {}
    assert list((places / "new").iterdir()) == [folders.NOTEBOOKS]


def test_marks_of_an_earlier_version_hold_in_their_place_and_in_no_other(places, monkeypatch):
    """Beside the lessons it was relative to these; at the top of the repository, where somebody named it, absolute."""
    monkeypatch.setattr(folders, "NOTEBOOKS", places / "notebooks")
    before, now = folders.NOTEBOOKS / "workspace", places / "workspace"
    for folder, told in ((before, "workspace"), (now, now)):
        folder.mkdir(parents=True)
        (folder / folders.MARK).write_text(f"Where it was made:\n{told}\n")
        assert folders.is_ours(folder)
    shutil.copyfile(before / folders.MARK, now / folders.MARK)
    assert not folders.is_ours(now)


def test_links_are_removed_and_what_they_lead_to_stays(ours, places):
    outside = write(places / "outside", "file", "folder/file")
    before = contents(outside)
    write(ours, "deep/er/mine")
    (ours / "folder").symlink_to(outside)
    (ours / "deep" / "file").symlink_to(outside / "file")
    (ours / "deep" / "er" / "up").symlink_to(places)
    (ours / "hard").hardlink_to(outside / "file")
    folders.remove(ours)
    assert contents(outside) == before
    assert list(places.iterdir()) == [outside]


@pytest.mark.parametrize("mounted", ["disk", "deep/er"])
def test_where_a_file_system_is_mounted_nothing_is_removed(ours, monkeypatch, mounted):
    write(ours, "a", "disk/mine", "deep/er/mine")
    monkeypatch.setattr(
        folders.psutil, "disk_partitions", lambda all: [SimpleNamespace(mountpoint=str(ours / mounted))]
    )
    before = contents(ours)
    with pytest.raises(OSError, match=f"mounted at {ours / mounted}"):
        folders.remove(ours)
    assert contents(ours) == before
    folders.empty(ours, lambda name: name in {"disk", "deep"})
    assert folders.others(ours) == ["deep", "disk"]


def test_a_folder_that_cannot_be_marked_is_not_left(places, monkeypatch):
    monkeypatch.setattr(Path, "write_bytes", mock.Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        folders.make(places / "full")
    assert list(places.iterdir()) == []


# --- the same kernel gets its own folder again ------------------------------------------------------------------------


def test_a_lesson_opened_again_by_the_same_kernel_gets_its_folder_and_the_first_lab_is_closed(played):
    first = open_lab(LESSON)
    (first.workspace / "project").mkdir()
    exercise = workspace.lay_out(first.workspace / "your_turn", {"Dockerfile": "FROM scratch\n"})
    (exercise / "Dockerfile").write_text("FROM mine\n")
    again = open_lab(LESSON)
    assert again.workspace == first.workspace == Path.cwd()
    assert played.removed == [first.id]
    assert not first.is_open
    assert again.is_open
    assert folders.others(again.workspace) == [".given.json", ".lock", "your_turn"]
    assert (exercise / "Dockerfile").read_text() == "FROM mine\n"
    again.close()


def test_of_two_kernels_each_gets_its_own_folder_again(played, places):
    _, other = workspace.claim(LESSON)
    assert open_lab(LESSON).workspace.name == f"{LESSON}-2"
    assert open_lab(LESSON).workspace.name == f"{LESSON}-2"
    other.release()  # the other kernel ends
    mine = open_lab(LESSON)
    assert mine.workspace.name == f"{LESSON}-2"
    mine.close()
    mine = open_lab(LESSON)
    assert mine.workspace.name == f"{LESSON}-2"
    mine.close()


def test_a_folder_that_another_kernel_took_meanwhile_is_not_taken_from_it(played):
    open_lab(LESSON).close()
    _, other = workspace.claim(LESSON)
    lab = open_lab(LESSON)
    assert lab.workspace.name == f"{LESSON}-2"
    lab.close()
    other.release()


def test_a_relative_folder_is_the_same_after_a_lab_has_been_opened(played, places, monkeypatch):
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", "mine")
    assert open_lab(LESSON).workspace == places / "mine" / LESSON
    lab = open_lab(LESSON)
    assert lab.workspace == places / "mine" / LESSON
    assert open_lab("04_layer_cache").workspace == places / "mine" / "04_layer_cache"
    for name in (LESSON, "04_layer_cache"):
        open_lab(name).close()


def test_a_lab_that_could_not_be_opened_holds_no_folder(played):
    played.client.volumes.create.side_effect = KeyboardInterrupt
    errors = []
    with pytest.raises(KeyboardInterrupt) as error:
        open_lab(LESSON)
    errors.append(error)  # as a notebook keeps it
    played.client.volumes.create.side_effect = None
    lab = open_lab(LESSON)
    assert lab.workspace.name == LESSON
    lab.close()


def test_an_engine_that_is_gone_does_not_keep_the_folder(played, monkeypatch):
    first = open_lab(LESSON)
    with monkeypatch.context() as gone:
        gone.setattr(cleanup, "remove_lab", mock.Mock(side_effect=ConnectionError))
        lab = open_lab(LESSON)
    assert lab.workspace == first.workspace
    lab.close()
