"""How well could a classifier do that pools what it hears into so many numbers, if it heard every letter rightly?

    python pretraining/from_text.py                          # had every letter been heard
    python pretraining/from_text.py --checkpoint run/best.pt # with the letters that the encoder writes down

TF-IDF of words, or of letter n-grams, is reduced by LSA that is fitted on the texts of pretraining; a logistic
regression on the bundled training phrasings then names the intents of the test phrasings. Nothing is tuned.
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

HERE = Path(__file__).resolve().parent
DATASET = HERE.parent / "dataset"
UNITS = {
    "words": TfidfVectorizer(min_df=3, sublinear_tf=True),
    "n-grams": TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), max_features=6_000, sublinear_tf=True),
}


def transcribe(checkpoint: Path, table: pd.DataFrame) -> list[str]:
    """Write down the bundled clips of a table with the letter head of a pretraining checkpoint."""
    import torch
    from pretrain import Pretrainer, greedy_text, normalised
    from tqdm import tqdm

    from speech_intent import audio

    weights = torch.load(checkpoint, weights_only=True)["model"]
    model = Pretrainer(len(weights["intents.bias"])).eval()
    model.load_state_dict(weights)
    texts = []
    with torch.inference_mode():
        for name in tqdm(table["file_name"], desc="Listening", unit="clip"):
            letters, *_ = model(normalised(torch.from_numpy(audio.load(DATASET / name, RATE))[None]))
            texts.append(greedy_text(letters[0]))
    return texts


def main() -> None:
    """Print right answers by unit and dimension."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--checkpoint", type=Path, help="last.pt or best.pt of pretrain.py")
    args = p.parse_args()
    texts = gzip.decompress((HERE / "texts.txt.gz").read_bytes()).decode().split("\n")
    if args.checkpoint:
        from torchaudio.functional import edit_distance

        train, test = (pd.read_csv(DATASET / "csv" / f"{split}.csv") for split in ("train", "test"))
        for table in (train, test):
            table["key"] = transcribe(args.checkpoint, table)
            spoken = table["text"].map(text_key)
            wrong = sum(edit_distance(*pair) for pair in zip(table["key"], spoken, strict=True))
            print(f"character error rate {wrong / spoken.str.len().sum():.3f}, {len(table)} clips", flush=True)
    else:
        table = pd.read_csv(DATASET / "phrasings.csv")
        table["key"] = table["text"].map(text_key)
        train, test = (table[table["split"] == split] for split in ("train", "test"))
    for name, vectoriser in UNITS.items():
        for size in (64, 192, 400):
            pooled = make_pipeline(vectoriser, TruncatedSVD(size, random_state=0), Normalizer()).fit(texts)
            probe = LogisticRegression(C=10, max_iter=2_000).fit(pooled.transform(train["key"]), train["intent"])
            right = int((probe.predict(pooled.transform(test["key"])) == test["intent"]).sum())
            print(f"{name}, {size} numbers: {right}/{len(test)}", flush=True)


if __name__ == "__main__":
    main()
