"""The links of a built site: each that is inside of it leads to a file, and to a place in it that exists.

`python links.py FOLDER` prints those that do not.

What is outside is not asked for: those links are held against the form of an address only.
"""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

# Every attribute in which a page of this site names another file.
ATTRIBUTES = ("href", "src", "action")
# What a browser loads by itself, without being asked by the reader.
LOADED = {"img", "link", "script", "iframe", "source", "video"}


def broken(site: Path) -> list[str]:
    """One sentence for each link that leads nowhere, or that would load something from another machine."""
    pages = {page.resolve(): BeautifulSoup(page.read_text(), "html.parser") for page in sorted(site.rglob("*.html"))}
    anchors = {page: {tag["id"] for tag in tree.find_all(id=True)} for page, tree in pages.items()}
    problems = []
    for page, tree in pages.items():
        for attribute in ATTRIBUTES:
            for tag in tree.find_all(attrs={attribute: True}):
                if problem := _problem(site.resolve(), page, tag, tag[attribute], anchors):
                    problems.append(f"{page.relative_to(site.resolve())}: {tag[attribute]!r} {problem}")
    return problems


def _problem(site: Path, page: Path, tag, link: str, anchors: dict[Path, set[str]]) -> str | None:
    address = urlsplit(link)
    if address.scheme == "data":
        return None
    if address.scheme or address.netloc:
        if tag.name in LOADED:
            return "would be loaded from another machine"
        well_formed = address.scheme in {"http", "https"} and "." in (address.hostname or "") and " " not in link
        return None if well_formed else "is not the address of a page"
    target = (page.parent / unquote(address.path)).resolve() if address.path else page
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(site) or not target.is_file():
        return "leads to no file of the site"
    if address.fragment and target in anchors and unquote(address.fragment) not in anchors[target]:
        return "leads to no place in that page"
    return None


if __name__ == "__main__":
    sys.exit("\n".join(broken(Path(sys.argv[1]))) or 0)
