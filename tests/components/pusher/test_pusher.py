"""The pusher as a component."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.pusher import PusherParams, run, stale
from seqline.data.answers import read_answers
from seqline.errors import DataError, NotBlessedError
from seqline.model.digest import EVALUATION, digest_of, sha256_of_files
from tests.components.pusher.reading import versions
from tests.support.evaluations import write_evaluation


def infra(model: Path, folder: Path, **changes: Any) -> Path:
    """An InfraBlessing of a model."""
    folder.mkdir(exist_ok=True)
    blessing = {
        "blessed": True,
        "refusals": [],
        "server": "none",
        "asked": False,
        "digest": digest_of(sha256_of_files(model)),
    }
    (folder / "blessing.json").write_text(json.dumps(blessing | changes))
    return folder


def test_a_refused_model_is_not_pushed(
    models: Callable[[str], Path], served: Path, tmp_path: Path
) -> None:
    def pushed(refusals: list[str], infra_blessing: Path) -> None:
        write_evaluation(tmp_path, refusals)
        saved_model = tmp_path / "exported"
        saved_model.mkdir(exist_ok=True)
        if not (saved_model / "saved_model").exists():
            models("a").rename(saved_model / "saved_model")
        params = PusherParams(serving_dir=str(served))
        run(
            saved_model=saved_model,
            evaluation=tmp_path,
            infra_blessing=infra_blessing,
            params=params,
            output=tmp_path,
        )

    good = infra(models("a"), tmp_path / "good")
    with pytest.raises(
        NotBlessedError, match=r"was not pushed: accuracy 0\.4 is under min_accuracy 0\.9"
    ):
        pushed(["accuracy 0.4 is under min_accuracy 0.9"], good)

    slow = infra(
        models("a"),
        tmp_path / "slow",
        blessed=False,
        refusals=["median latency 2 s is over max_p50_seconds 1"],
    )

    with pytest.raises(
        NotBlessedError, match=r"was not pushed: median latency 2 s is over max_p50_seconds 1\."
    ):
        pushed([], slow)
    with pytest.raises(NotBlessedError, match="is not the one that was validated"):
        pushed([], infra(models("b"), tmp_path / "other"))
    assert not served.exists()


def test_a_real_model_is_loaded_and_asked_before_it_is_a_version(
    saved_model: Path, evaluation: Path, served: Path, tmp_path: Path
) -> None:
    params = PusherParams(serving_dir=str(served), served_from="/models/seqline")
    arguments: dict[str, Any] = {
        "infra_blessing": infra(saved_model / "saved_model", tmp_path / "infra"),
        "params": params,
        "output": tmp_path,
    }
    other = tmp_path / "evaluation"
    other.mkdir()
    (other / "evaluation.json").write_bytes((evaluation / "evaluation.json").read_bytes())
    first = json.loads((evaluation / "answers.jsonl").read_text().splitlines()[0])
    (other / "answers.jsonl").write_text(
        json.dumps(first | {"probabilities": first["probabilities"][::-1]}) + "\n"
    )

    with pytest.raises(DataError, match="answers the first row of test with"):
        run(saved_model=saved_model, evaluation=other, **arguments)
    assert versions(served) == []

    figures = run(saved_model=saved_model, evaluation=evaluation, **arguments)
    assert (figures["version"], figures["pushed"], figures["serving_dir"]) == (1, True, str(served))
    assert (served / "1" / EVALUATION).read_bytes() == (evaluation / "evaluation.json").read_bytes()

    # What became of it
    assert stale(tmp_path, params) is None
    (served / "models.config").rename(tmp_path / "models.config")
    assert stale(tmp_path, params) == f"{served} has no models.config"
    (served / "2").mkdir()
    assert stale(tmp_path, params) == f"the newest version in {served}, 2, is another model"
    assert (
        stale(tmp_path, PusherParams(serving_dir=str(tmp_path / "elsewhere")))
        == f"{tmp_path / 'elsewhere'} holds no version"
    )


@pytest.mark.parametrize(
    "damage", ["saved_model.pb", "variables/variables.data-00000-of-00001", "assets/labels"]
)
def test_a_model_that_does_not_load_is_refused(
    saved_model: Path, evaluation: Path, tmp_path: Path, damage: str
) -> None:
    from components.pusher.verify import load_and_ask

    shutil.copytree(saved_model / "saved_model", tmp_path / "copy")
    (tmp_path / "copy" / damage).write_bytes(b"")
    answer = read_answers(evaluation / "answers.jsonl")[0]
    with pytest.raises(DataError, match=r"does not load and answer \(.+\)\. Nothing was pushed\.$"):
        load_and_ask(tmp_path / "copy", answer)
