import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.image import imread

from speech_intent import plots
from speech_intent.plots import BLUE, ORANGE, Example

ODD_NAMES = ["lights: on", "$5_or_$6", "a/b", "100 %", "on", "on_low"]


@pytest.fixture
def drawn(tmp_path):
    """Save a figure and give its axes: what cannot be drawn fails here."""

    def save(figure) -> list:
        path = tmp_path / "figure.png"
        plots.save(figure, path)
        assert imread(path).std() > 0  # something is on it
        return figure.axes

    return save


@pytest.fixture
def log() -> pd.DataFrame:
    columns = {
        "epoch": [1.0, 2.0],
        "loss": [1.0, 0.5],
        "eval_loss": [1.1, np.nan],
        "accuracy": [0.2, 0.7],
        "eval_f1_macro": [0.3, 0.6],
    }
    return pd.DataFrame(columns)


def colour(artist) -> str:
    return to_hex(artist.get_color()).upper()


def shown(texts) -> list[str]:
    """What stands in texts that show names as they are."""
    assert not any(text.get_parse_math() for text in texts)
    return [text.get_text() for text in texts]


def reach(bars) -> list:
    """From where to where error bars reach."""
    (lines,) = bars.lines[2]
    return [segment.tolist() for segment in lines.get_segments()]


def test_a_saved_figure_is_closed(drawn):
    figure = plots.confusion_matrix([[1]], ["on"])
    assert plt.fignum_exists(figure.number)
    drawn(figure)
    assert not plt.fignum_exists(figure.number)


def test_wrong_answers_are_orange_although_their_names_begin_alike(drawn):
    wave = np.sin(np.arange(99))
    examples = [
        Example(wave, "on", "on", 0.9),
        Example(wave, "on", "on_low", 0.8),
        Example(wave, "on_low", "on", 0.704),
    ]
    axes = drawn(plots.answers(examples))
    assert [ax.get_title() for ax in axes] == [
        "on: on 0.90",
        "on: on_low 0.80",
        "on_low: on 0.70",
        "",
    ]
    assert [colour(ax.lines[0]) for ax in axes[:3]] == [BLUE, ORANGE, ORANGE]
    assert len(axes[3].lines) == 0
    assert not any(ax.axison for ax in axes)


def test_clips_are_drawn_under_any_name(drawn):
    examples = [Example(np.zeros(9), name, name, 1.0) for name in ODD_NAMES]
    axes = drawn(plots.answers(examples))
    assert shown([ax.title for ax in axes]) == [f"{name}: {name} 1.00" for name in ODD_NAMES]
    assert {colour(ax.lines[0]) for ax in axes} == {BLUE}


def test_each_clip_is_drawn_whole(drawn):
    waves = [np.arange(3.0), np.arange(5.0)]
    axes = drawn(plots.answers([Example(wave, "on", "on", 1.0) for wave in waves]))
    assert [list(ax.lines[0].get_ydata()) for ax in axes] == [list(wave) for wave in waves]


def test_the_confusion_matrix_shows_counts_and_shares_of_its_rows(drawn):
    (ax,) = drawn(plots.confusion_matrix([[12, 1], [0, 7]], ["on", "off"]))
    assert {(*text.get_position(), text.get_text(), colour(text)) for text in ax.texts} == {
        (0, 0, "12\n92%", "#FFFFFF"),
        (1, 0, "1\n8%", "#000000"),
        (1, 1, "7\n100%", "#FFFFFF"),
    }
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "spoken")
    np.testing.assert_allclose(ax.images[0].get_array(), [[12 / 13, 1 / 13], [0, 1]])


def test_the_confusion_matrix_takes_any_name_and_intents_that_nobody_spoke(drawn):
    counts = np.diag([3, 2, 1, 1, 1, 0])
    (ax,) = drawn(plots.confusion_matrix(counts, ODD_NAMES))
    assert shown(ax.get_xticklabels()) == ODD_NAMES
    assert shown(ax.get_yticklabels()) == ODD_NAMES
    assert len(ax.texts) == 5


def test_the_curves_leave_out_what_is_missing(drawn, log):
    losses, scores = drawn(plots.training_curves(log))
    train, validation = losses.lines
    assert (list(train.get_xdata()), list(train.get_ydata())) == ([1, 2], [1.0, 0.5])
    assert (list(validation.get_xdata()), list(validation.get_ydata())) == ([1], [1.1])
    assert [text.get_text() for text in losses.get_legend().get_texts()] == ["train", "validation"]
    assert [list(line.get_ydata()) for line in scores.lines] == [[0.2, 0.7], [0.3, 0.6]]
    names = [text.get_text() for text in scores.get_legend().get_texts()]
    assert names == ["accuracy, train", "f1_macro, validation"]


def test_the_curves_of_an_earlier_version_have_no_accuracy_in_training(drawn, log):
    _, scores = drawn(plots.training_curves(log.drop(columns="accuracy")))
    assert [list(line.get_ydata()) for line in scores.lines] == [[0.3, 0.6]]


def test_the_curve_of_a_frozen_encoders_head_is_the_log_loss_by_regularisation(drawn):
    log = pd.DataFrame({"inverse_regularisation": [0.01, 0.1, 1.0], "log_loss": [0.9, 0.4, 0.6]})
    (ax,) = drawn(plots.training_curves(log))
    (line,) = ax.lines
    assert line.get_xydata().tolist() == [[0.01, 0.9], [0.1, 0.4], [1.0, 0.6]]
    assert ax.get_xscale() == "log"
    assert ax.get_ylim()[0] == 0
    assert ax.get_title() == "Log loss, cross-validated in train"


def test_a_regularisation_that_could_not_be_chosen_is_drawn_as_no_point(drawn):
    log = pd.DataFrame({"inverse_regularisation": [1.0], "log_loss": [np.nan]})
    (ax,) = drawn(plots.training_curves(log))
    assert np.isnan(ax.lines[0].get_ydata()).all()


def test_reliability_is_drawn_with_its_intervals_and_counts(drawn):
    columns = {
        "score": [0.55, 0.95],
        "accuracy": [0.5, 1.0],
        "low": [0.1, 0.6],
        "high": [0.8, 1.0],
        "n": [4, 6],
    }
    (ax,) = drawn(plots.reliability(pd.DataFrame(columns)))
    (bars,) = ax.containers
    points = bars.lines[0]
    assert points.get_xydata().tolist() == [[0.55, 0.5], [0.95, 1.0]]
    expected = [[[0.55, 0.1], [0.55, 0.8]], [[0.95, 0.6], [0.95, 1.0]]]
    np.testing.assert_allclose(reach(bars), expected)
    assert [(text.get_text(), text.xy) for text in ax.texts] == [
        ("4", (0.55, 0.5)),
        ("6", (0.95, 1.0)),
    ]
    assert ax.lines[0].get_xydata().tolist() == [[0, 0], [1, 1]]  # as sure as right


def test_accuracy_is_drawn_from_top_to_bottom_with_its_intervals(drawn):
    columns = {"accuracy": [0.5, 0.9], "low": [0.2, 0.8], "high": [0.6, 1.0], "n": [6, 40]}
    table = pd.DataFrame(columns, index=["ann", "ben"])
    (ax,) = drawn(plots.accuracy(table, "by speaker"))
    assert [text.get_text() for text in ax.get_yticklabels()] == ["ann (6)", "ben (40)"]
    assert list(ax.get_yticks()) == [1, 0]
    (bars,) = ax.containers
    assert bars.lines[0].get_xydata().tolist() == [[0.5, 1], [0.9, 0]]
    np.testing.assert_allclose(reach(bars), [[[0.2, 1], [0.6, 1]], [[0.8, 0], [1.0, 0]]])


def test_accuracy_takes_any_name_and_title(drawn):
    columns = dict.fromkeys(["accuracy", "low", "high"], 0.5) | {"n": 1}
    table = pd.DataFrame(columns, index=ODD_NAMES)
    (ax,) = drawn(plots.accuracy(table, "by $5_or_$6, a/b"))
    assert shown(ax.get_yticklabels()) == [f"{name} (1)" for name in ODD_NAMES]
    assert shown([ax.title]) == ["by $5_or_$6, a/b"]


def test_a_clip_is_drawn_over_its_seconds_under_any_title(drawn):
    wave = np.linspace(-1, 1, 800).astype(np.float32)
    mel = np.arange(40.0).reshape(8, 5)
    top, bottom = drawn(plots.waveform_and_mel(wave, mel, 16_000, "pay: $5_or_$6"))
    assert shown([top.title]) == ["pay: $5_or_$6"]
    assert list(top.lines[0].get_xdata()[[0, -1]]) == [0, 0.05]
    assert list(top.lines[0].get_ydata()) == list(wave)
    assert bottom.images[0].get_extent() == [0, 0.05, 0, 8]
    np.testing.assert_array_equal(bottom.images[0].get_array(), mel)


def test_a_player_refers_to_its_clip_and_does_not_embed_it(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    clip = {"bytes": None, "path": str(tmp_path / "clips" / "two words.wav")}
    html = plots.player(clip)._repr_html_()
    assert 'src="../clips/two%20words.wav"' in html
    assert "base64" not in html
