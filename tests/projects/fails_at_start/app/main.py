from fastapi import FastAPI

app = FastAPI()

raise RuntimeError("the model is not where it should be")


@app.get("/")
def read_root() -> dict[str, str]:
    return {"Hello": "World"}
