import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    signal.signal(signal.SIGTERM, lambda number, frame: print("later", flush=True))
    yield


app = FastAPI(lifespan=lifespan)
