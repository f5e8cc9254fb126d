"""Better checkpoints go to the Hub in training; no network stops it, and the model comes last."""

import json
import os
import shutil
import threading

import hub_client
import pytest
from huggingface_hub import HfApi, ModelCard

from speech_intent import IntentClassifier, experiment, hub_upload, pushing, train
from speech_intent.errors import UserError
from speech_intent.extras import Extras
from speech_intent.pushing import Pusher
from speech_intent.trainer import SpeechTrainer


@pytest.fixture
def hub(monkeypatch):
    """This process may write to a Hub on this machine."""
    return hub_client.visit(monkeypatch)


def commits(name: str) -> list[str]:
    """Say in which order what was put into a repository, beside its beginning."""
    found = [commit.title for commit in HfApi().list_repo_commits(name)]
    return found[-2::-1]


# From end to end


def command(recipe, *options) -> list[str]:
    """Give a command line that trains three epochs on the tones."""
    given = recipe()
    quick = ["--epochs", "3", "--batch-size", "8", "--learning-rate", "5e-3", "--freeze", "none"]
    quick += ["--no-augment", "--no-spec-augment", "--unknown", "none"]
    return [*quick, "--data", given.data, "--encoder", given.encoder, *map(str, options)]


def test_each_better_checkpoint_goes_up_while_training_goes_on_and_the_card_last(
    hub, tmp_path, recipe, tone_folder, monkeypatch, capsys
):
    during = []
    train_on = SpeechTrainer.training_step

    def training_step(self, *args, **named):
        if self.state.epoch and self.state.epoch > 1:
            pusher._last.pushed.result()  # else the rest would be over first
            during.append(set(HfApi().list_repo_files("tester/pushed")))
        return train_on(self, *args, **named)

    pusher = Pusher("tester/pushed", private=True)
    monkeypatch.setattr(pushing, "Pusher", lambda name, private: pusher)
    monkeypatch.setattr(SpeechTrainer, "training_step", training_step)
    out = tmp_path / "out"
    push = ["--push-to", "tester/pushed", "--private"]
    assert train.main(command(recipe, "--output-dir", out, *push)) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == f"{hub}/tester/pushed"
    assert "not pushed" not in printed.err
    loadable = {"config.json", "model.safetensors", "preprocessor_config.json", "training.json"}
    assert during[0] == {*loadable, "README.md", ".gitattributes"}
    titles = commits("tester/pushed")
    assert titles[0] == "Checkpoint of epoch 1"
    assert titles[-1] == "Publish with speech_intent"
    assert set(titles[:-1]) <= {f"Checkpoint of epoch {epoch}" for epoch in (1, 2, 3)}
    assert HfApi().model_info("tester/pushed").private
    result = json.loads((out / "metrics.json").read_text())
    card = ModelCard.load("tester/pushed")
    figures = {each.metric_name: each.metric_value for each in card.data.eval_results}
    assert figures["accuracy"] == result["accuracy"]
    hub_client.use_cache(monkeypatch, tmp_path / "cache")
    clip = next((tone_folder / "clips").iterdir())
    published = IntentClassifier.from_pretrained("tester/pushed").predict(clip)
    local = IntentClassifier.from_pretrained(out / "model").predict(clip)
    assert dict(published.scores) == dict(local.scores)
    assert not list(out.glob(".push-*"))


def test_a_network_that_goes_down_stops_no_training(hub, tmp_path, recipe, monkeypatch, capsys):
    """It goes after the repository was made, and is not back when the model is finished."""
    open_repository = Pusher.open

    def open_and_leave(self, output_dir):
        open_repository(self, output_dir)
        hub_client.visit(monkeypatch, hub_client.NOBODY)

    monkeypatch.setattr(Pusher, "open", open_and_leave)
    out = tmp_path / "out"
    options = command(recipe, "--output-dir", out, "--push-to", "tester/lost")
    assert train.main(options) == 1
    printed = capsys.readouterr()
    assert "Test: accuracy" in printed.out
    assert "note: not pushed (Checkpoint of epoch 1): tester/lost: the Hub cannot be" in printed.err
    last = printed.err.splitlines()[-1]
    assert last.startswith("error: tester/lost: the Hub cannot be reached")
    folder = out / "model"
    again = f"the model is in {folder}, and goes up by: python -m speech_intent.publish {folder} "
    assert f"{again}tester/lost" in last
    assert (folder / "metrics.json").exists()
    assert not list(out.glob(".push-*"))
    hub_client.visit(monkeypatch, hub)
    assert commits("tester/lost") == []


@pytest.mark.parametrize(
    ("token", "problem"), [("", "there is no token"), ("hf_wrong", "does not know this token")]
)
def test_without_the_right_token_nothing_is_trained(
    hub, tmp_path, recipe, monkeypatch, capsys, token, problem
):
    monkeypatch.setenv("HF_TOKEN", token)
    out = tmp_path / "out"
    options = command(recipe, "--output-dir", out, "--push-to", "tester/refused")
    assert train.main(options) == 1
    assert problem in capsys.readouterr().err
    assert not (out / "made_of.json").exists()


def test_data_that_cannot_be_used_leave_no_repository(hub, tmp_path, recipe, capsys):
    options = ["--data", "gone", "--output-dir", tmp_path, "--push-to", "tester/early"]
    assert train.main(command(recipe, *options)) == 1
    assert not HfApi().repo_exists("tester/early")


# Checkpoints


@pytest.fixture
def checkpoint(tmp_path, model_folder):
    """A folder as the Trainer writes it."""
    folder = tmp_path / "checkpoints" / "checkpoint-4"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "preprocessor_config.json"):
        shutil.copy(model_folder / name, folder)
    (folder / "optimizer.pt").write_bytes(b"of no use")
    return folder


class Uploads:
    """In the place of `hub_upload.upload`: notes what goes up, checkpoints once `go` is set."""

    def __init__(self):
        self.noted = []
        self.begun = threading.Event()
        self.go = threading.Event()

    def __call__(self, name, files, kind, private, message="the model"):
        self.begun.set()
        assert message == "the model" or self.go.wait(10)
        self.noted.append((message, sorted(files)))
        return "an address"

    @property
    def messages(self) -> list[str]:
        return [message for message, _ in self.noted]


@pytest.fixture
def uploads(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_any")
    stub = Uploads()
    monkeypatch.setattr(hub_upload, "upload", stub)
    yield stub
    stub.go.set()


MADE_OF = {"encoder": "moonshine", "seed": 0, "sources": []}


def test_a_checkpoint_that_waits_is_passed_over_for_a_better_one(
    checkpoint, uploads, model_folder, tmp_path
):
    pusher = Pusher("user/name")
    pusher.push(checkpoint, MADE_OF, "1")
    assert uploads.begun.wait(10)
    pusher.push(checkpoint, MADE_OF, "2")
    pusher.push(checkpoint, MADE_OF, "3")
    assert len(list(tmp_path.glob(".push-*"))) == 2
    shutil.rmtree(checkpoint)  # as the Trainer does with all but the best and the last
    uploads.go.set()
    pusher._last.pushed.result()
    assert uploads.messages == ["1", "3"]
    assert pusher.finish(model_folder) == "an address"
    assert uploads.messages == ["1", "3", "the model"]
    assert not list(tmp_path.glob(".push-*"))


def test_in_the_end_nothing_goes_up_any_more_but_the_model(checkpoint, uploads, model_folder):
    pusher = Pusher("user/name")
    pusher.push(checkpoint, MADE_OF, "1")
    assert uploads.begun.wait(10)
    pusher.push(checkpoint, MADE_OF, "2")
    threading.Timer(0.1, uploads.go.set).start()
    pusher.finish(model_folder)
    assert uploads.messages == ["1", "the model"]


def test_a_mistake_of_ours_is_seen_and_stops_no_training(checkpoint, monkeypatch, tmp_path, capsys):
    def upload(*given):
        raise ValueError("ours")

    monkeypatch.setenv("HF_TOKEN", "hf_any")
    monkeypatch.setattr(hub_upload, "upload", upload)
    pusher = Pusher("user/name")
    pusher.push(checkpoint, MADE_OF, "1")
    pusher._last.pushed.result()
    assert "ValueError: ours" in capsys.readouterr().err
    assert not list(tmp_path.glob(".push-*"))


def test_the_encoders_licence_comes_along_and_nothing_that_is_of_no_use(checkpoint, uploads):
    uploads.go.set()
    pusher = Pusher("user/name")
    pusher.push(checkpoint, MADE_OF, "1")
    pusher._last.pushed.result()
    loadable = ["config.json", "model.safetensors", "preprocessor_config.json", "training.json"]
    assert uploads.noted == [("1", ["LICENSE", "README.md", *loadable])]


def test_only_the_best_is_pushed(tmp_path):
    pushed = []
    pusher = type("Stub", (), {"push": lambda self, *given: pushed.append(given)})()
    watcher = pushing._Watcher(pusher, MADE_OF)
    args = type("Args", (), {"output_dir": str(tmp_path)})
    for step, best, is_main in [(4, 4, True), (8, 4, True), (12, 12, False), (16, 16, True)]:
        names = {"global_step": step, "best_global_step": best, "epoch": step / 4}
        state = type("State", (), {**names, "is_world_process_zero": is_main})
        watcher.on_save(args, state, None)
    assert [(path.name, message) for path, _, message in pushed] == [
        ("checkpoint-4", "Checkpoint of epoch 1"),
        ("checkpoint-16", "Checkpoint of epoch 4"),
    ]


def test_what_a_killed_run_left_is_cleared_away(hub, tmp_path):
    (tmp_path / ".push-old").mkdir()
    (tmp_path / ".push-old" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "kept").mkdir()
    Pusher("tester/cleared").open(tmp_path)
    assert os.listdir(tmp_path) == ["kept"]


# What a card may say


def test_data_that_forbid_it_are_named_in_every_card(hub, tmp_path, recipe, monkeypatch):
    """Also in that of a checkpoint."""
    given = recipe(epochs=2, batch_size=8, license="cc-by-nc-4.0")
    pusher = Pusher("tester/nc")
    cards = []
    upload = hub_upload.upload

    def note(name, files, *others):
        cards.append(files["README.md"].decode())
        return upload(name, files, *others)

    monkeypatch.setattr(hub_upload, "upload", note)
    experiment.run(given, tmp_path, extras=Extras(push_to="tester/nc", pusher=pusher))
    pusher.finish(tmp_path / "model")
    assert len(cards) > 1
    assert all("\nlicense: cc-by-nc-4.0\n" in card for card in cards)
    assert "None were recorded with this model." in cards[0]
    assert str(tmp_path) not in "".join(cards)


def test_a_model_that_cannot_be_published_is_not_lost(uploads, model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "metrics.json").write_text("{}")
    with pytest.raises(UserError) as error:
        Pusher("user/name").finish(folder)
    assert f"the model is in {folder}, and goes up by: " in error.value.remedy
    assert not uploads.noted
