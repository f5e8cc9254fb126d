import json
from types import SimpleNamespace

import pytest

from speech_intent import run_folder
from speech_intent.errors import OutputError


def checkpoint(folder, name: str, state: str | None) -> None:
    (folder / name).mkdir(parents=True)
    if state is not None:
        (folder / name / "trainer_state.json").write_text(state)


def test_the_last_checkpoint_that_was_written_whole_is_found(tmp_path):
    checkpoint(tmp_path, "checkpoint-4", '{"global_step": 4}')
    checkpoint(tmp_path, "checkpoint-8", '{"global_step": 8}')
    checkpoint(tmp_path, "checkpoint-12", '{"global_step": ')
    checkpoint(tmp_path, "checkpoint-16", None)
    checkpoint(tmp_path, "checkpoint-20", "null")
    assert run_folder.last_checkpoint(tmp_path) == tmp_path / "checkpoint-8"
    assert run_folder.last_checkpoint(tmp_path / "gone") is None


def test_steps_are_compared_as_numbers(tmp_path):
    for step in (900, 1000):
        checkpoint(tmp_path, f"checkpoint-{step}", json.dumps({"global_step": step}))
    assert run_folder.last_checkpoint(tmp_path) == tmp_path / "checkpoint-1000"


def test_an_empty_folder_is_free(tmp_path):
    run_folder.check_output(tmp_path, resume=False)
    run_folder.check_output(tmp_path / "new", resume=True)


@pytest.mark.parametrize("resume", [True, False])
def test_a_finished_run_is_refused(tmp_path, resume):
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(OutputError, match="holds a finished run; choose another folder"):
        run_folder.check_output(tmp_path, resume)


def test_a_trained_model_without_figures_may_be_resumed(tmp_path):
    (tmp_path / "model").mkdir()
    run_folder.check_output(tmp_path, resume=True)
    with pytest.raises(OutputError, match="holds a finished run"):
        run_folder.check_output(tmp_path, resume=False)


def test_an_unfinished_run_may_be_resumed(tmp_path):
    checkpoint(tmp_path / "checkpoints", "checkpoint-4", '{"global_step": 4}')
    run_folder.check_output(tmp_path, resume=True)
    with pytest.raises(OutputError, match="unfinished run; add --resume"):
        run_folder.check_output(tmp_path, resume=False)


def test_a_claimed_folder_takes_the_same_again_and_nothing_else(tmp_path):
    folder = tmp_path / "out"
    made_of = {"encoder": "small", "numbers": {"epochs": 1.0}, "seeds": (0, 1)}
    run_folder.claim(folder, made_of)
    run_folder.claim(folder, made_of)
    with pytest.raises(OutputError) as error:
        run_folder.claim(folder, made_of | {"numbers": {"epochs": 3.0}, "data": "other"})
    assert error.value.name == str(folder)
    assert error.value.problem == (
        "holds results of other data None (now other), "
        "numbers {'epochs': 1.0} (now {'epochs': 3.0})"
    )
    run_folder.claim(folder, made_of)


def test_json_is_there_in_full_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    run_folder.write_json(path, {"name": "größer", "n": 1})
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "größer", "n": 1}
    with pytest.raises(TypeError):
        run_folder.write_json(path, {"n": object()})
    assert json.loads(path.read_text(encoding="utf-8"))["n"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_a_model_folder_appears_when_it_is_complete(tmp_path):
    folder = tmp_path / "model"
    appeared = []

    def save(path) -> None:
        path.mkdir(exist_ok=True)
        appeared.append(folder.exists())

    part = SimpleNamespace(save_pretrained=save)
    run_folder.save_model(part, part, {"seed": 3}, folder)
    assert appeared == [False, False]
    assert json.loads((folder / "training.json").read_text()) == {"seed": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
