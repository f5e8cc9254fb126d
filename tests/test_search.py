"""Numbers are chosen by trials that never see the test split, and that go on where they stopped."""

import json
import math

import pandas as pd
import pytest

from speech_intent import data, experiment, search, settings, train, training, trials
from speech_intent.errors import OutputError, UserError
from speech_intent.extras import Extras
from speech_intent.recipes import resolve
from speech_intent.trainer import SpeechTrainer

QUICK = {"epochs": 2, "batch_size": 8}


@pytest.fixture
def tables(recipe):
    return data.load_data(recipe()).tables


def trials_of(folder) -> pd.DataFrame:
    return pd.read_csv(folder / "search" / "trials.csv", index_col="trial")


# From end to end


@pytest.fixture(scope="module")
def searched(tmp_path_factory, recipe):
    """What a run with a search leaves behind, and which clips its trials were given."""
    out = tmp_path_factory.mktemp("searched") / "out"
    given = []
    with pytest.MonkeyPatch.context() as patch:
        build = trials.build_trainer

        def build_trainer(classifier, tables, *others, **named):
            given.append({split: set(table["digest"]) for split, table in tables.items()})
            return build(classifier, tables, *others, **named)

        patch.setattr(trials, "build_trainer", build_trainer)
        result = experiment.run(recipe(**QUICK), out, extras=Extras(n_trials=3))
    return out, result, given


def test_the_best_numbers_are_trained_with_and_recorded(searched, recipe):
    out, result, _ = searched
    table = trials_of(out)
    assert list(table.columns) == ["learning_rate", "batch_size", "warmup", "f1_macro", "seconds"]
    assert len(table) == 3
    best = table.loc[table["f1_macro"].idxmax()]
    numbers = result["hyperparameters"]
    assert numbers["learning_rate"] in set(table["learning_rate"])
    again = table[table["learning_rate"] == numbers["learning_rate"]].iloc[0]
    assert again["f1_macro"] == best["f1_macro"]
    assert (numbers["batch_size"], numbers["warmup"]) == (again["batch_size"], again["warmup"])
    # The same numbers, seed and beginning: it is that trial once more.
    assert result["best_validation"]["f1_macro"] == again["f1_macro"]
    found = resolve(out / settings.FILE)
    assert (found.numbers.learning_rate, found.numbers.epochs) == (numbers["learning_rate"], 2)
    assert found.numbers.batch_size == numbers["batch_size"]
    assert found.data == recipe().data


def test_the_record_says_that_numbers_were_searched(searched):
    out, result, _ = searched
    table = trials_of(out)
    assert result["search"] == {
        "trials": 3,
        "diverged": 0,
        "numbers": ["learning_rate", "batch_size", "warmup"],
        "metric": "f1_macro",
        "best": table["f1_macro"].max(),
        "seconds": pytest.approx(table["seconds"].sum(), abs=0.2),
    }
    record = json.loads((out / "model" / "training.json").read_text())
    assert record["search"] == result["search"]


def test_who_trains_with_its_settings_is_told_too(searched, recipe):
    out, result, _ = searched
    note = "learning_rate, batch_size, warmup are the best of 3 trials on validation clips."
    assert resolve(out / settings.FILE).note == result["note"] == note
    assert resolve(out / settings.FILE, data="other").note == ""


def test_no_trial_is_given_a_test_clip(searched, tables):
    _, _, given = searched
    known = {split: set(table["digest"]) for split, table in tables.items()}
    assert len(given) == 3
    for splits in given:
        assert splits == {split: known[split] for split in ("train", "validation")}
    assert not known["test"] & (known["train"] | known["validation"])


def test_the_first_trial_is_what_would_be_trained_without_a_search(searched):
    first = trials_of(searched[0]).loc[1]
    assert (first["learning_rate"], first["batch_size"], first["warmup"]) == (5e-3, 8, 0.1)


def test_trials_leave_no_checkpoints(searched):
    out, *_ = searched
    assert {path.name for path in (out / "search").iterdir()} == {
        "clips.csv",
        "journal.log",
        "made_of.json",
        "trials.csv",
    }


# Trials


def test_numbers_are_drawn_near_the_usual_ones(searched):
    table = trials_of(searched[0]).iloc[1:]
    assert table["learning_rate"].between(1e-3, 2.5e-2).all()
    assert table["batch_size"].isin([4, 8]).all()
    assert table["warmup"].between(0, 0.3).all()
    assert table["learning_rate"].nunique() == len(table)


def kill_in_trial(number: int):
    """Make a `train` of the Trainer that ends one trial as Ctrl-C does."""
    train = SpeechTrainer.train
    seen = []

    def train_or_die(self, *args, **named):
        seen.append(self)
        if len(seen) == number:
            raise KeyboardInterrupt
        return train(self, *args, **named)

    return train_or_die


def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(
    tmp_path, searched, recipe, tables, monkeypatch
):
    given = recipe(**QUICK)
    with monkeypatch.context() as patch:
        patch.setattr(SpeechTrainer, "train", kill_in_trial(2))
        with pytest.raises(KeyboardInterrupt):
            search.run(given, tables, tmp_path, 3, resume=False)
    assert len(trials_of(tmp_path)) == 1
    with pytest.raises(OutputError, match="holds a search; add --resume"):
        search.run(given, tables, tmp_path, 3, resume=False)
    found = search.run(given, tables, tmp_path, 3, resume=True)
    whole = trials_of(searched[0]).drop(columns="seconds")
    pd.testing.assert_frame_equal(trials_of(tmp_path).drop(columns="seconds"), whole)
    monkeypatch.setattr(search, "Trials", None)  # nothing is left to try
    assert search.run(given, tables, tmp_path, 3, resume=True) == found


def test_trials_of_other_numbers_do_not_count(tmp_path, searched, recipe, tables):
    with pytest.raises(OutputError, match=r"other seed 0 \(now 1\)"):
        search.run(recipe(**QUICK, seed=1), tables, searched[0], 3, resume=True)


def test_a_run_that_was_not_searched_is_not_gone_on_with(tmp_path, run_folder, recipe, tables):
    with pytest.raises(OutputError, match="numbers were not searched; leave --search out"):
        search.run(recipe(), tables, run_folder, 2, resume=True)


def test_trials_that_diverge_are_the_worst_and_end_early(tmp_path, recipe, tables, monkeypatch):
    given = recipe(epochs=3, batch_size=8, learning_rate=1e30, max_grad_norm=0)
    with pytest.raises(UserError, match="--search: all 2 trials diverged; lower --learning-rate"):
        search.run(given, tables, tmp_path, 2, resume=False)
    assert trials_of(tmp_path)["f1_macro"].isna().all()


def test_a_score_is_that_of_the_best_epoch_before_a_training_diverges(recipe, numbers):
    attributes = {}

    class Stub:
        def set_user_attr(self, name, value):
            attributes[name] = value

    trial = trials._Trial.__new__(trials._Trial)
    trial.trials = type("Trials", (), {"numbers": numbers()})
    trial.trial, trial.best, trial.diverged = Stub(), -math.inf, False
    metrics = [(0.5, 1.0), (0.75, 1.0), (0.25, 1.0), (0.9, math.nan), (0.95, 1.0)]
    scores = [
        trial.score({"eval_choice": score - 0.01, "eval_f1_macro": score, "eval_loss": loss})
        for score, loss in metrics
    ]
    assert scores == [0.49, 0.74, 0.74, trials.DIVERGED, trials.DIVERGED]
    assert attributes == {"f1_macro": 0.75}


def test_a_trial_is_trained_as_a_run_with_its_numbers_is(tmp_path, recipe, tables):
    """What follows from a number, such as the epochs, follows in a trial too."""
    given = recipe(epochs=None, steps=40, batch_size=8, warmup=0)
    started = trials.Trials(given, tables, tmp_path)
    drawn = {"learning_rate": 0.001234, "batch_size": 4, "warmup": 0.123}

    class Drawn:
        params = drawn
        suggest_float = suggest_categorical = lambda self, *args, **named: None

    numbers = started.drawn(Drawn())
    as_run = trials.with_drawn(given.numbers, drawn)
    assert numbers == training.settle(as_run, started.classifier, 16)
    assert (numbers.learning_rate, numbers.epochs, numbers.warmup) == (0.0012, 10, 0.12)


def test_a_batch_of_one_stays_one(tmp_path, recipe, tables):
    started = trials.Trials(recipe(batch_size=1, warmup=0.5), tables, tmp_path)
    asked = {}

    class Trial:
        params = started.usual()

        def suggest_float(self, name, low, high, log=False):
            asked[name] = (low, high)

        def suggest_categorical(self, name, choices):
            asked[name] = choices

    started.drawn(Trial())
    assert asked["batch_size"] == [1]
    assert Trial.params["warmup"] == asked["warmup"][1] == 0.3  # the usual lies in what is drawn


# What cannot be


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(search, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'optuna, which is not .*; pip install -e "\.\[search\]"'):
        search.check(2)


def test_processes_of_torchrun_do_not_search(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="runs in one process"):
        search.check(2)


def test_by_itself_nothing_is_searched():
    assert train.read_command(["--output-dir", "out"]).args.search is None
