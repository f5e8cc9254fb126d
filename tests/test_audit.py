"""The command line: what it writes and prints, and a corrected table that is trained on."""

import subprocess
import sys

import pandas as pd
import pytest
from conftest import write_csv

from speech_intent import audit, findings, train

HEAVY = ["torch", "numpy", "transformers", "datasets", "pandas", "sklearn", "cleanlab"]
CHANGES = {"clips/hear_low_3.wav": "hear_high", "clips/hear_high_0.wav": "hear_middle"}


@pytest.fixture
def folder(tmp_path, write_folder):
    """Tones with two labels that are wrong, and a clip that cannot be read."""
    folder = write_folder(tmp_path / "data", 10)
    rows = read(folder / "metadata.csv").to_dict("records")
    rows = [row | {"intent": CHANGES.get(row["file_name"], row["intent"])} for row in rows]
    write_csv(folder / "metadata.csv", rows)
    return folder


@pytest.fixture
def run(folder, encoders, tmp_path):
    """Audit the folder into `tmp_path / "out"`, or another; give the exit status."""

    def main(*more: str, out: str = "out") -> int:
        usual = ["--data", folder, "--encoder", encoders["moonshine"]]
        return audit.main([*map(str, usual), "--output-dir", str(tmp_path / out), *more])

    return main


def read(path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_a_folder_is_audited_from_the_command_line(folder, encoders, tmp_path):
    out = tmp_path / "out"
    (folder / "clips" / "hear_low_9.wav").write_bytes(b"no audio")
    options = ["--data", folder, "--encoder", encoders["moonshine"], "--output-dir", out]
    command = [sys.executable, "-m", "speech_intent.audit", *map(str, options)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert lines[0] == "40 clips: 2 labels are likely wrong, 0 more are doubtful."
    assert "  1 unreadable" in lines and "  2 wrong label" in lines
    assert lines[-1] == f"Listen: {out / 'audit.html'}"
    assert {path.name for path in out.iterdir()} >= {"audit.html", "audit.csv"}
    table = read(out / "audit.csv")
    assert list(table.columns) == list(findings.COLUMNS)
    assert table["rank"].tolist() == [str(i) for i in range(1, 41)]
    assert table["file_name"].tolist()[0] == "clips/hear_low_9.wav"
    assert set(table["file_name"].tolist()[1:3]) == set(CHANGES)


def test_the_same_seed_writes_the_same(run, tmp_path):
    assert run(out="a") == run(out="b") == 0
    for name in ("audit.csv", "audit.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_corrected_table_is_trained_on(run, folder, encoders, tmp_path, capsys):
    new = tmp_path / "corrected.csv"
    before = (folder / "metadata.csv").read_bytes()
    assert run("--write-corrected", str(new)) == 0
    assert f"Corrected table: {new}" in capsys.readouterr().out
    assert (folder / "metadata.csv").read_bytes() == before
    (folder / "metadata.csv").rename(tmp_path / "before.csv")
    new.rename(folder / "metadata.csv")
    options = ["--data", folder, "--encoder", encoders["moonshine"], "--freeze", "encoder"]
    out = tmp_path / "run"
    assert train.main([*map(str, options), "--output-dir", str(out)]) == 0
    clips = read(out / "clips.csv").set_index("file_name")["intent"]
    for name in CHANGES:
        assert name.startswith(f"clips/{clips[name]}_")
    assert run(out="again") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("Listen: ")
    assert not read(tmp_path / "again" / "audit.csv")["issues"].str.contains("wrong label").any()


def test_a_corrected_table_replaces_nothing(run, folder, tmp_path, capsys):
    before = (folder / "metadata.csv").read_bytes()
    assert run("--write-corrected", str(folder / "metadata.csv")) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and "is there already" in err
    assert (folder / "metadata.csv").read_bytes() == before
    assert not (tmp_path / "out").exists()  # said before any work


def test_an_audit_is_not_written_over(run, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "audit.html").write_text("kept")
    assert run() == 1
    assert "holds an audit; choose another folder" in capsys.readouterr().err
    assert (tmp_path / "out" / "audit.html").read_text() == "kept"


def test_problems_of_the_table_are_warned_of(run, folder, caplog):
    rows = read(folder / "metadata.csv").to_dict("records")
    write_csv(folder / "metadata.csv", [*rows, {"file_name": "gone.wav", "intent": "hear_low"}])
    assert run() == 0
    assert "gone.wav): there is no such file" in caplog.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "gone"], "there is no such folder"),
        (["--seed", "-1"], "give a whole number from 0 on"),
        (["--encoder", "gone/"], "gone"),
    ],
)
def test_what_a_user_can_put_right_has_no_traceback(run, capsys, options, said):
    assert run(*options) == 1
    err = capsys.readouterr().err
    assert "error: " in err and said in err and "Traceback" not in err


def test_help_is_quick():
    program = (
        "import sys\nfrom speech_intent import audit\n"
        "try:\n    audit.main(['--help'])\n"
        f"finally:\n    print('heavy', [name for name in {HEAVY} if name in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert process.stdout.startswith("usage: python -m speech_intent.audit ")
    assert process.stdout.splitlines()[-1] == "heavy []"


@pytest.mark.parametrize("arguments", [[], ["--data", "d"], ["--output-dir", "o", "--model", "m"]])
def test_wrong_usage_is_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        audit.main(arguments)
    assert stop.value.code == 2
    assert "usage: python -m speech_intent.audit" in capsys.readouterr().err
