"""A service that is made by a function."""

from fastapi import FastAPI


def create_app() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    def read_root() -> dict[str, str]:
        return {"Hello": "World"}

    return app
