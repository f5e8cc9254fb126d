import json

import pytest

from speech_intent import train
from speech_intent.recipes import RECIPES


def refused(capsys, *arguments) -> str:
    assert train.main([str(argument) for argument in arguments]) == 1
    out, err = capsys.readouterr()
    assert "Results" not in out
    assert err.startswith("error: ")
    return err


def read(*arguments) -> train.Command:
    return train.read_command([*map(str, arguments), "--output-dir", "out"])


# What the arguments mean


def test_without_options_the_bundled_data_train_moonshine():
    command = read()
    assert command.recipes == [RECIPES["bundled"]]
    assert command.recipes[0].encoder == "moonshine"
    assert str(command.args.output_dir) == "out"
    assert not command.args.resume


def test_options_take_the_place_of_the_recipes():
    command = read("--recipe", "minds14", "--data", "FOLDER", "--epochs", "3", "--no-augment")
    (recipe,) = command.recipes
    assert (recipe.data, recipe.encoder, recipe.intent) == (
        "FOLDER",
        "facebook/wav2vec2-base",
        "intent_class",
    )
    assert recipe.numbers.epochs == 3.0
    assert recipe.numbers.augment is False
    assert recipe.numbers.learning_rate == RECIPES["minds14"].numbers.learning_rate
    assert recipe.note == ""


def test_a_recipe_may_be_a_file_whose_numbers_options_take_the_place_of(tmp_path):
    file = tmp_path / "ours.toml"
    file.write_text('data = "calls"\nencoder = "small"\n[numbers]\nepochs = 3\npatience = 2\n')
    (recipe,) = read("--recipe", file, "--epochs", "4").recipes
    assert (recipe.data, recipe.encoder) == ("calls", "small")
    assert (recipe.numbers.epochs, recipe.numbers.patience) == (4.0, 2)


@pytest.mark.parametrize("name", ["minds15", "gone.toml"])
def test_no_such_recipe(tmp_path, capsys, name):
    err = refused(capsys, "--recipe", name, "--output-dir", tmp_path)
    assert "there is no such" in err
    assert err.count("\n") == 1


def test_columns_may_be_named():
    (recipe,) = read("--intent-column", "class", "--speaker-column", "who", "--config", "x").recipes
    assert (recipe.intent, recipe.speaker, recipe.config) == ("class", "who", "x")


def test_each_encoder_is_a_recipe_of_its_own():
    command = read("--encoder", "small", "random", "--seed", "3")
    assert [recipe.encoder for recipe in command.recipes] == ["small", "random"]
    assert {recipe.numbers.seed for recipe in command.recipes} == {3}


def test_seeds_of_a_protocol_are_numbers():
    assert read("--protocol", "kfold", "--seeds", "0,1,5").args.seeds == [0, 1, 5]
    assert read("--protocol", "kfold").args.seeds == [0]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--epochs", "-1"], "epochs: -1.0 cannot be; give a number above 0"),
        (["--warmup", "5"], "warmup: 5.0 cannot be; give a share of the steps"),
        (["--target-precision", "90"], "target_precision: 90.0 cannot be; give a share"),
        (["--weight-decay", "-1"], "weight_decay: -1.0 cannot be"),
        (["--freeze", "banana"], "invalid choice"),
        (["--seeds", "0,x"], "invalid seeds value"),
        (["--search", "few"], "invalid int value"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_wrong_usage_is_status_2_before_anything_is_read(capsys, options, problem):
    with pytest.raises(SystemExit) as stop:
        train.main(["--data", "gone", "--output-dir", "out", *options])
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert "usage: python -m speech_intent.train" in err
    assert problem in err


def test_help_says_what_every_option_is_for(capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["--help"])
    assert stop.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "held on validation clips with 90 % confidence" in said
    for option in ("--learning-rate", "--search N", "--report-to NAME", "--push-to USER/NAME"):
        assert option in said


# What is done


def test_a_run_says_how_the_data_were_split_and_where_the_results_are(
    tmp_path, tone_folder, encoders, capsys
):
    options = ["--epochs", "1", "--batch-size", "16", "--seed", "3"]
    options += ["--data", tone_folder, "--encoder", encoders["wav2vec2_group"]]
    assert train.main([str(option) for option in [*options, "--output-dir", tmp_path]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["clips", "minutes", "intents", "speakers"]
    assert lines[3].split()[:2] == ["test", "16"]
    assert lines[4] == "Split: given"
    assert lines[5].startswith("epoch 1 of 1: training loss ")
    assert lines[-2].startswith("Test: accuracy 0.")
    assert lines[-1] == f"Results: {tmp_path}"
    assert json.loads((tmp_path / "metrics.json").read_text())["seed"] == 3


def test_no_such_data(tmp_path, capsys):
    err = refused(capsys, "--data", tmp_path / "gone", "--output-dir", tmp_path)
    assert "there is no such folder" in err


@pytest.mark.parametrize(
    ("encoder", "problem"), [("/gone", "there is no such folder"), ("a/b", "cannot be reached")]
)
def test_an_encoder_that_cannot_be_had(tmp_path, tone_folder, capsys, encoder, problem):
    out = tmp_path / "out"
    err = refused(capsys, "--data", tone_folder, "--encoder", encoder, "--output-dir", out)
    assert problem in err
    assert err.count("\n") == 1
    assert not (out / "model").exists()


def test_a_mistake_of_ours_keeps_its_traceback(tmp_path, tone_folder, monkeypatch):
    def fail(recipe):
        raise ValueError("ours")

    monkeypatch.setattr("speech_intent.data.load_data", fail)
    with pytest.raises(ValueError, match="ours"):
        train.main(["--data", str(tone_folder), "--output-dir", str(tmp_path)])


def test_several_encoders_end_in_one_table(tmp_path, monkeypatch, capsys):
    seen = {}

    def compare_encoders(recipes, output_dir, resume, extras):
        seen.update(encoders=[recipe.encoder for recipe in recipes], folder=output_dir)
        return None

    monkeypatch.setattr("speech_intent.experiment.compare_encoders", compare_encoders)
    assert train.main(["--encoder", "small", "random", "--output-dir", str(tmp_path)]) == 0
    assert seen == {"encoders": ["small", "random"], "folder": tmp_path}


def test_a_protocol_gets_what_was_asked_for(tmp_path, monkeypatch, capsys):
    seen = []

    def run_protocol(protocol, recipe, output_dir):
        seen.append((protocol, recipe.encoder, output_dir))
        return {}

    monkeypatch.setattr("speech_intent.protocols.run_protocol", run_protocol)
    monkeypatch.setattr("speech_intent.protocols.table_of", lambda results: "the table")
    options = ["--protocol", "kfold", "--folds", "3", "--seeds", "1,2", "--keep-weights"]
    options += ["--encoder", "small", "random", "--output-dir", str(tmp_path)]
    assert train.main(options) == 0
    protocol = seen[0][0]
    assert (protocol.name, protocol.n_folds, list(protocol.seeds)) == ("kfold", 3, [1, 2])
    assert protocol.keep_weights
    folders = [("small", tmp_path / "small"), ("random", tmp_path / "random")]
    assert [(encoder, folder) for _, encoder, folder in seen] == folders
    assert capsys.readouterr().out == "the table\nthe table\n"


# More clips


def test_folders_may_be_added_and_adapted_to():
    (recipe,) = read("--add", "a", "b", "--adapt", "room", "--data", "people").recipes
    assert (recipe.data, recipe.add, recipe.adapt) == ("people", ("a", "b"), "room")
    (recipe,) = read("--add", "a", "--add", "b").recipes
    assert recipe.add == ("a", "b")
    (recipe,) = read().recipes
    assert (recipe.add, recipe.adapt) == ((), None)
    (recipe,) = read("--add", "https://huggingface.co/datasets/user/voices").recipes
    assert recipe.add == ("user/voices",)


def test_recordings_to_adapt_to_are_looked_at_before_training(tmp_path, tone_folder, capsys):
    (tmp_path / "empty").mkdir()
    options = ["--data", tone_folder, "--encoder", "random", "--output-dir", tmp_path / "out"]
    err = refused(capsys, *options, "--adapt", tmp_path / "empty")
    assert "it holds no audio files" in err
    assert not (tmp_path / "out" / "model").exists()
