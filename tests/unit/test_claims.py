"""Claims: one right answer each, a lesson for each; and what a reader predicts is kept and compared."""

import importlib
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import dockerlab.claims
import pytest
from dockerlab.claims import lesson as lessons
from dockerlab.claims.claim import Claim
from dockerlab.claims.question import WIDGET, Question
from dockerlab.errors import LabError
from dockerlab.lab.predictions import Predictions

MODULES = sorted(path.stem for path in Path(dockerlab.claims.__file__).parent.glob("lesson_*.py"))
KNOWN = [
    pytest.param(claim, id=claim.id)
    for module in MODULES
    for claim in importlib.import_module(f"dockerlab.claims.{module}").CLAIMS
]

TOY = Claim(
    "toy.answer",
    "The answer is 42.",
    {"answer": 42, "asked": True},
    question="What is it?",
    options={"It is 41": {"answer": 41}, "It is 42": {"answer": 42}},
)


@pytest.mark.parametrize("claim", KNOWN)
def test_each_claim_has_a_sentence_an_address_and_one_right_answer(claim):
    assert re.fullmatch(r"[a-z]+\.[a-z-]+", claim.id)
    assert claim.sentence.endswith(".")
    assert claim.advice.startswith("https://") or not claim.advice
    assert bool(claim.question) == bool(claim.options)
    if claim.options:
        assert claim.answer(claim.outcome)
        assert len(claim.options) >= 2
        for expected in claim.options.values():
            assert expected.keys() <= claim.outcome.keys()


def test_no_two_claims_have_one_id():
    ids = [param.values[0].id for param in KNOWN]
    assert len(set(ids)) == len(ids)


@pytest.fixture
def lesson(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path / "workspace"))
    module = SimpleNamespace(CLAIMS=[TOY], EXERCISES=[])
    monkeypatch.setattr(lessons, "claims_of", lambda name: {TOY.id: TOY})
    monkeypatch.setattr(lessons, "_module", lambda name: module)
    opened = lessons._Lesson("99_toy", None, Predictions("99_toy"), {})
    monkeypatch.setattr(lessons, "_current", [opened])
    return opened


def test_a_claim_that_holds_shows_what_was_measured_and_which_answer_that_is(lesson):
    shown = repr(lessons.claim("toy.answer", answer=42, asked=True))
    assert "✔ toy.answer: The answer is 42." in shown
    assert "Measured: answer: 42; asked: yes" in shown
    assert "Answer: b) It is 42" in shown
    assert "You predicted" not in shown


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        ({"answer": 41, "asked": True}, "answer is 41, and 42 was expected"),
        ({"answer": 42}, r"asked is \(not measured\), and yes was expected"),
        ({"answer": 42, "asked": True, "more": 1}, r"more is 1, and \(nothing\) was expected"),
    ],
)
def test_a_claim_that_does_not_hold_says_what_was_seen(lesson, measured, told):
    with pytest.raises(AssertionError, match=told):
        lessons.claim("toy.answer", measured)


@pytest.mark.parametrize(
    "options",
    [
        {"It is 41": {"answer": 41}, "It is 42": {"answer": 43}},
        {"It is 42": {"answer": 42}, "It is asked": {"asked": True}},
    ],
    ids=["no answer fits", "two answers fit"],
)
def test_a_wrong_key_turns_the_claim_red(lesson, monkeypatch, options):
    monkeypatch.setattr(lessons, "claims_of", lambda name: {TOY.id: replace(TOY, options=options)})
    with pytest.raises(AssertionError, match="none of the answers, or more than one"):
        lessons.claim("toy.answer", answer=42, asked=True)


def test_a_prediction_is_kept_shown_and_counted(lesson):
    question = lessons.predict("toy.answer")
    assert repr(lessons.surprises()) == "You predicted none of 1 measurements."
    question._choose("It is 41")
    again = lessons.predict("toy.answer")  # after a restart of the kernel, say
    assert again.chosen == "It is 41"
    assert "You predicted: a) It is 41 (a surprise)" in repr(lessons.claim("toy.answer", answer=42, asked=True))
    looked_back = lessons.surprises()
    assert repr(looked_back).startswith("You predicted 1 of 1 measurements, 0 of them as measured.\n  toy.answer")
    assert "It is 41" in looked_back._repr_html_()
    again._choose("It is 42")
    assert "0 of them as measured" in repr(lessons.surprises()), "what is chosen after the measurement is no prediction"
    assert "(as measured)" in repr(lessons.claim("toy.answer", answer=42, asked=True))
    assert repr(lessons.surprises()) == "You predicted 1 of 1 measurements, 1 of them as measured."


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"toy.answer": "an option of an earlier version"}'])
def test_predictions_that_cannot_be_read_are_none(lesson, tmp_path, content):
    file = tmp_path / "workspace" / ".predictions" / "99_toy.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    assert "You predicted" not in repr(lessons.claim("toy.answer", answer=42, asked=True))
    lessons.predict("toy.answer")._choose("It is 42")  # and it does not fail, whoever made the folder


def test_buttons_where_a_kernel_listens_and_a_question_to_read_elsewhere(lesson):
    chosen = []
    question = Question(TOY, "", chosen.append)
    bundle = question._repr_mimebundle_()
    assert bundle.keys() == {"text/plain", "text/html", WIDGET}
    assert "<details><summary>The answer</summary>b) It is 42</details>" in bundle["text/html"]
    assert "42</details>" not in bundle["text/plain"]
    _, title, first, second, kept = question._widget().children
    assert "What is it?" in title.value
    second.click()
    assert chosen == ["It is 42"]
    assert (first.description[0], second.description[0]) == ("○", "●")
    assert "You predict b." in kept.value


@pytest.mark.parametrize("call", [lessons.predict, lessons.claim])
def test_a_claim_of_another_lesson_is_an_error_that_says_so(lesson, call):
    with pytest.raises(LabError, match=r"99_toy has no claim 'stop\.exec-form'"):
        call("stop.exec-form")


def test_without_an_open_lesson_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(lessons, "_current", [])
    for call in (lambda: lessons.predict("toy.answer"), lessons.surprises, lambda: lessons.exercise("03")):
        with pytest.raises(LabError, match="first cell"):
            call()


def test_the_file_for_terminals_leads_to_the_lesson_whatever_its_path(tmp_path):
    import subprocess

    folder = tmp_path / "it's a lesson"
    folder.mkdir()
    lessons.write_environment(folder, {"LAB": "0123abcd", "LABEL": "dev.dockerlab.lab=0123abcd"})
    script = f'. "{folder}/lab.env" && pwd && echo "$LAB $LABEL"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == f"{folder}\n0123abcd dev.dockerlab.lab=0123abcd\n"


def test_what_exercises_of_modules_install_is_what_the_sample_app_installs():
    requirements = Path(__file__).parents[2] / "sample_app" / "requirements.txt"
    assert requirements.read_text() == importlib.import_module("dockerlab.claims.lesson_03").REQUIREMENTS
