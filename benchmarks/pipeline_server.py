"""The servers one would write first: FastAPI around transformers.pipeline, for load_test.py.

MODEL=DIR uvicorn pipeline_server:app --app-dir benchmarks
"""

import os
from typing import Any

import soundfile
from fastapi import FastAPI, UploadFile
from transformers import pipeline

import speech_intent  # noqa: F401  # makes Moonshine's classifier known

app = FastAPI()
classify = pipeline("audio-classification", model=os.environ["MODEL"], trust_remote_code=False)


@app.post("/threads")
def in_threads(file: UploadFile) -> dict[str, Any]:
    """Classify one clip; FastAPI runs this in one of its forty threads."""
    waveform, rate = soundfile.read(file.file, dtype="float32")
    scores = classify({"raw": waveform, "sampling_rate": rate}, top_k=None)
    return {"file": file.filename, "label": scores[0]["label"], "scores": scores}


@app.post("/alone")
async def alone(file: UploadFile) -> dict[str, Any]:
    """Classify one clip on the event loop, as many write it: nothing else happens meanwhile."""
    return in_threads(file)


@app.get("/health")
def health() -> dict[str, str]:
    """Say that the model is loaded."""
    return {"status": "ok"}
