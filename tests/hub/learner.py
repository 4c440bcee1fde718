"""A learner at a browser, as far as a hub can tell: logs in, asks for a server, and runs the cells of a notebook."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from websockets.sync.client import connect

READY_SECONDS = 240
CELL_SECONDS = 600


class Learner:
    """One browser's session with a hub.

    Attributes:
        name: the name that is typed.
        address: of the hub.
        token: one that the learner asked the hub for; opens what the learner may open.
    """

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.browser = httpx.Client(base_url=address, follow_redirects=False, timeout=60, trust_env=False)
        self.token = ""

    def log_in(self, password: str) -> int:
        """Send the form of the log-in page. Return the status of the answer: 302 leads in."""
        self.browser.get("/hub/login").raise_for_status()
        form = {"username": self.name, "password": password, "_xsrf": self._xsrf()}
        return self.browser.post("/hub/login", data=form).status_code

    def ask_for_token(self) -> None:
        answer = self._hub("POST", f"users/{self.name}/tokens", json={"note": "a learner's own"})
        self.token = answer.raise_for_status().json()["token"]

    def start(self) -> float:
        """Start the server, and wait until it answers. Return how many seconds that took."""
        began = time.monotonic()
        self._hub("POST", f"users/{self.name}/server").raise_for_status()
        while True:
            server = self._hub("GET", f"users/{self.name}").raise_for_status().json()["servers"].get("", {})
            if server.get("ready") and self.ask("api/status").status_code == 200:
                return time.monotonic() - began
            assert server, f"the server of {self.name} did not start: see the hub's log"
            assert time.monotonic() - began < READY_SECONDS, f"the server of {self.name} is not ready"
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop the server, and wait until the hub says that it has stopped."""
        self._hub("DELETE", f"users/{self.name}/server").raise_for_status()
        deadline = time.monotonic() + 90
        while self._hub("GET", f"users/{self.name}").raise_for_status().json()["servers"]:
            assert time.monotonic() < deadline, f"the server of {self.name} does not stop"
            time.sleep(0.2)

    def ask(self, path: str, *, of: str | None = None, method: str = "GET", **request) -> httpx.Response:
        """Ask a learner's Jupyter server: one's own, or another's."""
        headers = {"Authorization": f"token {self.token}"}
        with httpx.Client(base_url=self.address, timeout=60, trust_env=False) as client:
            return client.request(method, f"/user/{of or self.name}/{path}", headers=headers, **request)

    def run(self, *cells: str, notebook: str = "room.ipynb") -> list[str]:
        """Run cells one after the other in a new kernel, as JupyterLab does. Return what each showed.

        Raises:
            AssertionError: a cell ended with an error, or took too long.
        """
        wanted = {"path": notebook, "name": "", "type": "notebook", "kernel": {"name": "python3"}}
        session = self.ask("api/sessions", method="POST", json=wanted).raise_for_status().json()
        try:
            place = f"/user/{self.name}/api/kernels/{session['kernel']['id']}/channels"
            address = f"ws://{urlsplit(self.address).netloc}{place}"
            headers = {"Authorization": f"token {self.token}"}
            with connect(address, additional_headers=headers, max_size=None, proxy=None, open_timeout=60) as channels:
                return [self._cell(channels, number, source) for number, source in enumerate(cells, 1)]
        finally:
            self.ask(f"api/sessions/{session['id']}", method="DELETE")

    def _cell(self, channels, number: int, source: str) -> str:
        id_ = uuid.uuid4().hex
        header = {"msg_id": id_, "msg_type": "execute_request", "username": "", "session": id_, "version": "5.4"}
        content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        request = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        channels.send(json.dumps(request))
        printed, ended = [], set()
        deadline = time.monotonic() + CELL_SECONDS
        while ended != {"reply", "idle"}:
            message = json.loads(channels.recv(timeout=max(deadline - time.monotonic(), 0.1)))
            if message["parent_header"].get("msg_id") != id_:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    printed.append(content["text"])
                case "execute_result":
                    printed.append(content["data"].get("text/plain", ""))
                case "execute_reply":
                    ended.add("reply")
                    where = f"cell {number} of {self.name}: {content.get('ename')}: {content.get('evalue')}"
                    assert content["status"] == "ok", where
                case "status" if content["execution_state"] == "idle":
                    ended.add("idle")
        return "".join(printed).strip()

    def _hub(self, method: str, path: str, **request) -> httpx.Response:
        headers = {"X-XSRFToken": self._xsrf()}
        return self.browser.request(method, f"/hub/api/{path}", headers=headers, **request)

    def _xsrf(self) -> str:
        found = [cookie for cookie in self.browser.cookies.jar if cookie.name == "_xsrf"]
        return max(found, key=lambda cookie: len(cookie.path)).value if found else ""


def cells_of(notebook: Path) -> list[str]:
    """The code cells of a notebook, in their order."""
    cells = json.loads(notebook.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
