from flask import Flask

app = Flask(__name__)


@app.get("/")
def read_root() -> dict[str, str]:
    return {"Hello": "World"}
