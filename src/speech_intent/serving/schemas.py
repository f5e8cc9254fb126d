"""What the answers look like, with examples: the page at /docs is made of this."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, RootModel

from ..rejection import Reason

ANSWER = {
    "file": "clip.wav",
    "label": "battery",
    "score": 0.93,
    "scores": [{"label": "battery", "score": 0.93}, {"label": "Top_speed", "score": 0.07}],
    "seconds": 2.5,
    "model": "models/mine",
    "engine": "torch",
    "precision": "float32",
    "warnings": [],
}
UNKNOWN_ANSWER = ANSWER | {
    "file": "cough.wav",
    "label": "unknown",
    "guess": "battery",
    "reason": "far from everything taught",
}
REFUSAL = {"file": "empty.wav", "detail": "empty.wav: is empty; record or copy it again"}


def _like(*examples: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class Score(BaseModel):
    """An intent and its probability by the model."""

    label: str
    score: float


class Answered(BaseModel):
    """The intents of a clip, best first: what `inference.py --json` says, with `warnings`.

    A clip that is none of the taught requests has the label "unknown", a `guess` and a `reason`.
    """

    model_config = _like(ANSWER, UNKNOWN_ANSWER)

    file: str
    label: str = Field(description='the best intent, or "unknown" where there is a reason')
    guess: str | None = Field(None, description="the best intent, beside an unknown label")
    reason: Reason | None = Field(None, description="why the label is unknown; else left out")
    score: float = Field(description="of the best intent, also where it is but a guess")
    scores: list[Score] = Field(description="best first, of all intents or top_k; never of unknown")
    seconds: float = Field(description="duration of the clip")
    model: str
    engine: str
    precision: str
    warnings: list[str]


class Refused(BaseModel):
    """Why a clip gets no intent."""

    model_config = _like(REFUSAL)

    file: str
    detail: str


class TooLong(Refused):
    """A clip that lasts too long."""

    model_config = _like(
        {
            "file": "long.wav",
            "detail": "long.wav: lasts more than 60 s; send the part that matters",
        }
    )


class Batch(RootModel[list[Answered | Refused]]):
    """An answer for each file, in their order."""

    model_config = _like([ANSWER, UNKNOWN_ANSWER, REFUSAL])


class Problem(BaseModel):
    """Why a request gets no answer."""

    detail: str


class WrongTopK(Problem):
    """A number of intents that cannot be."""

    model_config = _like(
        {
            "detail": "top_k is no whole number from 1 on; ask for ?top_k=3, or leave it out for "
            "all intents"
        }
    )


class NoFile(Problem):
    """A form without a clip."""

    model_config = _like(
        {"detail": "the form has no file part; send the clip as one: curl -F file=@clip.wav"}
    )


class TooLarge(Problem):
    """A request of too many bytes."""

    model_config = _like(
        {"detail": "the request is larger than 10 MB; send less audio, or FLAC, OGG or MP3"}
    )


class TooBusy(Problem):
    """A request that would wait too long."""

    model_config = _like({"detail": "too many requests are waiting; try again in 9 s"})


class About(BaseModel):
    """Which model answers."""

    model_config = _like(
        {
            "status": "ok",
            "model": "models/mine",
            "engine": "torch",
            "precision": "float32",
            "labels": ["battery", "Top_speed"],
            "margins": [0.3, 0.2],
        }
    )

    status: str
    model: str
    engine: str
    precision: str
    labels: list[str] = Field(description="every intent; unknown is none")
    margins: list[float] | None = Field(
        description="seconds before and after speech in the clips that the model was trained on"
    )


Responses = dict[int | str, dict[str, Any]]

NO_CLIP = {"model": NoFile, "description": "No clip in the request"}
WAIT = {"model": TooBusy, "description": "Too busy; Retry-After says for how long"}

PREDICT: Responses = {
    200: {"model": Answered, "description": "The intents, best first, or unknown"},
    400: NO_CLIP,
    413: {"model": TooLong | TooLarge, "description": "Too large or too long"},
    422: {"model": Refused | WrongTopK, "description": "Not a usable clip, or top_k"},
    503: WAIT,
}
PREDICT_BATCH: Responses = {
    200: {"model": Batch, "description": "An answer for each file"},
    400: NO_CLIP,
    413: {"model": TooLarge, "description": "Too large"},
    422: {"model": WrongTopK, "description": "Not a usable top_k"},
    503: WAIT,
}
HEALTH: Responses = {200: {"model": About, "description": "Up"}}


TOP_K = {
    "name": "top_k",
    "in": "query",
    "description": "how many intents `scores` has, the best ones; all where it is left out",
    "schema": {"type": "integer", "minimum": 1},
}


def _request(**content: Any) -> dict[str, Any]:
    return {"parameters": [TOP_K], "requestBody": {"required": True, "content": content}}


def _form(**properties: Any) -> dict[str, Any]:
    return {"schema": {"type": "object", "properties": properties}}


BYTES = {"type": "string", "format": "binary"}
RAW = {"schema": BYTES}
CLIP = _request(
    **{
        "multipart/form-data": _form(file=BYTES),
        "audio/wav": RAW,
        "audio/flac": RAW,
        "audio/ogg": RAW,
        "audio/mpeg": RAW,
    }
)
CLIPS = _request(**{"multipart/form-data": _form(files={"type": "array", "items": BYTES})})
