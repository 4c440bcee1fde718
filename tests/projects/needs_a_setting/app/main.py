from fastapi import FastAPI
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    mail_server: str


settings = Settings()
app = FastAPI()


@app.get("/")
def read_root() -> dict[str, str]:
    return {"mail": settings.mail_server}
