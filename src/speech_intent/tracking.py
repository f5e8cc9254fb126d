"""Trackers that are told of a training as it goes: `train --report-to NAME`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UserError

if TYPE_CHECKING:
    from transformers import TrainerCallback

TENSORBOARD = "tensorboard"  # also its folder beside the model
EXTRA = 'pip install -e ".[tracking]"'
PACKAGES = {  # where the package is not called as the tracker
    "azure_ml": "azureml-core",
    "comet_ml": "comet-ml",
    "dagshub": "dagshub mlflow",
    "flyte": "flytekit",
}


def check(names: Sequence[str]) -> None:
    """Raise `UserError` for a tracker that transformers does not know, or that is not installed."""
    from transformers.integrations import get_available_reporting_integrations
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            remedy = f"choose of {', '.join(sorted(INTEGRATION_TO_CALLBACK))}"
            raise UserError(name, "is no tracker that transformers knows", remedy)
        if name not in get_available_reporting_integrations():
            install = EXTRA if name == TENSORBOARD else f"pip install {PACKAGES.get(name, name)}"
            raise UserError(name, "is not installed", install)


def callbacks(names: Sequence[str], output_dir: Path) -> list["TrainerCallback"]:
    """Make the callbacks of transformers that report to trackers, which are installed.

    TensorBoard's event files go to `output_dir`; the others know where they report to.
    """
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    made = []
    for name in dict.fromkeys(names):
        kind = INTEGRATION_TO_CALLBACK[name]
        if name == TENSORBOARD:
            from torch.utils.tensorboard import SummaryWriter

            # By itself it would write beside the checkpoints, which go when training is over.
            made.append(kind(SummaryWriter(str(output_dir / TENSORBOARD))))
        else:
            made.append(kind())
    return made
