import base64
import json
import re
import shutil
import socket
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from conftest import RATE, TONES
from gradio import FileData
from gradio_client import Client, handle_file
from page_server import ROOT, page_server

from speech_intent import audio
from speech_intent.corrections import Correction
from speech_intent.names import escape_markdown
from speech_intent.page import Entry, Studio
from speech_intent.paths import BUNDLED, SHIPPED
from speech_intent.recorder import Recordings

sys.path.insert(0, str(ROOT))
import app

ODD = Path(__file__).parent / "odd_audio"


@pytest.fixture
def studio(tmp_path) -> Studio:
    return Studio(Recordings(tmp_path / "recordings"), ["battery"])


@pytest.fixture(scope="module")
def clip(tmp_path_factory, tone) -> str:
    path = tmp_path_factory.mktemp("clip") / "audio.wav"
    soundfile.write(path, tone(TONES["hear_low"], 0.8), 16_000)
    return str(path)


@pytest.mark.parametrize("name", ["u_aac.m4a", "u_opus.webm", "w_lfs.wav"])
def test_an_upload_arrives_as_it_is(tmp_path, name):
    path = shutil.copy(ODD / name, tmp_path)
    upload = app.gr.Audio(**app.RECORDER).preprocess(FileData(path=str(path)))
    assert Path(upload).read_bytes() == (ODD / name).read_bytes()
    assert Path(upload).suffix == Path(name).suffix


# The command line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--model", "no/such/folder"],
            "error: no/such/folder: there is no such folder; check the path\n",
        ),
        (
            ["--recordings", "file"],
            "error: file: cannot be written to (File exists); "
            "make room or check its permissions, or name another folder\n",
        ),
    ],
)
def test_what_cannot_be_used_gets_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert app.main(arguments) == 1
    assert capsys.readouterr() == ("", message)


def test_a_port_that_is_taken_gets_one_line(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert app.main(["--recordings", str(tmp_path), "--port", str(port)]) == 1
    err = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: the page: cannot be served (") for line in err] == [True]
    assert str(port) in err[0]


def test_a_mistake_of_ours_keeps_its_traceback(tmp_path, monkeypatch):
    def stumble(*arguments):
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(app.IntentClassifier, "from_pretrained", stumble)
    with pytest.raises(ValueError, match="a mistake of ours"):
        app.main(["--recordings", str(tmp_path)])


def test_a_space_names_its_model_in_a_variable(monkeypatch):
    assert app.parser().parse_args([]).model == str(SHIPPED)
    monkeypatch.setenv(app.MODEL_VARIABLE, "USER/NAME")
    assert app.parser().parse_args([]).model == "USER/NAME"
    assert app.parser().parse_args(["--model", "mine"]).model == "mine"


# What happens at a click


def test_keeping_empties_the_recorder_and_counts(studio, clip):
    studio.phrasings = {"battery": ["one", "two"]}
    message, recorder, text, counts = app.keep_entry(studio, Entry("battery", "ann", "one", clip))
    (row,) = studio.recordings.rows()
    assert message == f"Kept as {escape_markdown(row['file_name'])}"
    assert (recorder, text) == (None, "two")
    assert counts.to_dict("records") == [{"intent": "battery", "all": 1, "ann": 1}]


@pytest.mark.parametrize(
    ("speaker", "recorded", "reason"),
    [
        ("ann", False, "the clip: there is none; record something first"),
        ("", True, "the clip: has no speaker; give the speaker first"),
    ],
)
def test_what_was_not_kept_stays_on_the_page(studio, clip, speaker, recorded, reason):
    entry = Entry("battery", speaker, "", clip if recorded else None)
    message, *others = app.keep_entry(studio, entry)
    assert message == f"**Not kept: {escape_markdown(reason)}**"
    assert others == [app.gr.skip()] * 3
    assert studio.recordings.rows() == []


@pytest.mark.parametrize(
    ("folder", "shown"),
    [
        ("recordings", "recordings"),
        ("my recordings", "'my recordings'"),
        ("a\n```\n# b", r"'a\n```\n# b'"),
    ],
)
def test_the_command_to_train_names_the_folder_as_a_shell_reads_it(folder, shown):
    assert app.training_command(folder) == (
        f"python -m speech_intent.train \\\n  --data {shown} --output-dir runs/mine"
    )


def test_a_correction_says_where_it_went_and_offers_its_intent_to_both_tabs(studio, clip):
    message, wrong, others, counts = app.keep_correction(studio, Correction("new", clip, clip))
    assert message.startswith("Kept as clips/")
    assert wrong["choices"] == ["battery", "new", "unknown"]
    assert others["choices"] == ["new", "battery"]
    assert "value" not in wrong and "value" not in others
    assert counts.to_dict("records") == [{"intent": "new", "all": 1, "(no name)": 1}]


def test_a_correction_that_was_not_kept_changes_nothing_but_the_message(studio, clip):
    message, *others = app.keep_correction(studio, Correction("", clip, clip))
    assert message == "**Not kept: the clip: has no intent; give the intent first**"
    assert others == [app.gr.skip()] * 3
    assert studio.recordings.rows() == []


# The page


def test_an_answer_is_corrected_over_http_and_what_is_not_its_clip_is_refused(
    tmp_path, model_folder, clip, tone
):
    """As a browser does it: what it shows it sends, and one server answers two of them."""
    other = tmp_path / "other.wav"
    soundfile.write(other, tone(TONES["hear_high"], 0.7), 16_000)
    with page_server(tmp_path, "--model", str(model_folder)) as (address, _):
        one, two = (Client(address, verbose=False) for _ in range(2))
        first, second = handle_file(clip), handle_file(str(other))
        seen = one.predict(first, api_name="/answer")
        words, *_, answered, intent, message = seen
        assert "hear" in words
        assert (intent, message) == (None, "")
        assert Path(answered).read_bytes() == Path(clip).read_bytes()
        also = two.predict(second, api_name="/answer")[3]
        assert also != answered
        wrong = [
            one.predict("new", given, shown, api_name="/correct")[0]
            for given, shown in ((second, answered), (None, answered), (first, ""))
        ]
        assert [text.startswith("**Not kept: the ") for text in wrong] == [True] * 3
        assert not (tmp_path / "recordings" / "metadata.csv").exists()
        kept = [
            one.predict("new", first, answered, api_name="/correct")[0],
            one.predict("new", first, answered, api_name="/correct")[0],
            two.predict("new", second, also, api_name="/correct")[0],
        ]
        Path(answered).unlink()
    assert kept[0].endswith("as new; clips there now: 1, corrected: 1")
    assert "is kept already" in kept[1]
    assert kept[2].endswith("as new; clips there now: 2, corrected: 2")
    rows = Recordings(tmp_path / "recordings").rows()
    seconds = [soundfile.info(tmp_path / "recordings" / row["file_name"]).duration for row in rows]
    assert seconds == [0.8, 0.7]


def asked(address: str, function: str, data: object) -> dict:
    """Call a function of the tab "Listen" as its script does."""
    config = json.loads(urllib.request.urlopen(f"{address}/config").read())
    (tab,) = (part for part in config["components"] if part["props"].get("elem_id") == "listen")
    body = {"session_hash": "s", "component_id": tab["id"], "fn_name": function, "data": data}
    request = urllib.request.Request(
        f"{address}/gradio_api/component_server",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    return json.loads(urllib.request.urlopen(request, timeout=60).read())


def test_two_who_talk_at_once_are_answered_over_http_and_no_sound_becomes_a_file(
    tmp_path, monkeypatch
):
    temporary = tmp_path / "temporary"
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(temporary))
    clip = audio.load(BUNDLED / "audio" / "test-0001.mp3", RATE)
    spoken = np.round(32_767 * np.pad(clip, RATE)).astype("<i2").tobytes()
    with page_server(tmp_path) as (address, _):
        before = sorted(temporary.rglob("*"))
        one, two = (asked(address, "begin", RATE)["name"] for _ in range(2))
        for start in range(0, len(spoken), RATE):  # bytes: half a second
            piece = base64.b64encode(spoken[start : start + RATE]).decode()
            views = [asked(address, "hear", [name, piece]) for name in (one, two)]
        assert [view["intent"] for view in views] == ["About_iQube"] * 2
        assert [len(view["rows"]) for view in views] == [1, 1]
        assert asked(address, "finish", one)["state"] == "Not listening"
        assert "start again" in asked(address, "hear", [one, ""])["problem"]
        assert asked(address, "hear", [two, ""])["state"] == "Listening"
        assert sorted(temporary.rglob("*")) == before


def test_no_markdown_of_the_page_takes_dollar_signs_for_formulas(studio):
    demo = app.build(SimpleNamespace(labels=["battery"]), studio.recordings)
    shown = [block for block in demo.blocks.values() if isinstance(block, app.gr.Markdown)]
    assert len(shown) >= 5
    assert [block.latex_delimiters for block in shown] == [[]] * len(shown)


def test_the_page_is_served_to_this_machine_and_refers_to_no_other(tmp_path):
    with page_server(tmp_path) as (address, _):
        text = urllib.request.urlopen(address).read().decode()
        config = json.loads(urllib.request.urlopen(f"{address}/config").read())
        styles = urllib.request.urlopen(f"{address}/theme.css").read().decode()
        assert "Spoken intents" in text
    elsewhere = r"""(?:src|href)=["']?(?:https?:)?//(?!127\.0\.0\.1)[^"' >]*"""
    assert re.findall(elsewhere, text) == []
    assert re.findall(r"""(?:url\(|@import)\s*["']?(?:https?:)?//[^)]*""", styles) == []
    assert config["analytics_enabled"] is False
    assert config["run_history"] is False
    assert [theme for theme in config["stylesheets"] if "//" in theme] == []
    assert (tmp_path / "recordings").is_dir()
