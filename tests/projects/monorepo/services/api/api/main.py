from fastapi import FastAPI
from shared.greeting import GREETING

app = FastAPI()


@app.get("/")
def read_root() -> dict[str, str]:
    return GREETING
