"""The site that `make site` makes: its links, its search, and whether everyone can read it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import system_chromium
from axe_playwright_python.sync_playwright import Axe
from filelock import FileLock
from lesson_files import ROOT
from playwright.sync_api import Browser, Page, sync_playwright

LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
PAGES = [
    "index",
    "workshop/TEACHING",
    "workshop/hub/README",
    "CONTRIBUTING",
    "search",
    *(f"notebooks/{lesson}" for lesson in LESSONS),
]
# Wide enough for both side bars; and a phone, where they are behind buttons.
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}

pytestmark = pytest.mark.prove
needs_browser = pytest.mark.browser


def make_site(root: Path, folder: Path) -> subprocess.CompletedProcess:
    """What `make site` runs, with another folder."""
    python = ROOT / ".venv-site" / "bin" / "python"
    if not python.exists():
        pytest.fail(f"there is no {python}. Make it: make .venv-site/ready")
    command = [python, root / "workshop" / "site", folder]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


def check_links(folder: Path) -> str:
    python = ROOT / ".venv-site" / "bin" / "python"
    command = [python, ROOT / "workshop" / "site" / "links.py", folder]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory, worker_id) -> Path:
    """The site, built once, also for several workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "site"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            run = make_site(ROOT, folder)
            assert run.returncode == 0, run.stderr
    return folder


@pytest.fixture(scope="module")
def chromium(tmp_path_factory) -> Iterator[system_chromium.Chromium]:
    with system_chromium.apart(system_chromium.needed(), tmp_path_factory.mktemp("chromium")) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def address(site, chromium) -> Iterator[str]:
    """What `python -m http.server` serves."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with chromium.reaching(server.server_port):
            yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(chromium) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.executable, args=system_chromium.FLAGS)
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser: Browser, **options) -> Iterator[Page]:
    """A page that reaches this machine only, and in which no script may fail."""
    context = browser.new_context(**options)
    outside = system_chromium.keep_inside(context)
    page = context.new_page()
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
    yield page
    context.close()
    assert not outside, f"the page asks outside of this machine: {outside}"
    assert not failed


def outputs(lesson: str) -> list[dict]:
    notebook = json.loads((ROOT / "notebooks" / f"{lesson}.ipynb").read_text())
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def diagrams(lesson: str) -> list[str]:
    notebook = json.loads((ROOT / "notebooks" / f"{lesson}.ipynb").read_text())
    texts = ("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    return [diagram for text in texts for diagram in re.findall(r"^```mermaid$(.*?)^```$", text, re.M | re.S)]


def test_every_lesson_is_a_page(site):
    assert [page for page in PAGES if not (site / f"{page}.html").exists()] == []
    assert len(LESSONS) >= 10


@needs_browser
@pytest.mark.parametrize("lesson", LESSONS)
def test_lesson(browser, address, lesson):
    """One heading above all others; each figure and diagram, with its description; the output that is committed."""
    with opened(browser) as page:
        page.goto(f"{address}/notebooks/{lesson}.html")

        assert page.locator("h1").count() == 1

        images = page.locator("article img").all()
        for image in images:
            assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        seen = [image.get_attribute("alt") for image in images]
        figures = [o["metadata"]["image/png"]["alt"] for o in outputs(lesson) if "image/png" in o.get("data", {})]
        drawn = [alt for image, alt in zip(images, seen, strict=True) if image.get_attribute("class") == "diagram"]
        assert [alt for alt in seen if alt not in drawn] == figures
        assert len(drawn) == len(diagrams(lesson))
        assert all(len(alt) > 20 for alt in seen)
        assert "accTitle" not in page.locator("article").inner_text()

        shown = "\n".join(page.locator(".cell_output pre").all_text_contents())
        streams = ["".join(output["text"]) for output in outputs(lesson) if output["output_type"] == "stream"]
        # `docker compose logs` clears the line before it prints one.
        printed = [line.replace("\x1b[2K", "").rstrip() for text in streams for line in text.split("\n")]
        assert printed
        assert [line for line in printed if line not in shown] == []


@needs_browser
@pytest.mark.parametrize("name", PAGES)
def test_accessible(browser, address, name):
    """What axe finds, in both themes, with solutions opened."""
    with opened(browser, viewport=WIDE) as page:
        assert violations(page, f"{address}/{name}.html") == []


@needs_browser
@pytest.mark.parametrize("name", ["index", "notebooks/00_start_here"])
def test_accessible_on_a_phone(browser, address, name):
    with opened(browser, viewport=PHONE) as page:
        assert violations(page, f"{address}/{name}.html") == []


def violations(page: Page, url: str) -> list[str]:
    axe = Axe()
    found = []
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(url)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true }); scrolling()")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        results = axe.run(page)
        if results.violations_count:
            found.append(f"{theme}: {results.generate_report()}")
    return found


@needs_browser
def test_search(browser, address):
    with opened(browser) as page:
        page.goto(f"{address}/index.html")
        page.get_by_role("textbox", name="Search").fill("SIGTERM")
        page.keyboard.press("Enter")
        results = page.locator("#search-results li a")
        results.first.wait_for()
        assert page.locator("h1").all_inner_texts() == ["Search"]
        results.filter(has_text="Does my application hear the stop signal?").first.click()
        page.wait_for_url("**/notebooks/03_exec_or_shell.html*")
        assert page.locator("h1").inner_text().startswith("Does my application hear the stop signal?")

        page.goto(f"{address}/search.html?q=aardvark")
        page.get_by_text("did not match any documents").wait_for()
        assert results.count() == 0


@needs_browser
def test_what_scrolls_is_reached_with_the_keyboard(browser, address):
    with opened(browser, viewport=PHONE) as page:
        page.goto(f"{address}/notebooks/03_exec_or_shell.html")
        boxes = page.locator("article pre")
        wide = boxes.evaluate_all("boxes => boxes.map(box => box.scrollWidth > box.clientWidth)")
        stops = boxes.evaluate_all("boxes => boxes.map(box => box.tabIndex === 0)")
        assert True in wide
        assert False in wide
        assert stops == wide


def test_no_link_is_broken(site):
    assert check_links(site) == ""


BROKEN = [  # by attribute, as they are looked for
    ('<a href="nowhere.html">', "leads to no file of the site"),
    ('<a href="../../../etc/passwd">', "leads to no file of the site"),
    ('<a href="03_exec_or_shell.ipynb">', "leads to no file of the site"),
    ('<a href="03_exec_or_shell.html#nowhere">', "leads to no place in that page"),
    ('<a href="#nowhere">', "leads to no place in that page"),
    ('<a href="https://nowhere">', "is not the address of a page"),
    ('<a href="//cdn.example/page">', "is not the address of a page"),
    ('<img src="../_images/nowhere.png">', "leads to no file of the site"),
    ('<script src="https://cdn.example/mermaid.js"></script>', "would be loaded from another machine"),
    ('<form action="nowhere"></form>', "leads to no file of the site"),
]


def test_broken_links_are_found(site, tmp_path):
    shutil.copytree(site, tmp_path / "site")
    name = "notebooks/04_layer_cache.html"
    page = tmp_path / "site" / name
    page.write_text(page.read_text().replace("</article>", "".join(link for link, _ in BROKEN) + "</article>"))
    addresses = [link.split('"')[1] for link, _ in BROKEN]  # what is between the first quotation marks
    expected = [f"{name}: {address!r} {why}" for address, (_, why) in zip(addresses, BROKEN, strict=True)]
    assert check_links(tmp_path / "site").splitlines() == expected


def test_what_sphinx_warns_of_is_an_error_and_leaves_the_earlier_site(tmp_path):
    """A figure with no description, and a link to nowhere."""
    notebooks = tmp_path / "notebooks"
    workshop = tmp_path / "workshop"
    notebooks.mkdir()
    shutil.copytree(ROOT / "workshop" / "site", workshop / "site")
    (tmp_path / "README.md").write_text("# A site\n\n[nowhere](notebooks/10_nowhere.ipynb)\n")
    (tmp_path / "CONTRIBUTING.md").write_text("# Contributing\n")
    (workshop / "TEACHING.md").write_text("# Teaching\n")
    (workshop / "hub").mkdir()
    (workshop / "hub" / "README.md").write_text("# A hub\n")
    lesson = json.loads((ROOT / "notebooks" / "04_layer_cache.ipynb").read_text())
    for cell in lesson["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                del output["metadata"]["image/png"]["alt"]
    (notebooks / "04_layer_cache.ipynb").write_text(json.dumps(lesson))
    earlier = tmp_path / "made" / ".dockerlab"
    earlier.parent.mkdir()
    earlier.write_text(f"{earlier.parent}\n")

    run = make_site(tmp_path, earlier.parent)

    assert run.returncode == 1
    assert "a figure has no description" in run.stderr
    assert "10_nowhere.ipynb" in run.stderr
    assert list(earlier.parent.iterdir()) == [earlier]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".site-")] == []


@pytest.mark.parametrize(
    "name", ["mine.txt", "searchindex.js", ".dockerlab"], ids=["", "another site", "a copied site"]
)
def test_a_folder_with_other_things_stays_as_it_is(tmp_path, name):
    (tmp_path / name).write_text("/elsewhere\n")
    run = make_site(ROOT, tmp_path)
    assert run.returncode == 1
    assert "holds other things" in run.stderr
    assert (tmp_path / name).read_text() == "/elsewhere\n"
