"""How well could a classifier do that pools what it hears into so many numbers, if it heard every letter rightly?

    python pretraining/from_text.py

TF-IDF of words, or of letter n-grams, is reduced by LSA that is fitted on the texts of pretraining; a logistic
regression on the bundled training phrasings then names the intents of the test phrasings. No audio, nothing tuned.
"""

import gzip
from pathlib import Path

import pandas as pd
from make_corpus import text_key
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

HERE = Path(__file__).resolve().parent
UNITS = {
    "words": TfidfVectorizer(min_df=3, sublinear_tf=True),
    "n-grams": TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), max_features=6_000, sublinear_tf=True),
}


def main() -> None:
    """Print right answers by unit and dimension."""
    texts = gzip.decompress((HERE / "texts.txt.gz").read_bytes()).decode().split("\n")
    table = pd.read_csv(HERE.parent / "dataset" / "phrasings.csv")
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
