"""Turn a download of real speech into a data folder: write the metadata.csv that `--data` takes.

python dataset/make_metadata.py free-spoken-digit-dataset   # recordings/7_jackson_32.wav
python dataset/make_metadata.py wake-word-benchmark         # audio/alexa/0.flac

The names of the files say digit, speaker and number, or command and number. The encoder in models/
has heard 70 % of the second one's clips; pretraining/left_out_commands.csv lists the others:

python dataset/make_metadata.py wake-word-benchmark --only pretraining/left_out_commands.csv
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from speech_intent import command_line, quality
from speech_intent.errors import UserError

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def digit_rows(folder: Path) -> list[dict[str, str]]:
    """List the clips of the Free Spoken Digit Dataset."""
    rows = []
    for path in sorted((folder / "recordings").glob("*.wav")):
        digit, speaker, _ = path.stem.split("_")
        rows.append(
            {
                "file_name": f"recordings/{path.name}",
                "intent": DIGITS[int(digit)],
                "speaker": speaker,
            }
        )
    return rows


def command_rows(folder: Path) -> list[dict[str, str]]:
    """List the clips of Picovoice's wake-word-benchmark; its speakers are not named."""
    paths = sorted((folder / "audio").glob("*/*.flac"))
    return [
        {"file_name": path.relative_to(folder).as_posix(), "intent": path.parent.name}
        for path in paths
    ]


def keep_listed(rows: list[dict[str, str]], folder: Path, listed: Path) -> list[dict[str, str]]:
    """Keep the clips whose samples a CSV lists in its column sha256."""
    wanted = set(pd.read_csv(listed)["sha256"])
    digests = {row["file_name"]: quality.measure(folder / row["file_name"]).digest for row in rows}
    return [row for row in rows if digests[row["file_name"]][:16] in wanted]


def write_metadata(folder: Path, listed: Path | None) -> None:
    """Write FOLDER/metadata.csv. Raises `UserError` for a folder that is neither."""
    rows = digit_rows(folder) or command_rows(folder)
    if not rows:
        problem = "holds neither recordings/*.wav nor audio/*/*.flac"
        raise UserError(folder, problem, "check the path")
    if listed:
        rows = keep_listed(rows, folder, listed)
    path = folder / "metadata.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    print(f"{path}: {len(rows)} clips")


def main() -> int:
    """Read the arguments and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--only", type=Path, help="CSV with a column sha256: keep the clips with these samples"
    )
    args = parser.parse_args()
    return command_line.exit_status(lambda: write_metadata(args.folder, args.only))


if __name__ == "__main__":
    sys.exit(main())
