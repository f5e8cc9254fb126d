"""What benchmarks/load_test.py sends, counts and writes."""

import io

import load_test
import numpy as np
import pytest
import soundfile

LOAD = {
    "right": 50,
    "refused": 7,
    "wrong": 1,
    "others": 2,
    "lost": 0,
    "unanswered": 0,
    "seconds": 5.0,
    "waits": [0.1] * 98 + [0.3, 0.5],
}
ROW = load_test.figures(LOAD) | {"core seconds": 0.0156}


def test_only_right_answers_have_a_rate_and_waiting_times():
    assert ROW["a second"] == 10.0
    assert ROW["wait"] == {"p50": 0.1, "p99": pytest.approx(0.302)}
    assert load_test.figures(LOAD | {"waits": [], "right": 0})["wait"] == {}


def test_refusals_and_errors_are_counted_apart():
    cells = load_test.server_cells(ROW, 2.5)
    assert cells == ["10.0", "2.5 times as many", "7", "3", "0.10 s", "0.30 s", "0.0156"]
    assert load_test.server_cells(ROW, None)[1] == "-"


def test_a_server_that_answered_nothing_has_no_times():
    nothing = load_test.figures(LOAD | {"right": 0, "waits": []}) | {"core seconds": None}
    assert load_test.server_cells(nothing, None) == ["0.0", "-", "7", "3", "-", "-", "-"]


def test_the_worst_batch_is_taken_and_decodes_to_as_much_as_a_clip_may():
    body = load_test.worst_batch()
    assert len(body) <= 10_000_000
    assert body.count(b"fLaC") == 100
    begin = body.index(b"fLaC")
    first = body[begin : body.index(b"\r\n--clip", begin)]
    with soundfile.SoundFile(io.BytesIO(first)) as file:
        assert (file.samplerate, file.channels, file.frames) == (192_000, 8, 60 * 192_000)


def test_clips_are_written_with_the_labels_of_the_predictor(tmp_path, monkeypatch):
    monkeypatch.setattr(load_test, "labels_of", lambda files, server: ["on", "off"])
    waveforms = [np.zeros(8_000, np.float32), np.zeros(4_000, np.float32)]
    load_test.write_clips(waveforms, load_test.OURS, tmp_path)
    assert (tmp_path / "labels.txt").read_text(encoding="utf-8") == "on\noff\n"
    assert [soundfile.info(tmp_path / f"{i}.wav").frames for i in (1, 2)] == [8_000, 4_000]


def test_costs_are_scaled_up_on_paper():
    serving = {"clip_seconds": 2.0, "servers": {"serve.py": {"core seconds": 0.014}}}
    lines = load_test.paper_table(serving)
    assert lines[0] == "| on paper | formula | shipped classifier |"
    rows = [line.strip("| ").split(" | ")[2] for line in lines[2:]]
    assert rows == [
        "200",  # cores: 10,000 * 0.014 / 0.7
        "6",  # machines
        "5.1 Gbit/s",  # 10,000 * (64,000 + 44) bytes
        "7,000",  # core-hours: 1e6 * 0.014 / 2
        "0.3",  # days
    ]


def test_gains_of_batches_have_a_sign():
    batching = {"base": {"mixed": {"gain": -0.176}, "equal": {"gain": 0.04}}}
    assert load_test.batching_table(batching)[2:] == ["| wav2vec2-base size | -18 % | +4 % |"]


def test_a_storm_is_compared_with_what_64_clients_got():
    serving = {
        "servers": {"serve.py": ROW, "plain": ROW | {"a second": 2.0}},
        "storm": ROW | {"a second": 9.0, "core seconds": None},
        "attack": ROW | {"a second": 7.5, "core seconds": None},
    }
    rows = [line.strip("| ").split(" | ") for line in load_test.servers_table(serving)[2:]]
    assert [row[3] for row in rows[1:]] == ["5.0 times as many", "0.90 of those", "0.75 of those"]
    assert [row[1] for row in rows] == ["64", "64", "2,000", "2,000"]
