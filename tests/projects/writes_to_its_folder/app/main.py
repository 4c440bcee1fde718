from pathlib import Path

from fastapi import FastAPI

cache = Path("/code/cache/thumbnails")
cache.mkdir(parents=True, exist_ok=True)
app = FastAPI()


@app.get("/")
def read_root() -> dict[str, str]:
    return {"Hello": "World"}
