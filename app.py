"""A page to try a classifier and to record data for one: `python app.py`, then open http://127.0.0.1:7860."""

import argparse
import csv
import os
import sys
import time
from functools import partial
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported: nothing is sent anywhere
import gradio as gr
import numpy as np
from matplotlib.figure import Figure

from recorder import Recordings, complaints, measure, one_line
from speech_intent import AudioError, IntentClassifier, ModelError, Prediction

ROOT = Path(__file__).resolve().parent
MODEL = ROOT / "models" / "wav2vec2-small-scooter"
DATASET = ROOT / "dataset"
MODEL_VARIABLE = "SPEECH_INTENT_MODEL"  # names the model of a Space, whose command line is fixed
FORGET_SECONDS = 3600  # until a recording that was not kept is deleted from the server's temporary folder
# Hz, of browsers' recordings; the widget's own 44,100 would resample them once more
RECORDER = {"type": "filepath", "buttons": [], "waveform_options": gr.WaveformOptions(sample_rate=48_000)}
LAUNCH = {
    "theme": gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),  # no fonts from elsewhere
    "share": False,
    "ssr_mode": False,  # it would need Node.js
    "run_history": False,  # it would store recordings in the browser
    "footer_links": [],
}


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    model = os.environ.get(MODEL_VARIABLE) or str(MODEL)
    p.add_argument(
        "--model", default=model, metavar="HUB_ID_OR_DIR", help=f"(default: ${MODEL_VARIABLE}, or models/{MODEL.name})"
    )
    p.add_argument("--recordings", default="recordings", metavar="FOLDER", help="(default: %(default)s)")
    p.add_argument("--host", help="address to listen on (default: $GRADIO_SERVER_NAME, or 127.0.0.1)")
    p.add_argument("--port", type=int, help="(default: $GRADIO_SERVER_PORT, or the first free one from 7860 on)")
    return p


def main(argv: list[str] | None = None) -> int:
    """Serve the page until it is stopped; return 1 if the model or the folder cannot be used."""
    args = parser().parse_args(argv)
    try:
        recordings = Recordings(args.recordings)
        classifier = IntentClassifier.from_pretrained(args.model)
        noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
        classifier.predict((noise, 16_000))  # the first answer of a process takes longer than those that follow
        demo = build(classifier, recordings)
        demo.launch(server_name=args.host, server_port=args.port, **LAUNCH)
    except (ModelError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


# ---- Try


def answer(classifier: IntentClassifier, clip: str | None) -> tuple[str, dict[str, float] | None, Figure | None]:
    """Classify a clip: give the answer in words (Markdown), the score of each intent, and the waveform."""
    if clip is None:
        return "", None, None
    try:
        measured = measure(clip)
        start = time.perf_counter()
        prediction = classifier.predict(clip)
        milliseconds = 1000 * (time.perf_counter() - start)
    except AudioError as error:
        return f"**{str(error).replace(clip, Path(clip).name)}**", None, None
    lines = [in_words(classifier, prediction, milliseconds), *(f"⚠ {problem}" for problem in complaints(measured))]
    return "\n\n".join(lines), dict(prediction.scores), picture(measured.peaks, measured.seconds)


def in_words(classifier: IntentClassifier, prediction: Prediction, milliseconds: float) -> str:
    """Say what was answered, by which model and engine, and how fast."""
    closest = "" if prediction.accepted else f"rejected: closest is {prediction.label}, below the model's threshold; "
    return (
        f"## {prediction.label if prediction.accepted else 'unknown'}\n"
        f"{closest}score {prediction.score:.2f}, {prediction.seconds:.2f} s of audio answered in {milliseconds:.0f} ms "
        f"by {classifier.name.removeprefix(f'{ROOT}{os.sep}')} ({prediction.engine}, {prediction.precision})"
    )


def picture(peaks: np.ndarray, seconds: float) -> Figure:
    """Draw the peaks (n_frames,) of a clip as a waveform."""
    starts = np.linspace(0, len(peaks), min(len(peaks), 800), endpoint=False).astype(int)
    peaks = np.maximum.reduceat(peaks, starts)
    figure = Figure(figsize=(6, 1.6), layout="constrained", facecolor="none")  # pyplot is not for threads
    ax = figure.subplots()
    ax.fill_between(np.linspace(0, seconds, len(peaks)), -peaks, peaks, color="#0072B2", linewidth=0)
    ax.set(xlabel="seconds", xlim=(0, seconds), ylim=(-1, 1), yticks=[], facecolor="none")
    ax.spines[["left", "right", "top"]].set_visible(False)
    ax.tick_params(colors="gray")  # legible on a light and on a dark page
    ax.xaxis.label.set_color("gray")
    return figure


def examples(intents: list[str]) -> dict[str, str]:
    """Pick one bundled test clip for each of the intents: what is said -> path."""
    with (DATASET / "csv" / "test.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["intent"]: row for row in reversed(list(csv.DictReader(file)))}
    return {rows[name]["text"]: str(DATASET / rows[name]["file_name"]) for name in intents if name in rows}


# ---- Make data


def training_phrasings() -> dict[str, list[str]]:
    """Read what to say for the bundled intents; the other splits' phrasings stay unheard."""
    phrasings = {}
    with (DATASET / "phrasings.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["split"] == "train":
                phrasings.setdefault(row["intent"], []).append(row["text"])
    return phrasings


def next_phrasing(recordings: Recordings, phrasings: dict[str, list[str]], intent: str | None, said: str = "") -> str:
    """Pick what to say after `said`: of an intent's phrasings one recorded least, in turn; else the intent's name."""
    intent = one_line(intent)
    recorded = [row.get("text") for row in recordings.rows() if row["intent"] == intent]
    texts = phrasings.get(intent, [])
    start = texts.index(said) + 1 if said in texts else 0
    return min(texts[start:] + texts[:start], key=recorded.count, default=intent.replace("_", " "))


def keep(recordings: Recordings, phrasings: dict, intent: str, speaker: str, text: str, clip: str | None) -> tuple:
    """Keep a clip: give a message, the emptied recorder, the next phrasing, the counts; they stay if it fails."""
    try:
        if clip is None:
            raise ValueError("record something first")
        row = recordings.keep(clip, intent, speaker, text)
    except (OSError, ValueError) as error:  # AudioError is a ValueError, filelock's Timeout an OSError
        return f"**Not kept: {str(error).replace(str(clip), 'the clip')}**", gr.skip(), gr.skip(), gr.skip()
    message = f"Kept as {row['file_name']}"  # no names of the user's in Markdown: they might load pictures
    return message, None, next_phrasing(recordings, phrasings, intent, row["text"]), recordings.counts()


def check(clip: str | None) -> str:
    """Say whether a recording makes a good example (Markdown)."""
    if clip is None:
        return ""
    try:
        measured = measure(clip)
    except AudioError as error:
        return f"**{str(error).replace(clip, 'the clip')}**"
    return "\n\n".join(f"⚠ {problem}" for problem in complaints(measured)) or f"{measured.seconds:.1f} s, sounds good"


# ---- The page


def build(classifier: IntentClassifier, recordings: Recordings) -> gr.Blocks:
    """Put the page together."""
    with gr.Blocks(title="Spoken intents", analytics_enabled=False, delete_cache=(600, FORGET_SECONDS)) as demo:
        # Outside the tab, or it would be read when the tab is first opened. The fixed secret outlives a restart.
        remembered = gr.BrowserState({}, storage_key="speech-intent", secret="speech-intent")
        gr.Markdown("# Spoken intents\nAudio in, intent out, no transcription in between.")
        with gr.Tab("Try"):
            try_tab(classifier)
        with gr.Tab("Make data"):
            data_tab(demo, recordings, classifier.labels, remembered)
    return demo


def try_tab(classifier: IntentClassifier) -> None:
    """Lay out the page's first tab."""
    with gr.Row():
        with gr.Column():
            clip = gr.Audio(label="A request", sources=["microphone", "upload"], **RECORDER)
            waveform = gr.Plot(show_label=False, elem_id="waveform")
        with gr.Column():
            words = gr.Markdown(elem_id="answer")
            scores = gr.Label(label="Intents", show_heading=False, elem_id="scores")
    if clips := examples(classifier.labels):
        gr.Examples(list(clips.values()), clip, label="Requests to a scooter", example_labels=list(clips))
    clip.change(partial(answer, classifier), clip, [words, scores, waveform])


def data_tab(demo: gr.Blocks, recordings: Recordings, labels: list[str], remembered: gr.BrowserState) -> None:
    """Lay out the page's second tab."""
    phrasings, drafts = training_phrasings(), set()

    def intents() -> list[str]:
        return list(dict.fromkeys([*(row["intent"] for row in recordings.rows()), *labels]))

    with gr.Row():
        with gr.Column():
            with gr.Row():
                info = "Pick one, or type a new one"
                intent = gr.Dropdown(intents(), label="Intent", info=info, allow_custom_value=True, scale=2)
                speaker = gr.Textbox(label="Speaker", info="Any name: it keeps voices apart")
            text = gr.Textbox(label="Say", info="Or something of your own: write here what you said")
            another = gr.Button("Another phrasing", size="sm")
            clip = gr.Audio(label="Recording", sources=["microphone"], **RECORDER)
            verdict = gr.Markdown(elem_id="verdict")
            with gr.Row():
                keep_it = gr.Button("Keep", variant="primary", min_width=100)
                discard = gr.Button("Discard", min_width=100)
            message = gr.Markdown(elem_id="message")
        with gr.Column():
            counts = gr.Dataframe(label=f"Clips in {recordings.folder}", interactive=False, elem_id="counts")
            command = f"python -m speech_intent.train \\\n  --data {recordings.folder} --output-dir runs/mine"
            gr.Markdown(f"Train on them:\n```\n{command}\n```")

    def remember(intent: str, speaker: str, text: str, clip: str | None) -> dict:
        drafts.add(clip)
        return {"intent": intent, "speaker": speaker, "text": text, "clip": clip}

    def restore(state: dict) -> tuple:
        value = state.get("intent") or intents()[0]
        phrasing = state.get("text") or next_phrasing(recordings, phrasings, value)
        draft = state.get("clip") if state.get("clip") in drafts else None  # no path of somebody's invention
        draft = draft if draft and Path(draft).exists() else None
        return gr.update(choices=intents(), value=value), state.get("speaker"), phrasing, draft, recordings.counts()

    pick, fields = partial(next_phrasing, recordings, phrasings), [intent, speaker, text, clip]
    kept = keep_it.click(partial(keep, recordings, phrasings), fields, [message, clip, text, counts])
    kept.then(lambda: gr.update(choices=intents()), None, intent)
    discard.click(lambda: (None, "Discarded"), None, [clip, message])
    another.click(pick, [intent, text], text)
    intent.input(pick, intent, text)
    clip.change(check, clip, verdict)
    gr.on([field.change for field in fields], remember, fields, remembered)
    demo.load(restore, remembered, [*fields, counts])


if __name__ == "__main__":
    sys.exit(main())
