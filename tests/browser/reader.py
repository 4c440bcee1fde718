"""A lesson in JupyterLab in a browser, used as a reader uses it.

What was run is read from the notebook's model, not from the page: the page shows prompts before their cells are done.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Error, Locator, Page, Request

LESSON_SECONDS = 500

OPEN = """
async name => {
    const app = window.jupyterapp;
    const widget = await app.commands.execute('docmanager:open', {path: name, factory: 'Notebook'});
    await widget.context.ready;
    await widget.revealed;
    await widget.context.sessionContext.ready;
    window.lesson = widget;
}
"""

STATE = """
() => ({
    kernel: window.lesson.context.sessionContext.session?.kernel?.status,
    cells: Array.from(window.lesson.content.model.cells)
        .filter(cell => cell.type === 'code')
        .map(cell => ({id: cell.id, count: cell.executionCount, outputs: cell.outputs.toJSON()})),
})
"""

SELECT = """
id => {
    const notebook = window.lesson.content;
    notebook.deselectAll();
    notebook.activeCellIndex = notebook.widgets.findIndex(cell => cell.model.id === id);
}
"""


@dataclass(frozen=True)
class JupyterLab:
    """A server.

    Attributes:
        url: where it answers.
        token: what it asks for.
        opens_at: the address that it shows in the reader's browser by itself.
        pid: the process id.
        folder: the reader's: their copies of the lessons, and the folders of those.
    """

    url: str
    token: str
    opens_at: str
    pid: int
    folder: Path


class Reader:
    """One tab with JupyterLab in it, and one lesson in that.

    Attributes:
        problems: errors in the page's own programs.
        broken_off: requests to JupyterLab's server that the browser gave up, with its reason.
    """

    def __init__(self, page: Page, server: JupyterLab, *, at_its_start: bool = False) -> None:
        """Open JupyterLab, empty; or where it opens by itself."""
        self.page = page
        self.server = server
        self.problems: list[str] = []
        self.broken_off: list[str] = []
        page.on("requestfailed", self._note_broken_off)
        page.on("pageerror", self._note_problem)
        page.goto(server.opens_at if at_its_start else f"{server.url}/lab?token={server.token}")
        page.wait_for_function("() => window.jupyterapp")
        page.evaluate("async () => { await window.jupyterapp.restored; }")

    def _note_broken_off(self, request: Request) -> None:
        if request.url.startswith(self.server.url):
            self.broken_off.append(f"{request.method} {request.url}: {request.failure}")

    def _note_problem(self, error: Error) -> None:
        # "Failed to fetch" does not tell what or why; the browser does.
        self.problems.append(f"{error}; requests broken off: {self.broken_off}" if self.broken_off else str(error))

    def open(self, lesson: str) -> None:
        """Open a lesson by its file's name."""
        self.page.evaluate(OPEN, lesson)

    def shown_lesson(self, *, other_than: str = "") -> str:
        """The name of the file that is in front, when there is one (and another than this)."""
        path = "window.jupyterapp.shell.currentWidget?.context?.path"
        self.page.wait_for_function(f"other => {path} && {path} !== other", arg=other_than)
        return self.page.evaluate(f"() => {path}")

    def command(self, name: str, **arguments: object) -> None:
        """Give one of JupyterLab's commands, as its menus do, and do not wait."""
        given = json.dumps(arguments)
        self.page.evaluate(f"name => {{ window.jupyterapp.commands.execute(name, {given}); }}", name)

    def cells(self) -> list[dict]:
        """The code cells: id, count, outputs."""
        return self.page.evaluate(STATE)["cells"]

    def run_all(self) -> list[dict]:
        """Run all cells until one fails, and return them."""
        before = self.counts()
        self.command("notebook:run-all-cells")
        return self.wait_for(list(before), before)

    def run_above(self, cell: str) -> list[dict]:
        """Run the cells above one."""
        before = self.counts()
        self.page.evaluate(SELECT, cell)
        self.command("notebook:run-all-above")
        return self.wait_for(list(before)[: list(before).index(cell)], before)

    def run_one(self, cell: str) -> list[dict]:
        """Run one cell by the keyboard."""
        before = self.counts()
        self.page.evaluate(SELECT, cell)
        self.command("notebook:enter-command-mode")
        self.page.keyboard.press("Shift+Enter")
        return self.wait_for([cell], before)

    def write_cell(self, cell: str, source: str) -> None:
        """Put this in the place of what is in a cell."""
        find = "window.lesson.content.model.sharedModel.cells.find(cell => cell.id === id)"
        self.page.evaluate(f"([id, source]) => {{ {find}.setSource(source); }}", [cell, source])

    def restart(self) -> None:
        """Restart the kernel, as the menu does: it asks whether that is meant. The outputs are cleared."""
        self.command("notebook:restart-clear-output")
        self.page.locator(".jp-Dialog button.jp-mod-accept").click()
        deadline = time.monotonic() + LESSON_SECONDS
        while any(self.counts().values()) or self.page.evaluate(STATE)["kernel"] != "idle":
            assert time.monotonic() < deadline, "the kernel does not come back"
            self.page.wait_for_timeout(100)

    def counts(self) -> dict[str, int | None]:
        return {cell["id"]: cell["count"] for cell in self.cells()}

    def wait_for(self, ids: list[str], before: dict[str, int | None]) -> list[dict]:
        """Wait until these cells have run since, or one has failed. Return all."""
        deadline = time.monotonic() + LESSON_SECONDS
        while time.monotonic() < deadline:
            state = self.page.evaluate(STATE)
            count = {cell["id"]: cell["count"] for cell in state["cells"]}
            waiting = [id_ for id_ in ids if count[id_] in (None, before[id_])]
            if state["kernel"] == "idle" and (errors(state["cells"]) or not waiting):
                return state["cells"]
            self.page.wait_for_timeout(250)
        pytest.fail(f"after {LESSON_SECONDS} s the kernel is {state['kernel']}, and these have not run: {waiting}")

    @property
    def notebook(self) -> Locator:
        return self.page.locator(".jp-NotebookPanel:visible")

    def sees(self, text: str) -> None:
        """Assert that an output has this text, and that it can be seen."""
        output = self.notebook.locator(".jp-OutputArea-output").get_by_text(text).last
        output.wait_for()
        output.scroll_into_view_if_needed()
        assert output.is_visible()

    def sees_all(self, figures: int) -> None:
        """Assert that the lesson's figures are there and can be seen, that nothing is asked, and nothing went wrong."""
        images = self.notebook.locator(".jp-RenderedImage img").all()
        assert len(images) == figures
        for image in images:
            image.scroll_into_view_if_needed()
            assert image.is_visible()
            assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        asked = self.page.locator(".jp-Dialog, .jp-toast-message, .Toastify__toast").all_inner_texts()
        assert not asked, f"JupyterLab asks something: {asked}"
        assert not self.problems, self.problems

    def violations(self) -> str:
        """What axe finds wrong in the lesson's texts and outputs, all that is folded there opened."""
        self.page.evaluate("() => window.lesson.node.querySelectorAll('details').forEach(one => { one.open = true; })")
        of_lesson = ".jp-NotebookPanel:not(.lm-mod-hidden)"  # the rest is JupyterLab's own
        context = {"include": [[f"{of_lesson} .jp-MarkdownOutput"], [f"{of_lesson} .jp-OutputArea-output"]]}
        # JupyterLab gives figures no alternative text, whatever their output says: their words are folded below them.
        options = {"rules": {"image-alt": {"enabled": False}}}
        found = Axe().run(self.page, context=context, options=options)
        return found.generate_report() if found.violations_count else ""

    def broken_links(self) -> list[str]:
        """The lesson's links, as the page has them, that lead to a file of this server that is not there."""
        links = self.notebook.locator(".jp-MarkdownOutput a[href]")
        files = f"{self.server.url}/files/"
        local = [link for link in links.evaluate_all("all => all.map(link => link.href)") if link.startswith(files)]
        paths = {link: unquote(urlsplit(link).path).removeprefix("/files/") for link in local}
        return [link for link, path in paths.items() if not (self.server.folder / path).exists()]

    def type_into(self, path: Path, text: str) -> None:
        """Open a file by the file browser, type this in the place of what is in it, and save it, all by the keyboard.

        Args:
            path: of the file, below the reader's folder.
            text: as it shall be.
        """
        self.command("filebrowser:go-to-path", path=path.parent.as_posix())
        self.page.get_by_role("listitem").filter(has=self.page.get_by_text(path.name, exact=True)).dblclick()
        editor = self.page.locator(".jp-FileEditor:visible .cm-content")
        editor.click()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(text)
        self.page.keyboard.press("ControlOrMeta+S")
        file = self.server.folder / path
        deadline = time.monotonic() + 60
        while file.read_text() != text:
            assert time.monotonic() < deadline, f"{path} is not as it was typed:\n{file.read_text()}"
            self.page.wait_for_timeout(100)

    def type_into_terminal(self, line: str) -> None:
        """Open a terminal, where JupyterLab opens one, and type a line into it."""
        self.command("terminal:create-new")
        terminal = self.page.locator(".jp-Terminal:visible .xterm-screen")
        terminal.click()
        self.page.keyboard.type(f"{line}\n")

    def back_to(self, lesson: str) -> None:
        """Click on the lesson's tab."""
        self.page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab").filter(has_text=lesson).click()
        assert self.shown_lesson() == lesson

    def screenshot(self, path: Path) -> None:
        """A picture of the whole lesson: the window is made as high as the notebook in it."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
        notebook = self.notebook.locator(".jp-Notebook .jp-WindowedPanel-outer")
        height = notebook.evaluate("node => node.scrollHeight")
        # Chromium's own limit is 16384.
        self.page.set_viewport_size({"width": 1280, "height": min(height + 200, 16_000)})
        notebook.evaluate("node => node.scrollTo(0, 0)")
        self.page.screenshot(path=path)


def figures_of(cells: list[dict]) -> int:
    """How many figures the outputs of some cells have."""
    return sum("image/png" in output.get("data", {}) for cell in cells for output in cell["outputs"])


def errors(cells: list[dict]) -> list[str]:
    return [f"{cell['id']}: {o['ename']}: {o['evalue']}" for cell in cells for o in cell["outputs"] if "ename" in o]
