"""The embedded server: TensorFlow Serving's REST API on SavedModels, with batching and live reload.

`seqline serve` or `python -m serving`. It needs TensorFlow, starlette, uvicorn and
prometheus-client, and nothing else that seqline depends on. Model config files and warm-up requests
also need tensorflow-serving-api.

  tensors.py    JSON -> tensors
  answers.py    tensors -> JSON
  model.py      one loaded SavedModel
  versions.py   which versions are loaded, and which one takes a request
  batching.py   requests joined into batches
  app.py        the endpoints
  metrics.py    metrics for Prometheus
  page.html     the page at /
  main.py       start and stop
  flags.py      the flags
  config.py     the models to serve, by flags or a model config file
  arguments.py  command lines whose errors are one line
  errors.py     refusals
  asking.py     a SavedModel that is loaded once and asked many times; needs TensorFlow alone
  predict.py    asks a SavedModel without a server; needs TensorFlow alone

The event loop's thread owns all state. Model calls and loads run in other threads and hand their
results back to it.
"""
