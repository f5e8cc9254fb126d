"""The least that answers a file, or a folder's files one by one: the other side of speed.py.

python benchmarks/speed_pipeline.py MODEL_DIR FILE_OR_FOLDER
"""

import sys
from pathlib import Path

import soundfile
from transformers import pipeline

import speech_intent  # noqa: F401  # makes Moonshine's classifier known

classify = pipeline("audio-classification", model=sys.argv[1], trust_remote_code=False)
given = Path(sys.argv[2])
paths = sorted(given.iterdir()) if given.is_dir() else [given]
for path in paths:
    waveform, rate = soundfile.read(path, dtype="float32")
    print(path, classify({"raw": waveform, "sampling_rate": rate})[0])
