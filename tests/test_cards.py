"""Cards say what somebody has said, in words that no name can break out of."""

import json
import re
from html import unescape
from pathlib import Path

import mistune
import pytest
import yaml

from speech_intent import cards, terms
from speech_intent.errors import ModelError, UserError
from speech_intent.model_facts import ModelFacts, data_language, read_facts
from speech_intent.model_results import FIGURES

# Names that Markdown, HTML, formulas, tables or YAML would take for their own.
NAMES = [
    "a|b",
    "*x*",
    "<img>",
    "$5_or_$6",
    "lights: on",
    "`code`",
    "[a](b)",
    "~~off~~",
    "# 1",
    "a\\b",
    "&amp;",
    "{title}",
    "größe",
]
INTERVAL = [0.5, 0.9]


def results(**changed) -> dict:
    """Make a metrics.json."""
    figures = {figure: round(0.70 + 0.01 * i, 2) for i, figure in enumerate(FIGURES)}
    intervals = {f"{figure}_interval": INTERVAL for figure in FIGURES}
    record = {
        "n": 20,
        "correct": 14,
        "data": "PolyAI/minds14",
        "config": "en-US",
        "split": "test (given)",
        "encoder": "facebook/wav2vec2-base",
        "seed": 0,
        "epochs": 10.0,
        "steps": 120,
        "note": "",
        "hyperparameters": {"epochs": None, "learning_rate": 3e-5, "metric": "f1_macro"},
    }
    return figures | intervals | record | changed


def write_model(folder: Path, metrics: dict | None, labels=("off", "on")) -> Path:
    """Write as much of a model folder as a card needs."""
    folder.mkdir(exist_ok=True)
    config = {"model_type": "wav2vec2", "id2label": dict(enumerate(labels))}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if metrics is not None:
        (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return folder


def write_export(folder: Path) -> None:
    """Write as much of an export as a card needs."""
    record = {"precision": "float32", "difference": 1.2e-6, "reduced": []}
    record |= {"digests": {}, "weights": {}}
    (folder / "onnx.json").write_text(json.dumps(record))
    (folder / "onnx").mkdir()
    (folder / "onnx/model.onnx").write_bytes(b"")


def facts_of(folder: Path, license=None, language=None, data_name=None) -> ModelFacts:
    return read_facts(folder, terms.given(license, language, data_name))


def card_of(folder: Path, license=None, language=None, data_name=None, name="user/name") -> str:
    return cards.model_card(folder, name, facts_of(folder, license, language, data_name))


def split_card(card: str) -> tuple[dict, str]:
    """Give what a card says to machines, and what it says to people, in Markdown."""
    _, front_matter, body = re.split(r"^---\n", card, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(front_matter), body


def rendered(markdown: str) -> str:
    """Give the text that a reader of Markdown with tables, formulas and HTML sees."""
    plugins = ["table", "strikethrough", "math"]
    html = mistune.create_markdown(escape=False, plugins=plugins)(markdown)
    return unescape(re.sub(r"</?(?!img)[a-z0-9]+[^>]*>", "", html))


# Licence and language


def test_a_card_names_no_licence_and_no_language_that_nobody_has_named(tmp_path):
    folder = write_model(tmp_path, results(data="recordings", config=None))
    metadata, _ = split_card(card_of(folder))
    assert "license" not in metadata
    assert "language" not in metadata
    (note,) = facts_of(folder).notes(terms.NOTHING)
    assert note == (
        "the card names no licence (--license) and no language (--language); "
        "dataset.toml beside the data may too"
    )


def test_what_is_given_is_named(tmp_path):
    folder = write_model(tmp_path, results())
    metadata, _ = split_card(card_of(folder, "cc-by-4.0", "de"))
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["language"] == "de"  # rather than the en-US of the data
    assert facts_of(folder, "cc-by-4.0", "de").notes(terms.given("cc-by-4.0", "de", None)) == []


@pytest.mark.parametrize(
    ("license", "language", "words"),
    [
        (None, "en", "the card names no licence (--license); "),
        ("mit", None, "the card names no language (--language); "),
    ],
)
def test_the_note_names_the_option_that_would_say_more(tmp_path, license, language, words):
    folder = write_model(tmp_path, results(data="recordings", config=None))
    given = terms.given(license, language, None)
    (note,) = read_facts(folder, given).notes(given)
    assert note.startswith(words)


@pytest.mark.parametrize(
    ("data", "config", "language"),
    [
        ("PolyAI/minds14", "en-US", "en"),
        ("PolyAI/minds14", "ko-KR", "ko"),
        ("PolyAI/minds14", "all", "multilingual"),
        ("user/data", "no", "no"),  # Norwegian, which YAML would take for False
        ("user/data", "default", None),
        ("user/data", "clean", None),
        ("user/data", "v2", None),
        ("user/data", None, None),
        ("/home/ann/minds14", "en-US", None),  # of the recipe; who knows what the folder holds
    ],
)
def test_the_language_is_that_of_the_datas_configuration(tmp_path, data, config, language):
    folder = write_model(tmp_path, results(data=data, config=config))
    assert data_language(facts_of(folder).results) == language
    metadata, _ = split_card(card_of(folder))
    assert metadata.get("language") == language


def test_which_languages_all_of_them_are_the_card_of_the_data_says(tmp_path):
    folder = write_model(tmp_path, results(config="all"))
    source = {"role": "data", "name": "PolyAI/minds14", "place": "hub", "called": "PolyAI/minds14"}
    record = {"sources": [{**source, "languages": ["en", "ko"]}]}
    (folder / "training.json").write_text(json.dumps(record))
    metadata, body = split_card(card_of(folder))
    assert metadata["language"] == ["en", "ko"]
    assert "Its languages are en, ko." in rendered(body)
    one = write_model(tmp_path, results(config="ko-KR"))
    assert split_card(card_of(one))[0]["language"] == "ko"


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("de", "Its language is de."),
        ("multilingual", "It heard several languages."),
        ("zxx", "What it heard is no language."),
        (None, "Nobody has said its language."),
    ],
)
def test_a_language_reads_as_what_it_is(tmp_path, language, sentence):
    folder = write_model(tmp_path, results(data="sounds", config=None))
    metadata, body = split_card(card_of(folder, language=language))
    assert metadata.get("language") == language
    assert sentence in rendered(body)


@pytest.mark.parametrize(
    ("recipe", "task", "shown"),
    [
        ({"recipe": "minds14"}, "intent-classification", "Spoken intent classification"),
        ({"recipe": "minds14-language"}, "language-identification", "Audio classification"),
        (  # --intent-column: intents of the same clips
            {"recipe": "minds14-language", "intent": "intent_class"},
            "intent-classification",
            "Spoken intent classification",
        ),
        ({"recipe": "of another version"}, "intent-classification", "Spoken intent classification"),
    ],
)
def test_what_the_labels_are_is_what_the_recipe_says(tmp_path, recipe, task, shown):
    metadata, _ = split_card(card_of(write_model(tmp_path, results(recipe=recipe))))
    assert metadata["tags"] == ["speech", task, "wav2vec2"]
    assert metadata["model-index"][0]["results"][0]["task"]["name"] == shown


def test_a_folder_has_no_configuration_whatever_its_recipe_says(tmp_path):
    folder = write_model(tmp_path, results(data="/home/ann/calls", config="en-US"))
    assert "en-US" not in card_of(folder)


def test_without_results_nothing_is_known_of_data_and_language(tmp_path):
    folder = write_model(tmp_path, None)
    metadata, body = split_card(card_of(folder))
    assert metadata == {
        "library_name": "transformers",
        "model_name": "name",
        "pipeline_tag": "audio-classification",
        "tags": ["speech", "intent-classification", "wav2vec2"],
    }
    assert "None were recorded with this model." in body


# Whose terms hold


def write_said(folder: Path, **said: str) -> Path:
    """Write a data folder's dataset.toml, which is all of it that a card needs."""
    folder.mkdir(parents=True)
    lines = [f"{name} = {json.dumps(value)}" for name, value in said.items()]
    (folder / "dataset.toml").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_licence_and_language_are_those_of_encoder_and_data(tmp_path):
    metrics = results(data="bundled", config=None, encoder="small")
    metadata, body = split_card(card_of(write_model(tmp_path, metrics)))
    assert metadata["license"] == "apache-2.0"  # as strict as the CC BY 4.0 of the data
    assert metadata["language"] == "en"
    assert "| encoder | small | apache-2.0 | en |" in body
    assert "| data | bundled | cc-by-4.0 | en |" in body


def test_the_stricter_licence_holds(tmp_path):
    data = write_said(tmp_path / "calls", license="CC BY-SA 4.0", language="de", pretty_name="*x*")
    metrics = results(data=str(data), config=None, encoder="small")
    metadata, body = split_card(card_of(write_model(tmp_path / "model", metrics)))
    assert metadata["license"] == "cc-by-sa-4.0"
    assert metadata["language"] == "de"  # of the data, rather than of the encoder
    assert metadata["model-index"][0]["results"][0]["dataset"]["name"] == "*x*"
    assert "Its language is de." in body


def test_whose_licence_a_card_names_is_said_where_another_is_not_known(tmp_path):
    metrics = results(data="/home/ann/calls", config=None, encoder="small")
    facts = facts_of(write_model(tmp_path, metrics))
    assert facts.notes(terms.NOTHING) == [
        "the licence apache-2.0 is that of small; nobody has said that of calls "
        "(--license names another)"
    ]


@pytest.mark.parametrize("license", ["apache-2.0", "mit", "cc-by-4.0", "Apache 2.0", "other"])
def test_what_forbids_commercial_use_is_not_published_as_what_allows_it(tmp_path, license):
    data = write_said(tmp_path / "calls", license="cc-by-nc-4.0")
    folder = write_model(tmp_path / "model", results(data=str(data), config=None))
    with pytest.raises(UserError) as error:
        facts_of(folder, license)
    assert error.value.name == str(data)
    given = terms.license_id(license)
    problem = f"is under cc-by-nc-4.0, which forbids commercial use, and {given} allows it"
    assert error.value.problem == problem
    assert error.value.remedy == "publish as cc-by-nc-4.0: leave --license out"
    assert facts_of(folder).terms.license == "cc-by-nc-4.0"
    assert facts_of(folder, "cc-by-nc-sa-4.0").terms.license == "cc-by-nc-sa-4.0"


def test_what_was_recorded_in_training_holds_where_the_data_are_gone(tmp_path):
    folder = write_model(tmp_path, results(data="/gone/skit", config=None))
    source = {"role": "data", "name": "/gone/skit", "place": "folder", "called": "skit"}
    record = {"sources": [{**source, "license": "cc-by-nc-4.0", "languages": ["en"]}]}
    (folder / "training.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"^/gone/skit: is under cc-by-nc-4\.0"):
        facts_of(folder, "apache-2.0")
    metadata, _ = split_card(card_of(folder))
    assert (metadata["license"], metadata["language"]) == ("cc-by-nc-4.0", "en")


def test_a_folder_that_was_there_in_training_is_never_taken_for_a_repository(tmp_path):
    name = "recordings/calls"  # from another folder than this
    folder = write_model(tmp_path, results(data=name, data_called="calls", config=None))
    source = {"role": "data", "name": name, "place": "folder", "called": "calls"}
    (folder / "training.json").write_text(json.dumps({"sources": [source]}))
    card = card_of(folder)
    assert "datasets" not in split_card(card)[0]
    assert "recordings/" not in card


@pytest.mark.parametrize(
    "changed",
    [
        {"role": "father"},
        {"place": None},
        {"name": 7},
        {"called": ""},
        {"languages": "en"},
        {"license": 7},
    ],
)
def test_a_record_of_sources_that_cannot_be_is_named(tmp_path, changed):
    source = {"role": "data", "name": "/a/b", "place": "folder", "called": "b"}
    folder = write_model(tmp_path, results())
    (folder / "training.json").write_text(json.dumps({"sources": [source | changed]}))
    with pytest.raises(ModelError, match=f"{next(iter(changed))} is .*, and must be"):
        card_of(folder)


def test_the_data_may_be_given_another_name(tmp_path):
    folder = write_model(tmp_path, results(data="/home/ann/calls", config=None))
    card = card_of(folder, data_name="Calls *2026*")
    assert "data: Calls \\*2026\\*; split" in card
    assert "| data | Calls \\*2026\\* |" in card
    assert "calls" not in card
    said = write_said(tmp_path / "there" / "calls", pretty_name="Calls of Ann")
    folder = write_model(tmp_path, results(data=str(said), config=None))
    assert "\n      name: Calls of Ann\n" in card_of(folder)
    assert "Ann" not in card_of(folder, data_name="Calls")
    with pytest.raises(UserError, match="is a path, and no name of data"):
        card_of(folder, data_name="/home/ann/calls")
    folder = write_model(tmp_path, results())
    with pytest.raises(UserError, match="cannot be the name of the data, which is PolyAI/minds14"):
        card_of(folder, data_name="Mine")


def test_what_a_test_was_on_is_not_what_a_model_was_trained_on(tmp_path):
    """`evaluate` says which model it scored."""
    folder = write_model(tmp_path, results(model="runs/mine/model", data_called="minds14"))
    metadata, body = split_card(card_of(folder))
    assert "datasets" not in metadata
    assert "language" not in metadata
    assert "Tested on: data: minds14" in body


# Data and encoder


def test_data_and_encoder_of_the_hub_are_linked(tmp_path):
    folder = write_model(tmp_path, results())
    metadata, body = split_card(card_of(folder))
    assert metadata["datasets"] == ["PolyAI/minds14"]
    assert metadata["base_model"] == "facebook/wav2vec2-base"
    (result,) = metadata["model-index"][0]["results"]
    assert result["dataset"] == {
        "type": "PolyAI/minds14",
        "name": "minds14",
        "config": "en-US",
        "split": "test",
    }
    assert "Tested on: data: PolyAI/minds14; split: test (given); n: 20." in rendered(body)
    assert "Training: encoder: facebook/wav2vec2-base; seed: 0" in rendered(body)


def test_the_origin_of_the_bundled_moonshine_is_told(tmp_path):
    folder = write_model(tmp_path, results(encoder="moonshine"))
    metadata, body = split_card(card_of(folder))
    assert metadata["base_model"] == "UsefulSensors/moonshine-tiny"
    origin = "The encoder is that of UsefulSensors/moonshine-tiny (MIT, English), by way of the "
    assert origin + "package moonshine-voice 0.1.0." in rendered(body)
    assert "speech_intent" not in body  # which a Moonshine's classifier cannot be loaded without
    config = {"model_type": "moonshine", "id2label": {"0": "on"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert "\nimport speech_intent " in card_of(folder)
    other = write_model(tmp_path, results(encoder="small"))
    assert "moonshine" not in card_of(other)


@pytest.mark.parametrize(
    "path",
    [
        "/home/ann/secret project/calls",
        "~/secret project/calls",
        "../secret project/calls",
        "secret project/calls/",
        r"C:\Users\ann\secret project\calls",
    ],
)
def test_of_a_local_path_nothing_but_its_last_part_is_said(tmp_path, path):
    metrics = results(data=path, encoder=path.replace("calls", "encoder"), config=None)
    folder = write_model(tmp_path, metrics)
    card = card_of(folder)
    metadata, body = split_card(card)
    assert "datasets" not in metadata
    assert "base_model" not in metadata
    (result,) = metadata["model-index"][0]["results"]
    assert result["dataset"] == {"type": "calls", "name": "calls", "split": "test"}
    assert "data: calls; " in body
    assert "encoder: encoder; " in body
    assert "| data | calls | not said | not said |" in body
    assert "secret" not in card
    assert "ann" not in card.replace("channel", "")


def test_a_relative_path_to_a_folder_is_no_hub_id(tmp_path, monkeypatch):
    (tmp_path / "recordings" / "calls").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    metrics = results(data="recordings/calls", config=None)
    metadata, _ = split_card(card_of(write_model(tmp_path, metrics)))
    assert "datasets" not in metadata


# Figures


def test_every_figure_stands_in_both_parts(tmp_path):
    folder = write_model(tmp_path, results(note="The speech is synthetic."))
    metadata, body = split_card(card_of(folder))
    assert metadata["model-index"][0]["name"] == "name"
    (result,) = metadata["model-index"][0]["results"]
    metrics = {metric["name"]: (metric["type"], metric["value"]) for metric in result["metrics"]}
    assert metrics == {
        "accuracy": ("accuracy", 0.70),
        "f1 micro": ("f1", 0.71),
        "f1 macro": ("f1", 0.72),
        "f1 weighted": ("f1", 0.73),
        "precision micro": ("precision", 0.74),
        "precision macro": ("precision", 0.75),
        "precision weighted": ("precision", 0.76),
        "recall micro": ("recall", 0.77),
        "recall macro": ("recall", 0.78),
        "recall weighted": ("recall", 0.79),
    }
    assert "14 of 20 clips of the test split are answered rightly." in body
    assert "| accuracy | 0.7000 | 0.500 to 0.900 |" in body
    assert "| recall weighted | 0.7900 | 0.500 to 0.900 |" in body
    assert "\n\nThe speech is synthetic.\n\nMeasure it on" in body
    # Epochs as they came to be, not as they were asked for.
    words = "Training: encoder: facebook/wav2vec2-base; seed: 0; epochs: 10.0; steps: 120\n"
    words += "Hyperparameters: learning_rate: 3e-05; metric: f1_macro\n"
    assert words in rendered(body)


def test_a_head_on_a_frozen_encoder_is_told_by_its_regularisation(tmp_path):
    numbers = {"epochs": None, "learning_rate": None, "freeze": "encoder"}
    fitted = {"epochs": None, "steps": None, "inverse_regularisation": 0.1}
    folder = write_model(tmp_path, results(**fitted, hyperparameters=numbers))
    _, body = split_card(card_of(folder))
    words = "Training: encoder: facebook/wav2vec2-base; seed: 0; inverse_regularisation: 0.1\n"
    assert f"{words}Hyperparameters: freeze: encoder\n" in rendered(body)


TRAINED = {
    "encoder": "small",
    "seed": 7,
    "hyperparameters": {"epochs": 10, "augment": False, "seed": 7, "freeze": "auto"},
    "versions": {"python": "3.11.9", "torch": "2.9.0"},
    "recipe": {"recipe": "bundled", "data": "/home/ann/my calls", "encoder": "small"},
}


def test_the_command_that_makes_the_model_again_is_said(tmp_path):
    folder = write_model(tmp_path, results(**TRAINED | {"data": "/home/ann/my calls"}))
    clips = "split,file_name,intent,digest\ntrain,a,on,1\ntrain,b,off,2\ntest,c,on,3\n"
    (folder / "clips.csv").write_text(clips)
    _, body = split_card(card_of(folder))
    command = "python -m speech_intent.train --recipe bundled --data 'my calls' --encoder small "
    command += "--epochs 10 --no-augment --seed 7 --output-dir OUT"
    assert f"```bash\n{command}\n```" in body
    assert "Versions: python: 3.11.9; torch: 2.9.0" in rendered(body)
    assert "Clips: train: 2; test: 1" in body


def test_what_of_a_recipe_no_option_says_stands_below_the_command(tmp_path):
    recipe = {"recipe": "scooter", "test_share": 0.2, "add": ["/a/b", "/a/c"]}
    folder = write_model(tmp_path, results(recipe=recipe))
    _, body = split_card(card_of(folder))
    assert "--recipe scooter --add b c " in body
    assert "and in the recipe test\\_share: 0.2." in body


SEARCHED = {
    "trials": 10,
    "diverged": 0,
    "numbers": ["learning_rate", "warmup"],
    "metric": "f1_macro",
    "best": 0.8,
    "seconds": 60.0,
}


def test_a_card_says_which_numbers_were_searched_and_by_what(tmp_path):
    said = "Searched: learning_rate, warmup: the best of 10 trials, by f1_macro on the validation "
    said += "clips; the test split was not looked at"
    _, body = split_card(card_of(write_model(tmp_path / "a", results(search=SEARCHED))))
    assert said in rendered(body)
    diverged = SEARCHED | {"diverged": 2}
    _, body = split_card(card_of(write_model(tmp_path / "b", results(search=diverged))))
    assert "the best of 10 trials, of which 2 diverged, by f1_macro" in rendered(body)
    _, body = split_card(card_of(write_model(tmp_path / "c", results())))
    assert "Searched" not in body


@pytest.mark.parametrize(
    "changed", [{"trials": 0}, {"diverged": 11}, {"numbers": "all"}, {"metric": 3}, {"best": {}}]
)
def test_a_record_of_a_search_that_cannot_be_is_named(tmp_path, changed):
    folder = write_model(tmp_path, results(search=SEARCHED | changed))
    with pytest.raises(ModelError, match=next(iter(changed))):
        card_of(folder)


def test_intents_that_were_added_since_are_counted(tmp_path):
    folder = write_model(tmp_path, None)
    record = {"added": [{"model": "/a/old", "data": "/a/new *ones*", "clips": {"turn_on": 5}}]}
    (folder / "training.json").write_text(json.dumps(record))
    _, body = split_card(card_of(folder))
    assert "that were added since: turn_on: 5 of new *ones*\n" in rendered(body)
    assert "/a/" not in body
    (folder / "training.json").write_text(
        json.dumps({"added": [{"data": "a", "clips": {"on": -1}}]})
    )
    with pytest.raises(ModelError, match=r"training\.json: on is -1"):
        card_of(folder)


def test_of_a_run_of_earlier_no_command_is_made_up(tmp_path):
    assert "The command was not recorded." in card_of(write_model(tmp_path, results()))


KIND = {"n": 48, "accepted": 18, "share": 0.375, "low": 0.252, "high": 0.516, "auroc": 0.961}
LEARNED = {
    "clips": 842,
    "promise": "accept",
    "share": 0.95,
    "confidence": 0.9,
    "kept": True,
    "n": 180,
    "answered": 177,
    "answered_correct": 156,
}


def test_calibration_and_unknown_requests_have_their_figures(tmp_path):
    measured = {
        "calibration_error": 0.03,
        "calibration_error_interval": [0.02, 0.07],
        "coverage": 0.9725,
        "coverage_interval": [0.95, 0.98],
        "accuracy_answered": 0.88,
        "accuracy_answered_interval": [0.85, 0.91],
        "unknown_test": [KIND | {"kind": "other *sentences*"}],
        "unknown": LEARNED,
    }
    folder = write_model(tmp_path, results(**measured))
    _, body = split_card(card_of(folder))
    assert "a score of a test clip is 3.0 points off the share that is right (2.0 to 7.0)" in body
    assert "It always answers" in body
    assert "842" not in body  # of a model that has lost what decides
    config = json.loads((folder / "config.json").read_text()) | {"rejection_digest": "0" * 64}
    (folder / "config.json").write_text(json.dumps(config))
    _, body = split_card(card_of(folder))
    assert "It always answers" not in body
    assert "Learned from 842 clips of no request, so that at least 95 % of the taught" in body
    assert "177 of 180 validation clips are answered, 156 of them rightly." in body
    assert "Of the test clips 97.2 % are answered, 88.0 % of those rightly." in body
    assert "| other \\*sentences\\* | 18 of 48 | 0.252 to 0.516 | 0.961 |" in body


def test_what_the_onnx_form_costs_is_said(tmp_path):
    folder = write_model(tmp_path, None)
    write_export(folder)
    _, body = split_card(card_of(folder))
    words = "As ONNX for the fast engine: onnx/model.onnx: float32 scores within 1.2e-06 of torch's"
    assert words in body
    (folder / "onnx/model.onnx").rename(folder / "model.onnx")  # where earlier versions put it
    _, body = split_card(card_of(folder))
    assert "As ONNX" not in body


@pytest.mark.parametrize(
    ("model_type", "is_exported", "is_there"),
    [
        ("wav2vec2", True, True),
        ("unispeech-sat", True, True),
        ("wav2vec2", False, False),
        ("whisper", True, False),  # Transformers.js knows it, but not to classify
        ("data2vec-audio", True, False),
    ],
)
def test_javascript_is_spoken_of_where_transformers_js_takes_the_model(
    tmp_path, model_type, is_exported, is_there
):
    folder = write_model(tmp_path, None)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": model_type}))
    if is_exported:
        write_export(folder)
    metadata, body = split_card(card_of(folder, name='a "b"'))
    assert ("transformers.js" in metadata["tags"]) == is_there
    assert metadata["library_name"] == "transformers"
    snippets = re.findall(r"```js\n(.*?)```", body, flags=re.DOTALL)
    assert len(snippets) == is_there
    for snippet in snippets:
        assert 'pipeline("audio-classification", "a \\"b\\"", { dtype: "fp32" })' in snippet


def test_the_snippet_loads_the_model_by_its_name(tmp_path):
    folder = write_model(tmp_path, None)
    _, body = split_card(card_of(folder))
    assert 'pipeline("audio-classification", model="user/name")' in body
    (snippet,) = re.findall(r"```python\n(.*?)```", body, flags=re.DOTALL)
    compile(snippet, "snippet", "exec")


def test_the_snippet_of_a_whisper_cut_to_the_clip_imports_the_package(tmp_path):
    folder = write_model(tmp_path, None)
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "whisper"}
    for cut in (True, False):
        (folder / "config.json").write_text(json.dumps(config | {"cut_to_clip": cut}))
        _, body = split_card(card_of(folder))
        line = "import speech_intent  # the package: transformers alone gives other scores\n"
        assert (line in body) is cut


@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
def test_a_broken_file_is_named(tmp_path, name):
    folder = write_model(tmp_path, results())
    (folder / name).write_text("{")
    with pytest.raises(ModelError, match=f"{name}: cannot be read"):
        card_of(folder)


# Names


@pytest.mark.parametrize("name", NAMES)
def test_an_intent_reads_as_it_is_called(tmp_path, name):
    folder = write_model(tmp_path, None, labels=(name, "other"))
    _, body = split_card(card_of(folder))
    assert f"in between: one of {name}, other." in rendered(body)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "a\\b"])
def test_data_and_notes_read_as_they_are_called(tmp_path, name):
    metrics = results(data=f"/home/ann/{name}", config=None, note=f"It is {name}.")
    folder = write_model(tmp_path, metrics)
    metadata, body = split_card(card_of(folder))
    (result,) = metadata["model-index"][0]["results"]
    assert result["dataset"]["name"] == name
    assert f"data: {name}; split" in rendered(body)
    assert f"It is {name}." in rendered(body)


@pytest.mark.parametrize("name", [*NAMES, "a: b\n---\nlicense: mit"])
def test_no_name_of_data_breaks_out_of_the_metadata(tmp_path, name):
    folder = write_model(tmp_path, results(data=name, config=None))
    metadata, body = split_card(card_of(folder))
    assert "license" not in metadata
    assert metadata["library_name"] == "transformers"
    assert body.startswith("\n# name\n")


def test_a_model_with_a_strange_name_has_it_in_its_title_and_its_snippet(tmp_path):
    folder = write_model(tmp_path, None)
    _, body = split_card(card_of(folder, name='user/*x*"'))
    assert rendered(body).startswith('*x*"\n')
    assert 'model="user/*x*\\"")' in body


# Whose voices


def test_a_card_says_that_no_person_was_heard_and_what_was_added(tmp_path):
    metrics = results(
        added=["/home/ann/voices", "user/more_voices"],
        synthetic={"train": [9, 9], "validation": [0, 2], "scored": [20, 20]},
        adapted={"folder": "kit_chen", "clips": 12, "test_clips": 0},
    )
    metadata, body = split_card(card_of(write_model(tmp_path, metrics)))
    assert metadata["datasets"] == ["PolyAI/minds14", "user/more_voices"]
    text = rendered(body)
    assert "| added to training | voices | not said | not said |" in body
    assert "| added to training | user/more\\_voices | not said | not said |" in body
    assert "No person was heard in training: all 9 training clips are synthetic." in text
    assert "the figure is about synthetic voices, and says nothing about people." in text
    assert "Adapted to 12 unlabelled recordings (kit_chen)." in text
    assert "ann" not in body.replace("channel", "")


def test_of_people_a_card_says_nothing(tmp_path):
    metrics = results(synthetic={"train": [0, 9], "validation": [0, 2], "scored": [0, 20]})
    old = card_of(write_model(tmp_path / "old", results()))
    assert card_of(write_model(tmp_path / "new", metrics)) == old
