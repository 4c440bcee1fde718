"""What the sanitize file matches may become anything, so its rules are few, narrow, and each is needed."""

import re

import pytest
import sanitize
from execute import lessons, read
from rules import code_cells

VERDICTS = """
exit code: 137
exit code 0
lifespan shutdown ran: True
status: running
cached
at once
had to be killed
answered
refused
process 1: fastapi
sent: 9 files
{'Hello': 'World'}
○ Not attempted: the files in your_turn are as they were given.
● Done. In your version: 4 of 4
RUN pip install --no-cache-dir --upgrade -r /code/requirements.txt
fastapi[standard]==0.165.0
05_compose is closed. Nothing from this lesson is left on the engine.
""".strip().splitlines()
"""Lines that lessons print, and that say whether a claim holds."""

WHOLE = ("#0 building with ", " Network shop-", " Container shop-", ' Volume "shop-')
"""How the outputs begin that a rule may replace whole: of `docker build`, when no terminal reads it, and of `docker
compose`."""


@pytest.fixture(scope="module")
def committed() -> list[str]:
    """Every text that nbval compares in the committed lessons."""
    outputs = [cell.outputs for path in lessons() for cell in code_cells(read(path))]
    return [text for output in outputs for _, _, text in sanitize.texts(output) if isinstance(text, str)]


def complaints(text: str, committed: list[str]) -> list[str]:
    """What is wrong with a sanitize file."""
    rules = sanitize.rules(text)
    wrong = []
    if len(rules) != len(re.findall(r"^\s*regex", text, re.MULTILINE)):
        wrong.append(
            "nbval reads another number of rules: one is there twice, or has no `replace: TEXT` in the next line"
        )
    for pattern, replacement in rules.items():
        if not replacement.strip():
            wrong.append(f"{pattern} is replaced by nothing")
        if re.search(pattern, ""):
            wrong.append(f"{pattern} matches where there is nothing")
        if hidden := [verdict for verdict in VERDICTS if re.search(pattern, verdict)]:
            wrong.append(f"{pattern} is too broad, it hides {hidden[0]!r}")
        found = [match.group() for content in committed for match in re.finditer(pattern, content)]
        if any("\n" in text and not text.startswith(WHOLE) for text in found):
            wrong.append(f"{pattern} matches more than a line")
        before, committed = committed, [re.sub(pattern, replacement, content) for content in committed]
        if committed == before:
            wrong.append(f"{pattern} matches nothing in any lesson")
    return wrong


def test_the_sanitize_file_is_narrow_and_needed(committed):
    assert complaints(sanitize.FILE.read_text(), committed) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("regex: \\d\\.\\d s\nreplace:\n", "another number of rules"),
        ("regex: \\d\\.\\d s\n\nreplace: S\n", "another number of rules"),
        ("regex: \\d\\.\\d s\nreplace:  \n", "replaced by nothing"),
        ("regex: x*\nreplace: X\n", "where there is nothing"),
        ("regex: \\w+\nreplace: WORD\n", "too broad"),
        ("regex: \\d+\nreplace: N\n", "too broad"),
        ("regex: (?s)took.*\nreplace: S\n", "more than a line"),
        ("regex: took \\d\\.\\d\\d s\nreplace: S\n", "matches nothing"),
    ],
)
def test_each_kind_of_bad_rule_is_refused(text, complaint):
    assert complaint in "; ".join(complaints(text, ["took 1.5 s\nkilled"]))


def test_the_good_rule_is_not():
    assert complaints("regex: \\d\\.\\d s\nreplace: S\n", ["took 1.5 s\nkilled"]) == []


def test_with_a_kit_and_without_reads_the_same():
    """The package, its version and the line that asks for it stay: another one is a difference."""
    with_an_index = sanitize.sanitized("Collecting fastapi==0.165.0 (from -r /code/requirements.txt (line 2))")
    kit = "Processing /opt/dockerlab-kit/wheels/{}-py3-none-any.whl (from -r /code/requirements.txt (line 2))"
    assert sanitize.sanitized(kit.format("fastapi-0.165.0")) == with_an_index
    assert sanitize.sanitized(kit.format("fastapi-0.165.1")) != with_an_index
    assert sanitize.sanitized(kit.format("uvicorn-0.165.0")) != with_an_index
    failed, unknown, silent = (
        sanitize.sanitized(f"app could not be resolved ({why})")
        for why in ("2: Server failure", "3: Host not found", "110: Operation timed out")
    )
    assert failed == unknown != silent


def test_which_lessons_are_done_is_hidden_and_which_there_are_is_not():
    """As text and as HTML."""
    assert sanitize.sanitized("✓ 00 done · ○ 01 to do") == sanitize.sanitized("○ 00 to do · ✓ 01 done")
    assert sanitize.sanitized("✓ 00 done · ○ 01 to do") != sanitize.sanitized("✓ 00 done · ○ 02 to do")
    assert sanitize.sanitized("✓ 00 done · ○ 01 to do") != sanitize.sanitized("✓ 00 done")
    shown = '<a href="01_a.ipynb">{}</a>'.format
    assert sanitize.sanitized(shown("✓ 01 done")) == sanitize.sanitized(shown("○ 01 to do"))
