"""The page of an audit: what stands on it, that it fetches nothing, that nothing breaks out."""

import base64
import io
import re

import pandas as pd
import pytest
import soundfile
from conftest import RATE, write_csv

from speech_intent import audit_page, findings, folders
from speech_intent.findings import Findings
from speech_intent.recipes import resolve

EVIL = '<script>alert("$title")</script>'
PLAYER = re.compile(r'<audio controls preload="none" src="data:audio/mpeg;base64,([^"]+)">')


@pytest.fixture
def folder(tmp_path, write_folder):
    return write_folder(tmp_path / "data", 2)


def found(folder, *rows: dict) -> Findings:
    """Say of a folder's clips what `rows` say, in their order; the others have nothing."""
    listing = folders.read_folder(folder, resolve(data=folder), "part")
    blank = {
        "suggested": "",
        "probability": 0.9,
        "suggested_probability": float("nan"),
        "score": 0.9,
        "issues": "",
        "reasons": "",
        "seconds": 0.4,
        "text": "",
    }
    table = listing.table.assign(**blank)
    for i, row in enumerate(rows):
        table.loc[i, list(row)] = list(row.values())
    table["rank"] = range(1, len(table) + 1)
    return Findings(table[list(findings.COLUMNS)], listing)


WRONG = {
    "issues": "cut, wrong label",
    "reasons": "begins at full level; sounds like hear_low",
    "suggested": "hear_low",
    "suggested_probability": 0.93,
    "probability": 0.04,
    "score": 0.04,
}


def page(found: Findings, tmp_path) -> str:
    path = tmp_path / "audit.html"
    audit_page.write_page(found, "mine", path)
    return path.read_text(encoding="utf-8")


def test_a_clip_is_shown_with_all_that_is_known_of_it(folder, tmp_path):
    text = page(found(folder, WRONG | {"speaker": "ann", "text": "up there"}), tmp_path)
    (row,) = re.findall(r"<tr><td.*</tr>", text)
    for shown in (
        '<td class="number">1</td>',
        "<td>hear_high (0.04)</td><td>hear_low (0.93)</td>",
        "<td>begins at full level; sounds like hear_low</td><td>up there</td><td>ann</td>",
        '<td class="number">0.040</td><td>clips/hear_high_0.wav</td>',
    ):
        assert shown in row
    assert "Audit of mine" in text
    assert "8 clips: 1 labels are likely wrong, 0 more are doubtful." in text
    assert "<li>cut: 1</li>" in text and "<li>wrong label: 1</li>" in text
    assert "1 of 1 clips with findings" in text


def test_players_hold_the_clip_and_nothing_is_fetched(folder, tmp_path):
    text = page(found(folder, WRONG), tmp_path)
    (encoded,) = PLAYER.findall(text)
    waveform, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded)))
    assert rate == RATE and len(waveform) / rate == pytest.approx(0.4, abs=0.15)
    assert not re.search(r'(?:src|href)="(?!data:)|url\(|https?://', text)


def test_everything_is_escaped(folder, tmp_path):
    evil = WRONG | dict.fromkeys(("reasons", "suggested", "intent", "speaker", "text"), EVIL)
    evil |= {"issues": f"{EVIL}, wrong label"}
    odd = found(folder, evil)
    odd = Findings(odd.table.assign(file_name=EVIL), odd.listing)
    text = page(odd, tmp_path)
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(&quot;$title&quot;)") == 7


def test_a_clip_that_cannot_be_played_has_its_row(folder, tmp_path):
    (folder / "clips" / "hear_high_0.wav").write_bytes(b"no audio")
    text = page(found(folder, {"issues": "unreadable", "probability": float("nan")}), tmp_path)
    assert "<td>cannot be played</td><td>hear_high</td>" in text
    assert not PLAYER.findall(text)


def test_the_page_is_bounded(folder, tmp_path, monkeypatch):
    rows = [WRONG] * 8
    size = len(audit_page._encoded(folder / "clips" / "hear_high_0.wav"))
    monkeypatch.setattr(audit_page, "MOST_BYTES", 3 * size + size // 2)
    text = page(found(folder, *rows), tmp_path)
    assert len(PLAYER.findall(text)) == 3
    assert text.count("not on the page, for its size") == 5
    monkeypatch.setattr(audit_page, "MOST_SHOWN", 2)
    text = page(found(folder, *rows), tmp_path)
    assert text.count("<tr><td") == 2 and "2 of 8 clips with findings" in text


def test_long_clips_are_played_in_part(tmp_path, tone):
    soundfile.write(tmp_path / "long.wav", tone(213, 12.0), RATE)
    waveform, rate = soundfile.read(io.BytesIO(audit_page._encoded(tmp_path / "long.wav")))
    assert len(waveform) / rate == pytest.approx(10.0, abs=0.2)


def test_nothing_found_is_said(folder, tmp_path):
    text = page(found(folder), tmp_path)
    assert "Nothing was found." in text and "8 clips: 0 labels are likely wrong" in text


def test_what_is_wrong_with_the_table_is_listed(folder, tmp_path):
    table = pd.read_csv(folder / "metadata.csv").to_dict("records")
    write_csv(
        folder / "metadata.csv", [*table, {"file_name": "clips/<gone>.wav", "intent": "hear_low"}]
    )
    text = page(found(folder), tmp_path)
    assert "What is wrong with the table" in text and "clips/&lt;gone&gt;.wav" in text
