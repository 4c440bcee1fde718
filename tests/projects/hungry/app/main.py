from fastapi import FastAPI

MODEL_MEGABYTES = 420
model = bytearray(b"x") * (MODEL_MEGABYTES * 1_000_000)
app = FastAPI()


@app.get("/")
def read_root() -> dict[str, int]:
    return {"bytes": len(model)}
