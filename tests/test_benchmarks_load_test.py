"""What benchmarks/load_test.py counts and writes."""

import email

import load_test
from load_test import Load

ROW = {
    "answers": {"200": 50, "503": 7, "500": 2, "200, another answer": 1},
    "requests_per_second": 10.0,
    "seconds": {"p50": 1.0, "p95": 2.25, "p99": 3.0},
    "core_seconds_per_request": 0.0156,
}


def test_a_clip_is_sent_as_the_file_of_a_form():
    head = b"Content-Type: multipart/form-data; boundary=clip\r\n\r\n"
    message = email.message_from_bytes(head + load_test.form(b"RIFF of a clip"))
    (part,) = message.get_payload()
    assert part.get_payload(decode=True) == b"RIFF of a clip"
    assert part.get_param("name", header="content-disposition") == "file"
    assert part.get_filename() == "clip.wav"


def test_only_right_answers_have_a_waiting_time():
    load = Load([(1.0, "200"), (2.0, "503"), (3.0, "200"), (4.0, "200, another answer")], 9)
    assert load.waits == [1.0, 3.0]


def test_refusals_and_errors_are_counted_apart():
    cells = load_test.server_cells(ROW, our_rate=25.0, is_ours=False)
    assert cells == ["10.0", "2.5 times as many", "7", "3", "1.0 s", "2.2 s", "3.0 s", "0.016"]
    assert load_test.server_cells(ROW, our_rate=10.0, is_ours=True)[1] == ""


def test_a_server_that_answered_nothing_has_no_times():
    nothing = {
        "answers": {},
        "requests_per_second": 0.0,
        "seconds": {},
        "core_seconds_per_request": None,
    }
    cells = load_test.server_cells(nothing, our_rate=25.0, is_ours=False)
    assert cells == ["0.0", "-", "0", "0", "-", "-", "-", "-"]


def test_costs_are_scaled_up_on_paper():
    run = {"clip_seconds": 2.0, "servers": {"serve.py": {"core_seconds_per_request": 0.014}}}
    lines = load_test.paper_table({"shipped": run})
    assert lines[0] == "| on paper | formula | shipped |"
    rows = [line.strip("| ").split(" | ")[2:] for line in lines[2:]]
    assert rows == [
        ["200"],  # cores: 10,000 * 0.014 / 0.7
        ["6"],  # machines
        ["5.1 Gbit/s"],  # 10,000 * (64,000 + 44) bytes
        ["7,000"],  # core-hours: 1e6 * 0.014 / 2
        ["0.3"],  # days
    ]


def test_gains_of_batches_have_a_sign():
    batching = {"base": {"mixed": {"gain": -0.176}, "equal": {"gain": 0.04}}}
    assert load_test.batching_table(batching)[2:] == ["| wav2vec2-base size | -18 % | +4 % |"]
