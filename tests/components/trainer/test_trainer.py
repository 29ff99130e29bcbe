"""The trainer's parameters, and the keys that follow from them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from components.trainer import TRAINER, TrainerParams
from components.trainer.params import BLOG_POST


def test_pooling_last_is_the_blog_post_model_unless_a_setting_is_given() -> None:
    last = TrainerParams(pooling="last")
    assert {name: getattr(last, name) for name in BLOG_POST} == BLOG_POST
    assert TrainerParams(pooling="last", learning_rate=0.02).model_dump() == {
        **last.model_dump(),
        "learning_rate": 0.02,
    }
    assert TrainerParams(pooling="mean").skip_dim == TrainerParams().skip_dim
    with pytest.raises(ValidationError, match="pooling"):
        TrainerParams(pooling="first")


def test_the_key_follows_the_content_of_what_training_starts_from(tmp_path: Path) -> None:
    assert TRAINER.external_digest is not None
    (tmp_path / "one.txt").write_text("a 1\n")
    (tmp_path / "two.txt").write_text("a 1\n")

    one, two = (
        TrainerParams(embeddings=str(tmp_path / name), embedding_dim=1)
        for name in ("one.txt", "two.txt")
    )
    assert one.key_fields() == two.key_fields() == TrainerParams(embedding_dim=1).key_fields()
    assert (
        TRAINER.external_digest(one, None)
        == TRAINER.external_digest(two, None)
        != TRAINER.external_digest(TrainerParams(), None)
        == ""
    )

    (tmp_path / "two.txt").write_text("a 2\n")
    assert TRAINER.external_digest(one, None) != TRAINER.external_digest(two, None)
