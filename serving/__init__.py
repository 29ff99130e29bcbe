"""The embedded server: TensorFlow Serving's REST API on SavedModels, with batching and live reload.

`seqline serve` or `python -m serving`. It needs TensorFlow, starlette, uvicorn and
prometheus-client, and none of the pipeline's other dependencies; tensorflow-serving-api where a
model config file is given or a model brings warm-up requests.

  tensors.py    JSON <-> tensors
  model.py      one loaded SavedModel
  versions.py   which versions are loaded, and what takes requests
  batching.py   requests that wait for each other
  app.py        the endpoints
  metrics.py    what Prometheus reads
  page.html     the page at /
  main.py       flags, start and stop

One thread, the event loop's, owns all state; model calls and loads run in threads and hand their
results back to it.
"""
