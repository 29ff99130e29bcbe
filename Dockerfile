# The images of seqline: `runtime` (the command; also the embedded server), `worker` (the same on
# Dataflow) and `test`. Other base images: --build-arg PYTHON_IMAGE=... --build-arg BEAM_IMAGE=...;
# any engine with BuildKit from 20.10 on builds them.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
# It has the version of apache-beam in the lock: the harness and the package must speak one
# protocol.
ARG BEAM_IMAGE=apache/beam_python3.11_sdk:2.77.0
# The image with Dataflow's launcher of Flex Templates, for a worker that is a template, too
# (docs/docker.md); none by default.
ARG LAUNCHER_IMAGE=no-launcher

FROM ${BEAM_IMAGE} AS beam

FROM scratch AS no-launcher
WORKDIR /opt/google/dataflow

FROM ${LAUNCHER_IMAGE} AS launcher

FROM ${PYTHON_IMAGE} AS dependencies
RUN python3 -m venv /opt/seqline
ENV PATH=/opt/seqline/bin:$PATH
WORKDIR /src
COPY requirements-runtime.lock ./
# Everything is pinned, and nothing is resolved. The packages that build the few source archives
# come first. pip writes byte code; without it each start would compile TensorFlow's again. Headers,
# the library of a compiler (libclang, which TensorFlow asks for and does not load) and the
# libraries' own tests are removed: they are a sixth of the whole, and the image has no compiler.
RUN --mount=type=cache,target=/root/.cache/pip \
    sed -n '/^setuptools==/,/[^\\]$/p; /^wheel==/,/[^\\]$/p' requirements-runtime.lock > build.txt \
    && python -m pip install --quiet --no-deps --require-hashes --requirement build.txt \
    && python -m pip install --quiet --no-deps --no-build-isolation --require-hashes --requirement requirements-runtime.lock \
    && rm -r /opt/seqline/lib/python3*/site-packages/tensorflow/include \
        /opt/seqline/lib/python3*/site-packages/clang/native \
    && find /opt/seqline/lib -type d -name tests -prune -exec rm -r {} +

FROM dependencies AS build
COPY pyproject.toml setup.py README.md LICENSE ./
COPY components components
COPY pipeline pipeline
COPY seqline seqline
COPY serving serving
RUN python -m pip wheel --quiet --no-index --no-build-isolation --no-deps --wheel-dir /wheels .

FROM ${PYTHON_IMAGE} AS runtime
LABEL org.opencontainers.image.title="seqline" \
      org.opencontainers.image.description="A distributed training pipeline with TFX-style components for sequence classification" \
      org.opencontainers.image.licenses="Apache-2.0"
# A volume that is mounted on one of these folders for the first time takes over its owner.
RUN groupadd --gid 1000 seqline \
    && useradd --uid 1000 --gid seqline --create-home seqline \
    && install --directory --owner=seqline --group=seqline /app /app/artifacts /app/data /app/serving_dir
ENV PATH=/opt/seqline/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TF_CPP_MIN_LOG_LEVEL=2
COPY --from=dependencies /opt/seqline /opt/seqline
# After the dependencies, so that a change of the code makes a small layer. The base image lacks the
# byte code of Python's own modules.
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python -m pip install --quiet --no-cache-dir --no-index --no-deps /wheels/*.whl \
    && python -m pip check \
    && python -c "import compileall, re, sysconfig; compileall.compile_dir(sysconfig.get_path('stdlib'), quiet=2, rx=re.compile('-packages'))"
WORKDIR /app
USER 1000:1000
# A run answers it with a checkpoint and exit code 50; a server finishes its requests.
STOPSIGNAL SIGTERM
ENTRYPOINT ["seqline"]
CMD ["--help"]

FROM runtime AS worker
# Dataflow mounts folders of root's into its workers, and its launcher logs into one. On other
# runners: docker run --user 1000:1000.
# hadolint ignore=DL3002
USER 0:0
# What Google Cloud alone needs, in versions that fit the rest.
RUN --mount=type=bind,source=requirements-gcp.lock,target=/tmp/requirements-gcp.lock \
    --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --quiet --no-deps --no-build-isolation --require-hashes --requirement /tmp/requirements-gcp.lock \
    && python -m pip check
# Otherwise the harness makes an environment of its own, which does not see these packages.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=launcher /opt/google/dataflow /opt/google/dataflow
# What that launcher runs (docs/dataflow.md). Code and dependencies are in this image: nothing is
# installed and nothing staged.
COPY pipeline/dataflow/flex_template.py /app/
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/app/flex_template.py
ENTRYPOINT ["/opt/apache/beam/boot"]
CMD []

FROM dependencies AS test
RUN useradd --uid 1000 --create-home seqline && chown seqline /src
COPY requirements.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --quiet --no-deps --no-build-isolation --require-hashes --requirement requirements.lock
COPY --chown=seqline . .
RUN python -m pip install --quiet --no-cache-dir --no-index --no-build-isolation --no-deps --editable . && python -m pip check
USER 1000:1000
CMD ["pytest", "-n", "2", "--dist", "loadfile"]
