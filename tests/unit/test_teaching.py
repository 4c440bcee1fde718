"""The instructor guide names lessons and files that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "workshop" / "TEACHING.md"


def test_its_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", GUIDE.read_text())
    assert links
    assert [link for link in links if not (GUIDE.parent / link).is_file()] == []


def test_it_speaks_of_every_lesson():
    text = GUIDE.read_text()
    assert [path.name for path in (ROOT / "notebooks").glob("0*.ipynb") if path.name not in text] == []


def test_the_readme_leads_to_it():
    assert "(workshop/TEACHING.md)" in (ROOT / "README.md").read_text()
