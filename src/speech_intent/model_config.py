"""What the JSON files of a model folder say, checked field by field, for both engines.

config.json, the feature extractor's preprocessor_config.json or processor_config.json, and
onnx.json of `export`. A value that cannot be is a `ModelError` naming file and field.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .audio import MIN_SECONDS
from .errors import ModelError
from .json_fields import REMEDY, Fields, is_text

CONFIG = "config.json"
EXTRACTOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"  # of transformers 5, with the extractor's inside
RECORD = "onnx.json"  # of `export`
WHISPER = "whisper"  # the family, as transformers calls it
NESTED = ("feature_extractor", "audio_processor")  # where a processor's file keeps it
OUR_CLASSES = ("AutoConfig", "AutoFeatureExtractor", "AutoModelForAudioClassification")
WAVEFORM_EXTRACTOR = "Wav2Vec2FeatureExtractor"  # of every family that takes waveforms
PRECISIONS = ("float32", "bfloat16", "float16")
HEX_DIGITS = set("0123456789abcdef")

BEFORE, AFTER = "seconds_before_speech", "seconds_after_speech"  # fields of config.json
LONGEST_MARGIN = 60  # seconds

MOST_LABELS = 100_000
LONGEST_NUMBER = 20  # digits
MOST_LAYERS = 1_000  # building more takes minutes, before the weights say otherwise
LONGEST_CHUNK = 600  # seconds that each clip is filled up to; Whisper's are 30
RATES = (1_000, 384_000)  # Hz


# ---- config.json


@dataclass(frozen=True)
class ModelConfig:
    """What of config.json both engines go by."""

    model_type: str  # as transformers calls the family
    id2label: dict[int, str]
    max_seconds: float | None = None  # of a window
    rejection_threshold: float | None = None  # of scores, in older models; see `rejection`
    rejection_digest: str | None = None  # SHA-256 of what decides whether a clip is answered
    takes_mels: bool = False  # rather than waveforms
    cut_to_clip: bool = False  # these; else they fill the extractor's window
    margins: tuple[float, float] | None = None  # seconds around speech in training (`margins`)

    @property
    def num_labels(self) -> int:
        """How many intents the model tells apart."""
        return len(self.id2label)


def read_config(folder: Path) -> ModelConfig:
    """Read a model's config.json. Raises `ModelError`."""
    fields = Fields.read(folder / CONFIG)
    check_architecture(fields)
    if fields.says("calibration_temperature"):
        fields.number("calibration_temperature", low=1e-6)
    max_seconds = None
    if fields.says("max_seconds"):
        max_seconds = fields.number("max_seconds", low=MIN_SECONDS)
    threshold = None
    if fields.says("rejection_threshold"):
        threshold = fields.number("rejection_threshold", 0, 1)
    if fields.says("rejection_digest"):
        _check_digest(fields, "rejection_digest")
    cut_to_clip = fields.says("cut_to_clip") and fields.flag("cut_to_clip")
    model_type = fields.text("model_type")
    return ModelConfig(
        model_type=model_type,
        id2label=_read_labels(fields),
        max_seconds=max_seconds,
        rejection_threshold=threshold,
        rejection_digest=fields.values.get("rejection_digest"),
        takes_mels=takes_mels(fields),
        cut_to_clip=cut_to_clip,
        margins=_read_margins(fields),
    )


def _read_margins(fields: Fields) -> tuple[float, float] | None:
    if not fields.says(BEFORE) or not fields.says(AFTER):
        return None
    return fields.number(BEFORE, 0, LONGEST_MARGIN), fields.number(AFTER, 0, LONGEST_MARGIN)


def check_architecture(fields: Fields) -> None:
    """Raise `ModelError` for a model that brings its own code, or would not be built in time."""
    refuse_own_code(fields)
    for name, value in fields.values.items():
        if name.endswith("layers") and isinstance(value, int):
            fields.whole(name, 0, MOST_LAYERS)


def takes_mels(fields: Fields) -> bool:
    """Whether a config.json is of an encoder of mel bands rather than waveforms."""
    return "num_mel_bins" in fields.values or fields.values.get("model_type") == WHISPER


def refuse_own_code(fields: Fields) -> None:
    """Raise `ModelError` for a checkpoint that is loaded by a program of its own."""
    code = fields.values.get("auto_map") or {}
    if not isinstance(code, dict):
        raise fields.fault("auto_map", "an object")
    if any(name in code for name in OUR_CLASSES):
        problem = "wants to run the model's own code, which is never run here"
        raise ModelError(fields.file, problem, "use a model of a family that transformers has")


def _read_labels(fields: Fields) -> dict[int, str]:
    """Read the names of the outputs, or give those that transformers would."""
    n_labels = 2
    if fields.says("num_labels"):
        n_labels = fields.whole("num_labels", 1, MOST_LABELS)
    if not fields.says("id2label"):
        return {i: f"LABEL_{i}" for i in range(n_labels)}
    labels = fields.child("id2label").values
    problem = _labels_problem(labels)
    if problem is None and fields.says("num_labels") and n_labels != len(labels):
        problem = f"has {len(labels)} names, and num_labels is {n_labels}"
    if problem is not None:
        raise ModelError(fields.file, f"id2label {problem}", REMEDY)
    return {i: label for i, label in sorted((int(key), label) for key, label in labels.items())}


def _labels_problem(labels: dict[str, Any]) -> str | None:
    """Say why these are no names of outputs, by their numbers; None if they are."""
    if not 1 <= len(labels) <= MOST_LABELS:
        return f"has {len(labels)} names, and must have 1 to {MOST_LABELS:,}"
    numbers = set()
    for key, label in labels.items():
        if not key.strip().isdecimal() or len(key) > LONGEST_NUMBER:
            return f"has {key[:LONGEST_NUMBER]!r} in the place of a number"
        if not is_text(label):
            return f"has no text as the name of {key}"
        numbers.add(int(key))
    missing = set(range(len(labels))) - numbers
    if missing:
        return f"has no name for {min(missing)}"
    if len(set(labels.values())) < len(labels):
        names = list(labels.values())
        twice = next(name for name in names if names.count(name) > 1)
        return f"has the name {twice!r} more than once"
    return None


# ---- preprocessor_config.json, processor_config.json


@dataclass(frozen=True)
class ExtractorConfig:
    """All that an encoder of waveforms needs of its feature extractor; defaults of transformers."""

    sampling_rate: int = 16_000  # Hz
    do_normalize: bool = True  # to mean 0 and variance 1, each clip by itself


def extractor_fields(folder: Path) -> Fields | None:
    """Find what a folder says of its feature extractor, where transformers would look first.

    None if it says nothing. Raises `ModelError` for a file that cannot be read.
    """
    if (folder / PROCESSOR).is_file():
        processor = Fields.read(folder / PROCESSOR)
        for name in NESTED:
            if processor.says(name):
                return processor.child(name)
    if (folder / EXTRACTOR).is_file():
        return Fields.read(folder / EXTRACTOR)
    return None


def read_extractor(folder: Path, takes_mels: bool) -> ExtractorConfig:
    """Read what a model's feature extractor does. Raises `ModelError`."""
    fields = extractor_fields(folder)
    if fields is None:
        raise ModelError(folder, f"has no {EXTRACTOR}", REMEDY)
    refuse_own_code(fields)
    kind = fields.values.get("feature_extractor_type")
    if not takes_mels and kind not in (None, WAVEFORM_EXTRACTOR):
        raise fields.fault("feature_extractor_type", WAVEFORM_EXTRACTOR)
    if fields.says("chunk_length"):
        fields.whole("chunk_length", 1, LONGEST_CHUNK)
    for name in ("feature_size", "hop_length", "n_fft"):
        if fields.says(name):
            fields.whole(name, 1, 2**16)
    known: dict[str, Any] = {}
    if "sampling_rate" in fields.values:
        known["sampling_rate"] = fields.whole("sampling_rate", *RATES)
    if "do_normalize" in fields.values:
        known["do_normalize"] = fields.flag("do_normalize")
    return ExtractorConfig(**known)


# ---- onnx.json


def read_record(folder: Path) -> dict[str, Any]:
    """Read the record that `export` left. Raises `ModelError`.

    `digests` names the ONNX files with their SHA-256, `weights` those that they were made from;
    `precision`, `difference` and `reduced` say what they are worth.
    """
    fields = Fields.read(folder / RECORD)
    if "digests" not in fields.values:
        problem = f"its {RECORD} is of an earlier version, and does not say of which files"
        raise ModelError(folder, problem, "run python -m speech_intent.export again")
    precisions = [*PRECISIONS, *(f"int8+{name}" for name in PRECISIONS)]
    if fields.values.get("precision") not in precisions:
        raise fields.fault("precision", f"one of {', '.join(precisions)}")
    for digests in (fields.child("digests"), fields.child("weights")):
        for name in digests.values:
            _check_digest(digests, name)
    fields.number("difference", low=0)
    for row in fields.children("reduced"):
        _check_cost(row)
    return fields.values


def _check_digest(fields: Fields, name: str) -> None:
    digest = fields.text(name)
    if len(digest) != 64 or not set(digest) <= HEX_DIGITS:
        raise fields.fault(name, "a SHA-256")


def _check_cost(fields: Fields) -> None:
    """Check what the record says of a reduced precision."""
    fields.text("precision")
    fields.number("difference", low=0)
    if "n" in fields.values:
        fields.whole("n", 1, 2**31)
        fields.number("agreement", 0, 1)
        fields.number("accuracy_lost", -1, 1)
