"""Turn a download of real speech into a data folder: write the metadata.csv that `--data` takes.

python benchmarks/make_metadata.py free-spoken-digit-dataset   # recordings/7_jackson_32.wav: digit, speaker, number
python benchmarks/make_metadata.py wake-word-benchmark         # audio/alexa/0.flac: command, number

The encoder in models/ has heard 70 % of the second one's clips; pretraining/left_out_commands.csv lists the others:

python benchmarks/make_metadata.py wake-word-benchmark --only pretraining/left_out_commands.csv
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from speech_intent import audio

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def digit_rows(folder: Path) -> list[dict]:
    """List the clips of the Free Spoken Digit Dataset."""
    rows = []
    for path in sorted((folder / "recordings").glob("*.wav")):
        digit, speaker, _ = path.stem.split("_")
        rows.append({"file_name": f"recordings/{path.name}", "intent": DIGITS[int(digit)], "speaker": speaker})
    return rows


def command_rows(folder: Path) -> list[dict]:
    """List the clips of Picovoice's wake-word-benchmark; its speakers are not named."""
    paths = sorted((folder / "audio").glob("*/*.flac"))
    return [{"file_name": path.relative_to(folder).as_posix(), "intent": path.parent.name} for path in paths]


def main() -> int:
    """Write FOLDER/metadata.csv."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path)
    p.add_argument("--only", type=Path, help="CSV with a column sha256: keep the clips with these samples")
    args = p.parse_args()
    folder = args.folder
    rows = digit_rows(folder) or command_rows(folder)
    if not rows:
        print(f"error: {folder}: holds neither recordings/*.wav nor audio/*/*.flac; check the path", file=sys.stderr)
        return 1
    if args.only:
        wanted = set(pd.read_csv(args.only)["sha256"])
        rows = [row for row in rows if audio.measure(folder / row["file_name"])["digest"][:16] in wanted]
    pd.DataFrame(rows).to_csv(folder / "metadata.csv", index=False)
    print(f"{folder / 'metadata.csv'}: {len(rows)} clips")
    return 0


if __name__ == "__main__":
    sys.exit(main())
