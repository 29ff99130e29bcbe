"""Every reader of a small file refuses a damaged one in one line, which names it and a way out."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from components.bulk_inferrer import folder as predictions
from components.bulk_inferrer.files import TaskIdentity
from components.infra_validator import INFRA_VALIDATOR, InfraValidatorParams
from components.trainer import checkpoint
from components.trainer.checkpoint import TrainingProgress
from pipeline.store.records import Execution
from seqline.data.blessing import InfraBlessing
from seqline.errors import UserError
from tests.support.damage import contents, replacements
from tests.support.readers import BLESSING, READERS, Reader
from tests.support.records import execution


@pytest.mark.parametrize("name", READERS)
def test_a_whole_record_is_read(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    path = tmp_path / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(reader.encode(json.dumps(reader.content)))
    reader.read(tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_record_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    path = tmp_path / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)

    said = {}
    for damage, data in contents(reader.content, reader.required, reader.count, reader.encode):
        path.write_bytes(data)
        said[damage] = _said(reader, tmp_path)
    path.unlink()
    for damage, make in replacements():
        make(path)
        said[damage] = _said(reader, tmp_path)
        path.rmdir() if path.is_dir() else path.unlink()

    for damage in reader.allowed:
        assert said.pop(damage).startswith("it read")
    way_out = reader.way_out.format(folder=tmp_path, file=path)
    wrong = {
        damage: message
        for damage, message in said.items()
        if "\n" in message
        or len(message) > 700
        or path.name not in message
        or str(tmp_path) not in message
        or not message.endswith(way_out)
    }
    assert wrong == {}


def _said(reader: Reader, folder: Path) -> str:
    """The message of the reader's UserError; what is not one raises."""
    try:
        return f"it read {reader.read(folder)!r}"
    except UserError as error:
        return str(error)


def test_a_damaged_blessing_is_a_reason_to_ask_again(tmp_path: Path) -> None:
    assert INFRA_VALIDATOR.stale is not None
    BLESSING.write(tmp_path / "blessing.json")
    assert INFRA_VALIDATOR.stale(tmp_path, InfraValidatorParams()) is None

    (tmp_path / "blessing.json").write_text('{"blessed": "no"}')
    reason = INFRA_VALIDATOR.stale(tmp_path, InfraValidatorParams())
    assert reason is not None
    assert reason.startswith(f"{tmp_path}/blessing.json is damaged (blessed: ")


def test_a_blessing_that_contradicts_itself_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "blessing.json"
    path.write_text(json.dumps({**asdict(BLESSING), "refusals": ["too slow"]}))
    with pytest.raises(UserError, match="it is true, with 1 refusals"):
        InfraBlessing.read(path)


def test_figures_that_were_changed_afterwards_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "execution.json"
    execution("trainer", "k", figures={"eval_accuracy": 0.5}).write(path)
    assert Execution.read(path).figures == {"eval_accuracy": 0.5}

    path.write_text(path.read_text().replace("0.5", "0.9"))
    with pytest.raises(UserError, match="it changed after it was written"):
        Execution.read(path)


def test_damaged_checkpoints_are_passed_over(tmp_path: Path) -> None:
    def save() -> Path:
        checkpoint.save(tmp_path, TrainingProgress(step=3), [np.zeros(2)], [np.zeros(1)])
        return tmp_path / "checkpoint-000000003.npz"

    whole = save().read_bytes()
    assert checkpoint.newest(tmp_path) == 3
    for progress in (
        '{"num_arrays": 2, "step": "3"}',
        '{"num_arrays": 2, "step": 4}',
        '{"num_arrays": 2, "step": 3, "sums": [1, 2]}',
        '{"num_arrays": 2, "step": 3, "epoch": 1, "history": {"loss": []}}',
        '{"num_arrays": 2, "step": 3, "best": "no"}',
        '{"num_arrays": "2", "step": 3}',
        '{"step": 3}',
        "[]",
        "{" * 100_000,
        "",
    ):
        np.savez(save(), progress=np.array(progress), state_0=np.zeros(2), best_0=np.zeros(1))
        assert checkpoint.newest(tmp_path) is None, progress
        with pytest.raises(UserError, match=r"checkpoint-000000003\.npz cannot be read"):
            checkpoint.load(tmp_path, 3)

    np.savez(save(), progress=np.array('{"num_arrays": 1, "step": 3}'), state_1=np.zeros(2))
    assert checkpoint.newest(tmp_path) is None
    for data in (b"", whole[: len(whole) // 2], bytes(1000), whole.replace(b"NUMPY", b"numpy")):
        save().write_bytes(data)
        assert checkpoint.newest(tmp_path) is None

    save().unlink()
    save_as_folder = tmp_path / "checkpoint-000000004.npz"
    save_as_folder.mkdir()
    assert checkpoint.newest(tmp_path) is None


def test_the_identity_of_another_task_may_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "task.json").write_text("{")
    assert predictions._identity_of(tmp_path, force=True) == {}
    whole: TaskIdentity = {"model": "d", "source": "d", "settings": {}}
    (tmp_path / "task.json").write_text(json.dumps(whole))
    assert predictions._identity_of(tmp_path, force=False) == whole
