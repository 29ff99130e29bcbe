"""From raw text to a served model, top to bottom. Read this first."""

from components import evaluator
from components.bulk_inferrer import BULK_INFERRER
from components.evaluator import EVALUATOR
from components.example_gen import EXAMPLE_GEN
from components.example_validator import EXAMPLE_VALIDATOR
from components.exporter import EXPORTER
from components.infra_validator import INFRA_VALIDATOR
from components.pusher import PUSHER
from components.schema_gen import SCHEMA_GEN
from components.span_validator import SPAN_VALIDATOR
from components.statistics_gen import STATISTICS_GEN
from components.trainer import TRAINER
from components.transform import TRANSFORM
from components.tuner import TUNER
from pipeline import identity
from pipeline.config import Config
from pipeline.runner.plan import Guard, Pipeline


def define(pipe: Pipeline, config: Config) -> None:
    """Adds the stages to a pipeline.

    To add a component: its package, one line here, one field in Config, its test.
    """
    pipe.name = config.name

    # Data. The two validators are gates: nothing learns from data that they refuse.
    examples = pipe.add(EXAMPLE_GEN, config.example_gen)
    statistics = pipe.add(STATISTICS_GEN, config.statistics_gen, examples=examples)
    schema = pipe.add(SCHEMA_GEN, config.schema_gen, statistics=statistics)
    pipe.add(
        EXAMPLE_VALIDATOR,
        config.example_validator.with_defaults_from(config.transform.tokens),
        examples=examples,
        statistics=statistics,
        schema=schema,
    )
    if config.span_validator.is_on:
        pipe.add(SPAN_VALIDATOR, config.span_validator, examples=examples)

    # Model.
    features = pipe.add(
        TRANSFORM,
        config.transform.with_defaults_from(config.trainer.wide),
        examples=examples,
    )
    tuned = None
    if config.tuner.is_on:
        tuned = pipe.add(TUNER, config.tuner.with_defaults_from(config.trainer), features=features)
    model = pipe.add(TRAINER, config.trainer, features=features, hyperparameters=tuned)
    saved_model = pipe.add(
        EXPORTER, config.exporter, examples=examples, features=features, model=model
    )

    # Verdicts. The candidate is compared with the version that is served, on the same rows. The
    # guard says before any training that a threshold is of a slice that no row is in.
    judged = config.evaluator.with_defaults_from(
        config.pusher.serving_dir, config.pusher.model_name
    )
    evaluation = pipe.add(EVALUATOR, judged, examples=examples, saved_model=saved_model)
    pipe.guards.append(
        Guard(
            of=EVALUATOR.name,
            after=EXAMPLE_GEN.name,
            judge=lambda output: evaluator.check_examples(judged, output),
        )
    )
    blessing = pipe.add(
        INFRA_VALIDATOR, config.infra_validator, saved_model=saved_model, evaluation=evaluation
    )

    # Serving. The guard says before any training that another model is served at that place.
    pipe.guards.append(identity.guard(config))
    pipe.add(
        PUSHER,
        config.pusher.with_source(config.example_gen.source),
        saved_model=saved_model,
        evaluation=evaluation,
        infra_blessing=blessing,
    )
    if config.bulk_inferrer.source:
        inferrer = config.bulk_inferrer.with_defaults_from(config.example_gen.row_format)
        pipe.add(BULK_INFERRER, inferrer, saved_model=saved_model, evaluation=evaluation)
