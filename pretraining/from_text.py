"""What would pooled features be worth, had every letter been heard rightly?

    python pretraining/from_text.py                           # had every letter been heard
    python pretraining/from_text.py --checkpoint run/best.pt  # with what the encoder writes down

TF-IDF of words, or of letter n-grams, is reduced by LSA that is fitted on the texts of pretraining;
a logistic regression on the bundled training phrasings then names the intents of the test
phrasings. Nothing is tuned.
"""

import argparse
import gzip
from pathlib import Path

import pandas as pd
from make_corpus import RATE, text_key
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from speech_intent.paths import BUNDLED

HERE = Path(__file__).resolve().parent
SIZES = (64, 192, 400)  # numbers that a text is reduced to; the encoder has 192


def units() -> dict[str, TfidfVectorizer]:
    """Return what a text may be cut into."""
    ngrams = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), max_features=6_000, sublinear_tf=True
    )
    return {"words": TfidfVectorizer(min_df=3, sublinear_tf=True), "n-grams": ngrams}


def transcribe(checkpoint: Path, table: pd.DataFrame) -> list[str]:
    """Write down the bundled clips of a table with the letter head of a checkpoint."""
    import torch
    from corpus import normalise_waveforms
    from pretrain import Pretrainer, greedy_text
    from tqdm import tqdm

    from speech_intent import audio

    weights = torch.load(checkpoint, weights_only=True)["model"]
    model = Pretrainer(len(weights["intents.bias"])).eval()
    model.load_state_dict(weights)
    texts = []
    with torch.inference_mode():
        for name in tqdm(table["file_name"], desc="Listening", unit="clip"):
            waveform = torch.from_numpy(audio.load(BUNDLED / name, RATE))
            letters, *_ = model(normalise_waveforms(waveform[None]))
            texts.append(greedy_text(letters[0]))
    return texts


def heard(checkpoint: Path, split: str) -> pd.DataFrame:
    """Return the clips of a bundled split with a column `key`: the text that is written down."""
    from torchaudio.functional import edit_distance

    table = pd.read_csv(BUNDLED / "csv" / f"{split}.csv")
    table["key"] = transcribe(checkpoint, table)
    spoken = table["text"].map(text_key)
    n_wrong = sum(edit_distance(*pair) for pair in zip(table["key"], spoken, strict=True))
    rate = n_wrong / spoken.str.len().sum()
    print(f"character error rate {rate:.3f}, {len(table)} clips", flush=True)
    return table


def written(split: str) -> pd.DataFrame:
    """Return the phrasings of a bundled split with a column `key`: the text itself."""
    table = pd.read_csv(BUNDLED / "phrasings.csv")
    table["key"] = table["text"].map(text_key)
    return table[table["split"] == split]


def main() -> None:
    """Print right answers by unit and dimension."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, help="last.pt or best.pt of pretrain.py")
    args = parser.parse_args()
    texts = gzip.decompress((HERE / "texts.txt.gz").read_bytes()).decode().split("\n")
    if args.checkpoint:
        train, test = (heard(args.checkpoint, split) for split in ("train", "test"))
    else:
        train, test = (written(split) for split in ("train", "test"))
    for name, vectoriser in units().items():
        for size in SIZES:
            reduction = TruncatedSVD(size, random_state=0)
            pooled = make_pipeline(vectoriser, reduction, Normalizer()).fit(texts)
            probe = LogisticRegression(C=10, max_iter=2_000)
            probe.fit(pooled.transform(train["key"]), train["intent"])
            answers = probe.predict(pooled.transform(test["key"]))
            n_right = int((answers == test["intent"]).sum())
            print(f"{name}, {size} numbers: {n_right}/{len(test)}", flush=True)


if __name__ == "__main__":
    main()
