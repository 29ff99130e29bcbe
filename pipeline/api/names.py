"""The public names of the Python API, as the face `seqline` shows them to type checkers."""

from pipeline.api.model import Model, load
from pipeline.api.outcome import Run, open_run
from pipeline.api.plans import Plan, plan
from pipeline.api.run import run
from pipeline.config import Config

__all__ = ["Config", "Model", "Plan", "Run", "load", "open_run", "plan", "run"]
