from pathlib import Path

from components.transform import TransformParams, graph, nfc


def written(output: Path) -> dict[str, bytes]:
    """The files of a graph for texts, by their names."""
    folder = output.parent / "vocabularies"
    folder.mkdir(exist_ok=True)
    (folder / "tokens").write_bytes(b"a\nb\n")
    (folder / "labels").write_bytes(b"x\ny\n")
    parameters = graph.Parameters("text", [b"x", b"y"], folder, tokens=[b"a", b"b"])
    graph.write(parameters, TransformParams(tokens="word", max_length=8), output)
    paths = (path for path in output.rglob("*") if path.is_file())
    return {str(path.relative_to(output)): path.read_bytes() for path in paths}


def test_the_bytes_do_not_depend_on_what_the_process_traced_before(tmp_path: Path) -> None:
    nfc._normalizer.cache_clear()
    first = written(tmp_path / "first")
    assert "transform_fn/saved_model.pb" in first
    assert written(tmp_path / "second") == first
