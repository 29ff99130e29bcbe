"""seqline.plan: what a run would do, stage by stage, and why."""

from collections.abc import Iterator, Sequence
from os import PathLike

from pipeline.api.config import Configured, Settings, configure
from pipeline.api.errors import explained
from pipeline.api.prepare import prepare
from pipeline.runner.plan import Planned, from_data
from pipeline.runner.plan import plan as plan_stages

# What a caller names the first and the last stage.
NAMES = ("from_", "to")


class Plan:
    """What a run would do: its stages in order, each with `runs` and `reason`.

    Attributes:
        stages: The stages, in their order.
        settings: Name of a setting that the data decide -> its value, or what is known of it.
    """

    def __init__(self, stages: Sequence[Planned], settings: dict[str, str]) -> None:
        self.stages = tuple(stages)
        self.settings = settings

    def __len__(self) -> int:
        return len(self.stages)

    def __getitem__(self, name: str) -> Planned:
        """A stage by its name."""
        for stage in self.stages:
            if stage.stage.name == name:
                return stage
        raise KeyError(name)

    def __iter__(self) -> Iterator[Planned]:
        return iter(self.stages)

    @property
    def to_run(self) -> list[str]:
        """The names of the stages that would run."""
        return [stage.stage.name for stage in self.stages if stage.runs]

    def __repr__(self) -> str:
        width = max(len(stage.stage.name) for stage in self.stages)
        lines = [
            f"{stage.stage.name:<{width}}  {'runs' if stage.runs else 'cached':<6}  {stage.reason}"
            for stage in self.stages
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from pipeline.api.display import plan_html

        return plan_html(self.stages, self.settings)


def plan(
    config: Configured,
    root: str | PathLike[str] | None = None,
    to: str | None = None,
    from_: str | None = None,
    serving_dir: str | PathLike[str] | None = None,
    settings: Settings = None,
    force: bool = False,
) -> Plan:
    """Says what `seqline.run` would do with the same arguments. Runs nothing.

    Data in memory are written under the root, as `run` does, because their digest is part of the
    answer.

    Raises:
        UserError: The configuration or the data cannot be used.
    """
    from components import example_gen

    with explained():
        config = configure(config, root, serving_dir, settings)
        ready = prepare(config, from_, to, force, NAMES)
        example_gen.check(config.example_gen)
        planned = plan_stages(ready.pipe, ready.store, ready.forced)
        chosen = [stage for stage in planned if stage.stage.name in ready.selected]
        return Plan(chosen, from_data(chosen, ready.store))
