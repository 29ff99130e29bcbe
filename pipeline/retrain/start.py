"""Warm or cold: whether a training starts from the model that is served. The one place where that is chosen."""

from pipeline.config import Config
from pipeline.retrain.decide import Situation
from pipeline.retrain.state import Record, State
from pipeline.store import Store

COLD, WARM = "cold", "warm"


def choose(situation: Situation, state: State, store: Store) -> tuple[str, str | None]:
    """(cold or warm, the folder of the Model to start from, None for cold).

    Every `retrain.cold_every`-th candidate starts cold, and so does one whose served model is not among the artifacts.
    """
    given = situation.config.trainer.warm_start
    if given:
        return WARM, given
    model = _served_model(situation, state)
    if model is None or (len(_since_cold(state)) + 1) % situation.config.retrain.cold_every == 0:
        return COLD, None
    path = store.path("trainer", model)
    return (WARM, str(path)) if store.execution("trainer", model) is not None else (COLD, None)


def lay_over(config: Config, warm_start: str | None) -> Config:
    """The configuration of a run that starts so."""
    if warm_start is None or warm_start == config.trainer.warm_start:
        return config
    return config.model_copy(update={"trainer": config.trainer.model_copy(update={"warm_start": warm_start})})


def _served_model(situation: Situation, state: State) -> str | None:
    """The key of the Model that is served, where this root made it."""
    digest = situation.served.digest if situation.served else None
    return next((push["model"] for push in reversed(state.pushes) if push["digest"] == digest), None)


def _since_cold(state: State) -> list[Record]:
    cold = [number for number, push in enumerate(state.pushes) if push["start"] == COLD]
    return state.pushes[cold[-1] + 1 :] if cold else state.pushes
