import pytest

from speech_intent.errors import UserError
from speech_intent.paths import ROOT
from speech_intent.serving.settings import Settings


def test_without_settings_the_shipped_model_answers_this_machine_alone():
    settings = Settings.from_environment({"PATH": "/bin"})
    assert settings == Settings()
    assert settings.model == str(ROOT / "models" / "moonshine-tiny-scooter")
    assert (settings.host, settings.port, settings.api_key) == ("127.0.0.1", 8000, "")


def test_settings_come_from_the_environment(monkeypatch):
    names = {
        "MODEL": "user/name",
        "HOST": "0.0.0.0",
        "PORT": "81",
        "API_KEY": "sesame",
        "MAX_MEGABYTES": "0.4",
        "MAX_SECONDS": "2.5",
        "MAX_WAIT": "5",
    }
    for name, value in names.items():
        monkeypatch.setenv(f"SPEECH_INTENT_{name}", value)
    settings = Settings.from_environment()
    assert settings == Settings("user/name", "0.0.0.0", 81, "sesame", 0.4, 2.5, 5.0)
    assert settings.max_bytes == 400_000
    assert settings.patience == 15.0  # seconds: three times the wait


def test_an_empty_setting_is_none():
    assert Settings.from_environment({"SPEECH_INTENT_PORT": ""}).port == 8000


def test_the_key_is_not_shown():
    assert "sesame" not in repr(Settings(api_key="sesame"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "80.5"),
        ("PORT", "0"),
        ("MAX_WAIT", "-1"),
        ("MAX_SECONDS", "nan"),
        ("MAX_MEGABYTES", "inf"),
    ],
)
def test_a_setting_that_is_no_positive_number_is_named(name, value):
    with pytest.raises(UserError) as error:
        Settings.from_environment({f"SPEECH_INTENT_{name}": value})
    problem = f"'{value}' is not a positive number; set it to one, or unset it"
    assert str(error.value) == f"SPEECH_INTENT_{name}: {problem}"
