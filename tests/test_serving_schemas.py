"""The examples of /docs against what the server really answers."""

import copy
from typing import get_args

import numpy as np
import pytest
from serving_tools import client_of, encoded, form

from speech_intent.rejection import Reason
from speech_intent.serving import schemas
from speech_intent.serving.answers import Responder

OPERATIONS = [
    ("/predict", "post", {"200", "400", "413", "422", "503"}),
    ("/predict/batch", "post", {"200", "400", "413", "422", "503"}),
    ("/health", "get", {"200"}),
]


@pytest.fixture(scope="module")
def client(classifier):
    with client_of(Responder(classifier, max_seconds=3.0)) as client:
        yield client


@pytest.fixture(scope="module")
def openapi(client):
    return client.get("/openapi.json").json()


def example(schema: type) -> object:
    """The first example of an answer, after a look whether all fit the fields given for it."""
    contents = schema.model_json_schema()["examples"]
    for content in contents:
        schema.model_validate(content, strict=True, extra="forbid")
    return contents[0]


def test_answers_are_as_their_schema_says(client, tone):
    answers = {
        "good.wav": (encoded(tone(500)), schemas.Answered),
        "text.wav": (b"text", schemas.Refused),
        "long.wav": (encoded(np.zeros(60_000)), schemas.TooLong),
    }
    for name, (data, schema) in answers.items():
        answer = client.post("/predict", files={"file": (name, data)}).json()
        schema.model_validate(answer, strict=True, extra="forbid")
        optional = {"guess", "reason"}
        assert set(answer) == set(example(schema)) == set(schema.model_fields) - optional
    files = form(*((name, data) for name, (data, _) in answers.items()))
    batch = client.post("/predict/batch", files=files).json()
    schemas.Batch.model_validate(batch, strict=True, extra="forbid")
    answered, _, refused = example(schemas.Batch)
    assert list(map(set, batch[:2])) == [set(answered), set(refused)]
    schemas.About.model_validate(client.get("/health").json(), strict=True, extra="forbid")


def test_an_unknown_intent_is_as_its_schema_says(classifier, tone):
    strict = copy.copy(classifier)
    strict.threshold = 1.1
    with client_of(Responder(strict, max_seconds=3.0)) as client:
        sent = {"file": ("clip.wav", encoded(tone(500)))}
        answer = client.post("/predict", files=sent).json()
        batch = client.post("/predict/batch", files=form(*sent.values())).json()
    assert batch == [answer]
    schemas.Batch.model_validate(batch, strict=True, extra="forbid")
    answered = schemas.Answered.model_validate(answer, strict=True, extra="forbid")
    assert (answered.label, answered.reason) == ("unknown", "its score is too low")
    assert (answered.guess, answered.score) == (
        answer["scores"][0]["label"],
        answered.scores[0].score,
    )
    assert set(answer) == set(schemas.UNKNOWN_ANSWER) == set(schemas.Answered.model_fields)


def test_every_reason_is_one_of_those_that_the_page_lists(openapi):
    reason = openapi["components"]["schemas"]["Answered"]["properties"]["reason"]
    assert reason["anyOf"][0]["enum"] == list(get_args(Reason))
    assert schemas.UNKNOWN_ANSWER["reason"] in get_args(Reason)


def test_refusals_of_requests_are_those_of_the_examples(client):
    large = client.post("/predict", content=bytes(400_001)).json()["detail"]
    assert example(schemas.TooLarge)["detail"] == large.replace("0.4", "10")
    no_file = client.post("/predict", files={"file": (None, "text")}).json()
    assert example(schemas.NoFile) == no_file
    top_k = client.post("/predict?top_k=0", files={"file": ("empty.wav", b"")}).json()
    assert example(schemas.WrongTopK) == top_k
    empty = client.post("/predict", files={"file": ("empty.wav", b"")}).json()
    assert example(schemas.Refused) == empty
    long = encoded(np.zeros(8_000), rate=2_000)
    long = client.post("/predict", files={"file": ("long.wav", long)}).json()
    assert example(schemas.TooLong)["detail"] == long["detail"].replace(" 3 s", " 60 s")


def test_each_answer_of_each_path_has_an_example(openapi):
    assert set(openapi["paths"]) == {path for path, _, _ in OPERATIONS}
    for path, method, statuses in OPERATIONS:
        responses = openapi["paths"][path][method]["responses"]
        assert set(responses) == statuses
        for response in responses.values():
            schema = response["content"]["application/json"]["schema"]
            for reference in schema.get("anyOf", [schema]):
                name = reference["$ref"].rpartition("/")[2]
                assert example(getattr(schemas, name))
                assert openapi["components"]["schemas"][name]["examples"]


def test_the_page_says_how_to_send_audio(client, openapi):
    assert "swagger-ui" in client.get("/docs").text
    body = openapi["paths"]["/predict"]["post"]["requestBody"]["content"]
    raw = {"audio/wav", "audio/flac", "audio/ogg", "audio/mpeg"}
    assert set(body) == raw | {"multipart/form-data"}
    assert list(body["multipart/form-data"]["schema"]["properties"]) == ["file"]
    batch = openapi["paths"]["/predict/batch"]["post"]["requestBody"]["content"]
    files = batch["multipart/form-data"]["schema"]["properties"]["files"]
    assert files == {"type": "array", "items": {"type": "string", "format": "binary"}}


def test_the_page_says_that_fewer_intents_may_be_wanted(openapi):
    for path in ("/predict", "/predict/batch"):
        (parameter,) = openapi["paths"][path]["post"]["parameters"]
        assert (parameter["name"], parameter["in"]) == ("top_k", "query")
        assert parameter["schema"] == {"type": "integer", "minimum": 1}
        assert not parameter.get("required")
