import math
from types import SimpleNamespace

import pytest

from speech_intent.progress import Progress


@pytest.fixture
def state():
    history = [{"loss": 1.5}, {"learning_rate": 0.1}, {"loss": 0.25, "accuracy": 0.5}]
    return SimpleNamespace(
        is_world_process_zero=True, epoch=2.0, log_history=history, max_steps=4, global_step=2
    )


ARGS = SimpleNamespace(num_train_epochs=10)
FIGURES = {"eval_loss": 0.5, "eval_accuracy": 0.75}


def test_an_epoch_is_a_line_with_its_last_loss_and_the_chosen_metric(state, capsys):
    Progress("accuracy").on_evaluate(ARGS, state, None, FIGURES)
    line = "epoch 2 of 10: training loss 0.250, training accuracy 0.500, validation loss 0.500, "
    line += "accuracy 0.750\n"
    assert capsys.readouterr().out == line


def test_an_epoch_without_a_loss_yet_says_so(state, capsys):
    state.log_history = []
    Progress("accuracy").on_evaluate(ARGS, state, None, FIGURES)
    assert f"training loss {math.nan:.3f}" in capsys.readouterr().out


def test_other_processes_are_silent(state, capsys):
    state.is_world_process_zero = False
    progress = Progress("accuracy")
    progress.on_train_begin(ARGS, state, None)
    progress.on_evaluate(ARGS, state, None, FIGURES)
    progress.on_train_end(ARGS, state, None)
    assert capsys.readouterr() == ("", "")


def test_the_bar_counts_from_where_a_resumed_run_goes_on(state, monkeypatch):
    bars = []
    monkeypatch.setattr("speech_intent.progress.tqdm", lambda **options: bars.append(options))
    Progress("accuracy").on_train_begin(ARGS, state, None)
    assert (bars[0]["initial"], bars[0]["total"]) == (2, 4)
