"""A page to try a classifier, to talk to it, and to record data for one.

`python app.py`, then open http://127.0.0.1:7860.
"""

import argparse
import os
import shlex
import sys
from dataclasses import dataclass
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported: nothing is sent
import gradio as gr
import numpy as np

from speech_intent import corrections, live_page, page
from speech_intent.corrections import Correction
from speech_intent.errors import UserError
from speech_intent.names import escape_markdown, one_line, printable
from speech_intent.paths import SHIPPED
from speech_intent.predict import IntentClassifier
from speech_intent.recorder import Recordings

MODEL_VARIABLE = "SPEECH_INTENT_MODEL"  # names the model of a Space, whose command line is fixed
SWEEP_SECONDS = 600  # between two looks for recordings to delete
FORGET_SECONDS = 3600  # until a recording that was not kept is deleted from the temporary folder
RECORDER: dict[str, Any] = {
    "type": "filepath",
    "buttons": [],
    # Hz, of browsers' recordings; the widget's own 44,100 would resample them once more
    "waveform_options": gr.WaveformOptions(sample_rate=48_000),
}
LAUNCH: dict[str, Any] = {
    # No fonts from elsewhere.
    "theme": gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
    "share": False,
    "ssr_mode": False,  # it would need Node.js
    "run_history": False,  # it would store recordings in the browser
    "footer_links": [],
}


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument(
        "--model",
        default=os.environ.get(MODEL_VARIABLE) or str(SHIPPED),
        metavar="HUB_ID_OR_DIR",
        help=f"(default: ${MODEL_VARIABLE}, or models/{SHIPPED.name})",
    )
    p.add_argument(
        "--recordings",
        default="recordings",
        metavar="FOLDER",
        help="(default: %(default)s)",
    )
    p.add_argument(
        "--host",
        help="address to listen on (default: $GRADIO_SERVER_NAME, or 127.0.0.1)",
    )
    p.add_argument(
        "--port",
        type=int,
        help="(default: $GRADIO_SERVER_PORT, or the first free one from 7860 on)",
    )
    return p


def main(argv: list[str] | None = None) -> int:
    """Serve the page until it is stopped; return 1 if model, folder or port cannot be used."""
    args = parser().parse_args(argv)
    try:
        recordings = Recordings(args.recordings)
        classifier = IntentClassifier.from_pretrained(args.model)
        warm_up(classifier)
        serve(build(classifier, recordings), args.host, args.port)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def warm_up(classifier: IntentClassifier) -> None:
    """Answer once: the first answer of a process takes longer than those that follow."""
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    classifier.predict((noise, 16_000))


def serve(demo: gr.Blocks, host: str | None, port: int | None) -> None:
    """Serve a page until it is stopped. Raises `UserError` for a host or port that cannot be."""
    try:
        demo.launch(server_name=host, server_port=port, **LAUNCH)
    except (OSError, OverflowError, ValueError) as error:
        problem = f"cannot be served ({one_line(str(error))})"
        raise UserError("the page", problem, "choose another --host or --port") from error


# ---- The page


def build(classifier: IntentClassifier, recordings: Recordings) -> gr.Blocks:
    """Put the page together."""
    with gr.Blocks(
        title="Spoken intents",
        analytics_enabled=False,
        delete_cache=(SWEEP_SECONDS, FORGET_SECONDS),
    ) as demo:
        # Outside the tab, or it would be read when the tab is first opened. The fixed secret
        # outlives a restart.
        remembered = gr.BrowserState({}, storage_key="speech-intent", secret="speech-intent")
        markdown("# Spoken intents\nAudio in, intent out, no transcription in between.")
        studio = page.Studio(recordings, classifier.labels)
        with gr.Tab("Try"):
            tried = try_tab(classifier, studio)
        with gr.Tab("Make data"):
            made = data_tab(studio)
            connect(demo, studio, made, remembered)
        with gr.Tab("Listen"):
            listen_tab(classifier)
        connect_correction(studio, tried, made)
    return demo


def markdown(text: str = "", **options: Any) -> gr.Markdown:
    """Show Markdown in which dollar signs are no formulas."""
    return gr.Markdown(text, latex_delimiters=[], **options)


@dataclass(frozen=True)
class TryTab:
    """The components of the page's first tab that correct an answer."""

    clip: gr.Audio
    answered: gr.Textbox  # the clip that the answer on the page is of; nobody sees it
    intent: gr.Dropdown
    correct: gr.Button
    message: gr.Markdown


def try_tab(classifier: IntentClassifier, studio: page.Studio) -> TryTab:
    """Lay out the page's first tab, and connect its answer."""
    with gr.Row():
        with gr.Column():
            clip = gr.Audio(label="A request", sources=["microphone", "upload"], **RECORDER)
            waveform = gr.Plot(show_label=False, elem_id="waveform")
        with gr.Column():
            words = markdown(elem_id="answer")
            scores = gr.Label(label="Intents", show_heading=False, elem_id="scores")
            tab = correction_fields(clip, studio)
    clips = page.examples(classifier.labels)
    if clips:
        gr.Examples(
            list(clips.values()),
            clip,
            label="Requests to a scooter",
            example_labels=list(clips),
        )

    def answer(path: str | None) -> tuple[Any, ...]:
        shown = page.answer(classifier, path)
        return shown.words, shown.scores, shown.waveform, shown.clip, None, ""

    outputs = [words, scores, waveform, tab.answered, tab.intent, tab.message]
    clip.change(answer, clip, outputs)
    return tab


def correction_fields(clip: gr.Audio, studio: page.Studio) -> TryTab:
    """Lay out what corrects an answer."""
    # In the browser, not in the session: it comes and goes together with the answer that is seen.
    answered = gr.Textbox(label="Answered", visible="hidden")
    intent = gr.Dropdown(
        corrections.intents(studio),
        value=None,
        label="Wrong? It was …",
        info="Pick one, or type a new one; unknown: no request at all",
        allow_custom_value=True,
    )
    correct = gr.Button("Correct it", size="sm")
    markdown(corrections.consent(studio.recordings.folder), elem_id="consent")
    message = markdown(elem_id="corrected")
    return TryTab(clip, answered, intent, correct, message)


@dataclass(frozen=True)
class DataTab:
    """The components of the page's second tab."""

    intent: gr.Dropdown
    speaker: gr.Textbox
    text: gr.Textbox
    another: gr.Button
    clip: gr.Audio
    verdict: gr.Markdown
    keep: gr.Button
    discard: gr.Button
    message: gr.Markdown
    counts: gr.Dataframe


def data_tab(studio: page.Studio) -> DataTab:
    """Lay out the page's second tab."""
    folder = studio.recordings.folder
    with gr.Row():
        with gr.Column():
            with gr.Row():
                intent = gr.Dropdown(
                    studio.intents(),
                    label="Intent",
                    info="Pick one, or type a new one",
                    allow_custom_value=True,
                    scale=2,
                )
                speaker = gr.Textbox(label="Speaker", info="Any name: it keeps voices apart")
            text = gr.Textbox(
                label="Say", info="Or something of your own: write here what you said"
            )
            another = gr.Button("Another phrasing", size="sm")
            clip = gr.Audio(label="Recording", sources=["microphone"], **RECORDER)
            verdict = markdown(elem_id="verdict")
            with gr.Row():
                keep = gr.Button("Keep", variant="primary", min_width=100)
                discard = gr.Button("Discard", min_width=100)
            message = markdown(elem_id="message")
        with gr.Column():
            counts = gr.Dataframe(label=f"Clips in {folder}", interactive=False, elem_id="counts")
            markdown(f"Train on them:\n```\n{training_command(str(folder))}\n```")
    return DataTab(intent, speaker, text, another, clip, verdict, keep, discard, message, counts)


def training_command(folder: str) -> str:
    """Say how to train on a folder; it stands in a block of code, where nothing is markup."""
    data = shlex.quote(printable(folder))
    return f"python -m speech_intent.train \\\n  --data {data} --output-dir runs/mine"


def connect(
    demo: gr.Blocks, studio: page.Studio, tab: DataTab, remembered: gr.BrowserState
) -> None:
    """Say what happens in the page's second tab."""

    def keep(intent: str, speaker: str, text: str, clip: str | None) -> tuple[Any, ...]:
        return keep_entry(studio, page.Entry(intent, speaker, text, clip))

    def intents() -> dict[str, Any]:
        return gr.update(choices=studio.intents())

    def discarded() -> tuple[None, str]:
        return None, "Discarded"

    def remember(intent: str, speaker: str, text: str, clip: str | None) -> dict[str, Any]:
        return studio.remember(page.Entry(intent, speaker, text, clip))

    def restore(state: dict[str, Any]) -> tuple[Any, ...]:
        entry = studio.restore(state)
        choice = gr.update(choices=studio.intents(), value=entry.intent)
        return choice, entry.speaker, entry.text, entry.clip, studio.recordings.counts()

    fields = [tab.intent, tab.speaker, tab.text, tab.clip]
    keeping = tab.keep.click(keep, fields, [tab.message, tab.clip, tab.text, tab.counts])
    keeping.then(intents, None, tab.intent)
    tab.discard.click(discarded, None, [tab.clip, tab.message])
    tab.another.click(studio.next_phrasing, [tab.intent, tab.text], tab.text)
    tab.intent.input(studio.next_phrasing, tab.intent, tab.text)
    tab.clip.change(page.check, tab.clip, tab.verdict)
    gr.on([field.change for field in fields], remember, fields, remembered)
    demo.load(restore, remembered, [*fields, tab.counts])


def keep_entry(studio: page.Studio, entry: page.Entry) -> tuple[Any, ...]:
    """Keep a clip: give message, recorder, what to say next, counts; all stay if it fails."""
    try:
        result = studio.keep(entry)
    except UserError as error:
        message = f"**Not kept: {page.refusal(error, entry.clip)}**"
        return message, gr.skip(), gr.skip(), gr.skip()
    message = f"Kept as {escape_markdown(result.file_name)}"
    return message, None, result.next_text, result.counts


def listen_tab(classifier: IntentClassifier) -> gr.HTML:
    """Lay out the page's third tab, whose script records and asks these functions.

    A streaming `gr.Audio` would not do: it loses sound whenever the server is late, and writes
    every tenth of a second to a file.
    """
    streams = live_page.Streams(classifier)

    def begin(sampling_rate: int) -> live_page.View:
        return streams.begin(sampling_rate)

    def hear(recorded: list[str]) -> live_page.View:
        name, pcm = recorded
        return streams.hear(name, pcm)

    def finish(name: str) -> live_page.View:
        return streams.finish(name)

    return gr.HTML(
        html_template=live_page.MARKUP.read_text(encoding="utf-8"),
        js_on_load=live_page.SCRIPT.read_text(encoding="utf-8"),
        server_functions=[begin, hear, finish],
        elem_id="listen",
    )


def connect_correction(studio: page.Studio, tab: TryTab, made: DataTab) -> None:
    """Say what happens when an answer is corrected."""

    def correct(intent: str | None, clip: str | None, answered: str | None) -> tuple[Any, ...]:
        return keep_correction(studio, Correction(intent, clip, answered))

    fields = [tab.intent, tab.clip, tab.answered]
    tab.correct.click(correct, fields, [tab.message, tab.intent, made.intent, made.counts])


def keep_correction(studio: page.Studio, correction: Correction) -> tuple[Any, ...]:
    """Keep a corrected clip: give message, intents to choose from, counts; all stay if it fails."""
    try:
        message = corrections.keep(studio, correction)
    except UserError as error:
        message = f"**Not kept: {page.refusal(error, correction.clip)}**"
        return message, gr.skip(), gr.skip(), gr.skip()
    wrong = gr.update(choices=corrections.intents(studio))
    others = gr.update(choices=studio.intents())
    return message, wrong, others, studio.recordings.counts()


if __name__ == "__main__":
    sys.exit(main())
