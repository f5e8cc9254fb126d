import pytest

from speech_intent import hub_names
from speech_intent.errors import DataError, ModelError, UserError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("PolyAI/minds14", True),
        ("user/data.v2-x_y", True),
        ("https://huggingface.co/datasets/PolyAI/minds14", True),
        ("hf://datasets/PolyAI/minds14", True),
        ("huggingface.co/user/name", True),
        ("bundled", False),
        ("data", False),
        ("/home/user", False),
        ("./data", False),
        ("~/data", False),
        ("a/b/c", False),
        ("user/", False),
        ("two words/data", False),
        ("", False),
    ],
)
def test_a_hub_id_is_a_namespace_and_a_name_or_an_address(name, expected):
    assert hub_names.is_hub_id(name) is expected


def test_a_folder_is_no_hub_id(tmp_path, monkeypatch):
    (tmp_path / "recordings" / "mine").mkdir(parents=True)
    assert hub_names.is_hub_id("recordings/mine")
    monkeypatch.chdir(tmp_path)
    assert not hub_names.is_hub_id("recordings/mine")


@pytest.mark.parametrize(
    "address",
    [
        "https://huggingface.co/user/name",
        "http://huggingface.co/user/name",
        "HTTPS://HuggingFace.co/user/name",
        "https://huggingface.co/user/name/",
        "https://huggingface.co/user/name/tree/main",
        "https://huggingface.co/user/name?library=transformers#use",
        "https://hf.co/user/name",
        "hf.co/user/name",
        "huggingface.co/user/name",
        "hf://user/name",
        "hf://user/name@main",
        "user/name",
    ],
)
def test_an_address_of_the_hub_names_what_it_shows(address):
    assert hub_names.repository(address, "model") == "user/name"


def test_addresses_of_data_say_so():
    for start in ("https://huggingface.co/", "hf://"):
        assert hub_names.repository(f"{start}datasets/user/name", "dataset") == "user/name"
    for name in ("bundled", "/home/ann/data", "a/b/c", "two words"):
        assert hub_names.repository(name, "dataset") == name


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (
            "https://huggingface.co/datasets/user/name",
            "is the address of a dataset; name a model: NAMESPACE/NAME",
        ),
        (
            "https://huggingface.co/spaces/user/name",
            "is the address of a space; name a model: NAMESPACE/NAME",
        ),
        (
            "https://huggingface.co/user/name/tree/v2",
            "asks for the revision v2, and only main is looked at; name a model: "
            "its files, after `hf download user/name --revision`",
        ),
        (
            "https://huggingface.co/user/name/blob/main/config.json",
            "is an address inside a repository; name a model: user/name",
        ),
        (
            "https://huggingface.co/user/name/discussions",
            "is no address of a Hub repository; name a model: NAMESPACE/NAME",
        ),
        (
            "https://huggingface.co/name",
            "is no address of a Hub repository; name a model: NAMESPACE/NAME",
        ),
        (
            "https://example.com/user/name",
            "is no address of a Hub repository; name a model: NAMESPACE/NAME",
        ),
        ("https://[", "is no address of a Hub repository; name a model: NAMESPACE/NAME"),
        ("hf://", "is no address of a Hub repository; name a model: NAMESPACE/NAME"),
    ],
)
def test_another_address_is_refused(address, reason):
    with pytest.raises(ModelError) as error:
        hub_names.repository(address, "model")
    assert error.value.name == address
    assert error.value.reason == reason
    with pytest.raises(DataError):
        hub_names.repository(address.replace("datasets/", ""), "dataset")


def test_another_hub_is_the_hub_if_it_is_the_one_asked(monkeypatch):
    address = "http://127.0.0.1:8001/user/name"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:8001")
    assert hub_names.repository(address, "model") == "user/name"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:8002")
    with pytest.raises(ModelError, match="is an address of another place than the Hub"):
        hub_names.repository(address, "model")


@pytest.mark.parametrize("name", ["user/name", "https://huggingface.co/user/name", "u/n-1.0_x"])
def test_a_new_repository_has_an_owner_and_a_name(name):
    assert hub_names.new_name(name, "model") == name.removeprefix("https://huggingface.co/")


@pytest.mark.parametrize(
    "name",
    ["name", "", "/", "user/", "/name", "a/b/c", "two words/name", "user/two words", "user/na..me"],
)
def test_a_name_that_the_hub_would_not_take_is_refused(name):
    with pytest.raises(UserError) as error:
        hub_names.new_name(name, "model")
    assert error.value.name == name
    words = "name it USER/NAME: letters, digits, -, _ and ., at most 96 of them"
    assert error.value.remedy == words


@pytest.mark.parametrize(
    "name", ["user/" + "x" * 97, "user/-name", "user/name.git", "u--r/name", "größe/name", "u/a\nb"]
)
def test_other_names_that_the_hub_would_not_take(name):
    with pytest.raises(UserError, match="is no name that the Hub takes"):
        hub_names.new_name(name, "dataset")


@pytest.mark.parametrize(
    "endpoint",
    ["foo", "http://", "ftp://a.b", "http://[::1", "http://a:99999", "http://a:x", "a.b:80", "-"],
)
def test_an_endpoint_that_is_no_address_is_named(monkeypatch, endpoint):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(UserError) as error:
        hub_names.check_endpoint()
    assert error.value.name == "HF_ENDPOINT"
    assert error.value.problem == f"is {endpoint!r}, which is no address of a Hub"


@pytest.mark.parametrize("endpoint", ["", "https://hf-mirror.com", "http://127.0.0.1:8080/"])
def test_an_endpoint_that_is_an_address_is_taken(monkeypatch, endpoint):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    hub_names.check_endpoint()
