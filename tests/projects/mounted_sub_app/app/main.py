"""One application mounted in another. Only the outer one's lifespan runs; Starlette does not run the inner one's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

CLOSING_SECONDS = 0.1


@asynccontextmanager
async def outer_lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await asyncio.sleep(CLOSING_SECONDS)


@asynccontextmanager
async def inner_lifespan(app: FastAPI) -> AsyncIterator[None]:
    print("this is never said")
    yield


api = FastAPI(lifespan=inner_lifespan)


@api.get("/items")
def read_items() -> list[str]:
    return ["portal gun"]


async def hello(request: object) -> PlainTextResponse:
    return PlainTextResponse("hello")


app = FastAPI(lifespan=outer_lifespan)
app.mount("/api", api)
app.mount("/pages", Starlette(routes=[Route("/", hello)]))
