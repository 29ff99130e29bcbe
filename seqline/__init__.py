"""The code that the stages of seqline share. `python -m seqline` is the command line."""

__version__ = "0.1.0"
