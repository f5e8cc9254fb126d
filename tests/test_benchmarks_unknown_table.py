"""What was answered by mistake, added up over runs."""

import pytest
import unknown_table


def run(accepted: int, auroc: float) -> dict:
    kinds = {"noise": {"n": 50, "accepted": accepted, "auroc": auroc}}
    return {"n": 100, "answered": 90 + accepted, "accuracy": 0.8, "accuracy_answered": 0.9} | {
        "kinds": kinds
    }


def test_kinds_are_counted_over_all_runs():
    (line,) = unknown_table.kinds([run(0, 1.0), run(5, 0.8)])[2:]
    assert line == "| noise | 0.050 = 5/100 | 0.022 to 0.112 | 0.100 | 0.900 (0.800) |"


def test_the_fewest_answers_of_a_run_stand_beside_all():
    text = unknown_table.answered([run(0, 1.0), run(5, 0.8)])
    assert text == "0.925 = 185/200 (fewest in a run 0.900)"


@pytest.mark.parametrize("part", [unknown_table.bundled, unknown_table.people])
def test_what_has_no_result_was_not_measured(part, monkeypatch):
    monkeypatch.setattr(unknown_table, "load", lambda _: {})
    assert part()[0].endswith("not measured.")


def test_the_promise_and_the_answers_are_named(monkeypatch):
    found = {"accept": 0.9, "runs": [run(1, 0.9)]}
    monkeypatch.setattr(unknown_table, "load", lambda _: found)
    assert "0.9 of the others promised" in unknown_table.bundled()[0]
    assert "90.0 % of them rightly (80.0 % of all)" in unknown_table.bundled()[0]
    assert "0.9 of the other five promised" in unknown_table.people()[0]
