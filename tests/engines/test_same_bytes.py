"""The stages that run on Beam, and `infer`, on each engine: the bytes of the local runner."""

import json
from pathlib import Path

import pytest

from seqline.host import event_files
from seqline.storage.integrity import EXECUTION
from tests.support import engines
from tests.support.corpus import SMALL_SETTINGS, corpus_rows, set_flags, write_jsonl
from tests.support.engines import ALL, Engine

pytestmark = pytest.mark.engines

# What Beam makes. The copy of the local run has the others, whose keys are the same.
BEAM_STAGES = ["example_gen", "statistics_gen", "transform", "evaluator"]
SETTINGS = {**SMALL_SETTINGS, "trainer.num_epochs": 2, "evaluator.min_accuracy": 0.3}
SETTINGS |= {"evaluator.min_macro_f1": 0.1}
# Of a run: its log and record, its memory of digests, and what its locks are.
OF_THE_RUN = ("runs", "locks", "verified", "partial", "span_cache", "work")


def seqline(folder: Path, corpus: Path, *flags: str) -> str:
    (folder / "engines.toml").write_text(f"[example_gen]\nsource = {json.dumps(str(corpus))}\n")
    places = ["--root", str(folder / "root"), "--serving-dir", str(folder / "serving")]
    command = ["-m", "pipeline", "run", "engines.toml", *places, *set_flags(SETTINGS)]
    done = engines.run(folder, *command, "--to", "evaluator", *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def infer(folder: Path, model: Path, rows: Path, *flags: str) -> Path:
    output = folder / "predictions"
    command = ["-m", "pipeline", "infer", rows, "--model", model, "--output", output]
    done = engines.run(folder, *command, *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    return output


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run to the evaluator, and with predictions, of the local runner."""
    folder = tmp_path_factory.mktemp("local")
    corpus = write_jsonl(folder / "corpus.jsonl", corpus_rows())
    write_jsonl(folder / "rows.jsonl", [{"text": row["text"]} for row in corpus_rows(60)])
    seqline(folder, corpus)
    infer(folder, model_in(folder), folder / "rows.jsonl")
    return folder


def model_in(folder: Path) -> Path:
    (saved_model,) = (folder / "root" / "exporter").glob("*/saved_model")
    return saved_model


@pytest.mark.parametrize("engine", ALL, indirect=True)
def test_an_engine_makes_the_bytes_of_the_local_runner(
    engine: Engine, local: Path, tmp_path: Path
) -> None:
    engines.copy_without(local / "root", tmp_path / "root", *BEAM_STAGES, *OF_THE_RUN)
    out = seqline(tmp_path, local / "corpus.jsonl", "--", *engine.flags)

    ran = [line.split()[0] for line in out.splitlines() if "started, stage" in line]
    assert ran == BEAM_STAGES
    for stage in BEAM_STAGES:
        (artifact,) = (local / "root" / stage).iterdir()
        differences = engines.diff(artifact, tmp_path / "root" / stage / artifact.name)
        # They say when it was made, and how long that took.
        timed = (EXECUTION, f"{event_files.FOLDER}/")
        assert EXECUTION in differences, stage
        assert [file for file in differences if not file.startswith(timed)] == [], stage

    predictions = infer(tmp_path, model_in(local), local / "rows.jsonl", "--", *engine.flags)
    files = engines.diff(local / "predictions", predictions)
    assert not [file for file in files if file.endswith((".jsonl", ".tfrecord"))]
