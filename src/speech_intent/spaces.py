"""A static page that answers in its visitor's browser: the files of a Space, or of any web server.

`browser_page/` is the page; a model, ONNX Runtime Web and the detector of speech come beside it.
"""

import json
from importlib import metadata
from pathlib import Path

from huggingface_hub import SpaceCardData

from . import browser_model, browser_runtime, card_sections, rejection
from .errors import ModelError
from .hub_upload import NO_LINK, OUTSIDE, Files, is_inside
from .model_config import read_config
from .model_facts import ModelFacts
from .model_files import LICENSE, REJECTION
from .names import escape_markdown
from .terms import CARD
from .voice_activity import weights_file

PAGE = Path(__file__).with_name("browser_page")
RUNTIME = "onnxruntime"  # folder
DETECTOR = "speech.onnx"


def space_files(folder: Path, name: str, facts: ModelFacts) -> Files:
    """List the files of a page that asks the model in a folder; `name` is USER/NAME.

    Raises `ModelError` for a model that cannot be asked so, `UserError` where ONNX Runtime Web
    cannot be fetched.
    """
    if not folder.is_dir():
        raise ModelError(folder, "there is no such folder", "name one that holds the model")
    model = browser_model.description(folder)
    config = read_config(folder)
    files: Files = {path.name: path for path in sorted(PAGE.iterdir()) if path.is_file()}
    names = [model["file"], LICENSE]
    if config.rejection_digest is not None:
        rejection.read(folder, config.rejection_digest, config.num_labels)
        names.append(REJECTION)
        files[DETECTOR] = weights_file()
    for each in filter(lambda each: (folder / each).is_file(), names):
        if not is_inside(folder, each):
            raise ModelError(folder / each, OUTSIDE, NO_LINK)
        files[each] = folder / each
    title = name.rpartition("/")[2]
    shown = {"title": title, "about": _about(facts), **model}
    files["model.json"] = json.dumps(shown, ensure_ascii=False).encode()
    for each, content in browser_runtime.runtime_files().items():
        files[f"{RUNTIME}/{each}"] = content
    files[CARD] = _card(title, folder, facts).encode()
    return files


def _about(facts: ModelFacts) -> str:
    license = facts.terms.license
    return "" if license is None else f"Licence of the model: {license}."


def _card(title: str, folder: Path, facts: ModelFacts) -> str:
    """Write the Space's card, with what the model's says of its figures and its use."""
    data = SpaceCardData(
        title=title,
        sdk="static",
        app_file="index.html",
        license=facts.terms.license,
        tags=["speech", "intent-classification"],
    )
    versions = f"{browser_runtime.NAME} and silero-vad {metadata.version('silero-vad')}"
    config = read_config(folder)
    return "\n\n".join(
        [
            f"---\n{data.to_yaml()}\n---",
            f"# {escape_markdown(title)}",
            "A page that says what a speaker wants, straight from the waveform. The model runs in "
            "the browser: no sound leaves it.",
            "## Figures of the model",
            card_sections.figures(folder, facts),
            "## Use and limits",
            card_sections.use(config, facts),
            "## What is in it",
            f"The model, {versions} (both MIT), and a page that needs nothing else.\n",
        ]
    )
