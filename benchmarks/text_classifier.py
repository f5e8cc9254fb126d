"""A classifier of texts, as good as one is made without pretrained weights."""

from collections import Counter
from collections.abc import Sequence

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline, make_union

STRENGTHS = (0.1, 1, 10, 100, 1000)  # C of the logistic regression
WORD = r"\b\w+\b"  # of one letter too
N_FOLDS = 5  # of the training texts


def make_text_classifier() -> Pipeline:
    """Make a logistic regression on TF-IDF of one or two words and of 2 to 5 characters."""
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5))
    # The usual solver, lbfgs, takes ten times as long on this many features.
    regression = LogisticRegression(solver="newton-cg", max_iter=2000)
    return make_pipeline(make_union(words, letters), regression)


def fit_text_classifier(
    texts: Sequence[str], intents: Sequence[str], seed: int
) -> tuple[Pipeline, float]:
    """Fit it to training clips (n,), which also choose C; give both."""
    rarest = min(Counter(intents).values())
    parts = StratifiedKFold(max(2, min(N_FOLDS, rarest)), shuffle=True, random_state=seed)
    strengths = {"logisticregression__C": STRENGTHS}
    search = GridSearchCV(make_text_classifier(), strengths, cv=parts).fit(texts, intents)
    return search.best_estimator_, search.best_params_["logisticregression__C"]
