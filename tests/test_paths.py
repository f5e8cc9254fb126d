from speech_intent import paths


def test_what_ships_is_where_the_package_looks_for_it():
    assert (paths.ROOT / "pyproject.toml").is_file()
    assert (paths.BUNDLED / "csv" / "test.csv").is_file()
    assert (paths.MOONSHINE / "model.safetensors").is_file()
    assert (paths.MOONSHINE / "LICENSE").is_file()
    assert (paths.SMALL / "model.safetensors").is_file()
    assert (paths.SHIPPED / "model.onnx").is_file()


def test_caches_lie_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert paths.cache_folder("zips") == tmp_path / "speech_intent" / "zips"
    assert (tmp_path / "speech_intent" / "zips").is_dir()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert paths.cache_folder("zips") == tmp_path / "home" / ".cache" / "speech_intent" / "zips"


def test_where_there_is_no_cache_a_temporary_folder_does(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    folder = paths.cache_folder("zips")
    assert folder.is_dir()
    assert folder == paths.cache_folder("zips")
    assert not folder.is_relative_to(tmp_path)
