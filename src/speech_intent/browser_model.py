"""What a page in a browser must know of an exported model: `model.json`."""

from pathlib import Path
from typing import Any

from . import features
from .audio import MIN_SECONDS
from .errors import ModelError
from .model_config import ModelConfig, read_config, read_extractor, read_record
from .model_files import REJECTION, check_onnx_file, onnx_file
from .onnx_model import STEP
from .predict import MAX_SECONDS

RATE = 16_000  # Hz, of every family's extractors, and of the detector of speech
EXPORT = "run python -m speech_intent.export on it"


def description(folder: Path) -> dict[str, Any]:
    """Give what `browser_page/` reads: names, numbers of the inputs, and of what is answered.

    Raises `ModelError` for a model that was not exported, or whose files do not belong together.
    """
    config = read_config(folder)
    file = onnx_file(folder)
    if file is None:
        raise ModelError(folder, "has no ONNX file of ours", EXPORT)
    check_onnx_file(folder, read_record(folder))
    extractor = read_extractor(folder, config.takes_mels)
    if extractor.sampling_rate != RATE:
        problem = f"hears audio at {extractor.sampling_rate} Hz, and a page gives {RATE}"
        raise ModelError(folder, problem, "serve it with app.py")
    max_seconds = config.max_seconds or MAX_SECONDS
    mels = _mels(folder, config) if config.takes_mels else None
    if mels is not None:
        max_seconds = min(max_seconds, mels["n_samples"] / RATE)
    return {
        "labels": [config.id2label[i] for i in range(config.num_labels)],
        "file": file.relative_to(folder).as_posix(),
        "bytes": file.stat().st_size,
        "sampling_rate": RATE,
        "min_seconds": MIN_SECONDS,
        "max_seconds": max_seconds,
        "step": STEP,
        "normalise": extractor.do_normalize,
        "mels": mels,
        "threshold": config.rejection_threshold,
        "rejection": None if config.rejection_digest is None else REJECTION,
    }


def _mels(folder: Path, config: ModelConfig) -> dict[str, Any]:
    """Give the numbers of Whisper's feature extractor, with its filters (n_mels, n_bins)."""
    from .checkpoints import load_extractor  # late: it takes transformers

    extractor = load_extractor(folder, str(folder))
    return {
        "n_fft": extractor.n_fft,
        "hop": extractor.hop_length,
        "n_samples": extractor.n_samples,
        "cut": config.cut_to_clip,
        "clip_frames": features.CLIP_FRAMES,
        "frames_behind": features.FRAMES_BEHIND,
        "filters": extractor.mel_filters.T.tolist(),
    }
