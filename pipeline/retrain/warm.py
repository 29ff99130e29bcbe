"""Whether a retraining starts from the served model, and whether a cold start would have been
better.

    choice = choose(config, store)
    if cold_is_due(choice, cold_every):
        best = train_both(config, choice.config, store, options)   # best.config: of the one that
                                                                   won; the other stays in the store
    else:
        config = choice.config                                     # with trainer.warm_start, or as
                                                                   it was; choice.reason says why

Where warm starts follow one another, each model has seen its eval split only as long as rows keep
their split: so a served model that was made of rows split in another way is not started from.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from components import trainer
from components.pusher.versions import place_of
from components.trainer import START_FILE, TRAINER
from pipeline import identity
from pipeline.config import Config
from pipeline.definition import define
from pipeline.runner.execute import Done, Options, execute
from pipeline.runner.plan import Pipeline
from pipeline.store.folder import Store
from seqline.component import Figures
from seqline.data.features import MODEL
from seqline.model.identity import CARD, json_object

Start = Literal["warm", "cold"]


@dataclass(frozen=True)
class Choice:
    """How to train.

    config: with trainer.warm_start where the start is warm, else as it was. reason: one line, for
    the report. version: the served one that was looked at, None without any. model: the key of its
    Model, where the start is warm. in_a_row: warm starts since the last cold one, this one
    included; 0 for a cold one.
    """

    config: Config
    start: Start
    reason: str
    version: int | None = None
    model: str | None = None
    in_a_row: int = 0


def choose(config: Config, store: Store, version: int | None = None) -> Choice:
    """A warm start from the Model that the served version was made of, where one is possible.

    A cold start and the reason where not.

    version: the served one; the newest under pusher.serving_dir, if none is given. A configuration
    that names a Model itself stays as it is. Reads some small files, changes nothing, and imports
    no TensorFlow. The same version and configuration give the same choice: a retraining that was
    killed goes on with it.
    """
    if config.trainer.warm_start:
        return Choice(
            config, "warm", f"the configuration names {config.trainer.warm_start}", in_a_row=1
        )
    place = place_of(config.pusher.serving_dir)
    version = version or max(place.versions(), default=None)
    if version is None:
        return Choice(config, "cold", f"nothing is served under {place.place} yet")
    if differences := identity.what_differs(config):
        return Choice(
            config,
            "cold",
            f"version {version}: another model, {' and '.join(differences)}",
            version,
        )
    card = json_object(place.read(f"{version}/{CARD}"))
    key = card.get("keys", {}).get("model")
    if not key:
        return Choice(
            config, "cold", f"version {version} does not say which Model it was made of", version
        )
    if why := _obstacle(config, store, card, key):
        return Choice(config, "cold", f"version {version}: {why}", version)
    folder = store.path(TRAINER.name, key)
    before = (
        json.loads((folder / START_FILE).read_text())["in_a_row"]
        if (folder / START_FILE).is_file()
        else 0
    )
    warm = config.model_copy(
        update={"trainer": config.trainer.with_values({"warm_start": str(folder)})}
    )
    return Choice(
        warm, "warm", f"from the Model of version {version}, {key}", version, key, before + 1
    )


def _obstacle(config: Config, store: Store, card: Mapping[str, Any], key: str) -> str | None:
    """Why the Model that a served version was made of cannot be started from; None where it can."""
    record = store.execution(TRAINER.name, key)
    if record is None or not (store.path(TRAINER.name, key) / MODEL).is_file():
        return f"its Model, {key}, is not under {store.root}"
    if card["content"] != config.example_gen.content:
        return f"it reads {card['content']}, the data hold {config.example_gen.content}"
    if different := trainer.difference(card["network"], config.trainer):
        return f"it has another shape: {different} to go on from it"
    tuned = sorted(set(config.tuner.ranges) & set(trainer.SHAPE)) if config.tuner.is_on else []
    if tuned:
        return f"the tuner is to choose {', '.join(tuned)}"
    ways = {
        "example_gen": ("eval_fraction", "test_fraction"),
        "transform": _meaning(card["content"]),
    }
    for component, names in ways.items():
        made = store.execution(
            component, card["keys"]["examples" if component == "example_gen" else "features"]
        )
        if made is None:
            return f"the record of its {component} is not under {store.root}"
        now = getattr(config, component).model_dump(mode="json")
        for name in names:
            if made["params"].get(name) != now[name]:
                return (
                    f"{component}.{name} was {json.dumps(made['params'].get(name))}, is"
                    f" {json.dumps(now[name])}"
                )
        if component == "example_gen" and _splits(made["params"]["source"]) != _splits(
            now["source"]
        ):
            return "example_gen.source gives other splits now"
    return None


def _meaning(content: str) -> Sequence[str]:
    """The parameters of the transform that decide what an id or a number of this content stands
    for.
    """
    return {"text": ("tokens", "lowercase"), "sequence": ("standardize",)}.get(content, ())


def _splits(source: Any) -> list[str]:
    return sorted(source) if isinstance(source, dict) else []


def cold_is_due(choice: Choice, cold_every: int | None) -> bool:
    """Whether a cold start is to be compared this time.

    In every cold_every-th warm start in a row. None or 0: never.
    """
    return choice.start == "warm" and bool(cold_every) and choice.in_a_row % (cold_every or 1) == 0


@dataclass(frozen=True)
class Best:
    """The better one of two trainings. config.

    Its configuration, whose stages up to the trainer are finished. reason: one line.

    figures: start -> the trainer's figures with `seconds`, of both.
    """

    config: Config
    start: Start
    reason: str
    figures: Mapping[Start, Figures]


def train_both(cold: Config, warm: Config, store: Store, options: Options | None = None) -> Best:
    """Runs the stages up to the trainer for both configurations, each as a run of its own.

    The better one on the eval split wins.

    Better is the higher accuracy, then the lower loss; of equals the cold one. What is finished is
    not done again, and what one of them made the other one uses. Raises what
    `pipeline.runner.execute` raises.
    """
    options = options or Options()
    configs: dict[Start, Config] = {"cold": cold, "warm": warm}
    found: dict[Start, Figures] = {}
    for start, config in configs.items():
        pipe = Pipeline()
        define(pipe, config)
        names = [stage.name for stage in pipe.stages]
        pipe.stages = pipe.stages[: names.index(TRAINER.name) + 1]
        # What was made again for the first one is not made once more for the second.
        force = [name for name in options.force if not found or name == TRAINER.name]
        done = execute(pipe, store, store.start_run(), replace(options, force=force, selected=None))
        found[start] = _figures(done[-1])
    scores = {start: (each["eval_accuracy"], -each["eval_loss"]) for start, each in found.items()}
    winner: Start = "warm" if scores["warm"] > scores["cold"] else "cold"
    told = ", ".join(
        f"{start} {each['eval_accuracy']:.4f} (loss {each['eval_loss']:.4f})"
        for start, each in found.items()
    )
    return Best(configs[winner], winner, f"eval accuracy: {told}", found)


def _figures(done: Done) -> Figures:
    return {**done.figures, "seconds": round(done.seconds, 3)}
