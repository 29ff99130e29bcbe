"""How the stages are joined, run and remembered."""

__version__ = "0.1.0"
