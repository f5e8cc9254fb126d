"""What transformers saved is loaded, or it is said in words what is wrong with it."""

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    __version__,
)

from . import hub_models
from .errors import ModelError
from .json_fields import REMEDY, Fields
from .model_config import CONFIG, check_architecture, read_extractor, takes_mels
from .model_files import disguise, weights_files
from .names import one_line

if TYPE_CHECKING:
    from transformers import FeatureExtractionMixin, PreTrainedConfig, PreTrainedModel

HEAD = ("classifier", "projector", "layer_weights")  # what the names of a head's weights begin with
TRAINED_ANEW = "masked_spec_embed"  # stands for what is masked, in training only
AGAIN = "train or download it again"
OTHER_FAMILY = "choose a model of another family, such as wav2vec2 or whisper"
LONGEST_REASON = 200  # characters
SCALED = ("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2")  # which transformers would take as they are
LARGEST_HEADER = 100_000_000  # bytes, of a safetensors file


Sizes = tuple[tuple[int, ...], tuple[int, ...]]  # of a tensor: in the weights, by config.json


@dataclass(frozen=True)
class Checkpoint:
    """A classifier as transformers loads it, and what of its head the weights do not hold."""

    network: "PreTrainedModel"
    extractor: "FeatureExtractionMixin"
    missing_head: list[str]  # names of weights, random now
    other_head: dict[str, Sizes]  # by name, of weights that are random now


def load(folder: Path, name: str, **options: Any) -> Checkpoint:
    """Load a folder with config.json, a feature extractor's file and weights, in float32.

    `name` is what its user calls it, `options` are what transformers' config shall say otherwise.
    Raises `ModelError` for anything broken, or an encoder that is not in the weights.
    """
    for file in weights_files(folder):
        _check_weights(file)
    config = load_config(folder, name, **options)
    extractor = load_extractor(folder, name)
    try:
        network, report = AutoModelForAudioClassification.from_pretrained(
            folder,
            config=config,
            dtype="float32",
            ignore_mismatched_sizes=True,  # the report tells which, unlike the error
            output_loading_info=True,
            trust_remote_code=False,
        )
    except pickle.UnpicklingError as error:
        problem = "its weights are a pickle of more than numbers, and none of it was run"
        raise ModelError(name, problem, "save it again as safetensors") from error
    except Exception as error:  # transformers and torch raise many kinds for a broken folder
        raise _broken(name, error) from error
    missing = sorted(report["missing_keys"])
    sizes = {key: (old, new) for key, old, new in sorted(report["mismatched_keys"])}
    _check_encoder(name, missing, sizes)
    return Checkpoint(
        network=network,
        extractor=extractor,
        missing_head=[key for key in missing if key.startswith(HEAD) and key not in sizes],
        other_head=sizes,
    )


def load_config(folder: Path, name: str, **options: Any) -> "PreTrainedConfig":
    """Load the config of a family that can classify audio. Raises `ModelError`."""
    hub_models.quiet_transformers()
    fields = Fields.read(folder / CONFIG)
    check_architecture(fields)
    family = fields.text("model_type")
    if family not in CONFIG_MAPPING:
        problem = f"is of the family {family!r}, which transformers {__version__} does not have"
        raise ModelError(name, problem, OTHER_FAMILY)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, **options)
    except Exception as error:  # an unknown family, values of other types
        raise _broken(name, error) from error
    if type(config) not in MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING:
        problem = f"is of the family {family!r}, which classifies no audio"
        raise ModelError(name, problem, OTHER_FAMILY)
    return config


def load_extractor(folder: Path, name: str) -> "FeatureExtractionMixin":
    """Load a feature extractor. Raises `ModelError`."""
    read_extractor(folder, takes_mels(Fields.read(folder / CONFIG)))
    try:
        return AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # as of models
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> ModelError:
    return ModelError(name, f"cannot be loaded ({in_words(error)})", AGAIN)


def in_words(error: Exception) -> str:
    """Say in one line what a library says of a broken file, which may take several."""
    words = one_line(str(error))[:LONGEST_REASON]
    return f"{type(error).__name__}: {words}"


def sizes_problem(key: str, sizes: Sizes) -> str:
    """Say what it means that weights have other sizes than config.json speaks of."""
    stored, wanted = sizes
    if key.startswith("classifier") and stored[:1] != wanted[:1]:
        return f"its weights tell {stored[0]} intents apart, and config.json names {wanted[0]}"
    shapes = [" x ".join(map(str, shape)) for shape in sizes]
    problem = f"its weights are of another model: {key} is {shapes[0]}"
    return f"{problem}, and {shapes[1]} by config.json"


def _check_encoder(name: str, missing: list[str], sizes: dict[str, Sizes]) -> None:
    """Raise `ModelError` for weights below the head that are not there, or of other sizes."""
    for key, both in sizes.items():
        if not key.startswith(HEAD):
            raise ModelError(name, sizes_problem(key, both), AGAIN)
    lost = [key for key in missing if not key.startswith(HEAD) and TRAINED_ANEW not in key]
    lost = [key for key in lost if key not in sizes]
    if lost:
        problem = f"its weights lack {len(lost)} of what config.json speaks of, such as {lost[0]}"
        raise ModelError(name, problem, AGAIN)


def _check_weights(file: Path) -> None:
    """Raise `ModelError` for a file that holds no weights, or not all of them."""
    try:
        problem = disguise(file)
        if problem is None and file.suffix == ".safetensors":
            problem = _faulty(file)
    except OSError as error:
        raise ModelError(file, f"cannot be read ({error.strerror})", REMEDY) from error
    if problem is not None:
        raise ModelError(file, problem, "download or copy it again")


def _faulty(file: Path) -> str | None:
    """Say what its header tells of a faulty safetensors file; its first 8 bytes say how long."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        n_header = int.from_bytes(stream.read(8), "little")
        if not 0 < n_header <= min(size, LARGEST_HEADER):
            return "is no safetensors file, or only its beginning"
        try:
            header = json.loads(stream.read(n_header))
            tensors = {key: entry for key, entry in header.items() if key[:2] != "__"}
            ends = [entry["data_offsets"][1] for entry in tensors.values()]
            scaled = [key for key, entry in tensors.items() if entry["dtype"] in SCALED]
            wanted = 8 + n_header + max(ends, default=0)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            return "is no safetensors file"
    if size < wanted:
        return f"was cut short: {size:,} of {wanted:,} bytes are there"
    if scaled:
        return f"holds numbers of 8 bits without their scale, such as {scaled[0]}"
    return None
