"""Stream a WAV file to the server as a microphone would, and print what it says.

python examples/listen_client.py clip.wav --url ws://127.0.0.1:8000/listen
"""

import argparse
import os
import time
import wave
from threading import Thread

from websockets.sync.client import ClientConnection, connect

BLOCK = 0.1  # seconds of audio sent at a time


def show(socket: ClientConnection) -> None:
    """Print events, one JSON object a line, until the server closes the socket."""
    for event in socket:
        print(event, flush=True)


def main() -> None:
    """Stream a file."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("file", help="WAV with 16 bits")
    p.add_argument("--url", default="ws://127.0.0.1:8000/listen")
    args = p.parse_args()
    key = os.environ.get("SPEECH_INTENT_API_KEY", "")
    with wave.open(args.file) as file:
        if file.getsampwidth() != 2:
            p.error(f"{args.file} has no 16 bits; convert it: ffmpeg -i IN -c:a pcm_s16le OUT.wav")
        rate, n_channels = file.getframerate(), file.getnchannels()
        url = f"{args.url}?rate={rate}&channels={n_channels}"
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with connect(url, additional_headers=headers) as socket:
            reader = Thread(target=show, args=[socket])
            reader.start()
            while block := file.readframes(round(BLOCK * rate)):
                socket.send(block)
                time.sleep(BLOCK)
            socket.send("end")
            reader.join()


if __name__ == "__main__":
    main()
