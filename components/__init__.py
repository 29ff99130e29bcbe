"""The stages, a package each.

The face of a package is its `__init__.py`: what the stage reads and writes, its params, `run`, and
one `Component`. A stage imports `seqline` and itself; only the tuner imports another, the trainer.
"""
