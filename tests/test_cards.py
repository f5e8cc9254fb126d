"""Cards say what somebody has said, in words that no name can break out of."""

import json
import re
from html import unescape
from pathlib import Path

import mistune
import pandas as pd
import pytest
import yaml

from speech_intent import cards
from speech_intent.cards import Terms
from speech_intent.errors import ModelError

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
    figures = {figure: round(0.70 + 0.01 * i, 2) for i, figure in enumerate(cards.FIGURES)}
    intervals = {f"{figure}_interval": INTERVAL for figure in cards.FIGURES}
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
    metadata, _ = split_card(cards.model_card(folder, "user/name"))
    assert "license" not in metadata
    assert "language" not in metadata
    terms = cards.model_terms(folder, None, None)
    assert terms == Terms(None, None)
    assert terms.note() == "the card names no licence (--license) and no language (--language)"


def test_what_is_given_is_named(tmp_path):
    folder = write_model(tmp_path, results())
    metadata, _ = split_card(cards.model_card(folder, "user/name", "cc-by-4.0", "de"))
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["language"] == "de"  # rather than the en-US of the data
    assert cards.model_terms(folder, "cc-by-4.0", "de").note() == ""


@pytest.mark.parametrize(
    ("terms", "note"),
    [
        (Terms("mit", "en"), ""),
        (Terms(None, "en"), "the card names no licence (--license)"),
        (Terms("mit", None), "the card names no language (--language)"),
    ],
)
def test_the_note_names_the_option_that_would_say_more(terms, note):
    assert terms.note() == note


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
        ("bundled", "en-US", None),
    ],
)
def test_the_language_is_that_of_the_datas_configuration(tmp_path, data, config, language):
    folder = write_model(tmp_path, results(data=data, config=config))
    assert cards.data_language(cards.read_results(folder)) == language
    metadata, _ = split_card(cards.model_card(folder, "user/name"))
    assert metadata.get("language") == language


def test_a_folder_has_no_configuration_whatever_its_recipe_says(tmp_path):
    folder = write_model(tmp_path, results(data="/home/ann/calls", config="en-US"))
    assert "en-US" not in cards.model_card(folder, "user/name")


def test_without_results_nothing_is_known_of_data_and_language(tmp_path):
    folder = write_model(tmp_path, None)
    metadata, body = split_card(cards.model_card(folder, "user/name"))
    assert metadata == {
        "library_name": "transformers",
        "model_name": "name",
        "pipeline_tag": "audio-classification",
        "tags": ["speech", "intent-classification", "wav2vec2"],
    }
    assert "None were recorded with this model." in body


# Data and encoder


def test_data_and_encoder_of_the_hub_are_linked(tmp_path):
    folder = write_model(tmp_path, results())
    metadata, body = split_card(cards.model_card(folder, "user/name"))
    assert metadata["datasets"] == ["PolyAI/minds14"]
    assert metadata["base_model"] == "facebook/wav2vec2-base"
    (result,) = metadata["model-index"][0]["results"]
    assert result["dataset"] == {
        "type": "PolyAI/minds14",
        "name": "minds14",
        "config": "en-US",
        "split": "test",
    }
    assert "data: PolyAI/minds14; config: en-US; split: test (given)" in rendered(body)
    assert "encoder: facebook/wav2vec2-base" in rendered(body)


def test_the_origin_of_the_bundled_moonshine_is_told(tmp_path):
    folder = write_model(tmp_path, results(encoder="moonshine"))
    metadata, body = split_card(cards.model_card(folder, "user/name"))
    assert metadata["base_model"] == "UsefulSensors/moonshine-tiny"
    origin = "The encoder is that of UsefulSensors/moonshine-tiny (MIT, English), by way of the "
    assert origin + "package moonshine-voice 0.1.0." in rendered(body)
    assert "speech_intent" not in body  # which a Moonshine's classifier cannot be loaded without
    config = {"model_type": "moonshine", "id2label": {"0": "on"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert "\nimport speech_intent " in cards.model_card(folder, "user/name")
    other = write_model(tmp_path, results(encoder="small"))
    assert "moonshine" not in cards.model_card(other, "user/name")


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
    card = cards.model_card(folder, "user/name")
    metadata, body = split_card(card)
    assert "datasets" not in metadata
    assert "base_model" not in metadata
    (result,) = metadata["model-index"][0]["results"]
    assert result["dataset"] == {"type": "calls", "name": "calls", "split": "test"}
    assert "data: calls; " in body
    assert "encoder: encoder; " in body
    assert "secret" not in card
    assert "ann" not in card.replace("channel", "")


def test_a_relative_path_to_a_folder_is_no_hub_id(tmp_path, monkeypatch):
    (tmp_path / "recordings" / "calls").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    metrics = results(data="recordings/calls", config=None)
    metadata, _ = split_card(cards.model_card(write_model(tmp_path, metrics), "user/name"))
    assert "datasets" not in metadata


# Figures


def test_every_figure_stands_in_both_parts(tmp_path):
    folder = write_model(tmp_path, results(note="The speech is synthetic."))
    metadata, body = split_card(cards.model_card(folder, "user/name"))
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
    assert "trained on. The speech is synthetic. Measure it on" in body
    # Epochs as they came to be, not as they were asked for.
    words = "Training: epochs: 10.0; learning_rate: 3e-05; metric: f1_macro; data: PolyAI/minds14; "
    words += "config: en-US; split: test (given); n: 20; encoder: facebook/wav2vec2-base; seed: 0; "
    words += "steps: 120."
    assert words in rendered(body)


def test_a_head_on_a_frozen_encoder_is_told_by_its_regularisation(tmp_path):
    numbers = {"epochs": None, "learning_rate": None, "freeze": "encoder"}
    fitted = {"epochs": None, "steps": None, "inverse_regularisation": 0.1}
    folder = write_model(tmp_path, results(**fitted, hyperparameters=numbers))
    _, body = split_card(cards.model_card(folder, "user/name"))
    words = "Training: freeze: encoder; data: PolyAI/minds14; config: en-US; split: test (given); "
    words += "n: 20; encoder: facebook/wav2vec2-base; seed: 0; inverse_regularisation: 0.1."
    assert words in rendered(body)


def test_what_the_onnx_form_costs_is_said(tmp_path):
    folder = write_model(tmp_path, None)
    record = {"precision": "float32", "difference": 1.2e-6, "reduced": []}
    record |= {"digests": {}, "weights": {}}
    (folder / "onnx.json").write_text(json.dumps(record))
    _, body = split_card(cards.model_card(folder, "user/name"))
    words = "As ONNX for the fast engine: model.onnx: float32 scores within 1.2e-06 of torch's"
    assert words in body


def test_the_snippet_loads_the_model_by_its_name(tmp_path):
    folder = write_model(tmp_path, None)
    _, body = split_card(cards.model_card(folder, "user/name"))
    assert 'pipeline("audio-classification", model="user/name")' in body
    (snippet,) = re.findall(r"```python\n(.*?)```", body, flags=re.DOTALL)
    compile(snippet, "snippet", "exec")


def test_the_snippet_of_a_whisper_cut_to_the_clip_imports_the_package(tmp_path):
    folder = write_model(tmp_path, None)
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "whisper"}
    for cut in (True, False):
        (folder / "config.json").write_text(json.dumps(config | {"cut_to_clip": cut}))
        _, body = split_card(cards.model_card(folder, "user/name"))
        line = "import speech_intent  # the package: transformers alone gives other scores\n"
        assert (line in body) is cut


@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
def test_a_broken_file_is_named(tmp_path, name):
    folder = write_model(tmp_path, results())
    (folder / name).write_text("{")
    with pytest.raises(ModelError, match=f"{name}: cannot be read"):
        cards.model_card(folder, "user/name")


# Names


@pytest.mark.parametrize("name", NAMES)
def test_an_intent_reads_as_it_is_called(tmp_path, name):
    folder = write_model(tmp_path, None, labels=(name, "other"))
    _, body = split_card(cards.model_card(folder, "user/name"))
    assert f"in between: one of {name}, other." in rendered(body)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "a\\b"])
def test_data_and_notes_read_as_they_are_called(tmp_path, name):
    metrics = results(data=f"/home/ann/{name}", config=None, note=f"It is {name}.")
    folder = write_model(tmp_path, metrics)
    metadata, body = split_card(cards.model_card(folder, "user/name"))
    (result,) = metadata["model-index"][0]["results"]
    assert result["dataset"]["name"] == name
    assert f"data: {name}; split" in rendered(body)
    assert f"trained on. It is {name}. Measure" in rendered(body)


@pytest.mark.parametrize("name", [*NAMES, "a: b\n---\nlicense: mit"])
def test_no_name_of_data_breaks_out_of_the_metadata(tmp_path, name):
    folder = write_model(tmp_path, results(data=name, config=None))
    metadata, body = split_card(cards.model_card(folder, "user/name"))
    assert "license" not in metadata
    assert metadata["library_name"] == "transformers"
    assert body.startswith("\n# name\n")


def test_a_model_with_a_strange_name_has_it_in_its_title_and_its_snippet(tmp_path):
    folder = write_model(tmp_path, None)
    _, body = split_card(cards.model_card(folder, 'user/*x*"'))
    assert rendered(body).startswith('*x*"\n')
    assert 'model="user/*x*\\"")' in body


# Recordings


def test_the_card_of_recordings_counts_their_intents():
    intents = pd.Series(["on", "off", "on", "$5_or_$6", "on", "off"])
    metadata, body = split_card(cards.dataset_card("my_calls", intents, Terms("mit", "no")))
    assert metadata == {
        "task_categories": ["audio-classification"],
        "tags": ["intent-classification"],
        "license": "mit",
        "language": "no",
    }
    assert "6 recordings." in body
    rows = [re.sub(r"\s+", " ", line) for line in rendered(body).splitlines() if line.strip()]
    assert [row.strip() for row in rows] == [
        "my_calls",
        "6 recordings.",
        *("intent", "clips"),
        *("on", "3"),
        *("off", "2"),
        *("$5_or_$6", "1"),
    ]


def test_the_card_of_recordings_leaves_out_what_nobody_has_said():
    metadata, _ = split_card(cards.dataset_card("calls", pd.Series(["on"]), Terms()))
    assert set(metadata) == {"task_categories", "tags"}


@pytest.mark.parametrize("name", NAMES)
def test_an_intent_stays_in_its_row(name):
    intents = pd.Series([name, name, "other"])
    _, body = split_card(cards.dataset_card(name, intents, Terms()))
    html = mistune.create_markdown(escape=False, plugins=["table", "math"])(body)
    cells = [unescape(re.sub("</?code>", "", cell)) for cell in re.findall("<td>(.*?)</td>", html)]
    assert cells == [name, "2", "other", "1"]


# Whose voices


def test_a_card_says_that_no_person_was_heard_and_what_was_added(tmp_path):
    metrics = results(
        added=["/home/ann/voices", "user/more_voices"],
        synthetic={"train": [9, 9], "validation": [0, 2], "scored": [20, 20]},
        adapted={"folder": "kit_chen", "clips": 12, "test_clips": 0},
    )
    metadata, body = split_card(cards.model_card(write_model(tmp_path, metrics), "user/name"))
    assert metadata["datasets"] == ["PolyAI/minds14", "user/more_voices"]
    text = rendered(body)
    assert "added: voices, user/more_voices" in text
    assert "No person was heard in training: all 9 training clips are synthetic." in text
    assert "the figure is about synthetic voices, and says nothing about people." in text
    assert "Adapted to 12 unlabelled recordings (kit_chen)." in text
    assert "ann" not in body.replace("channel", "")


def test_of_people_a_card_says_nothing(tmp_path):
    metrics = results(synthetic={"train": [0, 9], "validation": [0, 2], "scored": [0, 20]})
    old = cards.model_card(write_model(tmp_path / "old", results()), "user/name")
    assert cards.model_card(write_model(tmp_path / "new", metrics), "user/name") == old
