"""Looks for its database before it answers; `db` is a service that only a Compose project would have."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

DATABASE = ("db", 5432)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    print("connecting to postgresql://{}:{}/shop".format(*DATABASE), flush=True)
    with socket.create_connection(DATABASE, timeout=3):
        yield


app = FastAPI(lifespan=lifespan)
