import numpy as np
import pandas as pd
import pytest

from speech_intent import plots


@pytest.fixture
def log() -> pd.DataFrame:
    columns = {"epoch": [1.0, 2.0], "loss": [1.0, 0.5], "eval_loss": [1.1, np.nan], "eval_f1_macro": [0.3, 0.6]}
    return pd.DataFrame(columns)


def test_every_picture_is_written_as_png(tmp_path, log):
    figures = {
        "answers": plots.answers([np.zeros(9)] * 3, ["on: on 0.90", "on: off 0.50", "off: off 0.70"]),
        "waveform": plots.waveform_and_mel(np.zeros(800, np.float32), np.zeros((8, 5)), 16_000, "on"),
        "curves": plots.training_curves(log),
        "confusion": plots.confusion_matrix([[2, 1], [0, 0]], ["on", "off"]),
    }
    for name, figure in figures.items():
        plots.save(figure, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_confusion_matrix_shows_its_counts():
    ax = plots.confusion_matrix([[12, 1], [0, 7]], ["on", "off"]).axes[0]
    assert {(*text.get_position(), text.get_text()) for text in ax.texts} == {
        (0, 0, "12\n92%"),
        (1, 0, "1\n8%"),
        (1, 1, "7\n100%"),
    }
    assert [label.get_text() for label in ax.get_yticklabels()] == ["on", "off"]


def test_the_curves_leave_out_what_is_missing(log):
    losses, scores = plots.training_curves(log).axes
    assert [list(line.get_ydata()) for line in losses.lines] == [[1.0, 0.5], [1.1]]
    assert list(scores.lines[0].get_ydata()) == [0.3, 0.6]


def test_a_player_refers_to_its_clip_and_does_not_embed_it(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    html = plots.player({"bytes": None, "path": str(tmp_path / "clips" / "two words.wav")})._repr_html_()
    assert 'src="../clips/two%20words.wav"' in html
    assert "base64" not in html


def test_accuracy_is_drawn_from_top_to_bottom():
    table = pd.DataFrame({"accuracy": [0.5, 0.9], "low": [0.2, 0.8], "high": [0.8, 1.0], "n": [6, 40]}, ["ann", "ben"])
    ax = plots.accuracy(table, "by speaker").axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["ann (6)", "ben (40)"]
    assert list(ax.get_yticks()) == [1, 0]
