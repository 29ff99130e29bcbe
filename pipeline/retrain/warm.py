"""Chooses whether a retraining starts from the served model, from random weights, or from both.

    start, warm_start, reason = choose_start(config, store, version)
    config = with_warm_start(config, warm_start)
    if start == BOTH:
        best = train_both(with_warm_start(config, None), config, store, options)
        config = best.config            # of the better one; the other one stays in the store

Where warm starts follow one another, a model has not seen its eval split only as long as rows keep
their split. So a served model that was made of rows split in another way is not started from.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from components import trainer
from components.pusher.versions import place_of
from components.trainer import TRAINER
from components.trainer.earlier import started
from pipeline import identity
from pipeline.config import Config
from pipeline.definition import define
from pipeline.runner.execute import execute
from pipeline.runner.plan import Pipeline
from pipeline.runner.run import Options, StageResult
from pipeline.store.folder import Store
from seqline.component import Figures
from seqline.data.features import MODEL
from seqline.model.identity import CARD, read_card
from seqline.storage.records import DamagedRecordError

Start = Literal["warm", "cold"]

COLD, WARM, BOTH = "cold", "warm", "both"


@dataclass(frozen=True)
class Choice:
    """The Model to start from, if any, and why.

    Attributes:
        config: with trainer.warm_start where the start is warm, otherwise unchanged.
        start: warm or cold.
        reason: one line, for the report.
        version: the served version that was examined; None if nothing is served.
        model: the key of its Model, where the start is warm.
        in_a_row: warm starts since the last cold one, this one included; 0 for a cold one.
    """

    config: Config
    start: Start
    reason: str
    version: int | None = None
    model: str | None = None
    in_a_row: int = 0


def choose_start(config: Config, store: Store, version: int | None) -> tuple[str, str | None, str]:
    """Chooses the start of one retraining.

    With `retrain.cold_every` = 1 every training is cold. Otherwise it is warm where that is
    possible, and after so many warm starts in a row both are trained and compared.

    Args:
        version: the served version; None for the newest.

    Returns:
        (COLD, WARM or BOTH; the folder of the Model to start from, None for a cold start; why).
    """
    cold_every = config.retrain.cold_every
    if cold_every == 1 and not config.trainer.warm_start:
        return COLD, None, "retrain.cold_every is 1"

    choice = choose_model(config, store, version)
    is_due = cold_is_due(choice, cold_every if cold_every > 1 else None)
    return BOTH if is_due else choice.start, choice.config.trainer.warm_start, choice.reason


def with_warm_start(config: Config, warm_start: str | None) -> Config:
    """The configuration with another `trainer.warm_start`; None for a cold start."""
    if warm_start == config.trainer.warm_start:
        return config
    return config.model_copy(
        update={"trainer": config.trainer.with_values({"warm_start": warm_start})}
    )


def choose_model(config: Config, store: Store, version: int | None = None) -> Choice:
    """Chooses the Model that the served version was made of, where training can start from it.

    A configuration that names a Model itself stays unchanged. Reads some small files, changes
    nothing, and imports no TensorFlow. The same version and configuration give the same choice: a
    retraining that was killed makes it again.

    Args:
        version: the served version; None for the newest under pusher.serving_dir.

    Returns:
        A warm start from that Model, or a cold start and the reason.
    """
    if config.trainer.warm_start:
        return Choice(
            config, "warm", f"the configuration names {config.trainer.warm_start}", in_a_row=1
        )

    place = place_of(config.pusher.serving_dir)
    version = version or max(place.versions(), default=None)
    if version is None:
        return Choice(config, "cold", f"nothing is served under {place.place} yet")

    def cold(reason: str) -> Choice:
        return Choice(config, "cold", reason, version)

    if differences := identity.what_differs(config):
        return cold(f"version {version}: another model, {' and '.join(differences)}")

    path = f"{version}/{CARD}"
    card = read_card(place.read(path), f"{place.place}/{path}")
    key = card.get("keys", {}).get("model")
    if not key:
        return cold(f"version {version} does not say which Model it was made of")
    if obstacle := _obstacle(config, store, card, key):
        return cold(f"version {version}: {obstacle}")

    folder = store.path(TRAINER.name, key)
    num_before = started(str(folder), folder).get("in_a_row", 0)
    return Choice(
        with_warm_start(config, str(folder)),
        "warm",
        f"from the Model of version {version}, {key}",
        version,
        key,
        num_before + 1,
    )


def _obstacle(config: Config, store: Store, card: Mapping[str, Any], key: str) -> str | None:
    """Why training cannot start from the Model of a served version; None if it can."""
    if not _is_whole(card):
        return f"its {CARD} is damaged"
    if not config.trainer.recurrent or card["network"].get("recurrent") is False:
        return "a wide part alone is fitted anew"
    if damage := store.damage(TRAINER.name, key):
        return f"its Model, {key}, is damaged: {damage}"
    record = store.execution(TRAINER.name, key)
    if record is None or not (store.path(TRAINER.name, key) / MODEL).is_file():
        return f"its Model, {key}, is not under {store.root}"
    if card["content"] != config.example_gen.content:
        return f"it reads {card['content']}, the data hold {config.example_gen.content}"
    if different := trainer.difference(card["network"], config.trainer):
        return f"it has another shape: {different} to go on from it"
    if config.tuner.is_on and (tuned := sorted(set(config.tuner.ranges) & set(trainer.SHAPE))):
        return f"the tuner is to choose {', '.join(tuned)}"
    return _changed_meaning(config, store, card)


def _is_whole(card: Mapping[str, Any]) -> bool:
    """Whether the card of a served version has what is compared."""
    network, keys = card.get("network"), card["keys"]
    return (
        "content" in card
        and isinstance(network, dict)
        and set(trainer.SHAPE) <= set(network)
        and {"examples", "features"} <= set(keys)
    )


def _changed_meaning(config: Config, store: Store, card: Mapping[str, Any]) -> str | None:
    """Why rows now have other splits, or their content another meaning; None if they do not."""
    checked = (
        ("example_gen", card["keys"]["examples"], ("eval_fraction", "test_fraction", "split")),
        ("transform", card["keys"]["features"], _transform_meaning(card["content"])),
    )
    for component, key, names in checked:
        try:
            record = store.execution(component, key)
        except DamagedRecordError:
            return f"the record of its {component} is damaged"
        if record is None:
            return f"the record of its {component} is not under {store.root}"
        before = record.params
        now = getattr(config, component).model_dump(mode="json")

        for name in names:
            if before.get(name) != now[name]:
                was, is_now = json.dumps(before.get(name)), json.dumps(now[name])
                return f"{component}.{name} was {was}, is {is_now}"
        if component == "example_gen" and _splits(before["source"]) != _splits(now["source"]):
            return "example_gen.source gives other splits now"
    return None


def _transform_meaning(content: str) -> Sequence[str]:
    """The transform's parameters that decide what an id or a number of this content means."""
    return {"text": ("tokens", "lowercase"), "sequence": ("standardize",)}.get(content, ())


def _splits(source: Any) -> list[str]:
    return sorted(source) if isinstance(source, dict) else []


def cold_is_due(choice: Choice, cold_every: int | None) -> bool:
    """Whether a cold start is compared this time: at every cold_every-th warm start in a row.

    Args:
        cold_every: None or 0 for never.
    """
    return choice.start == "warm" and bool(cold_every) and choice.in_a_row % (cold_every or 1) == 0


@dataclass(frozen=True)
class Best:
    """The better one of two trainings.

    Attributes:
        config: its configuration, whose stages up to the trainer are finished.
        start: warm or cold.
        reason: one line, for the report.
        figures: the trainer's figures and `seconds`, by start, of both trainings.
    """

    config: Config
    start: Start
    reason: str
    figures: Mapping[Start, Figures]


def train_both(cold: Config, warm: Config, store: Store, options: Options | None = None) -> Best:
    """Runs the stages up to the trainer for two configurations, and compares the two Models.

    Each is a run of its own. Finished stages do not run again, and each run uses the artifacts of
    the other. The higher accuracy on the eval split wins, then the lower loss; between equals, the
    cold start. Raises what `pipeline.runner.execute` raises.
    """
    options = options or Options()
    configs: dict[Start, Config] = {"cold": cold, "warm": warm}
    figures: dict[Start, Figures] = {}

    for start, config in configs.items():
        pipe = Pipeline()
        define(pipe, config)
        names = [stage.name for stage in pipe.stages]
        pipe.stages = pipe.stages[: names.index(TRAINER.name) + 1]
        # The second run does not repeat the stages that the first one was forced to run again.
        force = [name for name in options.force if not figures or name == TRAINER.name]
        done = execute(pipe, store, store.start_run(), replace(options, force=force, selected=None))
        figures[start] = _with_seconds(done[-1])

    scores = {
        start: (trained["eval_accuracy"], -trained["eval_loss"])
        for start, trained in figures.items()
    }
    winner: Start = "warm" if scores["warm"] > scores["cold"] else "cold"
    compared = ", ".join(
        f"{start} {trained['eval_accuracy']:.4f} (loss {trained['eval_loss']:.4f})"
        for start, trained in figures.items()
    )

    return Best(configs[winner], winner, f"eval accuracy: {compared}", figures)


def _with_seconds(done: StageResult) -> Figures:
    return {**done.figures, "seconds": round(done.seconds, 3)}
