"""Whatever a run leaves on the engine turns it red, and is named. That a tidy run is not, each green run proves."""

import os
import secrets
import tempfile
from pathlib import Path

import nbformat
import pytest
import toy
from nested import run
from toy import claim, code

OPENS_AND_CLOSES = """
from dockerlab import open_lab
lab = open_lab("untidy")
lab.close();
"""
LEAVES = "lab.client.volumes.create(lab.name('left'), labels=lab.labels);"

OPENS = """
from dockerlab import labels, open_lab
lab = open_lab("by_a_command");
"""
CLOSES_TOO_EARLY = """
lab.close()
lab.client.volumes.create("left-by-a-command-" + lab.id, labels={labels.LAB: lab.id})
print("cleaned up")
"""
"""As a docker command with ``--label $LABEL`` does, which names no owner."""

TEST_LEAVES = """
from dockerlab import labels

def test_leaves(client):
    own = {{labels.LAB: "{id}", labels.OWNER: str(labels.Owner.current())}}
    client.volumes.create("left-{id}-labeled", labels=own)
    client.volumes.create("left-{id}-unlabeled")
"""


@pytest.fixture(scope="module")
def left(engine, tmp_path_factory):
    """A run that leaves volumes in three ways, the id that is in their names, and the volumes that are still there."""
    folder, id = tmp_path_factory.mktemp("untidy"), secrets.token_hex(4)
    toy.write(folder, "untidy", code("opens", OPENS_AND_CLOSES), code("leaves", LEAVES), claim())
    by_a_command = toy.lesson("by_a_command", code("opens", OPENS), claim())
    by_a_command.cells[-1].source = CLOSES_TOO_EARLY.strip()
    nbformat.write(by_a_command, folder / "by_a_command.ipynb")
    (folder / "test_leaves.py").write_text(TEST_LEAVES.format(id=id))
    # The owner of what is labeled is a worker of pytest-xdist, which lives to the end of its run.
    result = run(folder, "-p", "xdist", "-n1", "--dist=loadscope", env={})
    client = engine.client()
    volumes = [volume.name for volume in client.volumes.list()]
    client.volumes.get(f"left-{id}-unlabeled").remove()
    client.close()
    return result, id, volumes


def test_what_a_lesson_leaves_turns_its_clean_up_red(left):
    result, _, volumes = left
    assert result["untidy::cleanup"].outcome == "failure"
    assert "-left" in result["untidy::cleanup"].message
    assert not [name for name in volumes if name.endswith("-left")]


def test_what_a_command_leaves_that_names_its_lab_only_does_so_too(left):
    result, _, volumes = left
    assert result["by_a_command::cleanup"].outcome == "failure"
    assert "left-by-a-command-" in result["by_a_command::cleanup"].message
    assert not [name for name in volumes if name.startswith("left-by-a-command-")], "the next sweep takes it"


def test_an_unlabeled_leftover_is_named_and_not_touched(left):
    result, id, volumes = left
    assert result["test_leaves::test_leaves"].outcome == "passed"
    assert result.code == pytest.ExitCode.TESTS_FAILED
    assert f"volumes: left-{id}-unlabeled is new" in result.text
    assert f"left-{id}-unlabeled" in volumes


def test_what_a_dead_process_left_is_swept(left):
    _, id, volumes = left
    assert f"left-{id}-labeled" not in volumes


def test_the_workspaces_of_whoever_runs_the_tests_are_not_touched():
    assert Path(os.environ["DOCKERLAB_WORKSPACE"]).is_relative_to(tempfile.gettempdir())
