import os

from fastapi import FastAPI

app = FastAPI(title=os.environ["SERVICE_TITLE"])


@app.get("/")
def read_root() -> dict[str, str]:
    return {"Hello": "World"}
