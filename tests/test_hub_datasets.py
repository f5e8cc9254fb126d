"""Datasets over HTTP from a Hub on this machine: the schemas of the recipes, and what is wrong."""

from collections import Counter

import hub_client
import huggingface_hub
import numpy as np
import pytest
import soundfile
from datasets import ClassLabel
from hub_client import LOCALES, MINDS14, SCOOTER

from speech_intent import audio, data, folders, hub_datasets, remarks, train
from speech_intent.errors import DataError
from speech_intent.recipes import RECIPES, Recipe, resolve
from speech_intent.tables import is_corrected

SKIT = RECIPES["skit-s2i"]


@pytest.fixture
def hub(monkeypatch):
    """This process asks a Hub on this machine, which holds the datasets of the recipes."""
    hub_client.visit(monkeypatch)
    hub_client.make_datasets()


# The schemas of the recipes


def test_intents_may_be_text(hub):
    listing = hub_datasets.read_hub(RECIPES["scooter"].data, RECIPES["scooter"])
    table = listing.table
    assert list(table["intent"]) == [name for name in SCOOTER for _ in range(6)]
    assert list(table["file_name"][:2]) == ["train/00000", "train/00001"]
    assert set(table["split"]) == {""}  # the only part there is
    assert set(table["speaker"]) == {""}
    assert listing.problems == ()
    assert len(listing.clips) == 54
    assert listing.clips[8] == {"audio": hub_client.clip(1, 2)}  # still encoded


def test_a_script_is_read_from_the_hubs_own_copy_and_classes_by_their_names(hub):
    listing = hub_datasets.read_hub(RECIPES["minds14"].data, RECIPES["minds14"])
    assert list(listing.table["intent"]) == [name for name in MINDS14 for _ in range(5)]


def test_numbered_intents_get_the_names_of_the_recipe_and_splits_stay(hub):
    table = hub_datasets.read_hub(SKIT.data, SKIT).table
    train_rows = table[table["split"] == "train"]
    test_rows = table[table["split"] == "test"]
    assert list(train_rows["intent"]) == [name for name in SKIT.intents for _ in range(6)]
    assert list(test_rows["intent"]) == [name for name in SKIT.intents for _ in range(3)]
    assert list(test_rows["speaker"][:3]) == ["1", "2", "3"]
    assert list(test_rows["file_name"][:2]) == ["test/00000", "test/00001"]


def test_the_audio_column_may_have_another_name(hub, monkeypatch):
    parts = hub_datasets._download("MuhammadIqbalBazmi/intent-dataset", RECIPES["scooter"])
    parts = parts.rename_column("audio", "speech")
    monkeypatch.setattr(hub_datasets, "_download", lambda repo, recipe: parts)
    listing = hub_datasets.read_hub("any/name", Recipe(audio="speech", intent="label"))
    assert listing.clips[0] == {"audio": hub_client.clip(0, 0)}


@pytest.mark.parametrize(
    ("name", "note", "counts"),
    [
        # 30 % of 6 clips an intent, then 15 % of the 4 left: 2 and 1
        ("scooter", "stratified by clip 30 %", (9 * 3, 9 * 1, 9 * 2)),
        # 20 % of 5 clips an intent, then 15 % of the 4 left: 1 and 1
        ("minds14", "stratified by clip 20 %", (14 * 3, 14 * 1, 14 * 1)),
        ("minds14-language", "stratified by clip 20 %", (14 * 3, 14 * 1, 14 * 1)),
    ],
)
def test_where_the_data_name_no_splits_the_recipe_draws_them(hub, name, note, counts):
    splits = data.load_data(RECIPES[name])
    assert splits.note.startswith(note)
    assert tuple(map(len, splits.tables.values())) == counts


def test_languages_are_labels_and_each_is_in_every_split(hub):
    """Drawn by the intents of the same clips, of which there are three, some would be missing."""
    for recipe in (
        RECIPES["minds14-language"],
        resolve("minds14", config="all", intent="lang_id"),  # --config, --intent-column
    ):
        tables = data.load_data(recipe).tables
        for split, n_each in {"train": 3, "validation": 1, "test": 1}.items():
            label = tables[split].features["label"]
            counts = Counter(label.int2str(tables[split]["label"][:]))
            assert counts == dict.fromkeys(LOCALES, n_each)


def test_given_splits_are_kept_and_shared_speakers_are_named(hub):
    splits = data.load_data(SKIT)
    note = "given; validation stratified by clip 10 %, seed 0 of train"
    shared = "3 of 3 speakers and 14 of 14 phrasings"  # of 28 in train
    assert splits.note == f"{note}; WARNING: test shares {shared} with train"
    assert tuple(map(len, splits.tables.values())) == (14 * 5, 14 * 1, 14 * 3)


def test_the_label_column_is_the_intent_where_there_is_no_other(hub):
    listing = hub_datasets.read_hub(RECIPES["scooter"].data, Recipe())
    assert list(listing.table["intent"]) == [name for name in SCOOTER for _ in range(6)]


# What is said


def test_transcripts_are_kept_and_shared_phrasings_are_named(hub):
    splits = data.load_data(RECIPES["minds14"])
    texts = {split: set(table["text"]) for split, table in splits.tables.items()}
    assert texts["train"] | texts["validation"] | texts["test"] == {
        f"{name} {i}" for name in MINDS14 for i in range(3)
    }
    shared = texts["train"] & texts["test"]
    assert 0 < len(shared) < len(texts["test"]) == 14
    end = f"; WARNING: test shares {len(shared)} of 14 phrasings with train"
    assert splits.note.endswith(end)


def test_templates_of_skit_are_kept(hub):
    table = hub_datasets.read_hub(SKIT.data, SKIT).table
    assert list(table["text"][:6]) == ["request 0 0"] * 3 + ["request 0 1"] * 3


def test_numbered_templates_are_kept_by_number_or_name(hub, monkeypatch):
    parts = hub_datasets._download(SKIT.data, SKIT)
    numbers = {split: list(range(len(part))) for split, part in parts.items()}
    for split, part in parts.items():
        parts[split] = part.remove_columns("template").add_column("template", numbers[split])
    monkeypatch.setattr(hub_datasets, "_download", lambda repo, recipe: parts)
    table = hub_datasets.read_hub(SKIT.data, SKIT).table
    assert list(table["text"]) == [str(i) for split in ("train", "test") for i in numbers[split]]
    names = ClassLabel(names=[f"say {i}" for i in range(14 * 6)])
    parts = parts.cast_column("template", names)
    monkeypatch.setattr(hub_datasets, "_download", lambda repo, recipe: parts)
    assert hub_datasets.read_hub(SKIT.data, SKIT).table["text"][3] == "say 3"


def test_another_column_may_be_named_as_the_transcript(hub):
    recipe = resolve("minds14", text="english_transcription")
    assert set(hub_datasets.read_hub(recipe.data, recipe).table["text"]) == {"a request"}


def test_data_without_transcripts_have_no_such_column(hub):
    table = hub_datasets.read_hub(RECIPES["scooter"].data, RECIPES["scooter"]).table
    assert list(table.columns) == ["file_name", "intent", "speaker", "split"]


def test_corrected_clips_stay_what_they_are(hub, monkeypatch):
    parts = hub_datasets._download(SKIT.data, SKIT)
    n = len(parts["train"])
    marks = {"Corrected": ["yes", None] * (n // 2), "original_digest": ["ab", None] * (n // 2)}
    for name, values in marks.items():
        parts["train"] = parts["train"].add_column(name, values)
    monkeypatch.setattr(hub_datasets, "_download", lambda repo, recipe: parts)
    table = hub_datasets.read_hub(SKIT.data, SKIT).table
    assert is_corrected(table).tolist() == [True, False] * (n // 2) + [False] * (len(table) - n)
    assert table["original_digest"].tolist()[:3] == ["ab", "", "ab"]


def test_a_published_folder_comes_back_as_a_folder(hub, tone_folder):
    hub_client.upload("tester/tone-folder", tone_folder, "dataset")
    folder = hub_datasets.as_folder("tester/tone-folder")
    assert (folder / "metadata.csv").read_bytes() == (tone_folder / "metadata.csv").read_bytes()
    assert len(folders.read_table(folder)) == 40  # links to blobs as its files are
    assert hub_datasets.as_folder(RECIPES["scooter"].data) is None
    assert hub_datasets.as_folder("nobody/nothing") is None


def test_the_address_in_a_browser_names_a_dataset(hub, tone_folder):
    hub_client.upload("tester/linked-tones", tone_folder, "dataset")
    address = f"{huggingface_hub.constants.ENDPOINT}/datasets/tester/linked-tones"
    assert hub_datasets.as_folder(address) == hub_datasets.as_folder("tester/linked-tones")
    recipe = RECIPES["scooter"]
    listing = hub_datasets.read_hub(f"https://huggingface.co/datasets/{recipe.data}", recipe)
    assert len(listing.clips) == 54
    with pytest.raises(DataError, match="is the address of a model; name a dataset"):
        hub_datasets.as_folder("https://huggingface.co/tester/linked-tones")


# What is wrong with a dataset


def test_intents_that_look_alike_are_named(hub, monkeypatch):
    parts = hub_datasets._download(RECIPES["scooter"].data, RECIPES["scooter"])
    labels = ["Battery " if i < 2 else "battery" if i < 6 else "off" for i in range(54)]
    parts["train"] = parts["train"].remove_columns("label").add_column("label", labels)
    monkeypatch.setattr(hub_datasets, "_download", lambda repo, recipe: parts)
    assert hub_datasets.read_hub("any/name", RECIPES["scooter"]).problems == (
        "the intents 'battery' (4 of the clips) and 'Battery' (2 of the clips) look alike; "
        "write 'battery' for all of them, or names that differ more",
    )


def test_a_wrong_token_is_named(hub, monkeypatch, tmp_path):
    hub_client.use_cache(monkeypatch, tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(DataError) as error:
        data.load_data(RECIPES["scooter"])
    (problem,) = error.value.problems
    assert problem.startswith("the Hub does not know this token; correct or unset HF_TOKEN")


@pytest.mark.parametrize(
    ("recipe", "given", "words"),
    [
        (
            "scooter",
            {"intent": "labels"},
            "train has no column 'labels'; it has audio, label",
        ),
        (
            "minds14",
            {"text": "template"},
            "train has no column 'template'; it has audio, path, transcription, "
            "english_transcription, intent_class, lang_id",
        ),
        (
            "scooter",
            {"audio": "label"},
            "column 'label' of train holds no audio; there are audio (Audio), label (Value)",
        ),
        (
            "minds14",
            {"config": "xx-XX"},
            "it has no configuration 'xx-XX'; there are all, en-US",
        ),
        ("bundled", {"data": "tester/unlabelled"}, "train/00002: its intent is empty"),
        ("bundled", {"data": "tester/untested"}, "does a split have no rows?"),
        (
            "bundled",
            {"data": "nobody/nothing"},
            "it is no folder, and not on the Hub, or private; "
            "check the spelling, or log in with `hf auth login`",
        ),
    ],
)
def test_what_is_wrong_is_said_with_what_there_is(hub, recipe, given, words):
    recipe = resolve(recipe, **given)
    with pytest.raises(DataError) as error:
        data.load_data(recipe)
    assert error.value.name == recipe.data
    assert words in " ".join(error.value.problems)


def test_a_dataset_out_of_reach_says_what_to_do(hub, monkeypatch, tmp_path):
    hub_client.use_cache(monkeypatch, tmp_path)
    hub_client.set_offline(monkeypatch, True)
    with pytest.raises(DataError) as error:
        data.load_data(RECIPES["minds14"])
    (problem,) = error.value.problems
    assert problem.startswith("the Hub cannot be reached: HF_HUB_OFFLINE forbids it")
    assert "put its clips into a folder with a metadata.csv" in problem


def test_the_command_line_says_it_in_lines_without_a_traceback(hub, tmp_path, capsys):
    output_dir = tmp_path / "out"
    options = ["--data", "nobody/nothing", "--output-dir", str(output_dir)]
    assert train.main(options) == 1
    heading, problem = capsys.readouterr().err.splitlines()
    assert heading == "error: nobody/nothing cannot be used:"
    assert problem.startswith("  - it is no folder, and not on the Hub, or private; ")
    assert not output_dir.exists()


# With others


def test_a_hub_dataset_may_be_added_to_a_folder_and_the_other_way_round(hub, tmp_path):
    """Both sides say the same intents; the folder's clips are other ones."""
    folder = tmp_path / "people"
    rows = ["file_name,intent"]
    for i, name in enumerate(name for name in SCOOTER for _ in range(4)):
        path = folder / f"{i}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.sin(np.arange(4_000) * (0.01 + 0.001 * i)) / 2, 16_000)
        rows.append(f"{i}.wav,{name}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    name = RECIPES["scooter"].data
    added = data.load_data(Recipe(data=str(folder), intent="label", add=(name,)))
    last = name.split("/")[1]
    train_names = added.tables["train"]["file_name"]
    assert sum(clip.startswith(f"{last}/train/") for clip in train_names) == 54
    assert len(added.tables["test"]) == 9
    recipe = Recipe(data=name, intent="label", add=(str(folder),))
    other_way = data.load_data(recipe)
    assert len(other_way.tables["test"]) == 18
    for tables in (added.tables, other_way.tables):
        for row in tables["train"]:
            assert len(audio.load(row["audio"], 16_000)) > 1_000


def test_what_spoke_a_clip_is_kept(hub, monkeypatch):
    parts = hub_datasets._download(SKIT.data, SKIT)
    for split, part in parts.items():
        parts[split] = part.add_column("engine", ["robot", None] * (len(part) // 2))
    monkeypatch.setattr(hub_datasets, "_download", lambda repo, recipe: parts)
    table = hub_datasets.read_hub(SKIT.data, SKIT).table
    assert list(table["engine"][:4]) == ["robot", "", "robot", ""]
    assert remarks.count_synthetic(data.load_data(SKIT).tables["test"]) == [21, 42]
