"""Whether an owner is alive decides what a sweep removes: neither may a living one be swept nor a dead one be kept."""

import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
from dockerlab.labels import Owner


def test_this_process_is_alive():
    assert not Owner.current().is_dead()


def test_a_process_that_ended_is_dead():
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    owner = Owner.of(psutil.Process(process.pid))
    process.wait(timeout=30)
    assert owner.is_dead()


def test_a_process_that_ended_and_was_not_waited_for_is_dead():
    process = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    owner = Owner.of(psutil.Process(process.pid))
    process.stdout.read()  # ends when the process does; as nobody has waited for it, it is a zombie now
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    assert owner.is_dead()
    process.wait(timeout=30)


def test_a_later_process_with_the_same_id_is_another_owner():
    current = Owner.current()
    assert replace(current, started=current.started - 60).is_dead()


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere, the start of a process is not told in the clock of now")
def test_a_clock_that_is_set_kills_nobody(monkeypatch):
    owner = Owner.current()
    before = psutil.Process().create_time()
    moved = psutil.boot_time() + 86400
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: moved)
    assert psutil.Process().create_time() > before + 80000  # so it is what moves with the clock
    assert not owner.is_dead()


def test_an_owner_on_another_machine_counts_as_alive():
    assert not replace(Owner.current(), host="another", pid=1, started=0).is_dead()


def test_a_label_tells_its_owner_and_a_foreign_label_tells_none():
    assert Owner.parse(str(Owner.current())) == Owner.current()
    assert Owner.parse("somebody") is None
    assert Owner.parse("host/x/y") is None
