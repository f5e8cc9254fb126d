"""Pretraining: batches of the corpus, what a batch costs, the conditions that it is heard under."""

import math
import zlib
from types import SimpleNamespace

import corpus
import corpus_augment
import half_precision
import numpy as np
import pandas as pd
import pretrain
import probes
import pytest
import torch
from corpus import BatchPlan, Corpus
from make_corpus import RATE
from sklearn.feature_extraction.text import TfidfVectorizer
from tiny import TINY
from transformers import AutoModel, Wav2Vec2Config, Wav2Vec2Model

HELD_OUT = "word 106"  # whose CRC-32 is a multiple of 100


def write_shard(folder, number: int, clips: list[tuple[float, str, str, str]]) -> None:
    """Write clips of (seconds, text, intent, source); the samples of a clip are its row number."""
    rows = []
    samples = []
    start = 0
    for i, (seconds, text, intent, source) in enumerate(clips):
        size = round(seconds * RATE)
        rows.append((start, size, text, intent, f"voice {i}", source))
        samples.append(np.full(size, 100 * number + i, np.int16))
        start += size
    columns = ["start", "length", "text", "intent", "voice", "source"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / f"shard_{number:04d}.csv", index=False)
    np.save(folder / f"shard_{number:04d}.npy", np.concatenate(samples))


@pytest.fixture
def shards(tmp_path):
    """Nine clips in two shards; one is too long and one a phrasing of the test split."""
    table = {"text": ["turn it on", "hello"], "split": ["test", "train"]}
    pd.DataFrame(table).to_csv(tmp_path / "phrasings.csv")
    first = [
        (1.6, "switch it off", "lights/off", "synthetic"),
        (0.5, "stop", "", "real"),
        (2.0, HELD_OUT, "lights/off", "synthetic"),
        (1.0, "Turn it on!", "lights/on", "synthetic"),
        (6.4, "far too long", "lights/on", "synthetic"),
    ]
    second = [
        (0.4, "pico", "", "real"),
        (3.5, "a longer one", "bank/pay", "synthetic"),
        (0.6, HELD_OUT, "", "real"),  # real ones are not held out
        (1.4, "hello", "", "synthetic"),
    ]
    write_shard(tmp_path, 0, first)
    write_shard(tmp_path, 1, second)
    return tmp_path


@pytest.fixture
def clips(shards) -> Corpus:
    return Corpus.load(shards, shards / "phrasings.csv")


def test_the_text_of_the_tests_is_held_out():
    assert zlib.crc32(HELD_OUT.encode()) % 100 == 0


def test_a_corpus_leaves_out_test_phrasings_and_what_is_too_long(clips):
    assert clips.texts == [
        "switch it off",
        "stop",
        HELD_OUT,
        "pico",
        "a longer one",
        HELD_OUT,
        "hello",
    ]
    assert clips.table["held_out"].to_list() == [False, False, True, False, False, False, False]
    assert clips.intents == ["bank/pay", "lights/off"]


def test_a_row_gives_the_samples_of_its_shard(clips):
    assert [set(clips.clip(row).tolist()) for row in range(7)] == [
        {0},
        {1},
        {2},
        {100},
        {101},
        {102},
        {103},
    ]
    assert len(clips.clip(4)) == 3.5 * RATE


def test_the_lists_say_what_is_trained_on_and_which_commands_are_not(clips, tmp_path):
    clips.write_lists(tmp_path / "lists", None)
    assert (tmp_path / "lists" / "voices.txt").read_text().split("\n") == [
        "voice 0",
        "voice 1",
        "voice 2",
        "voice 3",
        "",
    ]


def test_a_round_has_batches_of_what_fits_and_is_not_held_out(clips, monkeypatch):
    monkeypatch.setattr(corpus, "ROUND_ITEMS", 400)
    monkeypatch.setattr(corpus, "BATCH_SECONDS", 8)
    plans = corpus.draw_round(clips, np.random.default_rng(0), longest=2.0)
    assert {plan.seconds for plan in plans} <= {1.0, 1.3, 1.6, 2.0}
    assert all(len(plan.items) == round(8 / plan.seconds) for plan in plans)
    items = [(plan.seconds, item) for plan in plans for item in plan.items]
    rows = {int(row) for _, item in items for row in item}
    assert rows == {0, 1, 3, 5, 6}  # without the held-out one, and without the one of 3.5 s
    lengths = clips.table["length"].to_numpy() / RATE
    assert all(lengths[list(item)].sum() <= seconds for seconds, item in items)
    joined = [item for _, item in items if len(item) > 1]
    assert joined and all(any(row in (1, 3, 5) for row in item) for item in joined)
    assert all(6 in item or set(item) <= {1, 3, 5} for item in joined)  # or a short synthetic one


def test_a_batch_joins_texts_and_knows_the_intent_of_single_clips_only(clips):
    plan = BatchPlan(2.0, [(0,), (1, 3), (6,), (4,)])
    clips.shards = [np.random.default_rng(0).integers(-9_999, 9_999, 99_999).astype(np.int16)] * 2
    clips.places[:, 1] = 0
    batch = corpus.make_batch(clips, plan, np.random.default_rng(0))
    assert batch.texts == ["switch it off", "stop pico", "hello", "a longer one"]
    assert batch.labels.tolist() == [1, -1, -1, 0]  # unknown, joined or empty: -1
    assert batch.waveforms.shape == (4, 2 * RATE) and batch.waveforms.dtype == torch.float32
    assert batch.waveforms.mean(1).abs().max() < 1e-5
    assert torch.allclose(batch.waveforms.var(1, unbiased=False), torch.ones(4), atol=1e-2)


def test_clips_are_placed_one_after_the_other_at_a_level_of_their_own():
    out = np.zeros(10, np.float32)
    clips = [np.full(3, 16_384, np.int16), np.full(2, -16_384, np.int16)]
    corpus.place(out, clips, np.random.default_rng(0))
    start = np.flatnonzero(out)[0]
    first = out[start : start + 3]
    second = out[start + 3 : start + 5]
    assert np.count_nonzero(out) == 5
    assert 0.2 <= first[0] <= 0.5 and -0.5 <= second[0] <= -0.2
    assert len(set(first)) == len(set(second)) == 1 and first[0] != -second[0]


def test_a_batch_is_augmented_before_it_is_normalised(clips):
    plan = BatchPlan(2.0, [(4,)])
    seen = []

    def augment(waveforms):
        seen.append(waveforms.abs().max().item())
        return torch.linspace(-7, 7, waveforms.shape[1])[None]

    batch = corpus.make_batch(clips, plan, np.random.default_rng(0), augment)
    assert 101 * 0.4 / 32_768 <= seen[0] <= 101 / 32_768
    assert batch.waveforms.max() == pytest.approx(math.sqrt(3), abs=1e-3)  # of a ramp


def test_ngrams_come_from_the_texts_that_are_trained_on():
    table = pd.DataFrame(
        {
            "text": ["ab", "xy"],
            "held_out": [False, True],
            "intent": "",
            "shard": 0,
            "start": 0,
            "length": 1,
        }
    )
    vectoriser = Corpus(table, [], []).fit_ngrams()
    assert set(vectoriser.get_feature_names_out()) == {" a", "ab", "b ", " ab", "ab ", " ab "}


def scores_of(path: str) -> torch.Tensor:
    """Give scores (frames, 29) of which the best path is this; _ is the blank."""
    codes = [pretrain.LETTERS.index(letter) for letter in path]
    return torch.nn.functional.one_hot(torch.tensor(codes), len(pretrain.LETTERS)).float()


@pytest.mark.parametrize(
    ("path", "text"), [("__aa_b__", "ab"), ("aab", "ab"), ("a_ab", "aab"), ("____", "")]
)
def test_the_best_path_is_read_without_repeats_and_blanks(path, text):
    assert pretrain.greedy_text(scores_of(path)) == text


@pytest.fixture
def vectoriser() -> TfidfVectorizer:
    return TfidfVectorizer(use_idf=False, norm=None).fit(["on off"])  # two words: (off, on)


def batch_of(texts: list[str], labels: list[int]) -> corpus.Batch:
    return corpus.Batch(torch.zeros(len(texts), 1), texts, torch.tensor(labels))


def test_losses_count_the_clips_whose_intent_is_known(vectoriser):
    letters = torch.zeros(2, 4, 29)
    intents = torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]])
    ngrams = torch.zeros(2, 2)
    batch = batch_of(["on", "on off"], [2, -1])
    loss = pretrain.losses((letters, intents, ngrams), batch, vectoriser)
    assert loss.intent.item() == pytest.approx(math.log(3))  # of the first clip alone
    assert loss.ngrams.item() == pytest.approx(math.log(2))
    none_known = batch_of(["on", "off"], [-1, -1])
    assert pretrain.losses((letters, intents, ngrams), none_known, vectoriser).intent.item() == 0


def test_the_ngram_loss_compares_shares(vectoriser):
    zeros = torch.zeros(1, 4, 29), torch.zeros(1, 1)
    batch = batch_of(["on on on off"], [-1])  # a quarter and three quarters
    ngrams = torch.tensor([[0.25, 0.75]]).log()
    loss = pretrain.losses((*zeros, ngrams), batch, vectoriser)
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert loss.ngrams.item() == pytest.approx(entropy)


def test_the_letter_loss_is_that_of_all_alignments(vectoriser):
    batch = batch_of(["a"], [-1])
    letters = torch.zeros(1, 2, 29)  # every letter as likely as every other
    loss = pretrain.losses((letters, torch.zeros(1, 1), torch.zeros(1, 2)), batch, vectoriser)
    # Of 29 * 29 paths, three say "a": aa, a_ and _a.
    assert loss.ctc.item() == pytest.approx(-math.log(3 / 29**2))


@pytest.mark.parametrize(
    ("step", "seconds"), [(0, 2.0), (1099, 2.0), (1100, 3.6), (2399, 3.6), (2400, 6.3)]
)
def test_longer_clips_come_later(step, seconds):
    run = SimpleNamespace(state={"step": step})
    assert pretrain.Run.longest(run) == seconds


def test_probes_take_clips_of_every_intent():
    table = pd.DataFrame({"intent": ["on"] * 7 + ["off"] * 2, "file_name": list("abcdefghi")})
    few = probes.sample(table, 3)
    assert few["intent"].value_counts().to_dict() == {"on": 3, "off": 2}
    assert probes.sample(table, 3)["file_name"].to_list() == few["file_name"].to_list()


def test_pooled_features_stand_in_the_order_of_the_clips(monkeypatch):
    monkeypatch.setattr(probes, "WIDTH", 1)

    def encoder(batch):  # the last value of a normalised clip, on every frame
        return SimpleNamespace(last_hidden_state=batch[:, -1:, None].repeat(1, 5, 1))

    ramp = np.linspace(-1, 1, 400).astype(np.float32)
    pooled = probes.features(encoder, [ramp, -ramp, 3 * ramp])
    assert pooled[:, 0] == pytest.approx([math.sqrt(3), -math.sqrt(3), math.sqrt(3)], abs=0.01)


def test_a_halved_model_loads_as_float32(tmp_path):
    torch.manual_seed(0)
    model = Wav2Vec2Model(Wav2Vec2Config(**TINY))
    name, weight = next(iter(model.named_parameters()))
    expected = weight.detach().half().float()
    half_precision.save_half(model, tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert torch.equal(dict(loaded.named_parameters())[name], expected)
    size = (tmp_path / "model.safetensors").stat().st_size
    assert size < 2.2 * loaded.num_parameters()  # bytes: two a weight


@pytest.fixture(scope="module")
def augment() -> corpus_augment.CorpusAugment:
    rng = np.random.default_rng(0)
    speech = [rng.standard_normal(RATE).astype(np.float32) for _ in range(45)]
    return corpus_augment.CorpusAugment(speech, rng)


def test_the_noise_pool_has_parts_of_equal_strength(augment):
    parts = augment.noise.reshape(-1, 40 * RATE)
    assert len(parts) == 5 + 3 + 1 + 5  # steady, unsteady, hum, babble
    assert torch.allclose(parts.std(1), torch.ones(len(parts)), atol=1e-2)


def test_a_room_lets_the_direct_sound_through_first(augment):
    assert augment.rooms.shape == (400, 8_000)
    assert torch.equal(augment.rooms[:, 0], torch.ones(400))
    assert not augment.rooms[:, 1:8].any()  # half a millisecond until the first echo
    direct_db = -10 * augment.rooms[:, 1:].square().sum(1).log10()
    assert direct_db.min() >= -8.1 and direct_db.max() <= 12.1


def test_a_third_of_the_channels_are_narrow():
    gains = corpus_augment.channel_gains(600, 257, np.random.default_rng(0))
    narrow = (gains[:, -1] < 0.01 * gains[:, 128]).float().mean()  # at 8 kHz against 4 kHz
    assert gains.shape == (600, 257) and gains.min() >= 0
    assert 0.1 < narrow < 0.4


def test_augmented_clips_keep_their_length_and_are_noisy_throughout(augment):
    batch = torch.zeros(12, RATE)
    batch[:, 6_000:8_000] = torch.randn(12, 2_000, generator=torch.Generator().manual_seed(0))
    augment.rng = np.random.default_rng(1)
    heard = augment(batch)
    assert heard.shape == batch.shape and heard.isfinite().all()
    assert heard.abs().amax() <= 1.0 + 1e-6
    assert (heard[:, :1_000].abs().amax(1) > 0).all()  # silence is filled
    augment.rng = np.random.default_rng(1)
    assert torch.equal(augment(batch), heard)
