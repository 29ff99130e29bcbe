"""The Python API: what `import seqline` gives, behind the lazy names of seqline/__init__.py.

  config.py      a path, a name, a dict or a Config -> the configuration of a call
  sources.py     data frames, Arrow tables and data sets in memory -> files under the root
  prepare.py     a configuration -> its pipeline, store and selected stages (the commands', too)
  run.py         `seqline.run`: the stages of a run, and how it ends
  outcome.py     `Run`: what a run has made, read from its records
  plans.py       `seqline.plan`
  model.py       `seqline.load`: a model that answers many times
  estimator.py   `seqline.sklearn.SequenceClassifier`
  fitted.py      what the estimator fits: the stages up to the trainer, in this process
  display.py     a run and a plan as HTML, for notebooks

Nothing here loads TensorFlow or Beam before a stage runs or a model is loaded.
"""
