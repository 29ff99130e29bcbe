"""A serving_dir with a version of a real model."""

import shutil
from pathlib import Path

import pytest

from components.pusher import PusherParams, card, publish
from seqline.data.blessing import InfraBlessing
from seqline.data.evaluation import Evaluation
from seqline.model.digest import digest_of, sha256_of_files


@pytest.fixture
def served(saved_model: Path, evaluation: Path, tmp_path: Path) -> Path:
    """serving_dir/topics with version 1, which is stable."""
    model = saved_model / "saved_model"
    record = evaluation / "evaluation.json"
    digest = digest_of(sha256_of_files(model))
    blessing = InfraBlessing(blessed=True, refusals=[], server="none", asked=False, digest=digest)
    params = PusherParams(license="mit").with_name("topics")
    publish.push(
        model,
        tmp_path / "serving_dir" / "topics",
        evaluation=record.read_bytes(),
        card=card.write(model, Evaluation.read(record), blessing, params).encode(),
        model_name="topics",
        name="topics",
    )
    return tmp_path / "serving_dir"


@pytest.fixture
def root(examples: Path, tmp_path: Path) -> Path:
    """A root with the Examples of that model."""
    shutil.copytree(examples, tmp_path / "artifacts" / "example_gen" / examples.name)
    return tmp_path / "artifacts"
