"""Trackers are told of a training, and those that cannot be are named before it."""

import pytest
from transformers import integrations

from speech_intent import experiment, tracking, train
from speech_intent.errors import UserError
from speech_intent.extras import Extras


def test_a_tracker_that_there_is_not():
    with pytest.raises(UserError) as error:
        tracking.check(["tensorboard", "tensorbord"])
    assert error.value.name == "tensorbord"
    assert "tensorboard, trackio, wandb" in error.value.remedy


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("tensorboard", 'pip install -e ".[tracking]"'),
        ("wandb", "pip install wandb"),
        ("comet_ml", "pip install comet-ml"),
    ],
)
def test_a_tracker_that_is_not_installed(monkeypatch, name, command):
    monkeypatch.setattr(integrations, "get_available_reporting_integrations", list)
    with pytest.raises(UserError) as error:
        tracking.check([name])
    assert str(error.value) == f"{name}: is not installed; {command}"


def test_by_itself_nothing_is_reported(tmp_path):
    assert tracking.callbacks((), tmp_path) == []
    assert train.read_command(["--output-dir", "out"]).args.report_to == []


def test_the_figures_of_each_epoch_are_in_tensorboards_files(tmp_path, recipe):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    extras = Extras(report_to=("tensorboard", "tensorboard"))
    result = experiment.run(recipe(epochs=2, batch_size=16), tmp_path, extras=extras)
    assert result["epochs"] == 2
    (file,) = (tmp_path / "tensorboard").iterdir()
    assert not (tmp_path / "checkpoints").exists()
    events = EventAccumulator(str(file)).Reload()
    scores = events.Scalars("eval/f1_macro")
    assert [event.step for event in scores] == [1, 2]
    best = result["best_validation"]["f1_macro"]
    assert max(event.value for event in scores) == pytest.approx(best)
    assert "train/loss" in events.Tags()["scalars"]
