"""Flags of tensorflow_model_server that mean nothing here, and what to do instead."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ForeignFlag:
    """A flag of tensorflow_model_server.

    Attributes:
        way_out: A sentence: what to use instead, or why it can be left out.
        same: Values with which it says what this server does anyway. It may stay with them.
    """

    way_out: str
    same: tuple[str, ...] = ()


LEAVE_OUT = "leave it out"
ON, OFF = ("true", "1"), ("false", "0")

FLAGS = {
    # HTTP and gRPC.
    "rest_api_num_threads": ForeignFlag(
        f"one thread reads and writes all requests; {LEAVE_OUT}, or see --num_batch_threads."
    ),
    "rest_api_enable_cors_support": ForeignFlag(
        "no other origin may call this server from a browser; let a proxy add CORS headers.", OFF
    ),
    "grpc_socket_path": ForeignFlag("use --port."),
    "grpc_channel_arguments": ForeignFlag(f"gRPC's defaults are used; {LEAVE_OUT}."),
    "enable_grpc_healthcheck_service": ForeignFlag(f"it always runs; {LEAVE_OUT}.", ON),
    "use_alts_credentials": ForeignFlag("use --ssl_certificate_file and --ssl_key_file.", OFF),
    # Models and versions.
    "platform_config_file": ForeignFlag(f"TensorFlow is the only platform; {LEAVE_OUT}."),
    "use_saved_model": ForeignFlag("SavedModels are all that is served; leave it out.", ON),
    "saved_model_tags": ForeignFlag("only the tag serve is loaded; leave it out.", ("serve",)),
    "allow_version_labels_for_unavailable_models": ForeignFlag(f"they are; {LEAVE_OUT}.", ON),
    "force_allow_any_version_labels_for_unavailable_models": ForeignFlag(
        f"they are allowed; {LEAVE_OUT}.", ON
    ),
    "max_num_load_retries": ForeignFlag(f"a version is tried six times; {LEAVE_OUT}."),
    "load_retry_interval_micros": ForeignFlag(
        f"a version is tried again after 2, 4, 8 ... seconds; {LEAVE_OUT}."
    ),
    "num_load_threads": ForeignFlag(f"versions are loaded one by one; {LEAVE_OUT}."),
    "num_unload_threads": ForeignFlag(f"versions are unloaded one by one; {LEAVE_OUT}."),
    "flush_filesystem_caches": ForeignFlag(f"the system decides; {LEAVE_OUT}.", OFF),
    "enable_model_warmup": ForeignFlag(f"each version is warmed up; {LEAVE_OUT}.", ON),
    "num_request_iterations_for_warmup": ForeignFlag(
        f"each warm-up request is sent once; {LEAVE_OUT}.", ("1",)
    ),
    "enable_signature_method_name_check": ForeignFlag(
        f"signatures are judged by inputs and outputs; {LEAVE_OUT}.", OFF
    ),
    "remove_unused_fields_from_bundle_metagraph": ForeignFlag(f"they are; {LEAVE_OUT}.", ON),
    "enable_per_model_batching_parameters": ForeignFlag(
        f"one set of batching flags holds for all models; {LEAVE_OUT}.", OFF
    ),
    # TensorFlow.
    "tensorflow_session_parallelism": ForeignFlag(
        "use --tensorflow_intra_op_parallelism and --tensorflow_inter_op_parallelism.", ("0",)
    ),
    "tensorflow_session_config_file": ForeignFlag(
        "use --tensorflow_intra_op_parallelism and --tensorflow_inter_op_parallelism."
    ),
    "thread_pool_factory_config_file": ForeignFlag("use --tensorflow_inter_op_parallelism."),
    "enforce_session_run_timeout": ForeignFlag("use --rest_api_timeout_in_ms.", OFF),
    "per_process_gpu_memory_fraction": ForeignFlag(
        "set the environment's TF_FORCE_GPU_ALLOW_GROWTH=true.", ("0", "0.0")
    ),
    "xla_cpu_compilation_enabled": ForeignFlag(f"XLA's signatures run; {LEAVE_OUT}.", ON),
    "mixed_precision": ForeignFlag("export the model with the precision that it needs."),
    "skip_initialize_tpu": ForeignFlag(f"no TPU is used; {LEAVE_OUT}.", ON),
    "enable_profiler": ForeignFlag("run TensorFlow's profiler on `seqline predict`.", OFF),
    "prefer_tflite_model": ForeignFlag("export a SavedModel.", OFF),
    "use_tflite_model": ForeignFlag("export a SavedModel.", OFF),
    "num_tflite_pools": ForeignFlag(f"no TFLite model is served; {LEAVE_OUT}."),
    "num_tflite_interpreters_per_pool": ForeignFlag(f"no TFLite model is served; {LEAVE_OUT}."),
    # What is seen of it.
    "monitoring_config_file": ForeignFlag(
        f"Prometheus's metrics are always at /monitoring/prometheus/metrics; {LEAVE_OUT}."
    ),
}


def without(arguments: Sequence[str], prog: str) -> list[str]:
    """A command line without those foreign flags that say what this server does anyway.

    Raises:
        ValueError: One of them says something else; the message is a line for the user.
    """
    kept, words = [], iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        flag = FLAGS.get(name.removeprefix("--")) if name.startswith("--") else None
        if flag is None:
            kept.append(word)
            continue

        # tensorflow_model_server takes `--flag` alone for true.
        value = value.strip('"').lower() if equals else "true"
        if value not in flag.same:
            raise ValueError(f"{prog} does not take {name} of TensorFlow Serving: {flag.way_out}")
    return kept
