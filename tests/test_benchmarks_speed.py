"""Medians and tables of benchmarks/speed.py."""

import pytest
import speed
from speed import Ran


def test_a_program_is_run_to_its_end():
    ran = speed.run("-c", "print('first'); x = bytearray(50_000_000); print('{\"ms\": 3}')")
    assert ran.said() == {"ms": 3}
    assert 0 < ran.seconds < 60
    assert ran.megabytes > 40  # a child's peak counts that of its parent
    with pytest.raises(SystemExit, match="failed"):
        speed.run("-c", "raise SystemExit(3)")


def test_both_sides_run_in_turn_and_ratios_are_taken_pair_by_pair(monkeypatch):
    seconds = {"ours": [100.0, 1.0, 2.0, 9.0], "theirs": [100.0, 10.0, 4.0, 9.0]}
    order = []

    def run(side):
        order.append(side)
        return Ran(seconds[side].pop(0), 50.0, "")

    monkeypatch.setattr(speed, "run", run)
    result = speed.in_turn(["ours"], ["theirs"], 3, Ran.cost)
    assert order == ["ours", "theirs"] * 4  # the first pair does not count
    assert result == {
        "ours": {"seconds": 2.0, "megabytes": 50.0},
        "pipeline": {"seconds": 9.0, "megabytes": 50.0},
        "ratio": {"seconds": 0.5, "megabytes": 1.0},  # of 0.1, 0.5 and 1
        "runs": 3,
    }


def sides(ours: float, theirs: float, name: str) -> dict:
    return {"ours": {name: ours}, "pipeline": {name: theirs}, "ratio": {name: ours / theirs}}


RESULT = {
    "machine": "2 cores",
    "clips": 12,
    "small": {
        "cold": sides(0.5, 5, "seconds"),
        "warm": sides(6, 24, "3x1"),
        "many": sides(7, 28, "seconds"),
        "ms": {"1x1": 4.0, "3x8": 5.5},
        "precision": "float32",
        "long": 48,
    },
}


def test_the_short_table_has_four_rows_and_says_what_was_not_measured():
    lines = speed.short_table(RESULT).splitlines()
    assert len(lines) == 2 + 4
    missing = "not measured | not measured"
    assert (
        lines[2] == f"| cold start of `inference.py` to its answer | 0.50 s | 5.00 s | {missing} |"
    )
    assert lines[4] == f"| warm, a clip of 3 s | 6.0 ms | 24.0 ms | {missing} |"
    assert lines[5] == f"| 12 clips of 1 to 6 s, start included | 7.0 s | 28.0 s | {missing} |"


def test_the_full_tables_have_ratios_growth_and_precisions():
    text = speed.tables(RESULT, {})
    assert "| shipped classifier | warm, a clip of 3 s | 6.0 ms | 24.0 ms | 0.25 |" in text
    assert "| shipped classifier | 1-hour file, above the loaded model | 48 MB | | |" in text
    assert "| 60 s | 3 s, 8 in a call | 3 s, 32 in a call |" in text
    growth = next(
        line for line in text.splitlines() if line.startswith("| shipped classifier | 4.0")
    )
    assert growth.split(" | ")[7] == "5.5"
    assert "Medians; 2 cores. Precision: wav2vec2-base size not measured, shipped" in text
    assert text.endswith("Engines: not measured.\n")


def test_engines_are_compared_in_a_table():
    row = {"first_seconds": 1.938, "warm_ms": 138.9, "megabytes": 711.2, "difference": 2.1e-7}
    lines = speed.engines_table({"ONNX Runtime, float32": row})
    assert lines[-1] == "| ONNX Runtime, float32 | 1.94 s | 139 ms | 711 MB | 2.1e-07 |"
