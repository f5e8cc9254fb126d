"""What is said of data and models is read where somebody said it, and nowhere made up."""

import zipfile
from pathlib import Path

import hub_client
import pytest

from speech_intent import terms
from speech_intent.errors import UserError
from speech_intent.paths import BUNDLED, MOONSHINE, SMALL
from speech_intent.terms import NOTHING, Terms


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


# Licences


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CC BY-NC 4.0", "cc-by-nc-4.0"),
        ("Apache-2.0", "apache-2.0"),
        ("mit", "mit"),
        ("unknown", None),
        (" ", None),
    ],
)
def test_a_licence_is_called_as_the_hub_calls_it(text, name):
    assert terms.license_id(text) == name


@pytest.mark.parametrize(
    ("license", "forbids"),
    [
        ("cc-by-nc-4.0", True),
        ("cc-by-nc-sa-3.0", True),
        ("fair-noncommercial-research-license", True),
        ("non-commercial", True),
        ("apache-2.0", False),
        ("cc-by-4.0", False),
        ("ncsa", False),  # of the University of Illinois, which allows everything
        ("license-of-france", False),
    ],
)
def test_licences_that_forbid_commercial_use_are_known(license, forbids):
    assert terms.is_noncommercial(license) is forbids


@pytest.mark.parametrize(
    ("licenses", "chosen"),
    [
        (["mit", "cc-by-4.0"], "mit"),  # as strict as the other: the first
        (["mit", None], "mit"),
        (["bsd-3-clause", "gpl-3.0"], "gpl-3.0"),
        (["gpl-3.0", "cc-by-nc-4.0", "mit"], "cc-by-nc-4.0"),
        (["cc-by-nc-4.0", "cc-by-nc-sa-4.0"], "cc-by-nc-sa-4.0"),
        (["apache-2.0", "llama3"], "llama3"),  # who knows what it asks for
        ([None, None], None),
        ([], None),
    ],
)
def test_the_strictest_licence_is_chosen(licenses, chosen):
    assert terms.strictest(licenses) == chosen


# Files


def test_a_toml_says_it(tmp_path):
    text = 'license = "CC BY 4.0"\nlanguage = ["de", "fr"]\npretty_name = "Calls"\n'
    folder = write(tmp_path, "dataset.toml", text + 'consent = "All signed\\na form."')
    expected = Terms("cc-by-4.0", ("de", "fr"), "Calls", "All signed a form.")
    assert terms.of_place(folder) == expected


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("license: mit\nlanguage: en", Terms("mit", ("en",))),
        ("license:\n- mit\n- cc-by-nc-4.0", Terms("cc-by-nc-4.0")),
        ("language: no", Terms(languages=("no",))),  # Norwegian, to YAML False
        ("license: unknown\npretty_name: A", Terms(pretty_name="A")),
        ("language:\n  all: [en, de]", Terms(languages=("en", "de"))),
        ("tags: [a]", NOTHING),
        ("- a", NOTHING),
        ("", NOTHING),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_card_beside_the_data_says_it(tmp_path, front, expected, newline):
    text = f"---\n{front}\n---\n\n# Calls\n\nlicense: apache-2.0\n".replace("\n", newline)
    (tmp_path / "README.md").write_bytes(text.encode())
    assert terms.of_place(tmp_path) == expected


def test_of_two_files_the_toml_comes_first_and_the_stricter_licence_holds(tmp_path):
    write(tmp_path, "README.md", "---\nlicense: cc-by-nc-4.0\nlanguage: en\n---\n")
    write(tmp_path, "dataset.toml", 'license = "apache-2.0"\nlanguage = "de"\n')
    assert terms.of_place(tmp_path) == Terms("cc-by-nc-4.0", ("de",))


@pytest.mark.parametrize("text", ["# Calls", "Calls\n---\nlicense: mit\n---\n", ""])
def test_a_card_without_front_matter_says_nothing(tmp_path, text):
    assert terms.of_place(write(tmp_path, "README.md", text)) == NOTHING


def test_what_is_not_there_says_nothing(tmp_path):
    assert terms.of_place(tmp_path / "gone") == NOTHING
    assert terms.of_place(Path("x" * 5_000)) == NOTHING
    assert terms.of_place(write(tmp_path / "empty", "clip.wav", "")) == NOTHING


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("dataset.toml", b"license: mit", "is no TOML"),
        ("dataset.toml", b'licence = "mit"', "has licence; it may have license, language"),
        ("dataset.toml", b"\xff", "cannot be read; save it again as text in UTF-8"),
        ("README.md", b"---\na: [\n---\n", "has no YAML between its first two lines of ---"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        terms.of_place(tmp_path)
    assert error.value.name == str(tmp_path / name)
    assert words in error.value.reason
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("inside", ["", "calls/"])
def test_a_zip_says_it_too(tmp_path, inside):
    path = tmp_path / "calls.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{inside}README.md", "---\nlicense: cc-by-nc-4.0\n---\n")
        archive.writestr(f"{inside}clips/deep/dataset.toml", 'license = "mit"')
    assert terms.of_place(path) == Terms("cc-by-nc-4.0")
    path.write_bytes(b"no zip")
    assert terms.of_place(path) == NOTHING


def test_a_folder_that_holds_nothing_but_the_data_folder_is_as_good(tmp_path):
    write(tmp_path / "download" / "calls", "dataset.toml", 'license = "mit"')
    assert terms.of_place(tmp_path / "download") == Terms("mit")


def test_the_bundled_cards_are_read():
    assert terms.of_place(MOONSHINE) == Terms("mit", ("en",))
    assert terms.of_place(SMALL) == Terms("apache-2.0", ("en",))
    bundled = terms.of_place(BUNDLED)
    assert (bundled.license, bundled.languages) == ("cc-by-4.0", ("en",))


def test_a_card_in_an_old_code_page_stops_nothing(tmp_path):
    (tmp_path / "README.md").write_bytes("---\nlicense: mit\n---\nÄ".encode("latin-1"))
    assert terms.of_place(tmp_path) == Terms("mit")


# The Hub


def test_a_card_on_the_hub_is_read_and_kept(tmp_path, monkeypatch, caplog):
    hub_client.visit(monkeypatch)
    hub_client.use_cache(monkeypatch, tmp_path / "cache")
    card = "---\nlicense: cc-by-nc-4.0\nlanguage: en\npretty_name: Calls\n---\n"
    hub_client.upload("tester/said", write(tmp_path / "said", "README.md", card), "dataset")
    hub_client.upload("tester/silent", write(tmp_path / "silent", "a.txt", "a"), "dataset")
    said = Terms("cc-by-nc-4.0", ("en",), "Calls")
    assert terms.of_hub("tester/said", "dataset") == said
    assert terms.of_hub("tester/silent", "dataset") == NOTHING
    assert caplog.messages == []
    hub_client.set_offline(monkeypatch, True)
    assert terms.of_hub("tester/said", "dataset") == said
    assert terms.of_hub("tester/gone", "dataset") == NOTHING
    (warning,) = caplog.messages
    assert warning.startswith("warning: tester/gone: its card on the Hub is not known: ")


@pytest.mark.parametrize("name", ["a/b", r"a\b", "/home/ann/calls"])
def test_a_name_is_no_path(name):
    with pytest.raises(UserError, match="is a path, and no name of data"):
        terms.given(None, None, name)


def test_what_nobody_gives_is_not_said():
    assert terms.given(None, None, None) == NOTHING
    assert terms.given("", "", "") == NOTHING
