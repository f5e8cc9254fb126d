import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TONES
from serving_tools import RATE, encoded

from speech_intent import audio
from speech_intent.errors import AudioError, ModelError
from speech_intent.outputs import Outputs
from speech_intent.serving import answers
from speech_intent.serving.answers import Clip, Responder, refusal
from speech_intent.serving.settings import Settings

ODD = Path(__file__).parent / "odd_audio"


@pytest.fixture(scope="module")
def responder(classifier):
    return Responder(classifier, max_seconds=3.0)


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_an_answer_says_what_the_classifier_says(responder, classifier, tone, format):
    data = encoded(tone(TONES["hear_upper"], 0.7), format=format)
    answer = responder.answer(Clip("clip.audio", data))
    body = answer.body
    assert (answer.status, answer.seconds) == (200, body["seconds"])
    assert (body["file"], body["label"], body["warnings"]) == ("clip.audio", "hear_upper", [])
    prediction = classifier.predict(data)
    assert [(row["label"], row["score"]) for row in body["scores"]] == list(prediction.scores)
    assert body["score"] == prediction.score == max(row["score"] for row in body["scores"])
    assert body["seconds"] == pytest.approx(0.7, abs=0.06)  # an MP3 is padded
    assert body["model"] == classifier.name


def test_an_answer_has_the_keys_of_inference_py_and_warnings(responder, tone):
    body = responder.answer(Clip("clip.wav", encoded(tone(500)))).body
    assert " ".join(body) == "file label score scores seconds model engine precision warnings"
    assert (body["engine"], body["precision"]) == ("torch", "float32")


def test_an_answer_below_the_threshold_is_unknown(classifier, tone):
    strict = copy.copy(classifier)
    strict.threshold = 1.1
    clip = Clip("clip.wav", encoded(tone(TONES["hear_low"])))
    body = Responder(strict, 3.0).answer(clip).body
    assert (body["label"], body["guess"]) == ("unknown", "hear_low")
    assert body["reason"] == "its score is too low"
    assert "unknown" not in {row["label"] for row in body["scores"]}


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 8), (192_000, 1), (8_000, 2)])
def test_any_rate_and_channel_count_is_answered(responder, tone, rate, channels):
    waveform = tone(TONES["hear_middle"], 0.5, rate=rate)
    data = encoded(np.stack([waveform] * channels, axis=1), rate)
    body = responder.answer(Clip("clip.wav", data)).body
    assert (body["label"], body["seconds"]) == ("hear_middle", 0.5)


BAD = {
    "empty": (lambda tone: b"", "is empty; record or copy it again"),
    "text": (lambda tone: b"This is no audio at all.", "is text, not audio; "),
    "header": (lambda tone: encoded(tone(500))[:30], "is damaged or is not audio ("),
    "slow": (lambda tone: encoded(np.zeros(100_000), rate=1), "has a sampling rate of 1 Hz; "),
    "zero": (lambda tone: encoded(np.zeros(0)), "has no samples; record it again"),
    "short": (lambda tone: encoded(tone(500, 0.02)), "lasts 20.0 ms, less than 25 ms; "),
    "nan": (lambda tone: encoded(np.full(8000, np.nan), subtype="FLOAT"), "has NaN or infinite"),
    "inf": (lambda tone: encoded(np.full(8000, np.inf), subtype="FLOAT"), "has NaN or infinite"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_clip_is_refused_in_one_line_that_names_it(responder, tone, kind):
    make, reason = BAD[kind]
    answer = responder.answer(Clip("clip.wav", make(tone)))
    assert (answer.status, answer.seconds) == (422, 0.0)
    assert (list(answer.body), answer.body["file"]) == (["file", "detail"], "clip.wav")
    detail = answer.body["detail"]
    assert detail.startswith(f"clip.wav: {reason}")
    assert "; " in detail and "\n" not in detail


def test_a_hostile_name_is_given_back_as_it_is_but_shown_in_one_line():
    name = "a\tb\x7f☀.wav"
    answer = refusal(422, AudioError(name, "is empty", "record it again"))
    assert answer.body["file"] == name
    assert answer.body["detail"] == r"a\tb\x7f☀.wav: is empty; record it again"


def test_silence_is_answered_with_a_warning(responder):
    body = responder.answer(Clip("quiet.wav", encoded(np.zeros(8000)))).body
    assert body["label"] in TONES
    problem = "is silent (peak 0.0e+00); its answer means nothing"
    assert body["warnings"] == [f"quiet.wav: {problem}"]


def test_a_cut_wav_is_answered_with_a_warning(responder, tone):
    cut = encoded(tone(TONES["hear_low"], 1.0))[:20_044]  # of 44 bytes and 16,000 samples
    body = responder.answer(Clip("cut.wav", cut)).body
    assert (body["label"], body["seconds"]) == ("hear_low", 0.625)
    problem = "is shorter than its header says; what is there was used"
    assert body["warnings"] == [f"cut.wav: {problem}"]


@pytest.mark.parametrize("name", ["u_aac.m4a", "u_opus.webm", "m_m4a_named.wav"])
def test_what_a_phone_or_a_browser_records_is_answered(responder, name):
    answer = responder.answer(Clip(name, (ODD / name).read_bytes()))
    assert answer.status == 200
    assert answer.body["seconds"] == pytest.approx(1.957, abs=0.03)
    assert answer.body["warnings"] == []


def test_a_clip_that_lasts_too_long_is_refused(responder):
    assert responder.answer(Clip("3.wav", encoded(np.zeros(3 * RATE)))).status == 200
    answer = responder.answer(Clip("long.wav", encoded(np.zeros(3 * RATE + 1))))
    problem = "lasts more than 3 s; send the part that matters"
    assert (answer.status, answer.seconds) == (413, 0.0)
    assert answer.body == {"file": "long.wav", "detail": f"long.wav: {problem}"}


def test_hours_in_a_few_bytes_are_decoded_up_to_the_limit_only(responder, monkeypatch):
    decoded = []
    native_blocks = audio.native_blocks

    def counted(*args):
        for block in native_blocks(*args):
            decoded.append(len(block.waveform) / block.sampling_rate)
            yield block

    monkeypatch.setattr(audio, "native_blocks", counted)
    hour = encoded(np.zeros(3_600 * 8_000), rate=8_000, format="FLAC")
    assert len(hour) < 500_000
    assert responder.answer(Clip("hour.flac", hour)).status == 413
    assert sum(decoded) < 60


@pytest.mark.parametrize("name", ["m_xing_lies_long.mp3", "m_xing_lies_short.mp3"])
def test_the_limit_counts_what_is_decoded_not_what_a_header_says(responder, name):
    answer = responder.answer(Clip(name, (ODD / name).read_bytes()))
    assert (answer.status, answer.body["warnings"]) == (200, [])
    assert answer.seconds == pytest.approx(1.957, abs=0.03)


@pytest.fixture
def not_finite(classifier, monkeypatch):
    """A classifier whose model gives no numbers."""
    broken = copy.copy(classifier)
    broken.model = copy.copy(classifier.model)
    monkeypatch.setattr(
        type(broken.model),
        "outputs",
        lambda self, waves: Outputs(np.full((len(waves), 4), np.nan), None),
    )
    return broken


def test_a_model_without_numbers_does_not_start(not_finite, monkeypatch):
    monkeypatch.setattr(answers.IntentClassifier, "from_pretrained", lambda *_, **__: not_finite)
    with pytest.raises(ModelError, match="gives scores that are not finite numbers"):
        Responder.load(Settings())


def test_a_clip_without_finite_scores_is_a_fault_of_the_server(not_finite):
    answer = Responder(not_finite, max_seconds=3.0).answer(Clip("a.wav", encoded(np.ones(RATE))))
    assert (answer.status, answer.seconds) == (500, 0.0)
    assert answer.body["file"] == "a.wav"
    assert "gives scores that are not finite numbers; train" in answer.body["detail"]


def test_a_model_is_loaded_for_one_core_a_call(classifier, monkeypatch):
    asked = []

    class Loader:
        @staticmethod
        def from_pretrained(model, parallel):
            asked.append((model, parallel))
            return classifier

    monkeypatch.setattr(answers, "IntentClassifier", Loader)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        responder = Responder.load(Settings(model="user/name", max_seconds=7.0))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(n_threads)
    assert asked == [("user/name", True)]
    assert (responder.classifier, responder.max_seconds) == (classifier, 7.0)


def test_about_names_model_engine_precision_and_labels(responder, model_folder):
    assert responder.about() == {
        "status": "ok",
        "model": str(model_folder),
        "engine": "torch",
        "precision": "float32",
        "labels": ["hear_high", "hear_low", "hear_middle", "hear_upper"],
        "margins": responder.classifier.margins,
    }
