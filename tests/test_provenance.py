import hashlib
import json

import pandas as pd
import pytest

from speech_intent import data, provenance
from speech_intent.errors import ModelError, OutputError
from speech_intent.paths import MOONSHINE

CLIPS = pd.DataFrame(
    [
        ("train", "a.wav", "on", "1"),
        ("train", "b.wav", "off", "2"),
        ("validation", "c.wav", "01", "3"),
        ("test", "d.wav", "on", "4"),
    ],
    columns=provenance.COLUMNS,
)
MADE_OF = {"encoder": "small", "numbers": {"epochs": 1.0}, "seeds": (0, 1)}


def test_a_run_is_made_of_its_encoder_and_every_number(recipe, encoders):
    found = provenance.ingredients(recipe(seed=3))
    numbers = recipe(seed=3).numbers.used()
    assert numbers["seed"] == 3
    encoder = encoders["wav2vec2_layer"]
    weights = (encoder / "model.safetensors").read_bytes()
    digests = [hashlib.sha256(weights).hexdigest()]
    assert found == {"encoder": str(encoder), "encoder_digests": digests, **numbers}


def test_the_bundled_encoder_has_a_digest_and_random_weights_have_none(recipe):
    assert provenance.ingredients(recipe(encoder="random"))["encoder_digests"] is None
    digests = provenance.ingredients(recipe(encoder="moonshine"))["encoder_digests"]
    weights = (MOONSHINE / "model.safetensors").read_bytes()
    assert digests == [hashlib.sha256(weights).hexdigest()]


def test_a_whisper_says_whether_its_mels_are_cut_to_the_clip(recipe, encoders):
    """Earlier runs took 30 s and say nothing, as the runs of other families."""
    cut = provenance.ingredients(recipe(encoder=encoders["whisper"]))
    usual = provenance.ingredients(recipe(encoder=encoders["whisper"], cut_to_clip=False))
    assert cut == usual | {"cut_to_clip": True}
    assert "cut_to_clip" not in usual


def test_an_encoder_that_is_not_there_is_refused(recipe):
    with pytest.raises(ModelError, match="there is no such folder"):
        provenance.ingredients(recipe(encoder="/gone"))


def test_the_clips_are_listed_by_split_with_a_digest_of_their_samples(recipe, tone_folder):
    tables = data.load_data(recipe()).tables
    clips = provenance.clips_of(tables)
    assert list(clips.columns) == provenance.COLUMNS
    assert clips["split"].value_counts().to_dict() == {"train": 16, "validation": 8, "test": 16}
    listed = pd.read_csv(tone_folder / "metadata.csv").set_index("file_name")
    by_name = clips.set_index("file_name")
    assert by_name["intent"].to_dict() == listed["intent"].to_dict()
    assert by_name["split"].to_dict() == listed["split"].to_dict()
    assert by_name["digest"].nunique() == 40


def test_a_list_of_clips_is_read_as_it_was_written(tmp_path):
    provenance.claim(tmp_path, MADE_OF, CLIPS, begun=False)
    pd.testing.assert_frame_equal(provenance.read_clips(tmp_path), CLIPS)


def test_a_model_may_not_say_what_it_was_made_of(tmp_path):
    assert provenance.read_clips(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\0\0", b'"\n'])
def test_a_list_that_cannot_be_read_is_a_broken_model(tmp_path, content):
    (tmp_path / "clips.csv").write_bytes(content)
    with pytest.raises(ModelError, match="is no list of the clips"):
        provenance.read_clips(tmp_path)


# Claims


def test_a_claimed_folder_takes_the_same_again_and_nothing_else(tmp_path):
    folder = tmp_path / "out"
    provenance.claim(folder, MADE_OF, begun=False)
    provenance.claim(folder, MADE_OF)
    with pytest.raises(OutputError) as error:
        provenance.claim(folder, MADE_OF | {"numbers": {"epochs": 3.0}, "data": "other"})
    assert error.value.name == str(folder)
    assert error.value.problem == (
        "holds results of other data None (now other), "
        "numbers {'epochs': 1.0} (now {'epochs': 3.0})"
    )
    provenance.claim(folder, MADE_OF)


def test_a_claim_without_results_does_not_count(tmp_path):
    provenance.claim(tmp_path, MADE_OF, CLIPS, begun=False)
    provenance.claim(tmp_path, {"encoder": "base"}, CLIPS.head(2), begun=False)
    provenance.claim(tmp_path, {"encoder": "base"}, CLIPS.head(2))


def test_what_differs_between_two_lists_of_clips_is_counted(tmp_path):
    provenance.claim(tmp_path, MADE_OF, CLIPS, begun=False)
    provenance.claim(tmp_path, MADE_OF, CLIPS.iloc[::-1])  # in whatever order
    now = CLIPS.copy()
    now.loc[0, "split"] = "test"
    now.loc[1, ["intent", "digest"]] = ["on", "9"]
    now.loc[3, "file_name"] = "e.wav"
    with pytest.raises(OutputError) as error:
        provenance.claim(tmp_path, MADE_OF, now)
    assert error.value.problem == (
        "holds results of other clips (1 more, 1 fewer, 1 in another split, "
        "1 of another intent, 1 with other samples)"
    )


@pytest.mark.parametrize("text", [None, "", "[1]", "null", "{"])
def test_results_that_do_not_say_what_they_are_of_are_not_added_to(tmp_path, text):
    provenance.claim(tmp_path, MADE_OF, begun=False)
    (tmp_path / "made_of.json").unlink()
    if text is not None:
        (tmp_path / "made_of.json").write_text(text)
    with pytest.raises(OutputError, match="do not say what they were made of"):
        provenance.claim(tmp_path, MADE_OF)


def test_clips_that_are_not_listed_are_other_clips(tmp_path):
    (tmp_path / "made_of.json").write_text(json.dumps(MADE_OF))
    with pytest.raises(OutputError, match="holds results of other clips;"):
        provenance.claim(tmp_path, MADE_OF, CLIPS)


def test_the_same_encoder_may_lie_elsewhere(tmp_path):
    before = {"encoder": "models/a", "encoder_digests": ["1", "2"], "seed": 0}
    provenance.claim(tmp_path, before, begun=False)
    provenance.claim(tmp_path, before | {"encoder": "/models/a/"})
    for changed in ({"encoder": "b", "encoder_digests": ["1", "3"]}, {"encoder_digests": None}):
        with pytest.raises(OutputError, match="holds results of other encoder"):
            provenance.claim(tmp_path, before | changed)


def test_an_encoder_without_a_digest_is_known_by_its_name(tmp_path):
    before = {"encoder": "random", "encoder_digests": None}
    provenance.claim(tmp_path, before, begun=False)
    with pytest.raises(OutputError, match=r"other encoder random \(now other\)"):
        provenance.claim(tmp_path, before | {"encoder": "other"})


def test_added_folders_and_recordings_are_named_by_their_last_part(recipe, tone_folder):
    plain = recipe(encoder="random")
    assert not {"added", "adapted"} & set(provenance.ingredients(plain))  # as in earlier runs
    given = recipe(encoder="random", add=["/a/voices", "user/more"], adapt=tone_folder)
    found = provenance.ingredients(given)
    assert found["added"] == ["voices", "more"]
    assert found["adapted"]["folder"] == tone_folder.name
    assert found["adapted"]["clips"] == 40
    assert len(found["adapted"]["digest"]) == 16
