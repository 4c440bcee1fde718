"""Waiting ends when what is waited for is there, and not before a last look when time is up."""

import time
from types import SimpleNamespace

import pytest
from dockerlab import wait
from dockerlab.wait import tries, until


def test_it_ends_with_the_first_answer_that_is_true():
    answers = iter([None, 0, "", "there", "later"])
    assert until(lambda: next(answers), 5, every=0.001) == "there"


@pytest.mark.parametrize("seconds", [-1, 0, 0.05])
def test_the_last_try_is_when_time_is_up(seconds):
    began = time.monotonic()
    left = list(tries(seconds, every=0.01))
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0
    assert time.monotonic() >= began + seconds
    assert until(lambda: [], seconds) == []


def test_what_happens_during_the_last_sleep_is_not_missed():
    there = time.monotonic() + 0.1
    assert until(lambda: time.monotonic() >= there, 0.1, every=10)


def test_no_sleep_is_longer_than_what_is_left(monkeypatch):
    slept = []
    monkeypatch.setattr(wait, "time", SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append))
    assert list(tries(5, every=2)) == [5, 3, 1, 0]
    assert slept == [2, 2, 1]
