"""What a model does with clips that are none of the taught requests: by kind, with intervals."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from .intervals import wilson_interval
from .predict import IntentClassifier

if TYPE_CHECKING:
    from datasets import Dataset


def answer_unknown(classifier: IntentClassifier, table: "Dataset") -> pd.DataFrame:
    """Answer clips of no intent, a table of `negatives.of_split`.

    Gives a row a clip: `kind`, `seconds`, `predicted`, `score`, `knownness`, `accepted` and
    `reason`, "" where it was answered.
    """
    rows = []
    bar = tqdm(table, desc="Answering others", unit="clip", disable=None, leave=False)
    for row in bar:
        prediction = classifier.predict(row["audio"])
        rows.append(
            {
                "kind": row["kind"],
                "seconds": round(prediction.seconds, 3),
                "predicted": prediction.label,
                "score": prediction.score,
                "knownness": prediction.knownness,
                "accepted": prediction.accepted,
                "reason": prediction.reason or "",
            }
        )
    return pd.DataFrame(rows)


def figures(answers: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Say what of each kind was answered by mistake, and how well it is told from requests.

    Takes the answers of `answer_unknown` and, with `knownness`, those of taught requests. Gives a
    row a kind: `n`, `accepted`, `share` with Wilson's 95 % interval (`low`, `high`), `an_hour` of
    such sound, and `auroc`, the probability that a taught request is more known than such a clip.
    """
    rows = {}
    for kind, clips in answers.groupby("kind", sort=False):
        n = len(clips)
        accepted = int(clips["accepted"].sum())
        low, high = wilson_interval(accepted, n)
        rows[str(kind)] = {
            "n": n,
            "accepted": accepted,
            "share": accepted / n,
            "low": low,
            "high": high,
            "an_hour": accepted / (clips["seconds"].sum() / 3600),
            "auroc": auroc(known["knownness"].to_numpy(), clips["knownness"].to_numpy()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("kind")


def auroc(known: np.ndarray, others: np.ndarray) -> float:
    """Give the area under the ROC curve of taught requests (n,) against other clips (m,)."""
    is_known = np.repeat([1, 0], [len(known), len(others)])
    return float(roc_auc_score(is_known, np.concatenate([known, others])))
