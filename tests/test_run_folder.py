import errno
import json
import os
import shutil
from types import SimpleNamespace

import pytest
from safetensors import SafetensorError

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


def test_a_run_has_begun_once_there_is_something_to_go_on_from(tmp_path):
    assert not run_folder.has_begun(tmp_path)
    checkpoint(tmp_path / "checkpoints", "checkpoint-4", None)
    assert not run_folder.has_begun(tmp_path)
    checkpoint(tmp_path / "checkpoints", "checkpoint-8", '{"global_step": 8}')
    assert run_folder.has_begun(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    run_folder.write_json(tmp_path / "training.json", {})
    (tmp_path / "model").mkdir()
    (tmp_path / "training.json").rename(tmp_path / "model" / "training.json")
    assert run_folder.has_begun(tmp_path)


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


# One run at a time, and what the system refuses


def test_a_folder_is_one_runs_at_a_time(tmp_path):
    folder = tmp_path / "new" / "out"
    with run_folder.held(folder):
        with (
            pytest.raises(OutputError, match="is being written to by another run") as refusal,
            run_folder.held(folder),
        ):
            pytest.fail("two runs in one folder")
        assert refusal.value.name == str(folder)
    with run_folder.held(folder):
        pass


def raised_in(folder, error) -> OutputError:
    with pytest.raises(OutputError) as refusal, run_folder.held(folder):
        raise error
    return refusal.value


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(tmp_path, number):
    refusal = raised_in(tmp_path, OSError(number, os.strerror(number)))
    assert str(refusal) == (
        f"{tmp_path}: cannot be written to: the disk is full; make room, then go on with --resume"
    )


@pytest.mark.parametrize("error", [SafetensorError("I/O error"), RuntimeError("write failed")])
def test_a_full_disk_is_told_from_a_fault_of_ours_by_its_room(tmp_path, monkeypatch, error):
    usage = {"free": 4096}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(**usage))
    assert "the disk is full" in raised_in(tmp_path, error).problem
    usage["free"] = 2**30
    with pytest.raises(type(error)), run_folder.held(tmp_path):
        raise error


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    place = str(tmp_path / "model")
    refusal = raised_in(tmp_path, PermissionError(errno.EACCES, "Permission denied", place))
    assert refusal.name == place
    assert refusal.problem == "cannot be written to (Permission denied)"


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "out").write_text("mine")
    refusal = raised_in(tmp_path / "out", AssertionError)
    assert refusal.problem == "cannot be written to (File exists)"
    assert (tmp_path / "out").read_text() == "mine"


def test_what_is_no_refusal_of_the_system_is_not_called_one(tmp_path):
    with pytest.raises(FileNotFoundError), run_folder.held(tmp_path):
        raise FileNotFoundError(errno.ENOENT, "No such file", "ours")


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
