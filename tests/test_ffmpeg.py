import http.server
import io
import subprocess
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from fuzz_audio import BY_FFMPEG, by_ffmpeg

from speech_intent import audio, ffmpeg
from speech_intent.errors import AudioError
from speech_intent.ffmpeg import DAMAGED
from speech_intent.parts import Part

ODD = Path(__file__).parent / "odd_audio"
RATE = 16_000
CLIP = audio.load(ODD / "base.wav", RATE)
NOISE = np.random.default_rng(0).uniform(-0.1, 0.1, 2 * RATE).astype(np.float32)


def heard(content: bytes, start: float = 0.0) -> tuple[np.ndarray, list[str]]:
    warnings = []
    waveform = audio.load(content, RATE, start, warn=warnings.append)
    return waveform, [warning.problem for warning in warnings]


def test_integers_of_64_bits_are_refused_by_name():
    content = (ODD / "base.wav").read_bytes()
    content = content[:32] + b"\x08\0\x40\0" + content[36:]  # bytes and bits of a sample
    with pytest.raises(AudioError, match="pcm_s64le"):
        heard(content)


def likeness(waveform: np.ndarray) -> float:
    """Correlate with the clip at the best of all shifts: 1 for the same."""
    n = 1 << 17
    spectrum = np.fft.rfft(waveform, n) * np.conj(np.fft.rfft(CLIP, n))
    norms = np.linalg.norm(waveform) * np.linalg.norm(CLIP)
    return float(np.fft.irfft(spectrum).max() / norms)


def add_audio(container, codec: str, waveform: np.ndarray, rate: int = 48_000):
    """Add a track; give what encodes it, for after all tracks were added."""
    stream = container.add_stream(codec, rate=rate, layout="mono")
    samples = np.round(waveform * 32767).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate = RATE
    resampler = av.AudioResampler(stream.format, "mono", rate, stream.frame_size or 1_024)

    def write() -> None:
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            piece.pts = None
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))

    stream.codec_context.open()
    return write


def muxed(fmt: str, waveforms: list[np.ndarray], codec: str = "aac", video: bool = False) -> bytes:
    """Put tracks of sound, and a second of pictures, into a container."""
    file = io.BytesIO()
    with av.open(file, "w", format=fmt) as container:
        if video:
            pictures = container.add_stream("mpeg4", rate=10)
            pictures.width = pictures.height = 32
            pictures.pix_fmt = "yuv420p"
        writers = [add_audio(container, codec, waveform) for waveform in waveforms]
        if video:
            for level in range(10):
                array = np.full((32, 32, 3), 20 * level, np.uint8)
                container.mux(pictures.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
            container.mux(pictures.encode(None))
        for write in writers:
            write()
    return file.getvalue()


# What is heard


@pytest.mark.parametrize("suffix", BY_FFMPEG)
def test_every_container_is_heard_whole(suffix):
    waveform, odd = heard(by_ffmpeg(CLIP, *BY_FFMPEG[suffix]))
    assert odd == []
    assert len(waveform) / RATE == pytest.approx(1.957, abs=0.08)  # with what encoders pad
    assert likeness(waveform) > 0.6  # AMR at its lowest rate


@pytest.mark.parametrize("fmt", ["mp4", "mov", "matroska", "avi"])
def test_a_video_is_heard(fmt):
    codec = "libmp3lame" if fmt == "avi" else "aac"
    waveform, odd = heard(muxed(fmt, [CLIP], codec, video=True))
    assert odd == []
    assert likeness(waveform) > 0.9


@pytest.mark.parametrize("fmt", ["mp4", "matroska"])
def test_the_first_of_several_tracks_is_heard(fmt):
    waveform, _ = heard(muxed(fmt, [CLIP, NOISE]))
    assert likeness(waveform) > 0.9
    waveform, _ = heard(muxed(fmt, [NOISE, CLIP]))
    assert abs(likeness(waveform)) < 0.1


def test_what_an_encoder_added_is_cut_off():
    assert len(heard((ODD / "u_aac.m4a").read_bytes())[0]) == len(CLIP)
    assert len(heard((ODD / "u_opus.webm").read_bytes())[0]) == len(CLIP)


@pytest.mark.parametrize("name", ["u_aac.m4a", "u_opus.webm", "m_vbr_noxing.mp3"])
@pytest.mark.parametrize("start", [0.001, 0.5, 1.9])
def test_a_start_leaves_out_what_lies_before(name, start):
    content = (ODD / name).read_bytes()
    whole, _ = heard(content)
    part, _ = heard(content, start)
    assert len(part) == pytest.approx(len(whole) - start * RATE, abs=1)
    assert np.abs(part[200:-200] - whole[-len(part) :][200:-200]).max() < 0.02


@pytest.mark.parametrize(
    ("format", "values", "expected"),
    [
        ("u8", [0, 128, 192], [-1.0, 0.0, 0.5]),
        ("s16", [-32_768, 0, 16_384], [-1.0, 0.0, 0.5]),
        ("s32p", [-(2**31), 0, 2**30], [-1.0, 0.0, 0.5]),
        ("flt", [-1.0, 0.0, 0.5], [-1.0, 0.0, 0.5]),
        ("dblp", [-1.0, 0.0, 0.5], [-1.0, 0.0, 0.5]),
    ],
)
def test_samples_of_any_kind_become_floats(format, values, expected):
    dtype = {"u8": "u1", "s16": "i2", "s32p": "i4", "flt": "f4", "dblp": "f8"}[format]
    two = np.array([values, values[::-1]], dtype)
    packed = two if format.endswith("p") else two.T.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), format=format, layout="stereo")
    floats = ffmpeg._as_floats(frame)
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats, np.array([expected, expected[::-1]]).T)


def test_a_stream_whose_rate_changes_on_its_way_is_heard_to_its_end():
    first = by_ffmpeg(CLIP, "adts", "aac", 44_100)
    second = by_ffmpeg(CLIP, "adts", "aac", 16_000)
    waveform, odd = heard(first + second)
    assert odd == []
    assert len(waveform) / RATE == pytest.approx(2 * 1.957, abs=0.2)
    assert likeness(waveform[: 2 * RATE]) > 0.9
    assert likeness(waveform[2 * RATE :]) > 0.9


@pytest.mark.parametrize("n_channels", [2, 7, 8, 12, 64])
def test_channels_in_planes_of_their_own_are_averaged(n_channels):
    file = io.BytesIO()
    rng = np.random.default_rng(0)
    samples = rng.integers(-9_000, 9_000, (RATE, n_channels)).astype(np.int16)
    with av.open(file, "w", format="wv") as container:
        layout = f"{n_channels} channels"
        stream = container.add_stream("wavpack", rate=RATE, layout=layout)
        stream.format = "s16p"
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = RATE
        for piece in av.AudioResampler("s16p", layout, RATE).resample(frame):
            piece.pts = None
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    waveform, odd = heard(file.getvalue())
    assert odd == []
    np.testing.assert_allclose(waveform, samples.mean(axis=1) / 32_768, atol=1e-6)


def test_packets_of_a_sample_each_take_no_time():
    content = bytearray(by_ffmpeg(CLIP, "wav", "pcm_s16le", RATE))
    part = Part(io.BytesIO(bytes(content)), 0)
    blocks = list(ffmpeg.blocks(part, "clip", "wav", 0.0, []))
    assert sum(len(block.waveform) for block in blocks) == len(CLIP)
    assert [len(block.waveform) >= ffmpeg.BATCH_SAMPLES for block in blocks[:-1]] == [True]


# What is not, or not wholly


def test_a_video_without_sound_is_called_one():
    with pytest.raises(AudioError) as error:
        audio.load(muxed("mp4", [], video=True), RATE)
    assert error.value.reason == "is a video without sound; record it with the microphone on"


def test_damage_on_the_way_is_told_once_and_the_rest_is_heard():
    content = bytearray(by_ffmpeg(np.tile(CLIP, 3), *BY_FFMPEG["m4a"]))
    for place in range(6_000, 12_000, 600):
        content[place : place + 60] = b"\xff" * 60
    waveform, odd = heard(bytes(content))
    assert odd == [DAMAGED]
    assert len(waveform) / RATE > 3


def test_a_recording_without_its_index_says_so():
    content = by_ffmpeg(CLIP, *BY_FFMPEG["m4a"])
    with pytest.raises(AudioError) as error:
        audio.load(content[: content.index(b"moov") - 4], RATE)
    assert error.value.problem.startswith("lacks its index (moov)")
    assert error.value.remedy == "copy it again, or repair it with what made it"


@pytest.mark.parametrize("begin", [b"OggS", b"\x1a\x45\xdf\xa3", b"\0\0\0\x20ftypM4A ", b"wvpk"])
def test_noise_behind_a_containers_first_bytes_is_refused(begin):
    with pytest.raises(AudioError):
        audio.load(begin + np.random.default_rng(0).bytes(50_000), RATE)


def test_packets_that_cannot_be_decoded_are_given_up_after_many(monkeypatch):
    frame = bytes.fromhex("fff16040011ffc00")  # AAC of one byte
    tried = []
    monkeypatch.setattr(ffmpeg, "MOST_FAILURES", 100)
    frames = ffmpeg._Track._frames
    monkeypatch.setattr(
        ffmpeg._Track, "_frames", lambda self, packet: tried.append(1) or frames(self, packet)
    )
    with pytest.raises(AudioError, match="has no samples that can be decoded"):
        audio.load(frame * 5_000, RATE)
    assert len(tried) == 101


# What it must not do


def test_a_clip_cannot_name_other_files_or_addresses(tmp_path):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    target = tmp_path / "secret.wav"
    target.write_bytes((ODD / "base.wav").read_bytes())
    lists = [
        f"#EXTM3U\n#EXTINF:2,\n{address}/a.ts\n",
        f"#EXTM3U\n#EXTINF:2,\n{target}\n",
        f"ffconcat version 1.0\nfile {target}\n",
        f"v=0\nc=IN IP4 127.0.0.1\nm=audio {server.server_port} RTP/AVP 0\n",
        f"<?xml version='1.0'?><MPD><BaseURL>{address}/</BaseURL></MPD>",
    ]
    for text in lists:
        for name in ("clip.m3u8", "clip.wav", "clip.mp4"):
            (tmp_path / name).write_text(text)
            with pytest.raises(AudioError):
                audio.load(tmp_path / name, RATE)
        for demuxer in ("hls", "concat", "dash", "sdp", "mov"):
            part = Part(io.BytesIO(text.encode()), 0)
            with pytest.raises(AudioError):
                list(ffmpeg.blocks(part, "clip", demuxer, 0.0, []))
    server.shutdown()
    server.server_close()
    assert asked == []


def test_nothing_reaches_standard_error_and_few_clips_load_ffmpeg():
    program = "import sys; from speech_intent import audio; print('av' in sys.modules)"
    program += "\nfor clip in sys.argv[1:]:\n  audio.load(clip, 16_000, warn=lambda _: None)"
    program += "\n  print('av' in sys.modules)"
    names = ["base.wav", "p_pipe.flac", "m_xing_lies_long.mp3", "m_mp3_trunc.mp3", "u_wma.wma"]
    command = [sys.executable, "-c", program, *(str(ODD / name) for name in names)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.stdout.split() == ["False", "False", "False", "False", "True", "True"]
    assert process.stderr == ""
