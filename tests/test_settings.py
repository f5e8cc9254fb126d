"""Settings as a TOML file: what a run writes is what it was, and what is no setting is named."""

from dataclasses import asdict, fields, replace
from typing import get_args

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from speech_intent import settings
from speech_intent.errors import UserError
from speech_intent.hyperparameters import Freeze, Hyperparameters, Metric, Schedule
from speech_intent.recipes import RECIPES, Recipe, resolve


def again(recipe: Recipe, folder) -> Recipe:
    """Write a recipe as a run does, and read it."""
    file = folder / "settings.toml"
    file.write_text(settings.text(asdict(recipe)), encoding="utf-8")
    return resolve(file)


# What a run writes


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_comes_back_from_the_file_of_its_run(tmp_path, name):
    assert again(RECIPES[name], tmp_path) == RECIPES[name]


positive = st.floats(1e-9, 1e9)
shares = st.floats(0.001, 0.999)
counts = st.integers(1, 10**6)
texts = st.text(min_size=1).filter(lambda text: "://" not in text)
NUMBERS = {
    "epochs": st.none() | positive,
    "learning_rate": st.none() | positive,
    "warmup": st.just(0) | shares,  # a whole number too
    "weight_decay": st.just(0.0) | positive,
    "patience": counts,
    "batch_size": counts,
    "seed": st.integers(0, 2**32 - 1),
    "metric": st.sampled_from(get_args(Metric)),
    "schedule": st.sampled_from(get_args(Schedule)),
    "freeze": st.sampled_from(get_args(Freeze)),
    "augment": st.booleans(),
    "target_precision": st.none() | shares,
}
OTHERS = {
    "data": texts,
    "config": st.none() | texts,
    "intent": texts,
    "text": st.none() | texts,
    "add": st.lists(texts).map(tuple),
    "adapt": st.none() | texts,
    "intents": st.lists(texts).map(tuple),
    "test_share": shares,
    "by_speaker": st.booleans(),
    "note": st.text(),
}


@given(
    st.sampled_from(list(RECIPES)),
    st.fixed_dictionaries({}, optional=NUMBERS),
    st.fixed_dictionaries({}, optional=OTHERS),
)
def test_whatever_was_given_comes_back(tmp_path_factory, name, numbers, others):
    recipe = resolve(name, **numbers, **others)
    assert again(recipe, tmp_path_factory.mktemp("settings")) == recipe


def test_of_data_on_the_hub_that_are_not_the_recipes_nobody_knows_the_licence(tmp_path):
    recipe = resolve("skit-s2i", data="user/other")
    assert again(recipe, tmp_path).license is None
    assert again(RECIPES["skit-s2i"], tmp_path).license == "cc-by-nc-4.0"


def test_everything_that_is_not_left_open_is_written(tmp_path):
    text = settings.text(asdict(RECIPES["bundled"]))
    assert text.startswith("# ")
    open_ones = {"epochs", "learning_rate", "target_precision"}
    numbers = {number.name for number in fields(Hyperparameters)} - open_ones
    others = {field.name for field in fields(Recipe)}
    others -= {"numbers", "adapt", "config", "text", "license"}
    head, _, table = text.partition("[numbers]")
    assert {line.split(" = ")[0] for line in head.splitlines() if " = " in line} == others
    assert {line.split(" = ")[0] for line in table.splitlines() if line} == numbers


def test_the_file_of_a_run_can_be_used_from_another_folder(tmp_path, monkeypatch):
    for name in ("here/clips", "here/more", "here/bundled", "there"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    given = resolve(data="clips", add=["more", "user/more"], adapt="gone")
    file = tmp_path / "settings.toml"
    file.write_text(settings.text(asdict(given)), encoding="utf-8")
    bundled = settings.text(asdict(RECIPES["bundled"]))  # whatever folder is called so
    monkeypatch.chdir(tmp_path / "there")
    found = resolve(file)
    here = tmp_path / "here"
    assert found == replace(given, data=str(here / "clips"), add=(str(here / "more"), "user/more"))
    assert '\ndata = "bundled"\n' in bundled


# What a user writes


def written(tmp_path, text: str):
    file = tmp_path / "ours.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_may_begin_with_a_recipe(tmp_path):
    file = written(tmp_path, 'recipe = "minds14"\nconfig = "de-DE"\n[numbers]\nlearning_rate = 1\n')
    expected = resolve("minds14", config="de-DE", learning_rate=1.0)
    assert resolve(file) == resolve(str(file)) == expected
    assert expected.differences() == {"recipe": "minds14", "config": "de-DE"}
    assert resolve(written(tmp_path, "")) == RECIPES["bundled"]


def test_what_is_given_beside_a_file_wins(tmp_path):
    file = written(tmp_path, 'data = "a"\nnote = "Ours."\n[numbers]\nepochs = 3\nseed = 5\n')
    recipe = resolve(file, data="b", epochs=4)
    assert (recipe.data, recipe.note) == ("b", "")  # which was about the data of the file
    assert (recipe.numbers.epochs, recipe.numbers.seed) == (4, 5)


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path):
    file = tmp_path / "ours.toml"
    file.write_bytes(b"\xef\xbb\xbfdata = 'calls'\n")
    assert resolve(file).data == "calls"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("epochs = 3", "epochs is a number; put it below [numbers], at the end"),
        ("[numbers]\nepoch = 3", "epoch is no setting; leave it out, or write epochs"),
        ("dataset = 'x'", "dataset is no setting; leave it out, or write data"),
        ("[zzz]\na = 1", "zzz is no setting; leave it out, or write one of recipe, data, "),
        ("numbers = 3", "numbers is no table; write [numbers], and them below it"),
        ("data = 3", "data cannot be 3; give a text"),
        ("add = 'x'", "add cannot be 'x'; give a list of texts"),
        ("add = ['x', 1]", "add cannot be ['x', 1]; give a list of texts"),
        ("by_speaker = 1", "by_speaker cannot be 1; give true or false"),
        ("[numbers]\nbatch_size = 4.0", "batch_size cannot be 4.0; give a whole number"),
        ("[numbers]\nbatch_size = true", "batch_size cannot be True; give a whole number"),
        ("[numbers]\nepochs = '3'", "epochs cannot be '3'; give a number"),
        ("[numbers]\nepochs = 2026-01-01", "epochs cannot be datetime.date(2026, 1, 1)"),
        ("[numbers]\nepochs = -1", "epochs: -1.0 cannot be; give a number above 0"),
        ("[numbers]\nepochs = nan", "epochs: nan cannot be; give a number above 0"),
        ("[numbers]\nmetric = 'loss'", "metric: 'loss' cannot be; choose f1_macro, "),
        ("test_share = 30", "test_share: 30.0 cannot be; give a share of the clips"),
        ("recipe = 'mine.toml'", "begins with the recipe 'mine.toml', which there is not; choose"),
        ("data = ", "is no TOML file (Invalid value (at end of document)); correct it"),
        ("data = 'https://example.org/a'", "https://example.org/a: cannot be used; "),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_name(tmp_path, text, reason):
    file = written(tmp_path, text)
    with pytest.raises(UserError) as error:
        resolve(file)
    assert error.value.name == str(file)
    assert error.value.reason.startswith(reason)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"gone\.toml: there is no such file; name a TOML file"):
        resolve(tmp_path / "gone.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(UserError, match=r"folder\.toml: cannot be read \("):
        resolve(tmp_path / "folder.toml")
    (tmp_path / "latin.toml").write_bytes(b"note = '\xe4'")
    with pytest.raises(UserError, match=r"latin\.toml: is no TOML file \("):
        resolve(tmp_path / "latin.toml")


def test_types_are_those_that_the_files_of_ours_are_read_with(tmp_path):
    """Every field has a type that a file can be checked for."""
    table = {**asdict(RECIPES["skit-s2i"]), "config": "x", "text": "y", "adapt": "z"}
    numbers = {**table.pop("numbers"), "epochs": 1.0, "learning_rate": 1.0}
    numbers["target_precision"] = 0.9
    file = written(tmp_path, tomli_w.dumps({**table, "numbers": numbers}))
    assert asdict(resolve(file)) == {**table, "numbers": numbers}
