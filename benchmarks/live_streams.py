"""How long does each of many wait who talk to one server at once?

    python benchmarks/live_streams.py --model MODEL --data FOLDER
    python benchmarks/live_streams.py --table   # again, from benchmarks/results/live-streams.json

Starts serve.py with the model; so many clients, in one other process, stream clips of the folder
that the model was not trained on, spliced into noise, as if they were spoken. Linux only.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import websockets
from blocks import table, write_block
from live import Spoken, splice, test_clips
from load_test import OURS, core_seconds, running
from speed import machine

from speech_intent import command_line
from speech_intent.listening import Pauses
from speech_intent.paths import ROOT
from speech_intent.voice_activity import RATE

RESULT = ROOT / "benchmarks" / "results" / "live-streams.json"
BLOCK = (ROOT / "docs" / "listening.md", "streams: benchmarks/live_streams.py")
FRAME_SECONDS = 0.1
RATIO = 20.0  # dB, of speech to noise
N_CLIPS = 12  # of a stream: about a minute; each clip is in one stream
STREAMS = (1, 10, 50)

Result = dict[str, Any]


async def talk(port: int, stream: np.ndarray, begin: float) -> list[Result]:
    """Send a stream as if it were spoken; give its answers, with the second that each came."""
    answers: list[Result] = []
    pcm = (np.clip(stream, -1, 1) * 32_767).astype("<i2")
    n_samples = round(FRAME_SECONDS * RATE)
    async with websockets.connect(f"ws://127.0.0.1:{port}/listen?rate={RATE}") as socket:
        await asyncio.sleep(begin)
        start = time.perf_counter()

        async def hear() -> None:
            async for message in socket:
                event = json.loads(message)
                if event["event"] != "speech":
                    answers.append(event | {"at": time.perf_counter() - start})

        hearing = asyncio.create_task(hear())
        for i in range(0, len(pcm), n_samples):
            due = start + (i + n_samples) / RATE  # a frame can be sent when it has been spoken
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await socket.send(pcm[i : i + n_samples].tobytes())
        await socket.send("end")
        await hearing
    return answers


def delays(answers: list[Result], spoken: list[Spoken], silence: float) -> list[float]:
    """Give the seconds from the end of each clip to its answer, beyond the silence."""
    found = []
    for each in spoken:
        for answer in answers:
            if min(answer.get("end", 0), each.end) > max(answer.get("start", 0), each.start):
                found.append(answer["at"] - each.end - silence)
                break
    return found


async def many(port: int, streams: list[tuple[np.ndarray, list[Spoken]]]) -> Result:
    """Let all talk at once, each a little later than the one before."""
    begins = np.linspace(0, 4, len(streams))
    calls = [talk(port, stream, begin) for (stream, _), begin in zip(streams, begins, strict=True)]
    answered = await asyncio.gather(*calls)
    silence = Pauses().silence
    late = [
        delay
        for answers, (_, spoken) in zip(answered, streams, strict=True)
        for delay in delays(answers, spoken, silence)
    ]
    errors = sum(answer["event"] != "answer" for answers in answered for answer in answers)
    n = sum(len(spoken) for _, spoken in streams)
    return {"streams": len(streams), "n": n, "delays": late, "errors": errors}


def measure(args: argparse.Namespace) -> Result:
    """Measure each number of streams, each with clips of its own."""
    rows = []
    clips = test_clips(str(args.model), args.data, N_CLIPS * max(args.streams), 0)
    with running(OURS, args.model) as (process, port):
        for n in args.streams:
            drawn = np.array_split(np.arange(len(clips)), max(args.streams))[:n]
            own = [[clips[i] for i in part] for part in drawn]
            streams = [splice(part, "noise", RATIO, [], seed) for seed, part in enumerate(own)]
            before = core_seconds(process)
            began = time.perf_counter()
            row = asyncio.run(many(port, streams))
            seconds = time.perf_counter() - began
            row["cores"] = (core_seconds(process) - before) / seconds
            rows.append(row)
            late = np.percentile(row["delays"] or [np.nan], [50, 99])
            print({**row, "delays": late.round(3).tolist()}, flush=True)
    return {"machine": machine(), "model": args.model.parent.name, "rows": rows}


def tables(result: Result) -> str:
    """Write the block."""
    header = ["streams", "requests answered", "errors", "delay, median", "p99", "cores in use"]
    rows = []
    for row in result["rows"]:
        median, last = np.percentile(row["delays"], [50, 99]) * 1000
        answered = f"{len(row['delays'])} of {row['n']}"
        delay = [f"{median:.0f} ms", f"{last:.0f} ms"]
        rows.append(
            [str(row["streams"]), answered, str(row["errors"]), *delay, f"{row['cores']:.2f}"]
        )
    lines = table(header, rows)
    lines += [
        "",
        "In this order, after the start: the first stream meets each length of a clip for the "
        "first time, for which OpenVINO compiles.",
        f"Model: {result['model']}. {result['machine']}; the clients run on it, too.",
    ]
    return "\n".join(lines) + "\n"


def run(args: argparse.Namespace) -> None:
    """Measure, store and write the table."""
    if not args.table:
        result = measure(args)
        if tuple(args.streams) == STREAMS:
            RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        else:
            print(tables(result))
            return
    write_block(*BLOCK, tables(json.loads(RESULT.read_text(encoding="utf-8"))))


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path)
    add("--data", metavar="FOLDER")
    add("--streams", type=int, nargs="+", default=STREAMS, help="(default: 1 10 50)")
    add("--table", action="store_true")
    args = parser.parse_args()
    return command_line.exit_status(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
