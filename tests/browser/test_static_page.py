"""The page that runs a model in its visitor's browser, against what Python says of the same clips.

Screenshots go to runs/browser.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from chromium import OUTSIDE, PHONE, SCREENSHOTS, SECONDS, served
from page_server import ROOT
from playwright.sync_api import BrowserContext, Page, expect

from speech_intent import IntentClassifier, audio, onnx_export, publish
from speech_intent.model import NewClassifier, build_model
from speech_intent.paths import BUNDLED, SHIPPED
from speech_intent.predict import Prediction

pytest_plugins = ["chromium"]

N_CLIPS = 20
SURE = "audio/test-0006.mp3"  # about the battery; what a browser does to a recording matters little
# Of scores. Chromium's MP3 decoder rounds to 16 bits, ours does not.
TOLERANCE = 1e-3
SAME_SAMPLES = 1e-4


def make_page(model: Path, folder: Path) -> Path:
    """Write the page of a model with the command that publishes it."""
    options = ["--space", "--dry-run", str(folder)]
    assert publish.main([str(model), "someone/requests", *options]) == 0
    return folder


@pytest.fixture(scope="module")
def shipped_page(tmp_path_factory):
    with served(make_page(SHIPPED, tmp_path_factory.mktemp("page") / "page")) as address:
        yield address


def open_page(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda problem: problems.append(problem))
    page.goto(address)
    expect(page.get_by_role("button", name="Record")).to_be_enabled()
    assert problems == []
    return page


def ask(page: Page, clip: Path) -> tuple[str, str, dict[str, float]]:
    """Choose a file; give the answer that is shown, the words below it, and all scores."""
    details = page.locator(".details")
    page.evaluate("document.querySelector('.details').textContent = ''")
    page.set_input_files("input", clip)
    expect(details).not_to_have_text("")
    rows = page.locator(".scores tr")
    scores = rows.evaluate_all("rows => rows.map(r => [r.cells[0].textContent, +r.dataset.score])")
    return page.locator(".intent").inner_text(), details.inner_text(), dict(scores)


def bundled_clips(n: int) -> list[Path]:
    """Give every n-th part of the bundled test clips, wherever that falls."""
    clips = sorted((BUNDLED / "audio").glob("test-*.mp3"))
    return clips[:: len(clips) // n][:n]


def as_wav(clip: Path, folder: Path) -> Path:
    """Save what our reader hears in a clip, every sample as it is."""
    path = folder / f"{clip.stem}.wav"
    soundfile.write(path, audio.load(clip, 16_000), 16_000, subtype="FLOAT")
    return path


def furthest(scores: dict[str, float], prediction: Prediction) -> float:
    expected = dict(prediction.scores)
    assert scores.keys() == expected.keys()
    return max(abs(scores[label] - expected[label]) for label in expected)


# Answers


def test_the_page_answers_as_inference_py_does(context, shipped_page, tmp_path):
    page = open_page(context, shipped_page)
    files = [as_wav(clip, tmp_path) for clip in bundled_clips(N_CLIPS)]
    command = [sys.executable, "inference.py", *files, "--model", SHIPPED, "--engine", "torch"]
    done = subprocess.run(
        [*map(str, command), "--json"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == N_CLIPS
    for answer in answers:
        intent, details, scores = ask(page, Path(answer["file"]))
        expected = {row["label"]: row["score"] for row in answer["scores"]}
        assert scores == pytest.approx(expected, abs=SAME_SAMPLES)
        assert intent == answer["label"]
        assert ("reason" not in answer) or details.startswith(answer["reason"])
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "static-page.png", full_page=True)


def test_bundled_mp3_files_get_the_same_answers(context, shipped_page):
    page = open_page(context, shipped_page)
    classifier = IntentClassifier.from_pretrained(SHIPPED, engine="torch")
    differences = []
    for clip in bundled_clips(N_CLIPS):
        intent, _, scores = ask(page, clip)
        expected = classifier.predict(clip)
        differences.append(furthest(scores, expected))
        assert intent == (expected.label if expected.accepted else "unknown")
    print(f"furthest scores of {N_CLIPS} MP3 files: {np.sort(differences)[::-1]}")
    assert max(differences) < TOLERANCE


def test_every_family_answers_in_the_browser(context, encoder, tmp_path, tone):
    new = build_model(encoder, ["a", "b", "c", "<b>d</b>"])
    check_family(context, new, tmp_path, tone)


def test_a_whisper_that_fills_clips_up_answers_in_the_browser(context, encoders, tmp_path, tone):
    new = build_model(encoders["whisper"], ["a", "b", "c"], cut_to_clip=False)
    check_family(context, new, tmp_path, tone)


def check_family(context: BrowserContext, new: NewClassifier, folder: Path, tone) -> None:
    """Compare a new model's answers in the browser with torch's, of clips up to several windows."""
    torch.nn.init.normal_(new.model.classifier.weight)  # so that scores differ visibly
    new.model.config.max_seconds = 1.5
    new.model.save_pretrained(folder / "model")
    new.extractor.save_pretrained(folder / "model")
    onnx_export.export(folder / "model")
    classifier = IntentClassifier.from_pretrained(folder / "model", engine="torch")
    with served(make_page(folder / "model", folder / "page")) as address:
        page = open_page(context, address)
        for seconds in (0.1, 0.51, 1.37, 4.2):
            clip = folder / "clip.wav"
            soundfile.write(clip, tone(300, seconds, seed=1), 16_000, subtype="FLOAT")
            _, _, scores = ask(page, clip)
            assert furthest(scores, classifier.predict(clip)) < SAME_SAMPLES


def test_what_is_no_request_is_unknown_for_the_same_reason(context, shipped_page, tmp_path):
    page = open_page(context, shipped_page)
    classifier = IntentClassifier.from_pretrained(SHIPPED, engine="torch")
    clips = sorted((BUNDLED / "unknown" / "audio").glob("test-*.opus"))[::10]
    reasons = set()
    for clip in [as_wav(clip, tmp_path) for clip in clips]:
        expected = classifier.predict(clip)
        intent, details, _ = ask(page, clip)
        assert intent == (expected.label if expected.accepted else "unknown")
        assert details.startswith(expected.reason or "score")
        reasons.add(expected.reason)
    assert {"far from everything taught", "no speech"} <= reasons


def test_the_microphone_is_answered(context, shipped_page, microphone):
    page = open_page(context, shipped_page)
    seconds = microphone(SURE)
    page.get_by_role("button", name="Record").click()
    page.get_by_role("button", name="Stop").wait_for()
    page.wait_for_timeout(seconds * SECONDS)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".details")).to_contain_text("s of audio answered in")
    assert page.locator(".intent").inner_text() == "battery"
    expect(page.get_by_role("button", name="Record")).to_be_enabled()


# What cannot be answered


def test_a_clip_that_cannot_be_used_is_explained_and_the_page_goes_on(
    context, shipped_page, tmp_path, tone
):
    page = open_page(context, shipped_page)
    problem = page.locator(".problem")
    (tmp_path / "text.wav").write_text("no audio")
    page.set_input_files("input", tmp_path / "text.wav")
    expect(problem).to_contain_text("This browser cannot decode it")
    soundfile.write(tmp_path / "short.wav", np.zeros(200, np.float32), 16_000)
    page.set_input_files("input", tmp_path / "short.wav")
    expect(problem).to_contain_text("It lasts less than 25 ms")
    expect(page.locator(".answer")).to_be_hidden()
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000, np.float32), 16_000)
    ask(page, tmp_path / "silent.wav")
    expect(page.locator(".warning")).to_have_text("It is silent: the answer means nothing")
    expect(problem).to_be_empty()
    both = np.stack([tone(300, 1.0), -tone(300, 1.0)], axis=1)
    soundfile.write(tmp_path / "cancelled.wav", both, 16_000)
    ask(page, tmp_path / "cancelled.wav")
    expect(page.locator(".warning")).to_contain_text("Its channels cancel each other out")


def test_a_model_that_is_not_there_is_said(context, tmp_path):
    folder = make_page(SHIPPED, tmp_path / "page")
    (folder / "onnx" / "model.onnx").unlink()
    with served(folder) as address:
        page = context.new_page()
        page.goto(address)
        problem = page.get_by_role("alert")
        expect(problem).to_have_text(
            "The model cannot be loaded: onnx/model.onnx is not there (404)"
        )
        expect(page.get_by_role("button", name="Record")).to_be_disabled()


def test_nothing_lies_outside_of_a_phone(context, shipped_page):
    page = open_page(context, shipped_page)
    page.set_viewport_size(PHONE)
    ask(page, bundled_clips(N_CLIPS)[0])
    assert page.locator("main *").evaluate_all(OUTSIDE) == []
