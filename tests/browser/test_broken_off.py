"""A lesson that is broken off in the browser leaves nothing, once it runs again or the next one starts."""

import os
import signal

import psutil
import pytest
from browser.reader import Reader, errors
from dockerlab.labels import LAB, Owner
from execute import lessons
from guards import labeled_with, made_by

FIRST, SECOND = (path.name for path in lessons()[:2])
MIDDLE = "request"
"""A cell of the first lesson. Above it, a container was started; below it, that is stopped."""


def kernel(server) -> Owner:
    """The process that runs the one notebook that is open."""
    children = psutil.Process(server.pid).children(recursive=True)
    (found,) = (child for child in children if "ipykernel_launcher" in child.cmdline())
    return Owner.of(found)


def in_the_middle(reader: Reader) -> tuple[Owner, str]:
    """Run the first half of the first lesson. Return the kernel's process, and the label of what it made on the engine.

    Once it is dead, any lab that is opened sweeps them, also one of another test that runs beside.
    """
    reader.open(FIRST)
    assert not errors(reader.run_above(MIDDLE))
    owner = kernel(reader.server)
    (volume,) = made_by(owner)  # it marks the lab as open; a typed command names the lab only
    label = f"{LAB}={volume.split('-')[1]}"
    assert [item.split()[0] for item in labeled_with(label)] == ["container", "volume"]
    return owner, label


@pytest.mark.browser
def test_a_kernel_is_restarted_in_the_middle_and_the_lesson_run_again(browser, jupyterlab):
    reader = Reader(browser.pages[0], jupyterlab)
    before, label = in_the_middle(reader)
    reader.restart()
    assert before.is_dead()
    assert not errors(reader.run_all())
    reader.sees("is left on the engine.")
    assert kernel(jupyterlab) != before
    assert labeled_with(label) == []
    assert made_by(kernel(jupyterlab)) == []


@pytest.mark.browser
def test_the_tab_is_closed_in_the_middle_and_the_next_lesson_started(browser, jupyterlab):
    """A closed tab does not end the kernel: the reader may come back to it. What it holds goes after it has ended."""
    page = browser.new_page()
    reader = Reader(browser.pages[0], jupyterlab)
    before, label = in_the_middle(reader)
    reader.page.close()
    assert not before.is_dead()
    os.kill(before.pid, signal.SIGKILL)

    reader = Reader(page, jupyterlab)
    reader.open(SECOND)
    first, *_, cleanup = reader.cells()
    assert not errors(reader.run_one(first["id"]))
    assert labeled_with(label) == []
    assert not errors(reader.run_one(cleanup["id"]))
    reader.sees("is left on the engine.")
