"""seqline trains and serves a SimpleRNN classifier of texts, tokens and sequences from raw rows.

    import seqline

    run = seqline.run({"example_gen": {"source": "reviews.csv"}}, root="artifacts", to="evaluator")
    run.verdict, run.evaluation["accuracy"]
    run.model().predict(["an excellent film"])

  run         runs the stages that are not finished, and returns a Run
  plan        says what a run would do, and why
  load        a Model that answers texts: from a run, a folder of versions, or a bucket
  open_run    the Run of an earlier call or command
  Config      a configuration, checked
  errors      what can go wrong and be put right: UserError and its kinds
  sklearn     SequenceClassifier, a scikit-learn estimator (import it: seqline.sklearn)

Importing this imports nothing else: each name is loaded when it is used. `python -m seqline` is the
command line. docs/python.md describes the API.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# What type checkers read: at run time `__getattr__` loads these names from the room above.
if TYPE_CHECKING:
    from pipeline.api.names import Config, Model, Plan, Run, load, open_run, plan, run
    from seqline import errors

__version__ = "0.1.0"

# Name -> the module that has it.
_MODULES = {
    "Config": "pipeline.config",
    "Model": "pipeline.api.model",
    "Plan": "pipeline.api.plans",
    "Run": "pipeline.api.outcome",
    "load": "pipeline.api.model",
    "open_run": "pipeline.api.outcome",
    "plan": "pipeline.api.plans",
    "run": "pipeline.api.run",
}
_SUBMODULES = ("errors", "sklearn")

__all__ = [
    "Config",
    "Model",
    "Plan",
    "Run",
    "__version__",
    "errors",
    "load",
    "open_run",
    "plan",
    "run",
]


def __getattr__(name: str) -> Any:
    """Loads a name of the API when it is used for the first time.

    Raises:
        UserError: A module of the program hides a package of seqline.
    """
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from seqline.host.rooms import check_rooms

    check_rooms()
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
