"""Each lesson but the last ends with a link to the next."""

from itertools import pairwise

import pytest
from execute import lessons, read
from rules import markdown


@pytest.mark.parametrize(("lesson", "following"), list(pairwise(lessons())), ids=lambda path: path.stem)
def test_it_leads_to_the_next(lesson, following):
    recap = next(text for text in reversed(markdown(read(lesson))) if text.startswith("## Recap"))
    last = recap.splitlines()[-1]
    assert last.startswith(f"Next: [{following.stem[:2]}, ")
    assert last.rstrip(".").endswith(f"]({following.name})")
