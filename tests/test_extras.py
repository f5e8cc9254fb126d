"""What is asked for beside a training, and what does not go together."""

import pytest

from speech_intent import experiment, train

SEARCH = ["--search", "2"]
REPORT = ["--report-to", "tensorboard"]
PUSH = ["--push-to", "user/name"]
TWO = ["--encoder", "small", "random"]
FOLDS = ["--protocol", "kfold"]
FROZEN = ["--freeze", "encoder"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            [*SEARCH, *FOLDS],
            "--search: is about one model, and a protocol trains several; leave it",
        ),
        ([*REPORT, *FOLDS], "--report-to: is about one model, and a protocol trains several; "),
        ([*PUSH, *FOLDS], "--push-to: is about one model, and a protocol trains several"),
        ([*SEARCH, *TWO], "--search: is about one model, and there are 2 encoders; name one"),
        ([*PUSH, *TWO], "--push-to: is about one model, and there are 2 encoders; name one"),
        ([*SEARCH, *FROZEN], "--search: has no effect with --freeze encoder, which has no epochs"),
        ([*REPORT, *FROZEN], "--report-to: has no effect with --freeze encoder, which has no"),
        (["--search", "0"], "--search: 0 trials cannot be; give 1 or more"),
        (["--report-to", "paper"], "paper: is no tracker that transformers knows; choose of "),
        (["--push-to", "name"], "name: does not say whose repository it is; name it USER/NAME"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_read(
    tmp_path, capsys, monkeypatch, options, problem
):
    monkeypatch.setenv("HF_TOKEN", "hf_any")
    assert train.main(["--data", "gone", "--output-dir", str(tmp_path / "out"), *options]) == 1
    assert capsys.readouterr().err.startswith(f"error: {problem}")
    assert not (tmp_path / "out").exists()


def test_encoders_that_are_compared_are_all_reported(tmp_path, monkeypatch):
    seen = []

    def run(recipe, output_dir, resume, extras):
        seen.append((recipe.encoder, extras.report_to))
        return dict.fromkeys(experiment.COMPARED, 1) | {"best_validation": {}}

    monkeypatch.setattr(experiment, "run", run)
    assert train.main([*TWO, *REPORT, "--output-dir", str(tmp_path)]) == 0
    assert seen == [("small", ("tensorboard",)), ("random", ("tensorboard",))]
