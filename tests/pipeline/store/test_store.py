import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.trainer import TRAINER, TrainerParams
from pipeline.store import code, open_store
from pipeline.store.code import Memory
from pipeline.store.folder import Store
from pipeline.store.layout import artifact_digest, key_parts
from seqline.component import Artifact
from seqline.digests import digest
from seqline.errors import UserError
from seqline.storage.integrity import FileDigest
from tests.support.records import execution

INPUTS = {"features": "k1"}
# As `sha256sum` prints them.
DIGESTS = {
    "one": FileDigest(3, "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"),
    "two": FileDigest(3, "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"),
}


def key(params: TrainerParams, inputs: dict[str, str] = INPUTS) -> str:
    return digest(key_parts(TRAINER, params, inputs, None))


def test_a_key_follows_params_and_inputs_and_nothing_else() -> None:
    assert key(TrainerParams()) == key(TrainerParams(rnn_units=64))
    assert (
        len(
            {
                key(TrainerParams()),
                key(TrainerParams(rnn_units=65)),
                key(TrainerParams(), {"features": "k2"}),
            }
        )
        == 3
    )


def test_a_key_is_the_same_in_another_process() -> None:
    script = "from tests.pipeline.store.test_store import *; print(key(TrainerParams()))"
    other = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == key(TrainerParams())


def test_comments_docstrings_and_layout_are_not_code() -> None:
    def dumped(source: str) -> str:
        return code.parse(source.encode())[0]

    plain = 'def f(x):\n    """Old."""\n    return x + 1\n'
    assert dumped(plain) == dumped(
        '# why\ndef f(x):\n    """New\n    words."""\n    return (x  +  1)  # because\n'
    )
    assert dumped(plain) != dumped('def f(x):\n    """Old."""\n    return x + 2\n')


def test_a_source_has_the_same_digest_on_every_python() -> None:
    source = (
        b'"""Doc."""\nimport os\nclass A(dict):\n    """Doc."""\n\ndef f(x: int, *rest, width=3,'
        b' **more) -> str:\n    """Doc."""\n    with open(os.devnull) as file:\n        return'
        b" f\"{x:>{width}} {file!r}\" if x else ''\n"
    )
    # Worked out on 3.11, and the same on 3.12 and 3.13.
    assert code.parse(source) == ("eff0f3a0c6145c18854f", [])


def test_code_digest_covers_what_a_component_imports(tmp_path: Path) -> None:
    sources = {
        "components/trainer/__init__.py": "def run():\n    from components.trainer import fit\n",
        "components/trainer/fit.py": (
            "from seqline.model import network\nfrom seqline.storage import files\n"
        ),
        "components/pusher.py": "A = 1\n",
        "seqline/model/network.py": "UNITS = 1\n",
        "seqline/storage/files.py": "A = 1\n",
    }

    def digest_with(number: int, **changes: str) -> str:
        checkout = tmp_path / str(number)
        for name, source in (sources | changes).items():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            (checkout / name).write_text(source)
        return code.code_digest("components.trainer", checkout)

    before = digest_with(1)
    not_code = {
        "components/pusher.py": "A = 2\n",
        "seqline/storage/files.py": "A = 2\n",
        "seqline/model/network.py": "# a comment\nUNITS = 1\n",
    }

    assert digest_with(2, **not_code) == before
    assert digest_with(3, **{"seqline/model/network.py": "UNITS = 2\n"}) != before


def test_a_source_is_parsed_once_and_a_damaged_memory_counts_as_empty(tmp_path: Path) -> None:
    content = b"from seqline.component import digest\nA = 1\n"
    file = tmp_path / "deep" / "memory.json"
    expected = code.parse(content)
    assert expected[1] == ["seqline.component", "seqline.component.digest"]
    first = Memory(file)
    assert first.get(content) == expected
    assert first.is_new
    first.save()

    second = Memory(file)
    assert second.get(content) == expected
    assert not second.is_new
    second.get(content + b"#")
    assert second.is_new

    for damaged in ("", "[", "[]", file.read_text().replace(expected[0], digest("another"))):
        file.write_text(damaged)
        third = Memory(file)
        assert third.get(content) == expected
        assert third.is_new


def test_an_artifact_appears_whole_and_replaces_an_old_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    for content in ("one", "two"):
        with store.lock("trainer", "k"):
            partial = store.begin("trainer", "k")
            (partial / "model").write_text(content)
            assert store.execution("trainer", "k") is None or content == "two"
            store.commit(
                partial,
                Artifact("Model", store.path("trainer", "k"), "k"),
                "trainer",
                execution("trainer", "k", figures={"content": content}),
            )

        assert (store.path("trainer", "k") / "model").read_text() == content
        assert store.execution("trainer", "k") == execution(
            "trainer", "k", figures={"content": content}, files={"model": DIGESTS[content]}
        )

    assert list((tmp_path / "root" / "partial").iterdir()) == []


def test_what_a_killed_run_left_goes_when_its_artifact_is_begun_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (store.begin("trainer", "k") / "half").write_text("half a model")
    other = store.begin("trainer", "k2")
    again = store.begin("trainer", "k")
    assert sorted((tmp_path / "partial").iterdir()) == sorted([other, again])
    assert list(again.iterdir()) == []


def test_artifact_digest_leaves_out_records_only(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("content")
    before = artifact_digest(tmp_path / "a")
    (tmp_path / "a" / "execution.json").write_text("{}")
    (tmp_path / "a" / "tensorboard").mkdir()
    (tmp_path / "a" / "tensorboard" / "events").write_text("now")
    assert artifact_digest(tmp_path / "a") == before
    (tmp_path / "a" / "file").rename(tmp_path / "a" / "renamed")
    assert artifact_digest(tmp_path / "a") != before


def test_a_root_that_cannot_be_used_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UserError, match=r"cannot be written: Not a directory\. Name another with --root"
    ):
        Store(tmp_path / "file" / "root").start_run()
    with pytest.raises(UserError, match=r"root 'S3://bucket/root' is under S3://, which cannot be"):
        open_store("S3://bucket/root")
    with pytest.raises(UserError, match="names no place in a bucket"):
        open_store("gs://bucket")


def test_runs_are_in_order_and_only_those_with_a_record(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = store.start_run(), store.start_run()
    for run in (first, second):
        (run / "run.json").write_text(json.dumps({"run": run.name}))
    store.start_run()
    assert store.runs() == sorted([first, second])
