from speech_intent import paths


def test_what_ships_is_where_the_package_looks_for_it():
    assert (paths.ROOT / "pyproject.toml").is_file()
    assert (paths.BUNDLED / "csv" / "test.csv").is_file()
    assert (paths.MOONSHINE / "model.safetensors").is_file()
    assert (paths.MOONSHINE / "LICENSE").is_file()
    assert (paths.SMALL / "model.safetensors").is_file()
    assert (paths.SHIPPED / "onnx/model.onnx").is_file()
