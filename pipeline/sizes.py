"""Refuses a network that no step could train here, before any data is read."""

from dataclasses import fields
from typing import Any

from components.trainer import TrainerParams
from pipeline.config import Config
from seqline.model import size
from seqline.model.spec import Spec

# The settings of a network's size that a tuner may try.
SIZES = ("embedding_dim", "rnn_units", "num_layers", "skip_dim")


def check(config: Config) -> None:
    """Checks the network of the least data: one label, no token but the reserved ones.

    The trainer checks the network of the real data.

    Raises:
        UserError: its training needs more memory than this machine has.
    """
    size.check(_smallest(config, config.trainer))
    if not config.tuner.is_on:
        return

    tried = {name: config.tuner.ranges[name] for name in SIZES if name in config.tuner.ranges}
    lowest = {name: min(int(value) for value in tried[name].values()) for name in tried}
    for name in tried:
        highest = max(int(value) for value in tried[name].values())
        trainer = config.trainer.with_values({**lowest, name: highest})
        size.check(_smallest(config, trainer), f"tuner.ranges.{name}")


def _smallest(config: Config, trainer: TrainerParams) -> Spec:
    is_sequence = config.example_gen.content == "sequence"
    names = {field.name for field in fields(Spec)}
    values: dict[str, Any] = trainer.model_dump(include=names)
    values |= {
        "num_tokens": 0 if is_sequence else len(config.transform.reserved_tokens),
        "num_classes": 1,
        # Where the data decide it, it is not known yet, and one step is the least.
        "max_length": config.transform.max_length or 1,
        "dim": (config.example_gen.dim or 1) if is_sequence else 0,
        "skip_dim": trainer.skip_dim_beside(trainer.wide and not is_sequence),
        "num_bigrams": 0,
    }
    return Spec(**values)
