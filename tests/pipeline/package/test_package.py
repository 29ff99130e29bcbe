"""A wheel and a zip archive that predict with TensorFlow alone."""

import email
import hashlib
import json
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.package.choose import Chosen, choose
from pipeline.package.contents import MODULES
from pipeline.package.write import write
from seqline.errors import UserError
from serving.predict import predict
from tests.support import alone
from tests.support.command_line import in_this_process
from tests.support.corpus import corpus_rows

TEXTS = [row["text"] for row in corpus_rows(300)] + ["", "caf\u00e9 \U0001f600", "\u202e"]
# What a package must not load: seqline's rooms, and what they need beyond TensorFlow.
FOREIGN = ("seqline", "serving", "components", "pipeline", "apache_beam", "tensorflow_transform")
ASK = """
import json, sys
import numpy as np
import topics
texts = json.load(open(sys.argv[1]))
np.save(sys.argv[2], topics.predict_proba(texts))
print(json.dumps({
    "labels": topics.load().labels,
    "predicted": topics.predict(texts),
    "card": topics.load().card,
    "version": topics.__version__,
    "loaded": sorted(name for name in sys.modules if name.partition(".")[0] == name),
}))
"""


@pytest.fixture
def chosen(served: Path, tmp_path: Path) -> Chosen:
    return choose("1", str(served), str(tmp_path))


@pytest.mark.parametrize("kind", ["wheel", "zip"])
def test_the_same_version_gives_the_same_bytes(chosen: Chosen, tmp_path: Path, kind: str) -> None:
    one, two = (write(chosen, kind, str(tmp_path / f), None, False) for f in ("a", "b"))
    assert one.name == {"wheel": "topics-1-py3-none-any.whl", "zip": "topics-1.zip"}[kind]
    assert one.read_bytes() == two.read_bytes()

    # An equal file stays; another one is not replaced but by force.
    assert write(chosen, kind, str(tmp_path / "a"), None, False) == one
    one.write_bytes(b"mine")
    with pytest.raises(UserError, match="exists and is another package"):
        write(chosen, kind, str(tmp_path / "a"), None, False)
    assert write(chosen, kind, str(tmp_path / "a"), None, True).read_bytes() == two.read_bytes()


def test_the_metadata_and_the_record_of_a_wheel(chosen: Chosen, tmp_path: Path) -> None:
    made = zipfile.ZipFile(write(chosen, "wheel", str(tmp_path), "Our-Topics", False))
    info = "our_topics-1.dist-info"
    metadata = email.message_from_bytes(made.read(f"{info}/METADATA"))
    assert {name: metadata[name] for name in ("Name", "Version", "Requires-Dist")} == {
        "Name": "our_topics",
        "Version": "1",
        "Requires-Dist": "tensorflow>=2.21,<3",
    }
    assert str(metadata.get_payload()).startswith("# topics\n")

    lines = dict(line.split(",", 1) for line in made.read(f"{info}/RECORD").decode().split())
    assert lines.pop(f"{info}/RECORD") == ","
    expected = {}
    for name in made.namelist():
        data = made.read(name)
        digest = urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        expected[name] = f"sha256={digest},{len(data)}"
    del expected[f"{info}/RECORD"]
    assert lines == expected


def test_the_code_of_a_package_imports_nothing_of_the_house(chosen: Chosen, tmp_path: Path) -> None:
    made = zipfile.ZipFile(write(chosen, "wheel", str(tmp_path), None, False))
    for name in MODULES:
        source = made.read(f"topics/{name}.py").decode()
        lines = [line.split() for line in source.splitlines() if "import" in line]
        imported = {words[1] for words in lines if words and words[0] in ("from", "import")}
        assert not {module.partition(".")[0] for module in imported} & set(FOREIGN)


@pytest.mark.parametrize("output", ["gs://bucket/x", "{folder}/file"])
def test_a_package_is_written_into_a_folder(chosen: Chosen, tmp_path: Path, output: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--output"):
        write(chosen, "zip", output.format(folder=tmp_path), None, False)


def test_the_command(served: Path, tmp_path: Path) -> None:
    places = ["--serving-dir", str(served), "-o", str(tmp_path / "dist")]
    code, printed, said = in_this_process("package", "stable", *places)
    wheel = tmp_path / "dist" / "topics-1-py3-none-any.whl"
    assert (code, printed) == (0, f"{wheel}\n")
    assert said.splitlines() == [
        f"install it    pip install {wheel}",
        "ask it        python -m topics 'a text'",
    ]

    code, _, said = in_this_process("package", "1", *places, "--format", "whell")
    assert (code, said) == (
        2,
        "error: --format 'whell' is none of wheel, zip, openvino. Did you mean 'wheel'?\n",
    )
    assert in_this_process("package", "9", *places)[0] == 2


@pytest.mark.slow  # TensorFlow is imported by four processes
def test_it_predicts_where_nothing_but_tensorflow_is_installed(
    chosen: Chosen, tmp_path: Path
) -> None:
    wheel, archive = (write(chosen, kind, str(tmp_path), None, False) for kind in ("wheel", "zip"))
    python = alone.make(tmp_path / "alone", "tensorflow")
    assert "topics==1" in alone.install(python, wheel)

    texts, probabilities = tmp_path / "texts.json", tmp_path / "probabilities.npy"
    texts.write_text(json.dumps(TEXTS))
    command = [str(python), "-c", ASK, str(texts), str(probabilities)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    told = json.loads(said)

    # Bit for bit what the SavedModel answers to the same batches, and what seqline predict says.
    serve = tf.saved_model.load(str(chosen.folder)).signatures["serving_default"]
    answers = [serve(text=tf.constant(TEXTS[start : start + 256])) for start in (0, 256)]
    expected = np.concatenate([answer["probabilities"].numpy() for answer in answers])
    np.testing.assert_array_equal(np.load(probabilities), expected)
    lines = list(predict(chosen.folder, TEXTS))
    assert told["predicted"] == [line["label"] for line in lines]
    assert told["labels"] == ["animals", "fruit", "metals"]
    assert told["card"] == (chosen.folder / "README.md").read_text(encoding="utf-8")
    assert told["version"] == "1"
    assert set(told["loaded"]) & {*FOREIGN, "keras", "pydantic"} == set()

    short = [text for text in TEXTS[:5] if text]
    for program in (["-m", "topics"], [str(archive)]):
        said = subprocess.run(
            [str(python), *program, *short], capture_output=True, text=True, check=True
        ).stdout
        assert [json.loads(line) for line in said.splitlines()] == list(
            predict(chosen.folder, short)
        )


def test_a_damaged_package_says_so(chosen: Chosen, tmp_path: Path) -> None:
    archive = write(chosen, "zip", str(tmp_path), None, False)
    with zipfile.ZipFile(archive) as made:
        made.extractall(tmp_path / "extracted")
    (tmp_path / "extracted" / "topics" / "model" / "assets" / "labels").write_text("a\nb\n")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "extracted"), "a text"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "assets/labels is not what was pushed: its SHA-256 is another. Install the package again."
    )
