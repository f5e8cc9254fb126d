"""Make the synthetic spoken-intent dataset from `phrasings.csv` and `voices.csv`.

Each clip is one phrasing spoken by one voice of a speech synthesiser (eSpeak NG, Flite or
Festival). About a third of the clips are then passed through a simulated room, background noise or
telephone band. Every random choice comes from `SEED`, so the same engine and library versions give
the same bytes.

The bundled audio is frozen. Noise, room and telephone here are therefore this script's own, with
other filters than those of the package, and must not change by a bit.
"""

import argparse
import csv
import io
import re
import shutil
import subprocess
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
SEED = 2024
SAMPLE_RATE = 16_000  # Hz
COLUMNS = ["file_name", "intent", "speaker", "engine", "text", "seconds"]
PACKAGES = {
    "espeak-ng": "espeak-ng",
    "flite": "flite",
    "festival": "festival festlex-cmu festlex-poslex festvox-kdlpc16k festvox-us-slt-hts",
}
PHRASINGS_PER_SPLIT = {"train": 8, "validation": 1, "test": 3}  # of twelve wordings of a request
CLIPS_PER_SPLIT = {"train": 940, "validation": 180, "test": 400}
# Unequal weights, because requests to a real assistant are not balanced over intents either.
INTENT_WEIGHTS = {
    "battery": 1.0,
    "Running_operating_cost": 0.8,
    "Locate_Dealer": 0.75,
    "casual_talk_greeting": 0.7,
    "Top_speed": 0.55,
    "casual_talk_goodbye": 0.5,
    "About_iQube": 0.95,
    "bike_modes": 0.85,
    "book_now": 0.9,
}
ENGINE_SHARES = {
    "train": {"espeak-ng": 0.60, "flite": 0.40},
    "validation": {"espeak-ng": 0.62, "flite": 0.38},
    "test": {"espeak-ng": 0.48, "flite": 0.21, "festival": 0.31},
}
FLITE_F0 = {"awb": 125.0, "rms": 100.0, "kal16": 100.0, "slt": 175.0}  # usual mean pitch, Hz
FESTIVAL_F0 = 105  # Hz
MIN_SPEECH = 1.25  # audible seconds before any processing
MAX_SPEECH = 5.0  # both with a margin inside 1 to 6 s
TRIES = 14  # rates at which a clip is spoken before it is given up
EFFECTS_SHARE = 0.35  # of the clips
FLOOR_SHARE = 0.85  # of the clips; the others keep digital silence, as some devices gate it
CODEC_RATE = 8_000  # Hz, of a telephone
VARIABLE_TRIES = 20  # encodings at a variable bit rate, which now and then spoils frames
ENCODER_TRIES = 40
MP3_FRAME = 576  # samples

Row = dict[str, str]


def make_rng(*keys: object) -> np.random.Generator:
    """Return a generator that depends only on `SEED` and the keys.

    So no clip's draws shift another's.
    """
    return np.random.default_rng([SEED, *(zlib.crc32(str(key).encode()) for key in keys)])


def read_csv(path: Path) -> list[Row]:
    """Return the rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_csv(path: Path, columns: list[str], rows: Iterable[Row]) -> None:
    """Write rows to a CSV file with the given columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def draw_splits(phrasings: list[Row]) -> list[str]:
    """Return one split a phrasing, drawn at random within each request: nobody chooses them."""
    splits = [""] * len(phrasings)
    names = [name for name, count in PHRASINGS_PER_SPLIT.items() for _ in range(count)]
    requests = [(row["intent"], row["request"]) for row in phrasings]
    for intent, request in dict.fromkeys(requests):
        rows = [i for i, other in enumerate(requests) if other == (intent, request)]
        if len(rows) != len(names):
            raise ValueError(
                f"{intent}, {request} has {len(rows)} phrasings, expected {len(names)}"
            )
        drawn = make_rng("splits", intent, request).permutation(names)
        for i, name in zip(rows, drawn, strict=True):
            splits[i] = str(name)
    return splits


def share_out(total: int, weights: dict[str, float]) -> dict[str, int]:
    """Divide `total` items over the keys in proportion to their weights (largest remainders)."""
    whole = sum(weights.values())
    exact = {key: total * weight / whole for key, weight in weights.items()}
    counts = {key: int(value) for key, value in exact.items()}
    by_remainder = sorted(exact, key=lambda key: counts[key] - exact[key])
    for key in by_remainder[: total - sum(counts.values())]:
        counts[key] += 1
    return counts


def plan_split(split: str, phrasings: list[Row], voices: list[Row]) -> list[Row]:
    """Choose the text and the voice of every clip of a split.

    Returns one row a clip (intent, text, speaker, engine, voice), in random order. The texts of an
    intent are used about equally often, and so are the voices of an engine.
    """
    rng = make_rng("plan", split)
    phrasings = [row for row in phrasings if row["split"] == split]
    voices = [row for row in voices if row["split"] == split]
    voice_counts: Counter[str] = Counter()
    clips = []
    for intent, total in share_out(CLIPS_PER_SPLIT[split], INTENT_WEIGHTS).items():
        texts = [row["text"] for row in phrasings if row["intent"] == intent]
        clips += plan_intent(
            intent, texts, voices, plan_engines(split, total, rng), voice_counts, rng
        )
    return [clips[i] for i in rng.permutation(len(clips))]


def plan_engines(split: str, total: int, rng: np.random.Generator) -> list[str]:
    """Draw which engine speaks each of an intent's clips, in the shares of the split."""
    counts = share_out(total, ENGINE_SHARES[split])
    engines = [name for name, count in counts.items() for _ in range(count)]
    return [str(engine) for engine in rng.permutation(engines)]


def plan_intent(
    intent: str,
    texts: list[str],
    voices: list[Row],
    engines: list[str],
    voice_counts: Counter[str],
    rng: np.random.Generator,
) -> list[Row]:
    """Choose a text and a voice for each of an intent's clips; count the voices in place."""
    text_counts: Counter[str] = Counter()
    pair_counts: Counter[tuple[str, str]] = Counter()

    def uses(pair: tuple[str, Row]) -> tuple[int, int, int, float]:
        text, voice = pair
        speaker = voice["speaker"]
        # The first keeps a voice from repeating a text, the last breaks ties at random.
        return pair_counts[text, speaker], text_counts[text], voice_counts[speaker], rng.random()

    clips = []
    for engine in engines:
        able = [voice for voice in voices if voice["engine"] == engine]
        text, voice = min(((text, voice) for text in texts for voice in able), key=uses)
        pair_counts[text, voice["speaker"]] += 1
        text_counts[text] += 1
        voice_counts[voice["speaker"]] += 1
        clips.append({**voice, "intent": intent, "text": text})
    return clips


def festival_script(voice: str, text: str, stretch: float, pitch: float, path: Path) -> str:
    """Return the Scheme commands with which Festival writes one utterance to `path`."""
    if voice.endswith("_hts"):  # the HTS engine has its own rate factor, and a shift in semitones
        setting = f'(set! hts_engine_params (append (list (list "-r" {1 / stretch:.4f}) '
        setting += f'(list "-fm" {3 * pitch:.4f})) hts_engine_params))'
    else:
        f0 = FESTIVAL_F0 * 2 ** (pitch / 4)
        setting = f"(Parameter.set 'Duration_Stretch {stretch:.4f})"
        setting += f"(set! int_lr_params (cons (list 'target_f0_mean {f0:.2f}) int_lr_params))"
    saving = f'(utt.save.wave (utt.synth (Utterance Text "{text}")) "{path}" \'riff)'
    return f"({voice}){setting}{saving}"


def synthesise(engine: str, voice: str, text: str, stretch: float, pitch: float) -> np.ndarray:
    """Speak a text: float64, (n_samples,), at 16 kHz.

    `stretch` is a factor of the duration: 2 is half as fast as the engine's usual rate. `pitch`, in
    [-1, 1], is relative to the voice's own; 1 is about 3 semitones up.
    """
    if not re.fullmatch(r"[a-z ]+", text):  # also keeps quotes out of the Festival commands
        raise ValueError(f"a phrasing may hold only lower-case letters and spaces: {text!r}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        spoken = text
        if engine == "espeak-ng":
            rate = round(160 / stretch)  # words a minute
            command = [engine, "-v", voice, "-s", str(rate), "-p", str(round(50 + 20 * pitch))]
            command += ["--stdin", "-w", str(path)]
        elif engine == "flite":
            f0 = FLITE_F0[voice] * 2 ** (pitch / 4)
            command = [engine, "-voice", voice, "--setf", f"duration_stretch={stretch:.4f}"]
            command += ["--setf", f"int_f0_target_mean={f0:.2f}", "-t", text, "-o", str(path)]
        else:
            command = ["festival", "--pipe"]
            spoken = festival_script(voice, text, stretch, pitch, path)
        result = subprocess.run(command, input=spoken, capture_output=True, text=True, check=False)
        if result.returncode or not path.exists():
            raise RuntimeError(f"{' '.join(command)} failed: {result.stderr.strip()}")
        waveform, rate = soundfile.read(path)
    return soxr.resample(waveform, rate, SAMPLE_RATE)


def audible_span(waveform: np.ndarray, below_peak_db: float) -> slice:
    """Return the samples from the first to the last loud frame of 20 ms.

    Loud is what lies within `below_peak_db` dB of the loudest frame.
    """
    hop = SAMPLE_RATE // 100
    energy = np.add.reduceat(waveform**2, np.arange(0, len(waveform), hop))
    energy = energy[:-1] + energy[1:]
    loud = np.flatnonzero(energy > energy.max() * 10 ** (-below_peak_db / 10))
    return slice(loud[0] * hop, min((loud[-1] + 2) * hop, len(waveform)))


def speak_clip(clip: Row, rng: np.random.Generator) -> np.ndarray:
    """Return the clip's speech, (n_samples,), with peak 1 and no silence around it."""
    stretch = rng.uniform(0.85, 1.22)
    pitch = rng.uniform(-1, 1)
    for _ in range(TRIES):
        waveform = synthesise(clip["engine"], clip["voice"], clip["text"], stretch, pitch)
        speech = audible_span(waveform, 20)
        seconds = (speech.stop - speech.start) / SAMPLE_RATE
        if MIN_SPEECH <= seconds <= MAX_SPEECH:
            span = audible_span(waveform, 45)  # keeps soft first and last consonants
            return waveform[span] / np.abs(waveform).max()
        stretch *= 1.06 if seconds < MIN_SPEECH else 1 / 1.06
    raise RuntimeError(f"cannot bring to {MIN_SPEECH} to {MAX_SPEECH} s of speech: {clip}")


def coloured_noise(n_samples: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise, (n_samples,), whose power falls as 1 / frequency ** slope.

    1 is pink, 2 is brown.
    """
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    frequency = np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum / np.maximum(frequency, 20.0) ** (slope / 2), n_samples)


def mains_hum(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return 50 Hz and its overtones with a little pink noise, (n_samples,)."""
    phase = 2 * np.pi * rng.uniform(49.8, 50.2) * np.arange(n_samples) / SAMPLE_RATE
    overtones = (np.sin(k * phase + rng.uniform(0, 2 * np.pi)) / k for k in range(1, 9))
    hum = sum(overtones)
    # Two draws of noise, where one would do: the bytes are frozen.
    noise = coloured_noise(n_samples, 1, rng)
    return hum + 0.2 * noise / coloured_noise(n_samples, 1, rng).std()


def babble(n_samples: int, others: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return five other clips at once, each from a random place on and repeated: (n_samples,)."""
    noise = np.zeros(n_samples)
    for i in rng.choice(len(others), 5, replace=False):
        repeated = np.resize(others[i], n_samples + len(others[i]))
        offset = rng.integers(len(others[i]))
        noise += repeated[offset : offset + n_samples]
    return noise


def background(n_samples: int, others: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return pink noise, brown noise, mains hum or babble of other clips, (n_samples,)."""
    kind = rng.choice(["pink", "brown", "hum", "babble"])
    if kind == "pink":
        return coloured_noise(n_samples, 1, rng)
    if kind == "brown":
        return coloured_noise(n_samples, 2, rng)
    if kind == "hum":
        return mains_hum(n_samples, rng)
    return babble(n_samples, others, rng)


def add_reverb(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Convolve with a direct path and decaying noise; the shape, (n_samples,), stays the same.

    It falls by 60 dB in 0.15 to 0.5 s; the direct path is 0 to 8 dB stronger than the rest.
    """
    rt60 = rng.uniform(0.15, 0.5)
    seconds = np.arange(int(rt60 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(seconds)) * 10 ** (-3 * seconds / rt60)
    tail *= 10 ** (-rng.uniform(0, 8) / 20) / np.sqrt(np.sum(tail**2))
    response = np.concatenate([[1.0], np.zeros(SAMPLE_RATE // 200), tail])
    size = len(waveform) + len(response)
    product = np.fft.rfft(waveform, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[: len(waveform)]


def telephone(waveform: np.ndarray) -> np.ndarray:
    """Return the waveform, (n_samples,), as heard over 8 kHz, 300 to 3,400 Hz and 8-bit mu-law."""
    narrow = soxr.resample(waveform, SAMPLE_RATE, CODEC_RATE)
    spectrum = np.fft.rfft(narrow)
    frequency = np.fft.rfftfreq(len(narrow), 1 / CODEC_RATE)
    high_pass = 1 + (300 / np.maximum(frequency, 1)) ** 8
    low_pass = 1 + (frequency / 3400) ** 16
    gain = 1 / np.sqrt(high_pass * low_pass)
    narrow = np.fft.irfft(spectrum * gain, len(narrow))
    peak = np.abs(narrow).max()
    coded = np.sign(narrow) * np.log1p(255 * np.abs(narrow) / peak) / np.log(256)
    coded = np.round(coded * 127) / 127
    narrow = np.sign(coded) * (256 ** np.abs(coded) - 1) / 255 * peak
    wide = soxr.resample(narrow, CODEC_RATE, SAMPLE_RATE)
    return np.resize(np.pad(wide, (0, 8)), len(waveform))  # rounding may differ by a sample


def process(speech: np.ndarray, others: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Add silence, room, noise, telephone band, level and noise floor to speech (n_samples,).

    `others` is speech of other voices of the same split, for babble. Returns float32 at 16 kHz,
    with a peak between -18 and -1 dBFS.
    """
    power = np.mean(speech**2)
    silence = rng.uniform(0.1, 0.4, 2) * SAMPLE_RATE
    waveform = np.pad(speech, silence.astype(int))
    effects: set[str] = set()
    if rng.random() < EFFECTS_SHARE:
        effects = set(rng.choice(["room", "noise", "telephone"], rng.integers(1, 3), replace=False))
    if "room" in effects:
        waveform = add_reverb(waveform, rng)
    if "noise" in effects:
        noise = background(len(waveform), others, rng)
        snr_db = rng.uniform(8, 25)
        waveform = waveform + noise * np.sqrt(power / np.mean(noise**2) / 10 ** (snr_db / 10))
    if "telephone" in effects:
        waveform = telephone(waveform)
    waveform = waveform / np.abs(waveform).max()
    if rng.random() < FLOOR_SHARE:
        floor = rng.standard_normal(len(waveform))
        waveform = waveform + floor * 10 ** (rng.uniform(-80, -58) / 20)
    level = 10 ** (rng.uniform(-18, -1) / 20)
    return (waveform / np.abs(waveform).max() * level).astype(np.float32)


def encode(waveform: np.ndarray) -> bytes:
    """Return the MP3 bytes of a waveform, (n_samples,), at 16 kHz."""
    # Not Ogg: its stream serial numbers are random, so that two runs would differ.
    for attempt in range(ENCODER_TRIES):
        buffer = io.BytesIO()
        soundfile.write(
            buffer,
            waveform,
            SAMPLE_RATE,
            format="MP3",
            subtype="MPEG_LAYER_III",
            compression_level=0.7,
            bitrate_mode="VARIABLE" if attempt < VARIABLE_TRIES else "CONSTANT",
        )
        buffer.seek(0)
        decoded, _ = soundfile.read(buffer, dtype="float32")
        if not lost_frames(waveform, decoded):
            return buffer.getvalue()
        waveform = waveform * np.float32(0.99)
    raise SystemExit("the MP3 encoder keeps losing frames of one clip")


def lost_frames(waveform: np.ndarray, decoded: np.ndarray) -> int:
    """Count frames that the encoder spoiled; both arrays have shape (n_samples,).

    Variable bit rate now and then writes a frame that no decoder can read.
    """
    n_frames = min(len(waveform), len(decoded)) // MP3_FRAME
    original = frame_energy(waveform, n_frames)
    residual = frame_energy(waveform - decoded, n_frames)
    lost = (residual > 0.5 * original) & (original > 0.1 * original.mean())
    return int(lost.sum())


def frame_energy(waveform: np.ndarray, n_frames: int) -> np.ndarray:
    """Return the energy of the first MP3 frames, (n_frames,)."""
    frames = waveform[: n_frames * MP3_FRAME].reshape(n_frames, MP3_FRAME)
    return (frames**2).sum(axis=1)


def make_split(split: str, phrasings: list[Row], voices: list[Row], output_dir: Path) -> None:
    """Write the clips and the CSV file of one split."""
    clips = plan_split(split, phrasings, voices)
    rngs = [make_rng("clip", split, i) for i in range(len(clips))]
    progress = tqdm(clips, f"{split}: speech")
    speech = [speak_clip(clip, rng) for clip, rng in zip(progress, rngs, strict=True)]
    for i, clip in enumerate(tqdm(clips, f"{split}: files")):
        others = [
            waveform
            for waveform, other in zip(speech, clips, strict=True)
            if other["speaker"] != clip["speaker"]
        ]
        encoded = encode(process(speech[i], others, rngs[i]))
        decoded, _ = soundfile.read(io.BytesIO(encoded))
        clip["file_name"] = f"audio/{split}-{i + 1:04d}.mp3"
        clip["seconds"] = f"{len(decoded) / SAMPLE_RATE:.3f}"
        (output_dir / clip["file_name"]).write_bytes(encoded)
    write_csv(output_dir / "csv" / f"{split}.csv", COLUMNS, clips)


def check_engines() -> None:
    """Stop where a synthesiser is missing, and name the packages that have it."""
    missing = [name for name in PACKAGES if shutil.which(name) is None]
    if missing:
        packages = " ".join(PACKAGES[name] for name in missing)
        raise SystemExit(f"not found: {', '.join(missing)}. On Debian: apt-get install {packages}")


def main() -> None:
    """Read the arguments and make the dataset."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output-dir", type=Path, default=HERE, help="folder for audio/ and csv/")
    parser.add_argument(
        "--draw-splits", action="store_true", help="only fill in the splits of phrasings.csv"
    )
    args = parser.parse_args()
    phrasings = read_csv(HERE / "phrasings.csv")
    voices = read_csv(HERE / "voices.csv")
    splits = draw_splits(phrasings)
    if args.draw_splits:
        rows = [{**row, "split": split} for row, split in zip(phrasings, splits, strict=True)]
        write_csv(HERE / "phrasings.csv", ["intent", "request", "text", "split"], rows)
        return
    if [row["split"] for row in phrasings] != splits:
        raise SystemExit(
            "the splits of phrasings.csv are not the random draw: run with --draw-splits first"
        )
    check_engines()
    for folder in ("audio", "csv"):
        (args.output_dir / folder).mkdir(parents=True, exist_ok=True)
    for old in (args.output_dir / "audio").glob("*-[0-9][0-9][0-9][0-9].mp3"):
        old.unlink()  # a shorter run must not leave clips that no CSV lists
    for split in CLIPS_PER_SPLIT:
        make_split(split, phrasings, voices, args.output_dir)


if __name__ == "__main__":
    main()
