"""Private base images: the reader's credentials reach a build, from `config.json` and from a credential helper."""

import base64
import hashlib
import io
import json
import subprocess
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from docker.errors import ImageNotFound
from dockerlab.build.builder import build
from dockerlab.errors import BuildFailed

USER, PASSWORD = "ada", "not-for-everyone"
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def image() -> dict[str, bytes]:
    """An image of one file, as a registry has it: its manifest under its tag, and blobs under their digests."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        member = tarfile.TarInfo("private")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"yes"))
    layer = stream.getvalue()

    def digest(blob: bytes) -> str:
        return f"sha256:{hashlib.sha256(blob).hexdigest()}"

    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers"}}
    config["rootfs"]["diff_ids"] = [digest(layer)]
    blob = json.dumps(config).encode()
    kind = "application/vnd.docker"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.distribution.manifest.v2+json",
        "config": {"mediaType": f"{kind}.container.image.v1+json", "size": len(blob), "digest": digest(blob)},
        "layers": [{"mediaType": f"{kind}.image.rootfs.diff.tar", "size": len(layer), "digest": digest(layer)}],
    }
    text = json.dumps(manifest).encode()
    return {"1": text, digest(text): text, digest(blob): blob, digest(layer): layer}


class Registry(BaseHTTPRequestHandler):
    """Gives the image to whoever has the password. The engine asks one on 127.0.0.1 without TLS."""

    protocol_version = "HTTP/1.1"
    files = image()

    def do_GET(self):
        body, status = b"{}", 200
        if self.headers.get("Authorization") != f"Basic {BASIC}":
            status = 401
        elif (name := self.path.rpartition("/")[2]) in self.files:
            body = self.files[name]
        elif self.path != "/v2/":
            status = 404
        self.send_response(status)
        self.send_header("WWW-Authenticate", 'Basic realm="private"')
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Length", str(len(body)))
        if status == 200 and "/manifests/" in self.path:
            self.send_header("Content-Type", json.loads(body)["mediaType"])
            self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(body).hexdigest()}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def private(tmp_path, monkeypatch, engine):
    """A private image of a registry on this machine, a project that begins with it, and the reader's settings."""
    config = tmp_path / "docker"
    config.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
    monkeypatch.undo()
    assert engine.environment  # the settings of whoever runs the tests are in their place again


@pytest.fixture
def project(tmp_path, private):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {private}/team/base:1\nCOPY Dockerfile /\n")
    return folder


def test_the_credentials_reach_a_build_and_what_was_pulled_goes_with_the_lab(lab, tmp_path, private, project):
    with pytest.raises(BuildFailed, match=f"The base image {private}/team/base:1 is not on the engine") as refused:
        build(lab, project, progress=False)
    assert "docker login" in refused.value.do
    (tmp_path / "docker/config.json").write_text(json.dumps({"auths": {private: {"auth": BASIC}}}))
    built = build(lab, project, progress=False)
    assert lab.client.api.inspect_image(built.image)["Architecture"] == "amd64"
    assert build(lab, project, progress=False).steps[-1].cached
    lab.close()
    with pytest.raises(ImageNotFound):
        lab.client.api.inspect_image(f"{private}/team/base:1")


def test_the_credentials_reach_the_docker_command_line(lab, tmp_path, private):
    """Builds with secrets and Compose go by it. Where it is the lab's own, it reads the reader's settings, too."""
    (tmp_path / "docker/config.json").write_text(json.dumps({"auths": {private: {"auth": BASIC}}}))
    image = f"{private}/team/base:1"
    pull = ["docker", "pull", "--quiet", image]
    subprocess.run(pull, env=lab.engine.environment, check=True, capture_output=True, timeout=60)
    lab.client.api.remove_image(image)
