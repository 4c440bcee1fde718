"""Progress is shown where it can be, and what stays of it is the same after each run."""

import asyncio
import io

import nbformat
import pytest
from dockerlab.build import build_progress
from dockerlab.build.build_progress import LiveStep
from nbclient import NotebookClient
from rich.console import Console

STEPS = [
    LiveStep("FROM a", "cached"),
    LiveStep("RUN <make>", "running", 1.25, log="one\ntwo\n"),
    LiveStep("COPY . .", "waiting"),
]
DONE = [LiveStep("FROM a", "cached"), LiveStep("RUN <make>", "built", 2.5), LiveStep("COPY . .", "built", 0.01)]

CELL = f"""\
from dockerlab.build import build_progress
from dockerlab.build.build_progress import LiveStep

def build():
    shown = build_progress.start(True)
    shown.show({STEPS})
    shown.show({DONE})
    shown.end({DONE})
"""
FROM_THREADS = """\
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor() as pool:
    list(pool.map(lambda _: build(), range(2)))
"""
CELLS = [CELL, "build()", FROM_THREADS]


class Watching(NotebookClient):
    """Keeps the messages about displays, which is what a page and nbval see, in the order of their coming."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.displays = []

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] in ("display_data", "update_display_data"):
            self.displays.append((msg["msg_type"], msg["content"]["data"], cell_index))
        return super().process_message(msg, cell, cell_index)


@pytest.fixture(scope="module")
def watched():
    """A notebook that was executed, and what executed it: a build in one cell, and two in threads in the next."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client = Watching(notebook, timeout=60)
    asyncio.run(client.async_execute())
    return notebook, client


@pytest.mark.parametrize("cell", [1, 2], ids=["called", "from threads"])
def test_in_a_notebook_it_is_updated_and_ends_as_it_began(watched, cell):
    notebook, client = watched
    displays = [(kind, data) for kind, data, number in client.displays if number == cell]
    first = [data for kind, data in displays if kind == "display_data"]  # what nbval compares
    updates = [data for kind, data in displays if kind == "update_display_data"]
    kept = [output["data"] for output in notebook.cells[cell].outputs]  # what is committed
    assert any("running" in data["text/html"] and "two" in data["text/html"] for data in updates), "nothing was shown"
    assert all("<make>" not in data["text/html"] for data in updates), "the text of a Dockerfile is no HTML"
    assert first == kept
    assert all(data == {"text/html": "", "text/plain": ""} for data in kept)


def shown(console_options, class_):
    console = Console(file=io.StringIO(), width=60, **console_options)
    progress = class_(console)
    progress.show(STEPS)
    progress.show(DONE)
    progress.end(DONE)
    return console.file.getvalue()


def test_in_a_log_each_step_is_a_line_when_it_is_done():
    assert shown({}, build_progress._Lines) == (
        "cached           FROM a\nbuilt     2.5 s  RUN <make>\nbuilt     0.0 s  COPY . .\n"
    )


def test_in_a_terminal_the_last_state_stays():
    text = shown({"force_terminal": True}, build_progress._Terminal)
    assert "two" in text, "the last line of the log was not shown"
    last = text[text.rindex("FROM a") :]
    assert "RUN <make>" in last
    assert "two" not in last


def test_outside_of_a_notebook_and_a_terminal_it_is_a_log(capsys):
    progress = build_progress.start(True)
    progress.show(DONE)
    progress.end(DONE)
    captured = capsys.readouterr()
    assert captured.out == "", "what a command prints must stay its own"
    assert captured.err.count("\n") == 3


def test_not_wanted_is_silent(capfd):
    progress = build_progress.start(False)
    progress.show(DONE)
    progress.end(DONE)
    assert capfd.readouterr() == ("", "")
