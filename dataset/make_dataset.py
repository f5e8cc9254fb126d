"""Make the synthetic spoken-intent dataset from `phrasings.csv` and `voices.csv`.

Each clip is one phrasing spoken by one voice of a speech synthesiser (eSpeak NG, Flite or Festival). About a
third of the clips are then passed through a simulated room, background noise or telephone band. Every random
choice comes from `SEED`, so the same engine and library versions give the same bytes.
"""

import argparse
import csv
import io
import re
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
SEED = 2024
SAMPLE_RATE = 16000  # Hz
COLUMNS = ["file_name", "intent", "speaker", "engine", "text", "seconds"]
PACKAGES = {
    "espeak-ng": "espeak-ng",
    "flite": "flite",
    "festival": "festival festlex-cmu festlex-poslex festvox-kdlpc16k festvox-us-slt-hts",
}
PHRASINGS_PER_SPLIT = {"train": 8, "validation": 1, "test": 3}  # of the twelve wordings of each request
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
MIN_SPEECH, MAX_SPEECH = 1.25, 5.0  # audible seconds before any processing; margin inside 1 to 6 s


def make_rng(*keys):
    """Return a generator that depends only on `SEED` and the keys, so no clip's draws shift another's."""
    return np.random.default_rng([SEED, *(zlib.crc32(str(key).encode()) for key in keys)])


def read_csv(path):
    """Return the rows of a CSV file as a list of dicts."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_csv(path, columns, rows):
    """Write dicts to a CSV file with the given columns."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def draw_splits(phrasings):
    """Return one split name per phrasing, drawn at random within each request (nobody chooses them)."""
    splits = [""] * len(phrasings)
    names = [name for name, count in PHRASINGS_PER_SPLIT.items() for _ in range(count)]
    for intent, request in dict.fromkeys((row["intent"], row["request"]) for row in phrasings):
        rows = [i for i, row in enumerate(phrasings) if (row["intent"], row["request"]) == (intent, request)]
        if len(rows) != len(names):
            raise ValueError(f"{intent}, {request} has {len(rows)} phrasings, expected {len(names)}")
        for i, name in zip(rows, make_rng("splits", intent, request).permutation(names), strict=True):
            splits[i] = str(name)
    return splits


def share_out(total, weights):
    """Divide `total` items over the keys of `weights` in proportion; return a dict of counts."""
    exact = {key: total * weight / sum(weights.values()) for key, weight in weights.items()}
    counts = {key: int(value) for key, value in exact.items()}
    by_remainder = sorted(exact, key=lambda key: counts[key] - exact[key])
    for key in by_remainder[: total - sum(counts.values())]:
        counts[key] += 1
    return counts


def plan_split(split, phrasings, voices):
    """Choose the text and the voice of every clip of a split.

    Returns
    -------
    list of dict
        One row per clip (intent, text, speaker, engine, voice), in random order. The texts of an intent are
        used about equally often, and so are the voices of an engine.
    """
    rng = make_rng("plan", split)
    voices = [row for row in voices if row["split"] == split]
    clips, voice_count = [], dict.fromkeys((row["speaker"] for row in voices), 0)
    for intent, total in share_out(CLIPS_PER_SPLIT[split], INTENT_WEIGHTS).items():
        texts = [row["text"] for row in phrasings if row["split"] == split and row["intent"] == intent]
        text_count, pair_count = dict.fromkeys(texts, 0), {}
        engines = [name for name, n in share_out(total, ENGINE_SHARES[split]).items() for _ in range(n)]
        for engine in rng.permutation(engines):
            pairs = [(text, voice) for text in texts for voice in voices if voice["engine"] == engine]
            # The last key breaks ties at random; the first keeps a voice from repeating a text.
            text, voice = min(
                pairs,
                key=lambda pair: (
                    pair_count.get((pair[0], pair[1]["speaker"]), 0),
                    text_count[pair[0]],
                    voice_count[pair[1]["speaker"]],
                    rng.random(),
                ),
            )
            pair_count[text, voice["speaker"]] = pair_count.get((text, voice["speaker"]), 0) + 1
            text_count[text] += 1
            voice_count[voice["speaker"]] += 1
            clips.append({**voice, "intent": intent, "text": text})
    return [clips[i] for i in rng.permutation(len(clips))]


def festival_script(voice, text, stretch, pitch, path):
    """Return the Scheme commands with which Festival writes one utterance to `path`."""
    if voice.endswith("_hts"):  # the HTS engine has its own rate factor and pitch shift in semitones
        setting = f'(set! hts_engine_params (append (list (list "-r" {1 / stretch:.4f}) '
        setting += f'(list "-fm" {3 * pitch:.4f})) hts_engine_params))'
    else:
        f0 = 105 * 2 ** (pitch / 4)  # Hz
        setting = f"(Parameter.set 'Duration_Stretch {stretch:.4f})"
        setting += f"(set! int_lr_params (cons (list 'target_f0_mean {f0:.2f}) int_lr_params))"
    return f'({voice}){setting}(utt.save.wave (utt.synth (Utterance Text "{text}")) "{path}" \'riff)'


def synthesise(engine, voice, text, stretch, pitch):
    """Speak a text.

    Parameters
    ----------
    stretch : float
        Duration factor; 1 is the engine's usual rate, 2 is half as fast.
    pitch : float
        Pitch relative to the voice's own, in [-1, 1]; 1 is about 3 semitones up.

    Returns
    -------
    numpy.ndarray of float64, shape (samples,)
        Waveform at 16 kHz.
    """
    if not re.fullmatch(r"[a-z ]+", text):  # also keeps quotes out of the Festival commands
        raise ValueError(f"a phrasing may hold only lower-case letters and spaces: {text!r}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command, stdin = [engine], text
        if engine == "espeak-ng":
            command += ["-v", voice, "-s", str(round(160 / stretch)), "-p", str(round(50 + 20 * pitch))]
            command += ["--stdin", "-w", str(path)]
        elif engine == "flite":
            command += ["-voice", voice, "--setf", f"duration_stretch={stretch:.4f}"]
            command += ["--setf", f"int_f0_target_mean={FLITE_F0[voice] * 2 ** (pitch / 4):.2f}"]
            command += ["-t", text, "-o", str(path)]
        else:
            command, stdin = ["festival", "--pipe"], festival_script(voice, text, stretch, pitch, path)
        result = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if result.returncode or not path.exists():
            raise RuntimeError(f"{' '.join(command)} failed: {result.stderr.strip()}")
        waveform, rate = sf.read(path)
    return soxr.resample(waveform, rate, SAMPLE_RATE)


def audible_span(waveform, below_peak_db):
    """Return first and last sample of the frames (20 ms) within `below_peak_db` dB of the loudest frame."""
    hop = SAMPLE_RATE // 100
    energy = np.add.reduceat(waveform**2, np.arange(0, len(waveform), hop))
    energy = energy[:-1] + energy[1:]
    loud = np.flatnonzero(energy > energy.max() * 10 ** (-below_peak_db / 10))
    return loud[0] * hop, min((loud[-1] + 2) * hop, len(waveform))


def speak_clip(clip, rng):
    """Return the clip's speech, shape (samples,) at 16 kHz, without silence around it and with peak 1."""
    stretch, pitch = rng.uniform(0.85, 1.22), rng.uniform(-1, 1)
    for _ in range(14):
        waveform = synthesise(clip["engine"], clip["voice"], clip["text"], stretch, pitch)
        start, stop = audible_span(waveform, 20)
        seconds = (stop - start) / SAMPLE_RATE
        if MIN_SPEECH <= seconds <= MAX_SPEECH:
            start, stop = audible_span(waveform, 45)  # keep soft first and last consonants
            return waveform[start:stop] / np.abs(waveform).max()
        stretch *= 1.06 if seconds < MIN_SPEECH else 1 / 1.06
    raise RuntimeError(f"cannot bring to {MIN_SPEECH} to {MAX_SPEECH} s of speech: {clip}")


def coloured_noise(samples, slope, rng):
    """Return noise, shape (samples,), whose power falls as 1 / frequency ** slope (1 is pink, 2 is brown)."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum / np.maximum(frequency, 20.0) ** (slope / 2), samples)


def background(samples, others, rng):
    """Return pink noise, brown noise, mains hum or babble of other clips of the split, shape (samples,)."""
    kind = rng.choice(["pink", "brown", "hum", "babble"])
    if kind in ("pink", "brown"):
        return coloured_noise(samples, 1 if kind == "pink" else 2, rng)
    if kind == "hum":
        phase = 2 * np.pi * rng.uniform(49.8, 50.2) * np.arange(samples) / SAMPLE_RATE
        hum = sum(np.sin(k * phase + rng.uniform(0, 2 * np.pi)) / k for k in range(1, 9))
        return hum + 0.2 * coloured_noise(samples, 1, rng) / coloured_noise(samples, 1, rng).std()
    noise = np.zeros(samples)
    for i in rng.choice(len(others), 5, replace=False):
        repeated = np.resize(others[i], samples + len(others[i]))
        offset = rng.integers(len(others[i]))
        noise += repeated[offset : offset + samples]
    return noise


def add_reverb(waveform, rng):
    """Convolve with a direct path and decaying noise (RT60 0.15 to 0.5 s); the length stays the same."""
    rt60 = rng.uniform(0.15, 0.5)
    time = np.arange(int(rt60 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / rt60)
    tail *= 10 ** (-rng.uniform(0, 8) / 20) / np.sqrt(np.sum(tail**2))  # direct to reverberant: 0 to 8 dB
    response = np.concatenate([[1.0], np.zeros(SAMPLE_RATE // 200), tail])
    size = len(waveform) + len(response)
    return np.fft.irfft(np.fft.rfft(waveform, size) * np.fft.rfft(response, size), size)[: len(waveform)]


def telephone(waveform):
    """Return the waveform, shape (samples,), as heard over 8 kHz, 300 to 3400 Hz and 8-bit mu-law."""
    narrow = soxr.resample(waveform, SAMPLE_RATE, 8000)
    spectrum = np.fft.rfft(narrow)
    frequency = np.fft.rfftfreq(len(narrow), 1 / 8000)
    gain = 1 / np.sqrt((1 + (300 / np.maximum(frequency, 1)) ** 8) * (1 + (frequency / 3400) ** 16))
    narrow = np.fft.irfft(spectrum * gain, len(narrow))
    peak = np.abs(narrow).max()
    coded = np.sign(narrow) * np.log1p(255 * np.abs(narrow) / peak) / np.log(256)
    coded = np.round(coded * 127) / 127
    narrow = np.sign(coded) * (256 ** np.abs(coded) - 1) / 255 * peak
    wide = soxr.resample(narrow, 8000, SAMPLE_RATE)
    return np.resize(np.pad(wide, (0, 8)), len(waveform))  # rounding may differ by a sample


def process(speech, others, rng):
    """Add silence, room, noise, telephone band, level and noise floor.

    Parameters
    ----------
    speech : numpy.ndarray, shape (samples,)
        Speech without silence around it.
    others : list of numpy.ndarray
        Speech of other voices of the same split, for babble.

    Returns
    -------
    numpy.ndarray of float32, shape (samples,)
        Waveform at 16 kHz with peak between -18 and -1 dBFS.
    """
    power = np.mean(speech**2)
    silence = rng.uniform(0.1, 0.4, 2) * SAMPLE_RATE
    waveform = np.pad(speech, silence.astype(int))
    effects = set()
    if rng.random() < 0.35:
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
    if rng.random() < 0.85:  # a few clips keep digital silence, as some recording devices gate it
        waveform = waveform + rng.standard_normal(len(waveform)) * 10 ** (rng.uniform(-80, -58) / 20)
    return (waveform / np.abs(waveform).max() * 10 ** (rng.uniform(-18, -1) / 20)).astype(np.float32)


def encode(waveform):
    """Return the MP3 bytes of a waveform, shape (samples,) at 16 kHz."""
    # Not Ogg: its stream serial numbers are random, so that two runs would differ.
    for attempt in range(40):
        buffer = io.BytesIO()
        sf.write(
            buffer,
            waveform,
            SAMPLE_RATE,
            format="MP3",
            subtype="MPEG_LAYER_III",
            compression_level=0.7,
            bitrate_mode="VARIABLE" if attempt < 20 else "CONSTANT",
        )
        buffer.seek(0)
        if not lost_frames(waveform, sf.read(buffer, dtype="float32")[0]):
            return buffer.getvalue()
        waveform = waveform * np.float32(0.99)
    raise SystemExit("the MP3 encoder keeps losing frames of one clip")


def lost_frames(waveform, decoded, frame=576):
    """Count frames that the encoder spoiled: variable bit rate now and then writes one that no decoder can read."""
    n_frames = min(len(waveform), len(decoded)) // frame
    original, residual = (
        (x[: n_frames * frame].reshape(n_frames, frame) ** 2).sum(axis=1) for x in (waveform, waveform - decoded)
    )
    return int(((residual > 0.5 * original) & (original > 0.1 * original.mean())).sum())


def make_split(split, phrasings, voices, output_dir):
    """Write the clips and the CSV file of one split."""
    clips = plan_split(split, phrasings, voices)
    rngs = [make_rng("clip", split, i) for i in range(len(clips))]
    speech = [speak_clip(clip, rng) for clip, rng in zip(tqdm(clips, f"{split}: speech"), rngs, strict=True)]
    for i, clip in enumerate(tqdm(clips, f"{split}: files")):
        others = [x for x, other in zip(speech, clips, strict=True) if other["speaker"] != clip["speaker"]]
        encoded = encode(process(speech[i], others, rngs[i]))
        clip["file_name"] = f"audio/{split}-{i + 1:04d}.mp3"
        clip["seconds"] = f"{len(sf.read(io.BytesIO(encoded))[0]) / SAMPLE_RATE:.3f}"
        (output_dir / clip["file_name"]).write_bytes(encoded)
    write_csv(output_dir / "csv" / f"{split}.csv", COLUMNS, clips)


def main():
    """Read the arguments and make the dataset."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output-dir", type=Path, default=HERE, help="folder for audio/ and csv/")
    parser.add_argument("--draw-splits", action="store_true", help="only fill in the splits of phrasings.csv")
    args = parser.parse_args()
    phrasings, voices = read_csv(HERE / "phrasings.csv"), read_csv(HERE / "voices.csv")
    splits = draw_splits(phrasings)
    if args.draw_splits:
        rows = [{**row, "split": split} for row, split in zip(phrasings, splits, strict=True)]
        return write_csv(HERE / "phrasings.csv", ["intent", "request", "text", "split"], rows)
    if [row["split"] for row in phrasings] != splits:
        raise SystemExit("the splits of phrasings.csv are not the random draw: run with --draw-splits first")
    missing = [name for name in PACKAGES if shutil.which(name) is None]
    if missing:
        packages = " ".join(PACKAGES[name] for name in missing)
        raise SystemExit(f"not found: {', '.join(missing)}. On Debian: apt-get install {packages}")
    for folder in ("audio", "csv"):
        (args.output_dir / folder).mkdir(parents=True, exist_ok=True)
    for old in (args.output_dir / "audio").glob("*-[0-9][0-9][0-9][0-9].mp3"):
        old.unlink()  # a shorter run must not leave clips that no CSV lists
    for split in CLIPS_PER_SPLIT:
        make_split(split, phrasings, voices, args.output_dir)


if __name__ == "__main__":
    main()
