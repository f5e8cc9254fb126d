"""Weights on disk in half precision, read back as float32."""

import json
from pathlib import Path

from transformers import PreTrainedModel


def save_half(model: PreTrainedModel, folder: Path, leave_out: tuple[str, ...] = ()) -> None:
    """Save a model, halved in place, as a folder that loads as float32 without being asked to.

    `leave_out` names weights that are not worth keeping: those of a head that learned nothing.
    """
    model.half()
    weights = {name: w for name, w in model.state_dict().items() if name not in leave_out}
    model.save_pretrained(folder, state_dict=weights)
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["dtype"] = "float32"
    config.pop("_name_or_path", None)
    file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
