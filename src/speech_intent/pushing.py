"""Each better checkpoint goes to the Hub while a training goes on: `train --push-to USER/NAME`.

Whatever the network does, the training goes on; in the end the finished model goes up.
"""

import shutil
import sys
import tempfile
import traceback
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from . import finishing, hub_names, hub_upload, run_folder
from .errors import UserError
from .model_config import CONFIG, EXTRACTOR, PROCESSOR
from .model_facts import read_facts
from .model_files import weights_files
from .model_results import TRAINING
from .terms import NOTHING

PREFIX = ".push-"  # of the folders of snapshots


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint that waits for its turn, in a folder of its own: the Trainer deletes others."""

    folder: Path
    pushed: "Future[None]"


class Pusher:
    """A repository on the Hub that a model goes to, again and again.

    Raises `UserError` for a name that cannot be, and if nobody is logged in.
    """

    def __init__(self, name: str, private: bool = False):
        self.name = hub_names.new_name(name, "model")
        self.private = private
        hub_upload.check_token(self.name)
        self._api = HfApi()  # its thread does one thing after the other
        self._last: Snapshot | None = None

    def open(self, output_dir: Path) -> None:
        """Make the repository, and clear away what a run that was killed left in its folder.

        Raises `UserError` if there is no right or no connection to the repository.
        """
        hub_upload.open_repository(self.name, "model", self.private)
        for left in output_dir.glob(f"{PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)

    def watcher(self, made_of: dict[str, Any]) -> TrainerCallback:
        """Make the callback of a training; `made_of` is what training.json will say."""
        return _Watcher(self, made_of)

    def push(self, checkpoint: Path, made_of: dict[str, Any], message: str) -> None:
        """Upload a checkpoint in the background, in the place of one that still waits."""
        self._drop_waiting()
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=checkpoint.parent.parent))
        names = (CONFIG, EXTRACTOR, PROCESSOR)
        files = [checkpoint / name for name in names if (checkpoint / name).is_file()]
        for file in (*files, *weights_files(checkpoint), *finishing.licences(made_of["encoder"])):
            shutil.copy(file, folder)
        run_folder.write_json(folder / TRAINING, made_of)
        pushed = self._api.run_as_future(self._push, folder, message)
        self._last = Snapshot(folder, pushed)

    def _push(self, folder: Path, message: str) -> None:
        """Upload a folder and delete it; say so where that fails, and leave it at that."""
        try:
            facts = read_facts(folder)
            files = hub_upload.model_files(folder, self.name, facts, without_results=True)
            hub_upload.upload(self.name, files, "model", self.private, message)
        except UserError as error:
            print(f"note: not pushed ({message}): {error}", file=sys.stderr)
        except Exception:  # a fault of ours, which nobody else would see, and no reason to stop
            traceback.print_exc()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _drop_waiting(self) -> None:
        if self._last is not None and self._last.pushed.cancel():
            shutil.rmtree(self._last.folder, ignore_errors=True)

    def finish(self, folder: Path) -> str:
        """Upload a finished model with its card, as `publish` does, and give its address.

        Raises `UserError` that names the folder where the model is.
        """
        self._drop_waiting()
        self._api.run_as_future(lambda: None).result()  # its turn comes when nothing is under way
        try:
            facts = read_facts(folder)
            files = hub_upload.model_files(folder, self.name, facts)
            for note in hub_upload.notes(folder, files, facts, NOTHING):
                print(f"note: {note}", file=sys.stderr)
            return hub_upload.upload(self.name, files, "model", self.private)
        except UserError as error:
            again = f"python -m speech_intent.publish {folder} {self.name}"
            remedy = f"{error.remedy}; the model is in {folder}, and goes up by: {again}"
            raise UserError(error.name, error.problem, remedy) from error


class _Watcher(TrainerCallback):
    """Pushes what the Trainer has saved if it is better than all before."""

    def __init__(self, pusher: Pusher, made_of: dict[str, Any]):
        self.pusher = pusher
        self.made_of = made_of

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Push the checkpoint that was written last if it is the best."""
        if state.is_world_process_zero and state.best_global_step == state.global_step:
            checkpoint = Path(args.output_dir or "") / f"checkpoint-{state.global_step}"
            self.pusher.push(checkpoint, self.made_of, f"Checkpoint of epoch {state.epoch:g}")
