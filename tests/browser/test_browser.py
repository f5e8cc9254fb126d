"""The page in Chromium, whose microphone plays files: `make test-browser`.

Screenshots go to runs/browser.
"""

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from chromium import OUTSIDE, PHONE, SCREENSHOTS, SECONDS
from page_server import page_server
from playwright.sync_api import BrowserContext, Page, expect

from speech_intent import IntentClassifier, audio
from speech_intent.listening import Listener, Request
from speech_intent.paths import BUNDLED, SHIPPED

pytest_plugins = ["chromium"]

# A voice that says much, and two intents that each have a word of their own.
VOICE = "flite-rms"
WORDS = {"battery": "battery", "casual_talk_goodbye": "bye"}


def rows(split: str) -> list[dict[str, str]]:
    with (BUNDLED / "csv" / f"{split}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def server(tmp_path):
    with page_server(tmp_path) as (address, _):
        yield address


def open_page(context: BrowserContext, address: str, tab: str = "Try") -> Page:
    page = context.new_page()
    page.goto(address)
    page.get_by_role("tab", name=tab).click()
    return page


def record(page: Page, microphone, file_name: str) -> None:
    seconds = microphone(file_name)
    page.get_by_role("button", name="Record", exact=True).click()
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    page.wait_for_timeout(seconds * SECONDS)
    page.get_by_role("button", name="Stop", exact=True).click()


def answer(page: Page) -> str:
    """Wait for an answer; give the intent that stands first among the bars."""
    expect(page.locator("#answer h2")).to_be_visible()
    expect(page.locator("#waveform img")).to_be_visible()
    return page.locator("#scores button").first.inner_text().split("\n")[0]


def fill_in(page: Page, intent: str, speaker: str) -> None:
    page.get_by_label("Speaker").fill(speaker)
    page.get_by_label("Intent").fill(intent)
    page.get_by_label("Intent").press("Enter")


def keep(page: Page) -> None:
    expect(page.locator("#verdict")).to_contain_text("s, sounds good")
    page.get_by_role("button", name="Keep").click()
    expect(page.locator("#message")).to_contain_text("Kept as")
    expect(page.get_by_role("button", name="Record", exact=True)).to_be_visible()


def screenshot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.mouse.move(0, 0)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled", full_page=True)


def surest_clips(n: int) -> list[dict[str, str]]:
    """Find, of some bundled test clips, the n that the shipped model gets right most surely.

    They are of different intents.
    """
    classifier = IntentClassifier.from_pretrained(SHIPPED)
    best: dict[str, tuple[float, dict[str, str]]] = {}
    for row in rows("test")[:40]:
        prediction = classifier.predict(BUNDLED / row["file_name"])
        score, _ = best.get(row["intent"], (0.0, row))
        is_right = prediction.accepted and prediction.label == row["intent"]
        if is_right and prediction.score > score:
            best[row["intent"]] = prediction.score, row
    ranked = sorted(best.values(), key=lambda scored: -scored[0])
    return [row for _, row in ranked[:n]]


def first_clip(intent: str) -> dict[str, str]:
    return next(row for row in rows("test") if row["intent"] == intent)


def test_a_recorded_request_gets_its_intent(context, server, microphone):
    (clip,) = surest_clips(1)
    page = open_page(context, server)
    record(page, microphone, clip["file_name"])
    assert answer(page) == clip["intent"]
    expect(page.locator("#answer h2")).to_have_text(clip["intent"])
    words = re.compile(r"answered in \d+ ms by models/moonshine-tiny-scooter \(")
    expect(page.locator("#answer")).to_have_text(words)
    screenshot(page, "try")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#answer h2")).to_have_count(0)


def test_an_example_an_upload_and_a_broken_file_are_answered(context, server, tmp_path):
    page = open_page(context, server)
    clip = first_clip("Top_speed")
    page.get_by_role("button", name=clip["text"]).click()
    first = answer(page)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#answer h2")).to_have_count(0)
    page.get_by_role("button", name="Upload file").click()
    upload = page.locator("input[type=file]").first
    upload.set_input_files(BUNDLED / clip["file_name"])
    assert answer(page) == first
    page.get_by_role("button", name="Clear").click()
    (tmp_path / "text.wav").write_text("no audio")
    upload.set_input_files(tmp_path / "text.wav")
    expect(page.locator("#answer")).to_contain_text("text.wav: is text, not audio")


def correct(page: Page, intent: str) -> None:
    page.get_by_label("Wrong? It was").fill(intent)
    page.get_by_label("Wrong? It was").press("Enter")
    page.get_by_role("button", name="Correct it").click()


def test_a_wrong_answer_is_corrected_once_and_only_while_it_is_seen(
    context, server, microphone, tmp_path
):
    page = open_page(context, server)
    message = page.locator("#corrected")
    expect(page.locator("#consent")).to_contain_text("Nothing is kept until you press")
    correct(page, "battery")
    expect(message).to_contain_text("has no answer yet")
    record(page, microphone, first_clip("Top_speed")["file_name"])
    answer(page)
    expect(page.get_by_label("Wrong? It was")).to_have_value("")
    correct(page, "of my own")
    expect(message).to_contain_text("clips there now: 1, corrected: 1")
    screenshot(page, "corrected")
    correct(page, "battery")
    expect(message).to_contain_text("is kept already, as 'of my own'")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#answer h2")).to_have_count(0)
    expect(message).not_to_contain_text("kept")
    correct(page, "battery")
    expect(message).to_contain_text("has no answer yet")
    page.get_by_role("tab", name="Make data").click()
    expect(page.locator("#counts")).to_contain_text(re.compile(r"of my own\s*1\s*1"))
    with (tmp_path / "recordings" / "metadata.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["intent"], row["speaker"], row["corrected"]) == ("of my own", "", "yes")
    assert (tmp_path / "recordings" / row["file_name"]).is_file()


MARKUP = "*x* <img src=//example.org/x.png> # a $$5$$ ![b](//example.org/s.png) `c` &amp; ~~d~~"


def test_names_of_intents_are_shown_as_they_are(context, tmp_path):
    model = shutil.copytree(SHIPPED, tmp_path / "*my* model")
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    config["id2label"] = {i: f"{MARKUP} {i}" for i in config["id2label"]}
    config["label2id"] = {label: int(i) for i, label in config["id2label"].items()}
    (model / "config.json").write_text(json.dumps(config), encoding="utf-8")
    clip = BUNDLED / first_clip("Top_speed")["file_name"]
    label = IntentClassifier.from_pretrained(model).predict(clip).label
    with page_server(tmp_path, "--model", model) as (address, _):
        page = open_page(context, address)
        page.get_by_role("button", name="Upload file").click()
        page.locator("input[type=file]").first.set_input_files(clip)
        assert answer(page) == label
        expect(page.locator("#answer h2")).to_have_text(label)
        expect(page.locator("#answer")).to_contain_text(str(model))
        inside = page.locator("#answer").locator("em, img, a, code, del, .katex")
        expect(inside).to_have_count(0)
        screenshot(page, "markup")


def test_record_clips_train_on_them_and_predict_with_the_result(
    context, server, microphone, tmp_path
):
    spoken = [row for row in rows("train") if row["speaker"] == VOICE]
    clips = {}
    for intent, word in WORDS.items():
        of_intent = [row for row in spoken if row["intent"] == intent]
        clips[intent] = [row["file_name"] for row in of_intent if word in row["text"]]
    page = open_page(context, server, "Make data")
    for i in range(6):
        for intent in WORDS:
            fill_in(page, intent, "ann")
            record(page, microphone, clips[intent][i])
            if (intent, i) == ("casual_talk_goodbye", 5):
                expect(page.locator("#verdict")).to_contain_text("sounds good")
                screenshot(page, "make-data")
            keep(page)
    for line in ("battery\n6\n6", "casual_talk_goodbye\n6\n6"):
        expect(page.locator("#counts")).to_contain_text(re.compile(line.replace("\n", r"\s*")))

    # From the shipped classifier's encoder, and the head alone: enough for six clips an intent.
    options = {
        "--data": tmp_path / "recordings",
        "--output-dir": tmp_path / "out",
        "--encoder": SHIPPED,
        "--freeze": "encoder",
    }
    command = [sys.executable, "-m", "speech_intent.train"]
    for name, value in options.items():
        command += [name, str(value)]
    subprocess.run(command, check=True, timeout=600)

    with page_server(tmp_path, "--model", tmp_path / "out" / "model") as (address, _):
        page = open_page(context, address)
        for intent in WORDS:
            record(page, microphone, clips[intent][6])
            assert answer(page) == intent
            page.get_by_role("button", name="Clear").click()
            expect(page.locator("#answer h2")).to_have_count(0)


NAMES = ('open, "the" <img src=//example.org/i.png>', "![Zoë](//example.org/s.png)")


def test_nothing_is_lost_when_the_page_is_loaded_again_or_the_server_killed(
    context, microphone, tmp_path
):
    clip = rows("train")[0]
    with page_server(tmp_path) as (address, process):
        page = open_page(context, address, "Make data")
        fill_in(page, *NAMES)
        expect(page.get_by_label("Say")).to_have_value(NAMES[0])  # nobody knows other words for it
        record(page, microphone, clip["file_name"])
        keep(page)
        record(page, microphone, clip["file_name"])
        page.get_by_label("Say").fill("second")
        expect(page.locator("#verdict")).to_contain_text("sounds good")
        page.wait_for_timeout(1 * SECONDS)  # until the browser has stored it
        page.reload()
        page.get_by_role("tab", name="Make data").click()
        expect(page.locator("#verdict")).to_contain_text(
            "sounds good"
        )  # not kept yet, and still there
        fields = {"Intent": NAMES[0], "Speaker": NAMES[1], "Say": "second"}
        for label, value in fields.items():
            expect(page.get_by_label(label)).to_have_value(value)
        keep(page)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with page_server(tmp_path) as (address, _):
        page = open_page(context, address, "Make data")
        counted = re.compile(re.escape(NAMES[0]) + r"\s*2\s*2")
        expect(page.locator("#counts")).to_contain_text(counted)
        expect(page.locator("#counts")).to_contain_text(NAMES[1])


def spliced(clips: list[dict[str, str]], rate: int, pause: float) -> np.ndarray:
    """Put clips one after the other, with seconds of silence around each."""
    silence = np.zeros(round(pause * rate), np.float32)
    pieces = [silence]
    for clip in clips:
        pieces += [audio.load(BUNDLED / clip["file_name"], rate), silence]
    return np.concatenate(pieces)


def test_who_simply_talks_is_answered_while_talking(context, server, microphone):
    rate = 16_000
    clips = surest_clips(5)
    intents = [clip["intent"] for clip in clips]
    said = spliced(clips, rate, pause=1.5)
    soundfile.write(microphone.path, said, rate)
    page = open_page(context, server, "Listen")
    state, found = page.locator("#listen .state"), page.locator("#listen .rows tr")
    page.get_by_role("button", name="Start listening").click()
    end = time.monotonic() + len(said) / rate
    page.locator("#listen .state.speaking").wait_for()
    expect(state).to_have_text("You are speaking")
    expect(found.last).to_contain_text(intents[0])
    assert time.monotonic() < end  # others are still to come
    expect(found).to_have_count(len(clips))
    cells = [row.split("\t") for row in found.all_inner_texts()][::-1]
    assert [intent for _, intent, _ in cells] == intents
    # As far apart as in the recording: no sound was lost, none came twice.
    starts = [float(start) for start, _, _ in cells]
    heard = [event.start for event in Listener().hear(said) if isinstance(event, Request)]
    assert np.diff(starts) == pytest.approx(np.diff(heard), abs=0.2)
    expect(page.locator("#listen .intent")).to_have_text(intents[-1])
    expect(state).to_have_text("Listening")
    screenshot(page, "listen")
    page.get_by_role("button", name="Stop listening").click()
    expect(state).to_have_text("Not listening")
    expect(found).to_have_count(len(clips))
    page.get_by_role("button", name="Start listening").click()
    expect(state).to_have_text("Listening")
    expect(found).to_have_count(0)
    page.get_by_role("button", name="Stop listening").click()
    expect(state).to_have_text("Not listening")


def test_a_microphone_that_may_not_be_used_and_a_server_that_is_gone_are_told_of(
    context, microphone, tmp_path
):
    soundfile.write(microphone.path, np.zeros(16_000), 16_000)
    refuse = """() => {
        const refused = new DOMException("no", "NotAllowedError");
        navigator.mediaDevices.getUserMedia = () => Promise.reject(refused);
    }"""
    with page_server(tmp_path) as (address, process):
        page = open_page(context, address, "Listen")
        problem = page.locator("#listen .problem")
        page.get_by_role("button", name="Start listening").click()
        expect(page.locator("#listen .state")).to_have_text("Listening")
        process.send_signal(signal.SIGKILL)
        process.wait()
        expect(problem).to_contain_text("The server does not answer")
        expect(page.locator("#listen .state")).to_have_text("Not listening")
        page.evaluate(refuse)
        page.get_by_role("button", name="Start listening").click()
        expect(problem).to_contain_text("allow it to this page")


def test_two_servers_and_three_pages_on_one_folder_overwrite_nothing(
    context, server, microphone, tmp_path
):
    clip = rows("train")[0]
    with page_server(tmp_path) as (other, _):
        pages = [open_page(context, address, "Make data") for address in (server, server, other)]
        for speaker, page in zip("abc", pages, strict=True):
            record(page, microphone, clip["file_name"])
            page.get_by_label("Speaker").fill(speaker)
            expect(page.locator("#verdict")).to_contain_text("sounds good")
        for page in pages:
            page.get_by_role("button", name="Keep").click(no_wait_after=True)
        for page in pages:
            expect(page.locator("#message")).to_contain_text("Kept as")
    with (tmp_path / "recordings" / "metadata.csv").open(newline="") as file:
        kept = list(csv.DictReader(file))
    assert sorted(row["speaker"] for row in kept) == ["a", "b", "c"]
    assert len({row["file_name"] for row in kept}) == 3
    assert all((tmp_path / "recordings" / row["file_name"]).is_file() for row in kept)


def test_a_recording_can_be_discarded(context, server, microphone, tmp_path):
    page = open_page(context, server, "Make data")
    record(page, microphone, rows("train")[0]["file_name"])
    expect(page.locator("#verdict")).to_contain_text("sounds good")
    page.get_by_role("button", name="Discard").click()
    expect(page.locator("#message")).to_contain_text("Discarded")
    expect(page.locator("#verdict")).not_to_contain_text("sounds good")
    page.get_by_role("button", name="Keep").click()
    expect(page.locator("#message")).to_contain_text("record something first")
    assert not (tmp_path / "recordings" / "metadata.csv").exists()


def test_a_phone_sees_all_of_it_without_scrolling_sideways(context, server):
    page = open_page(context, server)
    page.set_viewport_size(PHONE)
    page.get_by_role("button", name=first_clip("Top_speed")["text"]).click()
    answer(page)
    for tab in ("Try", "Make data", "Listen"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(1 * SECONDS)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        controls = page.locator("button:visible, input:visible, textarea:visible")
        assert controls.evaluate_all(OUTSIDE) == []
        screenshot(page, f"phone-{tab.replace(' ', '-').lower()}")
