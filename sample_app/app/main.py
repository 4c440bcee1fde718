"""The application that the lessons deploy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.sse import EventSourceResponse


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    print("lifespan: startup", flush=True)
    yield
    print("lifespan: shutdown", flush=True)


app = FastAPI(title="Sample app", lifespan=lifespan)


@app.get("/")
def read_root() -> dict[str, str]:
    return {"Hello": "World"}


@app.get("/items/{item_id}")
def read_item(item_id: int, q: str | None = None) -> dict[str, int | str | None]:
    return {"item_id": item_id, "q": q}


@app.get("/slow")
async def slow(seconds: float = 5.0) -> dict[str, float]:
    """Answer after a while, as a report or an upload would."""
    await asyncio.sleep(seconds)
    return {"slept_seconds": seconds}


@app.get("/stream", response_class=EventSourceResponse)
async def stream(interval: float = 0.5) -> AsyncIterator[dict[str, int]]:
    """Send an event every `interval` seconds, for as long as the client listens."""
    count = 0
    while True:
        yield {"count": count}
        count += 1
        await asyncio.sleep(interval)


@app.get("/seen")
def seen(request: Request) -> dict[str, str | None]:
    """Tell scheme, client and URL as the application sees them."""
    return {
        "scheme": request.url.scheme,
        "client": request.client.host if request.client else None,
        "url": str(request.url),
    }
