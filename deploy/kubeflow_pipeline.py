"""Kubeflow Pipelines: a retraining, whose push is made stable. docs/deploy.md says how to use it.

python deploy/kubeflow_pipeline.py seqline.yaml compiles it, with kfp alone.
"""

import sys

from kfp import compiler, dsl

IMAGE = "registry.example.com/seqline:0.1.0"
# $0 config, $1 root, $2 serving_dir, $3 the file for the exit code. 50 goes on from where it was;
# 10 (nothing new) and 40 (another one is at work) are no failures.
RETRAIN = """for attempt in 1 2 3; do
  code=0
  seqline retrain --config "$0" --root "$1" --serving-dir "$2" --set pusher.label=canary || code=$?
  if [ "$code" -ne 50 ]; then break; fi
done
mkdir -p "$(dirname "$3")"
printf %s "$code" > "$3"
case "$code" in 0 | 10 | 40) ;; *) exit "$code" ;; esac
"""


@dsl.container_component
def retrain(config: str, root: str, serving_dir: str, code: dsl.OutputPath(str)):
    """Trains on what is new, and pushes a canary unless a gate refuses it."""
    places = [config, root, serving_dir, code]
    return dsl.ContainerSpec(image=IMAGE, command=["bash", "-c", RETRAIN], args=places)


@dsl.container_component
def promote(serving_dir: str):
    """Makes the canary stable."""
    return dsl.ContainerSpec(
        image=IMAGE, command=["seqline"], args=["promote", "--serving-dir", serving_dir]
    )


@dsl.pipeline(name="seqline-retrain")
def pipeline(config: str, root: str, serving_dir: str):
    trained = retrain(config=config, root=root, serving_dir=serving_dir)
    trained.set_caching_options(False).set_cpu_limit("4").set_memory_limit("8G")
    with dsl.If(trained.output == "0", name="pushed"):
        promote(serving_dir=serving_dir).set_caching_options(False)


if __name__ == "__main__":
    compiler.Compiler().compile(pipeline, sys.argv[1])
