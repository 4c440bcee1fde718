"""A guest in an audited container: answers three paths of its own, and logs when the application's lifespan begins and
ends. The application's files, and the image, stay as they are.

Python imports a module of this name when it starts, if it finds one on PYTHONPATH. This one waits until Starlette is
imported, on which FastAPI is built, and wraps how an application and its router are called. It has to run on any Python
3.8 or newer, needs nothing but the standard library, and must never be the reason that an application does not start.
"""

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys

TYPE_CHECKING = False  # as in `typing`, which the guest need not import; so the hints below are texts
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Scope = dict[str, Any]
    Message = dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Call = Callable[[Any, Scope, Receive, Send], Awaitable[None]]

PREFIX = "/__dockerlab/"
STARTED = "dockerlab probe: lifespan startup"
ENDED = "dockerlab probe: lifespan shutdown"
GUEST = "dockerlab.probe"  # in a request's scope: that this is a path of ours, and what has come of it


def say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"{text} {os.getpid()}\n".encode())


async def respond(send: "Send", content: bytes) -> None:
    length = str(len(content)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length), (b"x-dockerlab-probe", b"1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def seen(scope: "Scope") -> bytes:
    """The request as the application sees it."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers", [])}
    from starlette.requests import Request

    return json.dumps(
        {
            "scheme": scope.get("scheme", "http"),
            "client": (scope.get("client") or ["", 0])[0],
            "url": str(Request(scope).url),
            "host": headers.get("host", ""),
        }
    ).encode()


async def slow(scope: "Scope", send: "Send") -> None:
    import asyncio

    seconds = float(
        dict(part.partition("=")[::2] for part in scope["query_string"].decode().split("&")).get("seconds", 3)
    )
    await asyncio.sleep(seconds)
    await respond(send, json.dumps({"slept_seconds": seconds}).encode())


async def stream(receive: "Receive", send: "Send") -> None:
    """Server-sent events without end, until the client goes away."""
    import asyncio

    async def until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    gone = asyncio.ensure_future(until_gone())
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-dockerlab-probe", b"1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        while not gone.done():
            await send({"type": "http.response.body", "body": b"data: tick\n\n", "more_body": True})
            await asyncio.wait([gone], timeout=0.2)
    finally:
        gone.cancel()


async def lifespan(call: "Call", app: "Any", scope: "Scope", receive: "Receive", send: "Send") -> None:
    async def logged(message: "Message") -> None:
        if message["type"] == "lifespan.startup.complete":
            say(STARTED)
        await send(message)
        if message["type"] == "lifespan.shutdown.complete":
            say(ENDED)

    await call(app, scope, receive, logged)


async def as_the_router_sees_it(call: "Call", app: "Any", scope: "Scope", receive: "Receive", send: "Send") -> None:
    """Let the request go through the application's own middleware, which may change it, and answer at its router.

    Where a middleware answers it itself (a login, a list of allowed hosts), answer with the request as it came in.
    """
    scope = dict(scope)
    guest = scope[GUEST] = {"answered": False}

    async def only_ours(message: "Message") -> None:
        if guest["answered"]:
            await send(message)

    try:
        await call(app, scope, receive, only_ours)
    except Exception:
        if guest["answered"]:
            raise
    if not guest["answered"]:
        await respond(send, seen(scope))


def wrap_application(module: "ModuleType") -> None:
    original = module.Starlette.__call__

    async def call(self: "Any", scope: "Scope", receive: "Receive", send: "Send") -> None:
        kind = scope["type"]
        if kind == "lifespan" and GUEST not in scope:
            await lifespan(original, self, dict(scope, **{GUEST: {}}), receive, send)
        elif kind == "http" and GUEST not in scope and scope["path"].startswith(PREFIX):
            name = scope["path"][len(PREFIX) :]
            if name == "slow":
                await slow(scope, send)
            elif name == "stream":
                await stream(receive, send)
            else:
                await as_the_router_sees_it(original, self, scope, receive, send)
        else:
            await original(self, scope, receive, send)

    module.Starlette.__call__ = call


def wrap_router(module: "ModuleType") -> None:
    original = module.Router.__call__

    async def call(self: "Any", scope: "Scope", receive: "Receive", send: "Send") -> None:
        guest = scope.get(GUEST)
        if guest is not None and scope["type"] == "http" and not guest["answered"]:
            guest["answered"] = True
            await respond(send, seen(scope))
        else:
            await original(self, scope, receive, send)

    module.Router.__call__ = call


WRAPPERS = {"starlette.applications": wrap_application, "starlette.routing": wrap_router}


class Loader(importlib.abc.Loader):
    def __init__(self, loader: "Any", wrap: "Callable[[ModuleType], None]") -> None:
        self.loader = loader
        self.wrap = wrap

    def create_module(self, spec: "ModuleSpec") -> "Any":
        return self.loader.create_module(spec)

    def exec_module(self, module: "ModuleType") -> None:
        self.loader.exec_module(module)
        try:
            self.wrap(module)
        except Exception as error:
            say(f"dockerlab probe: {error!r}")

    def __getattr__(self, name: str) -> "Any":
        return getattr(self.loader, name)


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if name not in WRAPPERS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = Loader(spec.loader, WRAPPERS[name])
        return spec


def run_the_other() -> None:
    """The image may have a module of the same name, which ours hides: it is run, too."""
    here = os.path.dirname(os.path.abspath(__file__))
    others = [folder for folder in sys.path if os.path.abspath(folder or ".") != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


sys.meta_path.insert(0, Finder())
run_the_other()
