"""Where Beam runs: from the flags of a command line to Beam's PipelineOptions."""

from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions

# "DirectRunner" would first look for Prism, a binary that it downloads: another engine with a network than without.
LOCAL_RUNNER = "--runner=FnApiRunner"


def pipeline_options(beam_args: Sequence[str]) -> PipelineOptions:
    """Beam's own flags, e.g. ["--direct_num_workers=2"]; the local runner where none is named."""
    named = any(arg == "--runner" or arg.startswith("--runner=") for arg in beam_args)
    return PipelineOptions([*beam_args] if named else [LOCAL_RUNNER, *beam_args])
