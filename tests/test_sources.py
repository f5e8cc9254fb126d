"""What a model was made of is written down when it is trained, with what is said of it."""

import json

from speech_intent import sources
from speech_intent.recipes import resolve

NC = 'license = "CC BY-NC 4.0"\nlanguage = "de"\npretty_name = "Calls"\n'


def test_a_run_records_what_is_said_of_all_that_it_is_made_of(tmp_path):
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "dataset.toml").write_text(NC)
    recipe = resolve(
        data=tmp_path / "calls",
        encoder="small",
        add=["user/voices"],
        adapt=tmp_path / "kitchen",
    )
    encoder, data, added, unknown, adapted = sources.of_recipe(recipe)
    assert encoder["role"] == "encoder"
    assert (encoder["name"], encoder["place"]) == ("small", "bundled")
    assert (encoder["license"], encoder["languages"]) == ("apache-2.0", ["en"])
    assert data == {
        "role": "data",
        "name": str(tmp_path / "calls"),
        "place": "folder",
        "called": "calls",
        "license": "cc-by-nc-4.0",
        "languages": ["de"],
        "pretty_name": "Calls",
    }
    # A card on the Hub is read when the model is published.
    named = {"role": "added", "name": "user/voices", "place": "hub", "called": "user/voices"}
    assert added == named
    assert (unknown["role"], unknown["license"]) == ("unknown", "cc-by-4.0")
    assert (adapted["role"], adapted["called"]) == ("adapted", "kitchen")


def test_random_weights_and_no_unknown_clips_are_no_sources():
    (data,) = sources.of_recipe(resolve(encoder="random", unknown="none"))
    assert data["role"] == "data"


def test_a_copy_of_a_recipes_data_has_their_licence_unless_it_says_its_own(tmp_path):
    recipe = resolve("skit-s2i", data=tmp_path, encoder="random")
    (data,) = sources.of_recipe(recipe)
    assert data["license"] == "cc-by-nc-4.0"
    (tmp_path / "dataset.toml").write_text('license = "mit"')
    (data,) = sources.of_recipe(recipe)
    assert data["license"] == "mit"
    hub = resolve("skit-s2i", encoder="random")
    (data,) = sources.of_recipe(hub)
    assert (data["place"], data["license"]) == ("hub", "cc-by-nc-4.0")


def test_what_an_encoder_was_made_of_is_handed_on(tmp_path):
    before = [
        {"role": "encoder", "name": "small", "place": "bundled", "called": "small"},
        {"role": "data", "name": "/a/b", "place": "folder", "called": "b", "license": "gpl-3.0"},
    ]
    (tmp_path / "training.json").write_text(json.dumps({"sources": before}))
    recipe = resolve(encoder=tmp_path, unknown="none")
    _, _, *inherited = sources.of_recipe(recipe)
    assert inherited == [before[0], {**before[1], "role": "earlier"}]


def test_data_of_an_added_intent_come_behind_the_others(tmp_path):
    recipe = resolve("skit-s2i", data=tmp_path)
    before, added = sources.with_added({"sources": [{"role": "encoder"}]}, recipe)
    assert before == {"role": "encoder"}
    assert (added["role"], added["license"]) == ("added", "cc-by-nc-4.0")
    (added,) = sources.with_added({}, recipe)
    assert added["name"] == str(tmp_path)


def test_a_folder_is_called_by_its_last_part_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sources.source("data", ".").called == tmp_path.name
    assert sources.source("data", "..").called == tmp_path.parent.name
    assert sources.source("data", "/").called == "a folder"
