"""Warm or cold.

Whether a training starts from the model that is served. The one place where that is chosen.
"""

from pipeline.config import Config
from pipeline.retrain import warm
from pipeline.store.folder import Store

COLD, WARM, BOTH = "cold", "warm", "both"


def choose(config: Config, store: Store, version: int | None) -> tuple[str, str | None, str]:
    """(cold, warm or both, the folder of the Model to start from or None for cold, why). version.

    The served one.

    With `retrain.cold_every` = 1 every training is cold; otherwise it is warm where that is
    possible, and both are trained and compared where so many warm starts would follow one another.
    """
    cold_every = config.retrain.cold_every
    if cold_every == 1 and not config.trainer.warm_start:
        return COLD, None, "retrain.cold_every is 1"
    choice = warm.choose(config, store, version)
    kind = (
        BOTH if warm.cold_is_due(choice, cold_every if cold_every > 1 else None) else choice.start
    )
    return kind, choice.config.trainer.warm_start, choice.reason


def lay_over(config: Config, warm_start: str | None) -> Config:
    """The configuration of a run that starts so."""
    if warm_start == config.trainer.warm_start:
        return config
    return config.model_copy(
        update={"trainer": config.trainer.with_values({"warm_start": warm_start})}
    )
