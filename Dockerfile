# The images of seqline: `runtime` (the command; also the embedded server), `worker` (the same on Dataflow) and `test`.
# Another registry or a base image of your own: --build-arg PYTHON_IMAGE=... --build-arg BEAM_IMAGE=...
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
# Its version is that of apache-beam in the lock: the harness and the package speak one protocol.
ARG BEAM_IMAGE=apache/beam_python3.11_sdk:2.77.0

FROM ${BEAM_IMAGE} AS beam

FROM ${PYTHON_IMAGE} AS build
RUN python3 -m venv /opt/seqline
ENV PATH=/opt/seqline/bin:$PATH
WORKDIR /src
COPY requirements-runtime.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --quiet --require-hashes --requirement requirements-runtime.lock
COPY pyproject.toml setup.py README.md LICENSE ./
COPY components components
COPY pipeline pipeline
# pip writes the byte code of everything; without it each start would compile TensorFlow's again.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --quiet --no-deps . && pip check

FROM ${PYTHON_IMAGE} AS runtime
LABEL org.opencontainers.image.title="seqline" \
      org.opencontainers.image.description="A distributed training pipeline with TFX-style components for sequence classification" \
      org.opencontainers.image.licenses="Apache-2.0"
# Volumes that are mounted on these folders for the first time take over their owner.
RUN groupadd --gid 1000 seqline \
    && useradd --uid 1000 --gid seqline --create-home seqline \
    && install --directory --owner=seqline --group=seqline /work /work/artifacts /work/data /work/serving_dir
COPY --from=build /opt/seqline /opt/seqline
ENV PATH=/opt/seqline/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TF_CPP_MIN_LOG_LEVEL=2
WORKDIR /work
USER 1000:1000
# A run answers it with a checkpoint and exit code 50, a server by finishing its requests.
STOPSIGNAL SIGTERM
ENTRYPOINT ["seqline"]
CMD ["run"]

FROM runtime AS worker
USER 0:0
# The harness makes an environment beside the installed one for what a job stages.
RUN install --directory --owner=seqline --group=seqline /opt/apache/beam-venv
COPY --from=beam /opt/apache/beam /opt/apache/beam
USER 1000:1000
ENTRYPOINT ["/opt/apache/beam/boot"]

FROM build AS test
RUN useradd --uid 1000 --create-home seqline
COPY requirements.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --quiet --require-hashes --requirement requirements.lock
COPY . .
RUN python -m pip install --quiet --no-cache-dir --no-deps --editable . && chown -R seqline /src
USER 1000:1000
CMD ["pytest", "-n", "2", "--dist", "loadfile"]
