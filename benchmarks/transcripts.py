"""What a speech recogniser makes of clips; each clip is transcribed once, and the text is kept."""

import hashlib
import json
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from tqdm import tqdm

from speech_intent import audio, run_folder
from speech_intent.errors import UserError

RATE = 16_000  # Hz, which the recogniser hears
PACKAGE = "moonshine-voice"
MODEL = "tiny-en"
SAVE_EVERY = 100  # clips
# A word that fills its clip is heard better with silence around it.
SILENCE = np.zeros(RATE // 2, np.float32)
# The whole clip is one request: looking for speech in it first cuts words off, and costs time.
OPTIONS = {"vad_threshold": 0}

Transcribe = Callable[[np.ndarray], str]  # waveform, float32, (n_samples,), at 16 kHz


class Recogniser:
    """Moonshine Tiny for English, as the package moonshine-voice runs it, without network."""

    def __init__(self) -> None:
        """Load it. Raises `UserError` where the package is not installed."""
        try:
            from moonshine_voice import ModelArch, Transcriber, get_model_path
        except ImportError as error:
            remedy = 'pip install -e ".[transcribe]", on Linux with glibc 2.34 or newer'
            raise UserError(PACKAGE, "is not installed", remedy) from error
        self.transcriber = Transcriber(get_model_path(MODEL), ModelArch.TINY, options=OPTIONS)
        self.name = f"{PACKAGE} {version(PACKAGE)}, {MODEL}"

    def __call__(self, waveform: np.ndarray) -> str:
        """Transcribe a clip, float32, (n_samples,), at 16 kHz; "" where nothing is heard."""
        padded = np.concatenate([SILENCE, waveform, SILENCE])
        transcript = self.transcriber.transcribe_without_streaming(padded.tolist(), RATE)
        return " ".join(line.text for line in transcript.lines)


def transcribe_all(clips: Iterable[audio.Source], transcribe: Transcribe, kept: Path) -> np.ndarray:
    """Transcribe clips, in their order: texts, (n_clips,).

    `kept` is a JSON file of texts by the SHA-256 of the samples: a clip that is in it already is
    not transcribed again, so that a run that was stopped goes on.
    """
    texts = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    digests = []
    for clip in tqdm(clips, desc="Transcribing", unit="clip", disable=None, leave=False):
        waveform = audio.load(clip, RATE)
        digest = hashlib.sha256(waveform.tobytes()).hexdigest()[:16]
        digests.append(digest)
        if digest in texts:
            continue
        texts[digest] = transcribe(waveform)
        if len(texts) % SAVE_EVERY == 0:
            run_folder.write_json(kept, texts)
    run_folder.write_json(kept, texts)
    return np.array([texts[digest] for digest in digests], dtype=object)
