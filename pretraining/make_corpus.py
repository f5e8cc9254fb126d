"""Write the pretraining corpus: synthesised short requests and real single words, as shards.

A shard is `shard_0000.npy` (int16, all its clips end to end, 16 kHz) and `shard_0000.csv`, one row
a clip with `start,length` (samples), `text` (normalised), `intent` (empty where unknown), `voice`
and `source`. The table is written last and by renaming, so an interrupted run goes on after the
last shard that has one.

What it writes for given synthesisers and `SEED` is frozen: the shipped encoder learned from it.
"""

import argparse
import functools
import io
import os
import re
import shutil
import subprocess
import tempfile
import wave
import zlib
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import soxr
from tqdm import tqdm

RATE = 16_000  # Hz
SEED = 17
REAL = "real"  # the voice of a recording
REAL_SPEEDS = (1.0, 0.87, 1.14)  # resampling moves the formants too: more speakers out of few
ACCENTS = {
    "en-us": 0.4,
    "en-gb": 0.24,
    "en-029": 0.12,
    "en-gb-x-rp": 0.12,
    "en-gb-x-gbclan": 0.12,
}
# espeak-ng variants that no validation or test voice of the bundled dataset uses or closely
# resembles
VARIANTS = """
m1 m2 m4 m6 m7 f1 f3 f5 Alex Andy Annie AnxiousAndy Denis Gene Gene2 Jacky Lee Marco Mario Michael
Tweaky Storm adam antonio aunty belinda benjamin caleb ed edward edward2 grandpa gustave iven iven2
iven3 iven4 john klatt klatt2 klatt3 klatt4 klatt5 linda marcelo norbert pablo paul pedro rob
robert sandro steph steph2 steph3 travis zac
""".split()  # noqa: SIM905
FLITE_VOICES = {"rms": 105.0, "awb": 130.0}  # recorded speakers, and about their mean pitch in Hz
FLITE_SHARE = 0.3  # of the synthetic clips
FLITE_SPREAD = 0.28  # of the speed: two flite speakers have to stand for many
ESPEAK_SPREAD = 0.17
MIN_SECONDS = 0.2
MAX_SECONDS = 7
PEAK = 30_000  # of 32,767
COLUMNS = ["start", "length", "text", "intent", "voice", "source"]


@dataclass(frozen=True)
class Voice:
    """How a clip is spoken, or played."""

    name: str  # such as "espeak-ng/en-us+f1" or "flite/rms", or "real"
    speed: float  # of the resampling, which moves pitch and formants
    tempo: float = 1.0  # relative to the voice's usual rate
    pitch: float = 0.5  # from 0 to 1


@dataclass(frozen=True)
class Text:
    """What is said."""

    source: str  # as it was written, or the path of a recording
    text: str  # normalised
    intent: str  # empty where unknown


@dataclass(frozen=True)
class Clip:
    """A planned clip of the corpus."""

    text: Text
    voice: Voice


def normalise(text: str) -> str:
    """Lower-case a text and keep letters, digits and apostrophes, single-spaced.

    `"What's my balance?"` gives `"what's my balance"`.
    """
    text = text.lower().replace("’", "'").replace("-", " ").replace("_", " ")
    return " ".join(re.sub(r"[^a-z0-9' ]", "", text).split())


def text_key(text: str) -> str:
    """Return the text without punctuation, by which texts of two collections are compared."""
    return normalise(text).replace("'", "")


def excluded_keys(phrasings: Path | None) -> set[str]:
    """Return the keys of the bundled validation and test phrasings: pretraining must not have them.

    `phrasings` is a table with the columns `text` and `split`; None or a missing file excludes
    nothing.
    """
    if phrasings is None or not phrasings.exists():
        return set()
    table = pd.read_csv(phrasings)
    return {text_key(text) for text in table["text"][table["split"] != "train"]}


def is_left_out(file_name: str) -> bool:
    """Tell whether a real command clip belongs to the fixed 30 % that pretraining never sees."""
    return zlib.crc32(file_name.encode()) % 10 >= 7


def load_texts(paths: list[Path], excluded: set[str]) -> list[Text]:
    """Read the request tables; keep speakable texts, each once, with their intents.

    Out-of-scope requests have no intent.
    """
    texts = []
    seen = set(excluded)
    for path in paths:
        table = pd.read_csv(path)[["text", "intent"]]
        for written, intent in table.itertuples(index=False):
            text = normalise(written)
            # The spoken form of digits is not the written one; long texts cost padding.
            speakable = 4 <= len(text) <= 85 and not re.search(r"\d", text)
            if not speakable or text_key(written) in seen:
                continue
            seen.add(text_key(written))
            name = "" if intent == "oos" else f"{path.stem}/{intent}"
            texts.append(Text(written, text, name))
    return texts


def make_fragments(
    texts: list[Text], count: int, rng: np.random.Generator, excluded: set[str]
) -> list[Text]:
    """Cut runs of one to four words out of the texts: short clips, by which CTC learns to align."""
    fragments = []
    while len(fragments) < count:
        words = texts[rng.integers(len(texts))].text.split()
        size = int(rng.integers(1, 5))
        start = int(rng.integers(0, max(1, len(words) - size + 1)))
        text = " ".join(words[start : start + size])
        if len(text) > 1 and text_key(text) not in excluded:
            fragments.append(Text(text, text, ""))
    return fragments


def draw_voice(rng: np.random.Generator) -> Voice:
    """Draw a synthetic voice."""
    if rng.random() < FLITE_SHARE:
        name = "flite/" + str(rng.choice(list(FLITE_VOICES)))
        spread = FLITE_SPREAD
    else:
        accent = str(rng.choice(list(ACCENTS), p=tuple(ACCENTS.values())))
        variant = "" if rng.random() < 0.05 else "+" + str(rng.choice(VARIANTS))
        name = f"espeak-ng/{accent}{variant}"
        spread = ESPEAK_SPREAD
    return Voice(
        name=name,
        speed=float(np.exp(rng.uniform(-spread, spread))),
        tempo=float(np.exp(rng.uniform(-0.3, 0.25))),
        pitch=float(rng.random()),
    )


def synthesise(text: str, voice: Voice) -> np.ndarray:
    """Speak a text with espeak-ng or flite: float32, (n_samples,), at 16 kHz."""
    engine, name = voice.name.split("/")
    tempo = voice.tempo / voice.speed  # resampling changes the rate: the synthesiser makes up
    if engine == "espeak-ng":
        samples, rate = speak_espeak(text, name, tempo, voice.pitch)
    else:
        samples, rate = speak_flite(text, name, tempo, voice.pitch)
    return soxr.resample(samples.astype(np.float32) / 32768, rate * voice.speed, RATE)


def speak_espeak(text: str, name: str, tempo: float, pitch: float) -> tuple[np.ndarray, int]:
    """Speak a text with espeak-ng: int16, (n_samples,), and their rate in Hz."""
    options = ["-v", name, "-s", str(int(165 * tempo)), "-p", str(int(15 + 70 * pitch))]
    command = ["espeak-ng", *options, "--stdout", "--stdin"]
    data = subprocess.run(command, input=text.encode(), stdout=subprocess.PIPE, check=True).stdout
    rate = int.from_bytes(data[24:28], "little")  # a WAV file of unknown length: no reader takes it
    return np.frombuffer(data[44 : len(data) - len(data) % 2], dtype="<i2"), rate


def speak_flite(text: str, name: str, tempo: float, pitch: float) -> tuple[np.ndarray, int]:
    """Speak a text with flite: int16, (n_samples,), and their rate in Hz."""
    settings = {
        "duration_stretch": 1 / tempo,
        "int_f0_target_mean": FLITE_VOICES[name] * (0.75 + 0.7 * pitch),
    }
    options = []
    for key, value in settings.items():
        options += ["--setf", f"{key}={value:.2f}"]
    with tempfile.NamedTemporaryFile(suffix=".wav", dir="/dev/shm") as out:
        command = ["flite", "-voice", name, *options, "-t", text, "-o", out.name]
        subprocess.run(command, check=True)
        with wave.open(io.BytesIO(Path(out.name).read_bytes())) as reader:
            rate = reader.getframerate()
            return np.frombuffer(reader.readframes(-1), dtype="<i2"), rate


def read_real(path: Path | str, speed: float) -> np.ndarray:
    """Read a recording played `speed` times as fast: mono float32, (n_samples,), at 16 kHz."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), rate * speed, RATE)


def trim(samples: np.ndarray, margin: float = 0.08) -> np.ndarray:
    """Cut what is below 1 % of the peak at both ends of (n_samples,), but for `margin` seconds."""
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    if not len(loud):
        return samples
    pad = int(margin * RATE)
    return samples[max(0, loud[0] - pad) : loud[-1] + pad]


def plan_real(folders: list[Path]) -> list[Clip]:
    """List the real clips at each speed; commands of the left-out 30 % are skipped."""
    clips = []
    for folder in folders:
        table = pd.read_csv(folder / "metadata.csv")
        has_texts = "text" in table
        words = table["text" if has_texts else "intent"]
        for file_name, word in zip(table["file_name"], words, strict=True):
            if not has_texts and is_left_out(file_name):
                continue
            text = Text(str(folder / file_name), normalise(word), "")
            clips += [Clip(text, Voice(REAL, speed)) for speed in REAL_SPEEDS]
    return clips


def make_plan(args: argparse.Namespace) -> list[Clip]:
    """Draw every clip: real ones and fragments first, so that training can start early."""
    rng = np.random.default_rng(SEED)
    excluded = excluded_keys(args.phrasings)
    texts = load_texts(args.texts, excluded)
    early = plan_real(args.real)
    fragments = make_fragments(texts, args.fragments, rng, excluded)
    early += [Clip(text, draw_voice(rng)) for text in fragments]
    plan = [early[i] for i in rng.permutation(len(early))]
    for _ in range(args.passes):  # each pass speaks every text once, by another voice
        plan += [Clip(texts[i], draw_voice(rng)) for i in rng.permutation(len(texts))]
    return plan


def speak(clip: Clip) -> np.ndarray:
    """Make the samples of a planned clip: float32, (n_samples,), without silence around them."""
    if clip.voice.name == REAL:
        return trim(read_real(clip.text.source, clip.voice.speed))
    return trim(synthesise(clip.text.source, clip.voice))


def write_shard(job: tuple[int, list[Clip]], folder: Path) -> None:
    """Make one shard's clips and write audio, then table; does nothing if the table exists.

    `job` is the number of the shard and its planned clips.
    """
    number, plan = job
    table_path = folder / f"shard_{number:04d}.csv"
    if table_path.exists():
        return
    waveforms = []
    rows = []
    start = 0
    for clip in plan:
        samples = speak(clip)
        if not MIN_SECONDS * RATE <= len(samples) <= MAX_SECONDS * RATE:
            continue
        peak = max(np.abs(samples).max(), 1e-4)
        waveforms.append((samples / peak * PEAK).astype(np.int16))
        source = "real" if clip.voice.name == REAL else "synthetic"
        row = (start, len(samples), clip.text.text, clip.text.intent, clip.voice.name, source)
        rows.append(row)
        start += len(samples)
    np.save(table_path.with_suffix(".npy"), np.concatenate(waveforms))
    part = table_path.with_suffix(".part")
    pd.DataFrame(rows, columns=COLUMNS).to_csv(part, index=False)
    os.replace(part, table_path)


def parse_arguments() -> argparse.Namespace:
    """Read the command line; wrong where a synthesiser is missing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--texts", type=Path, nargs="+", required=True, help="tables with text,intent")
    add("--real", type=Path, nargs="*", default=[], help="folders with metadata.csv")
    add("--phrasings", type=Path, help="bundled phrasings, of which only train may occur")
    add("--output", type=Path, required=True)
    add("--fragments", type=int, default=9000)
    add("--passes", type=int, default=2)
    add("--shard-size", type=int, default=500)
    add("--workers", type=int, default=2)
    args = parser.parse_args()
    for program in ("espeak-ng", "flite"):
        if shutil.which(program) is None:
            parser.error(f"{program} is not installed")
    return args


def main() -> None:
    """Write all shards."""
    args = parse_arguments()
    args.output.mkdir(parents=True, exist_ok=True)
    plan = make_plan(args)
    size = args.shard_size
    jobs = [(i // size, plan[i : i + size]) for i in range(0, len(plan), size)]
    with Pool(args.workers) as pool:
        work = pool.imap(functools.partial(write_shard, folder=args.output), jobs)
        for _ in tqdm(work, total=len(jobs), unit="shard"):
            pass


if __name__ == "__main__":
    main()
