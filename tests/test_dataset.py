"""What must hold for the bundled dataset, checked from its files (no speech engine needed)."""

import csv
import hashlib
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

DATASET = Path(__file__).resolve().parents[1] / "dataset"
SPLITS = ["train", "validation", "test"]
ENGINES = {"espeak-ng", "flite", "festival"}
INTENTS = {
    "battery",
    "Running_operating_cost",
    "Locate_Dealer",
    "casual_talk_greeting",
    "Top_speed",
    "casual_talk_goodbye",
    "About_iQube",
    "bike_modes",
    "book_now",
}
FILLERS = [
    "could you",
    "can you",
    "would you",
    "thank you",
    "thanks",
    "please",
    "kindly",
    "hey",
    "okay",
]
FILLERS += ["ok", "um", "uh", "er", "ah", "oh", "well", "so", "just"]


def normalise(text):
    """Return the text in lower case without punctuation, fillers and politeness."""
    text = re.sub(r"[^a-z0-9 ]", "", text.lower())
    text = re.sub(rf"\b({'|'.join(FILLERS)})\b", " ", text)
    return " ".join(text.split())


def audible_seconds(waveform, rate, below_peak_db=30):
    """Return the seconds from the first to the last 20 ms frame within 30 dB of the loudest one.

    `waveform` has shape (samples,).
    """
    hop = rate // 100
    energy = np.add.reduceat(waveform.astype(np.float64) ** 2, np.arange(0, len(waveform), hop))
    energy = energy[:-1] + energy[1:]
    loud = np.flatnonzero(energy > energy.max() * 10 ** (-below_peak_db / 10))
    return (loud[-1] - loud[0] + 2) * hop / rate


@pytest.fixture(scope="module")
def phrasings():
    return pd.read_csv(DATASET / "phrasings.csv")


@pytest.fixture(scope="module")
def voices():
    return pd.read_csv(DATASET / "voices.csv")


@pytest.fixture(scope="module")
def clips():
    return pd.concat(
        [pd.read_csv(DATASET / "csv" / f"{split}.csv").assign(split=split) for split in SPLITS],
        ignore_index=True,
    )


@pytest.fixture(scope="module")
def decoded(clips):
    rows = []
    for name in clips["file_name"]:
        waveform, rate = sf.read(DATASET / name, dtype="float32")
        rows.append(
            {
                "rate": rate,
                "dimensions": waveform.ndim,
                "seconds": len(waveform) / rate,
                "audible": audible_seconds(waveform, rate),
                "finite": bool(np.isfinite(waveform).all()),
                "peak": float(np.abs(waveform).max()),
                "full_scale": float(np.mean(np.abs(waveform) >= 0.999)),
                "hash": hashlib.sha256(waveform.tobytes()).hexdigest(),
            }
        )
    return pd.DataFrame(rows)


def test_phrasings_hold_four_requests_an_intent_in_twelve_wordings_split_8_1_3(phrasings):
    assert list(phrasings.columns) == ["intent", "request", "text", "split"]
    assert set(phrasings["intent"]) == INTENTS
    assert (phrasings.groupby("intent")["request"].nunique() == 4).all()
    table = phrasings.groupby(["intent", "request", "split"]).size().unstack()
    assert (
        (table["train"] == 8).all()
        and (table["validation"] == 1).all()
        and (table["test"] == 3).all()
    )


def test_phrasings_have_3_to_14_words_and_no_digits(phrasings):
    assert phrasings["text"].str.split().str.len().between(3, 14).all()
    assert phrasings["text"].str.fullmatch(r"[a-z' ]+").all()


def test_phrasings_differ_by_more_than_case_punctuation_fillers_and_politeness(phrasings):
    assert normalise("Hey, could you switch to ECO mode, please?") == normalise(
        "um switch to eco mode"
    )
    counts = Counter(normalise(text) for text in phrasings["text"])
    assert [text for text, count in counts.items() if count > 1 or not text] == []


@pytest.mark.parametrize(
    "word",
    [
        "battery",
        "charge",
        "charging",
        "range",
        "cost",
        "price",
        "scooter",
        "bike",
        "cube",
        "speed",
        "eco",
        "mode",
        "dealer",
        "showroom",
        "today",
        "ride",
        "fast",
        "hello",
        "see you",
        "morning",
        "kilometers",
        "petrol",
    ],
)
def test_common_words_occur_in_several_intents(phrasings, word):
    spoken = phrasings[phrasings["text"].str.contains(rf"\b{word}\b")]
    assert spoken["intent"].nunique() >= 2


def test_csv_columns_and_labels(clips):
    for split in SPLITS:
        with open(DATASET / "csv" / f"{split}.csv", newline="", encoding="utf-8") as file:
            assert next(csv.reader(file)) == [
                "file_name",
                "intent",
                "speaker",
                "engine",
                "text",
                "seconds",
            ]
    assert not clips.isna().any().any()
    for split in SPLITS:
        assert set(clips.loc[clips["split"] == split, "intent"]) == INTENTS


def test_clips_agree_with_the_phrasings_and_voices_of_their_split(clips, phrasings, voices):
    known_texts = set(phrasings[["intent", "text", "split"]].itertuples(index=False, name=None))
    assert set(clips[["intent", "text", "split"]].itertuples(index=False, name=None)) == known_texts
    known_voices = set(voices[["speaker", "engine", "split"]].itertuples(index=False, name=None))
    assert (
        set(clips[["speaker", "engine", "split"]].itertuples(index=False, name=None))
        == known_voices
    )


@pytest.mark.parametrize("column", ["speaker", "text", "normalised"])
def test_no_voice_and_no_phrasing_is_shared_between_splits(clips, column):
    clips = clips.assign(normalised=clips["text"].map(normalise))
    assert (clips.groupby(column)["split"].nunique() == 1).all()


def test_festival_occurs_only_in_the_test_split(clips):
    assert set(clips.loc[clips["engine"] == "festival", "split"]) == {"test"}


def test_composition_of_engines_and_voices(clips):
    assert set(clips["engine"]) == ENGINES
    assert clips["engine"].value_counts(normalize=True).max() <= 0.58
    test_share = clips[clips["split"] == "test"]["engine"].value_counts(normalize=True)
    assert 0.45 <= test_share["espeak-ng"] <= 0.50
    assert 0.17 <= test_share["flite"] <= 0.23 and 0.27 <= test_share["festival"] <= 0.33
    assert clips["speaker"].value_counts().min() >= 5


def test_test_split_has_24_clips_of_every_intent_and_every_engine(clips):
    test = clips[clips["split"] == "test"]
    assert test["intent"].value_counts().min() >= 24
    table = pd.crosstab(test["intent"], test["engine"])
    assert table.shape == (9, 3) and (table > 0).all().all()


def test_intents_are_imbalanced_in_the_same_way_in_each_split(clips):
    share = pd.crosstab(clips["intent"], clips["split"], normalize="columns")
    assert share["train"].min() < 0.6 * share["train"].max()
    assert (share.sub(share["train"], axis=0).abs() < 0.02).all().all()


def test_every_file_is_listed_once_and_exists(clips):
    assert clips["file_name"].is_unique
    on_disk = {f"audio/{path.name}" for path in (DATASET / "audio").iterdir()}
    assert set(clips["file_name"]) == on_disk


def test_audio_is_at_most_20_megabytes():
    assert sum(path.stat().st_size for path in (DATASET / "audio").iterdir()) <= 20_000_000


def test_audio_is_16_khz_mono_and_finite(decoded):
    assert (decoded["rate"] == 16000).all()
    assert (decoded["dimensions"] == 1).all()
    assert decoded["finite"].all()


def test_seconds_column_is_the_decoded_duration(clips, decoded):
    assert (clips["seconds"] - decoded["seconds"]).abs().max() <= 0.00051  # rounded to milliseconds


def test_every_clip_has_1_to_6_seconds_of_audible_speech(decoded):
    assert len(decoded) >= 1000
    assert decoded["audible"].between(1.05, 5.9).all()
    assert decoded["seconds"].max() <= 6.0


def test_levels_vary_and_do_not_clip(decoded):
    peak_db = 20 * np.log10(decoded["peak"])
    assert peak_db.min() > -19 and peak_db.std() > 3
    assert decoded["full_scale"].max() < 1e-3


def test_no_two_clips_hold_the_same_audio(decoded):
    assert decoded["hash"].is_unique


def test_dataset_card_says_the_speech_is_synthetic():
    card = (DATASET / "README.md").read_text(encoding="utf-8")
    assert (
        card.startswith("---\n") and "audio-classification" in card and "synthetic" in card.lower()
    )
