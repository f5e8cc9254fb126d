"""Clips that sound like the taught requests and are none: their words in another order.

A classifier that never saw such clips takes every word of a request for the request. They are made
of training clips, so voice, room and microphone give nothing away.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

PIECE = (0.25, 0.75)  # seconds
WINDOW = 0.025  # seconds over which loudness is measured where a clip may be cut
HOP = 0.01
FADE = 0.005  # seconds at the ends of a piece
SHORTEST = 0.05  # seconds of a piece
FEWEST = 3  # pieces of a clip that can stand in another order
MOST = 6  # pieces in a clip of several requests
OWN_SHARE = 0.5  # of the clips: the pieces of one request
LEVEL = 0.1  # root mean square of a piece among those of others
N_SOURCES = 4  # requests in a clip
ORDERS = 10  # drawn until no two neighbours stay neighbours


def mixtures(
    waveforms: Sequence[np.ndarray],
    labels: Sequence[int],
    speakers: Sequence[str],
    sampling_rate: int,
    n: int,
    seed: int,
) -> Iterator[np.ndarray]:
    """Make n clips of the pieces of others, float32, (n_samples,) each.

    Half of them are the pieces of one clip in another order, the others pieces of several intents,
    by one speaker where there are enough. Takes clips, float32, (n_samples,) each, with their label
    ids and speakers ("" where not known).
    """
    rng = np.random.default_rng(seed)
    pieces = [cut(waveform, sampling_rate, rng) for waveform in waveforms]
    label_ids, names = np.asarray(labels), np.asarray(speakers)
    for _ in range(n):
        first = int(rng.integers(len(pieces)))
        if rng.random() < OWN_SHARE and len(pieces[first]) >= FEWEST:
            chosen = [pieces[first][i] for i in _disordered(len(pieces[first]), rng)]
        else:
            sources = [pieces[first], *(pieces[i] for i in _others(first, label_ids, names, rng))]
            n_pieces = min(MOST, max(2, len(pieces[first])))
            chosen = [_drawn(sources[i % len(sources)], rng) for i in range(n_pieces)]
        yield _joined(chosen, sampling_rate)


def cut(waveform: np.ndarray, sampling_rate: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut a clip, (n_samples,), into pieces of a word or a few, where it is quiet."""
    window, hop = int(WINDOW * sampling_rate), int(HOP * sampling_rate)
    shortest, longest = (int(seconds * sampling_rate) for seconds in PIECE)
    power = np.convolve(waveform.astype(np.float64) ** 2, np.ones(window), "same")[::hop]
    places = [0]
    while len(waveform) - places[-1] > longest:
        low = places[-1] + int(rng.uniform(1, 1.5) * shortest)
        inside = power[low // hop : (places[-1] + longest) // hop]
        places.append((low // hop + int(np.argmin(inside))) * hop)
    places.append(len(waveform))
    ends = itertools.pairwise(places)
    found = [waveform[low:high] for low, high in ends if high - low > SHORTEST * sampling_rate]
    return found or [waveform]


def _disordered(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw an order of n pieces; if it can be, no piece comes after the one that it came after."""
    for _ in range(ORDERS):
        order = rng.permutation(n)
        if not np.any(np.diff(order) == 1):
            break
    return order


def _others(
    first: int, labels: np.ndarray, speakers: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw clips of other intents, by the speaker of the first where he has enough of them."""
    others = np.flatnonzero(labels != labels[first])
    own = others[speakers[others] == speakers[first]]
    among = own if len(own) >= N_SOURCES - 1 else others
    return rng.choice(among, min(N_SOURCES - 1, len(among)), replace=False)


def _drawn(pieces: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Draw a piece, as loud as all others."""
    piece = pieces[int(rng.integers(len(pieces)))]
    loudness = np.sqrt(np.mean(piece.astype(np.float64) ** 2))
    return piece * (LEVEL / max(float(loudness), 1e-4))


def _joined(pieces: Sequence[np.ndarray], sampling_rate: int) -> np.ndarray:
    """Put pieces behind each other, with ends that do not click: float32, (n_samples,)."""
    faded = []
    for piece in pieces:
        n = min(int(FADE * sampling_rate), len(piece) // 4)
        gains = np.ones(len(piece))
        gains[:n] = np.arange(n) / max(n, 1)
        gains[len(piece) - n :] = gains[:n][::-1]
        faded.append(piece * gains)
    together = np.concatenate(faded)
    return (together / max(1.0, np.abs(together).max())).astype(np.float32)
