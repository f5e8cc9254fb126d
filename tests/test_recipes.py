"""Recipes, files of the user's own, and what is given in the place of theirs."""

import math
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path

import pytest
from conftest import write_csv

from speech_intent import data, folders
from speech_intent.errors import DataError, UserError
from speech_intent.recipes import PLAIN, RECIPES, Hyperparameters, Recipe, resolve

SKIT = RECIPES["skit-s2i"]

# Recipes


@pytest.mark.parametrize("name", ["test_share", "validation_share"])
@pytest.mark.parametrize("share", [0, 1, -0.1, 30, math.nan])
def test_a_share_of_the_clips_is_neither_none_nor_all(name, share):
    with pytest.raises(UserError) as error:
        Recipe(**{name: share})
    assert error.value.name == name


def test_recipes_and_numbers_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        PLAIN.data = "other"
    with pytest.raises(FrozenInstanceError):
        PLAIN.numbers.seed = 1


# The published systems

DEFAULT = asdict(Hyperparameters())
PUBLISHED = {
    "bundled": {},
    "scooter": {
        "epochs": 45,
        "patience": 45,
        "metric": "accuracy",
        "learning_rate": 3e-5,
        "batch_size": 1,
        "gradient_accumulation_steps": 4,
    },
    "minds14": {"steps": 1000, "learning_rate": 5e-5},
    "minds14-language": {"steps": 1000, "learning_rate": 5e-5},  # nobody's: those of minds14
    "minds14-tutorial": {
        "epochs": 10,
        "patience": 10,
        "metric": "accuracy",
        "learning_rate": 3e-5,
        "batch_size": 32,
        "gradient_accumulation_steps": 4,
        "max_seconds": 1.0,
        "augment": False,
    },
    "minds14-whisper": {
        "epochs": 3,
        "batch_size": 1,
        "learning_rate": 1e-5,
        "schedule": "cosine",
        "weight_decay": 0.0,
        "max_grad_norm": 0.0,
    },
    "skit-s2i": {"epochs": 5},
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_differs_from_the_defaults_in_what_was_published(name):
    assert asdict(RECIPES[name].numbers) == DEFAULT | PUBLISHED[name]


def test_the_recipes_name_their_data():
    assert {name: (recipe.data, recipe.config) for name, recipe in RECIPES.items()} == {
        "bundled": ("bundled", None),
        "scooter": ("MuhammadIqbalBazmi/intent-dataset", None),
        "minds14": ("PolyAI/minds14", "en-US"),
        "minds14-tutorial": ("PolyAI/minds14", "en-US"),
        "minds14-language": ("PolyAI/minds14", "all"),
        "minds14-whisper": ("PolyAI/minds14", "en-US"),
        "skit-s2i": ("skit-ai/skit-s2i", None),
    }
    assert RECIPES["scooter"].test_share == 0.3
    assert RECIPES["minds14"].test_share == 0.2
    assert SKIT.validation_share == 0.1
    # It repeats a published system, which fills clips up to 30 s.
    assert [name for name, each in RECIPES.items() if not each.cut_to_clip] == ["minds14-whisper"]
    # What its labels are, where they are no intents.
    assert {name: each.task for name, each in RECIPES.items() if each.task != PLAIN.task} == {
        "minds14-language": "language-identification"
    }
    assert (len(SKIT.intents), SKIT.intents[0], SKIT.intents[13]) == (14, "branch_address", "lost")


# What is given in a recipe's place


def test_nothing_given_is_the_bundled_recipe():
    assert resolve() == RECIPES["bundled"]
    assert resolve("minds14", data=None, epochs=None, seed=None) == RECIPES["minds14"]


def test_what_is_given_wins_and_the_rest_stays():
    recipe = resolve("minds14-whisper", config="de-DE", learning_rate=1e-3, seed=7)
    expected = DEFAULT | PUBLISHED["minds14-whisper"] | {"learning_rate": 1e-3, "seed": 7}
    assert asdict(recipe.numbers) == expected
    assert (recipe.data, recipe.config) == ("PolyAI/minds14", "de-DE")
    assert recipe.encoder == "openai/whisper-base.en"
    assert RECIPES["minds14-whisper"].config == "en-US"


def test_zero_and_false_are_given():
    recipe = resolve(weight_decay=0, augment=False, by_speaker=False)
    assert recipe.numbers.weight_decay == 0
    assert not recipe.numbers.augment
    assert not recipe.by_speaker


def test_folders_may_be_paths():
    recipe = resolve(data=Path("a") / "b", encoder=Path("c"))
    assert (recipe.data, recipe.encoder) == ("a/b", "c")


def test_a_note_is_about_the_recipes_own_data():
    assert RECIPES["bundled"].note == "The bundled speech is synthetic."
    assert resolve(data="elsewhere").note == ""
    assert resolve(data="elsewhere", note="Ours.").note == "Ours."
    assert resolve(epochs=1).note == RECIPES["bundled"].note


def test_another_seed_changes_nothing_else():
    recipe = RECIPES["scooter"].with_seed(5)
    assert asdict(recipe.numbers) == DEFAULT | PUBLISHED["scooter"] | {"seed": 5}
    assert recipe.with_seed(0) == RECIPES["scooter"]


def test_a_recipe_that_there_is_not():
    with pytest.raises(UserError) as error:
        resolve("minds15")
    assert error.value.name == "minds15"
    assert error.value.reason.endswith("minds14-language, minds14-whisper or skit-s2i")


def test_what_is_given_is_checked_too():
    with pytest.raises(UserError, match=r"^batch_size: 0 cannot be; "):
        resolve("minds14", batch_size=0)
    with pytest.raises(TypeError, match="epoch"):  # a mistake of ours
        resolve("minds14", epoch=3)


# The schema of Skit-S2I as CSV files


def test_the_csv_release_of_skit_s2i(tmp_path, write_folder):
    """Its columns and its numbered intents, with a semicolon as the separator for once."""
    source = write_folder(tmp_path / "skit", 6, seconds=0.1)
    clips = sorted((source / "clips").iterdir())
    (source / "metadata.csv").unlink()
    for split, part in (("train", slice(0, 4)), ("test", slice(4, 6))):
        rows = [
            {
                "id": i,
                "intent_class": k,
                "template": "x",
                "audio_path": f"clips/{path.name}",
                "speaker_id": 1,
            }
            for k in range(4)
            for i, path in enumerate(clips[6 * k : 6 * k + 6][part])
        ]
        write_csv(source / f"{split}.csv", rows)
    text = (source / "test.csv").read_text()
    (source / "test.csv").write_text(text.replace(",", ";"))
    tables = data.load_data(resolve("skit-s2i", data=source)).tables
    assert tables["train"].features["label"].names == sorted(SKIT.intents[:4])
    assert len(tables["test"]) == 8
    assert set(tables["test"]["speaker"]) == {"1"}


def test_an_intent_number_without_a_name_is_refused(tmp_path, write_folder):
    folder = write_folder(tmp_path / "data", 2, lambda intent, i: {"intent": "14"}, seconds=0.05)
    with pytest.raises(DataError, match=r"the intents \[14\] are unknown; they run from 0 to 13"):
        folders.read_table(folder, SKIT)


# Records


def test_a_record_says_in_what_a_run_differs_from_its_recipe():
    assert resolve().differences() == {"recipe": "bundled"}
    given = resolve("scooter", data="/home/ann/calls", add=["a", "b"], seed=7)
    expected = {"recipe": "scooter", "data": "/home/ann/calls", "add": ["a", "b"]}
    assert given.differences() == expected


def test_the_licence_of_a_recipes_data_is_that_of_a_copy_and_of_nothing_else():
    assert SKIT.license == "cc-by-nc-4.0"
    assert resolve("skit-s2i", data="/home/ann/skit").license == "cc-by-nc-4.0"
    assert resolve("skit-s2i", encoder="small").license == "cc-by-nc-4.0"
    assert resolve("skit-s2i", data="user/other").license is None
    assert resolve("minds14").license is None  # its card on the Hub says it
