"""The application that the lessons deploy, asked without a container."""

import contextlib
import importlib
import re
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def app():
    sys.path.insert(0, str(ROOT / "sample_app"))
    try:
        yield importlib.import_module("app.main").app
    finally:
        sys.path.remove(str(ROOT / "sample_app"))
        for name in [name for name in sys.modules if name == "app" or name.startswith("app.")]:
            del sys.modules[name]


@pytest.fixture
def client(app):
    return TestClient(app)


def test_the_root_greets(client):
    assert client.get("/").json() == {"Hello": "World"}


def test_an_item_answers_as_the_tutorial_says(client):
    response = client.get("/items/5?q=somequery")
    assert response.text == '{"item_id":5,"q":"somequery"}'


def test_an_item_without_a_query_has_none(client):
    assert client.get("/items/5").json() == {"item_id": 5, "q": None}


def test_an_item_id_must_be_a_number(client):
    response = client.get("/items/five")
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["path", "item_id"]


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_documentation_is_served(client, path):
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")


def test_the_schema_names_every_endpoint(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/", "/items/{item_id}", "/slow", "/stream", "/seen"}


def test_slow_answers_after_a_while(client):
    began = time.perf_counter()
    assert client.get("/slow?seconds=0.2").json() == {"slept_seconds": 0.2}
    assert time.perf_counter() - began >= 0.2


def test_seen_tells_what_the_application_sees(client):
    seen = client.get("/seen?a=b").json()
    assert seen == {"scheme": "http", "client": "testclient", "url": "http://testserver/seen?a=b"}


def test_the_lifespan_marks_start_and_shutdown(app, capsys):
    with TestClient(app):
        assert capsys.readouterr().out == "lifespan: startup\n"
    assert capsys.readouterr().out == "lifespan: shutdown\n"


@contextlib.contextmanager
def served(app):
    """The application on a real server: a test client waits for the end of a stream, and this one has none."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)


def test_the_stream_sends_events_until_the_client_leaves(app):
    with served(app) as url, httpx.stream("GET", f"{url}/stream?interval=0.01", timeout=30) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = [line for line, _ in zip((line for line in response.iter_lines() if line), range(3), strict=False)]
    assert events == ['data: {"count":0}', 'data: {"count":1}', 'data: {"count":2}']


def requirements(name):
    """The lines of a file of requirements, without comments and with no continuation: one for each package."""
    text = (ROOT / "sample_app" / name).read_text().replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_the_lock_file_holds_what_production_requires_in_that_version():
    locked = {line.split()[0] for line in requirements("requirements.production.lock")}
    assert len(_without_extras()) == 4
    assert locked.issuperset(_without_extras())


def _without_extras():
    return [re.sub(r"^([\w-]+)(\[.*\])?==", r"\1==", line) for line in requirements("requirements.production.txt")]


def test_each_package_of_the_lock_file_has_a_version_and_hashes_and_names_no_index():
    for line in requirements("requirements.production.lock"):
        assert re.match(r"^[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line
        assert "://" not in line


def test_production_requires_the_versions_that_the_sample_app_does():
    versions = dict(re.sub(r"\[.*\]", "", line).split("==") for line in requirements("requirements.txt"))
    production = dict(line.split("==") for line in _without_extras())
    assert versions.items() <= production.items()
