"""Two of TensorFlow Serving's messages that no package carries: read from their text format."""

from functools import cache
from typing import Any

PACKAGE = "tensorflow.serving"
# Message -> field -> (number, type). A type in capitals is a wrapper: `field { value: 1 }`.
MESSAGES = {
    "SSLConfig": {
        "server_key": (1, "string"),
        "server_cert": (2, "string"),
        "custom_ca": (3, "string"),
        "client_verify": (4, "bool"),
    },
    "BatchingParameters": {
        "max_batch_size": (1, "Int64Value"),
        "batch_timeout_micros": (2, "Int64Value"),
        "max_enqueued_batches": (3, "Int64Value"),
        "num_batch_threads": (4, "Int64Value"),
        "thread_pool_name": (5, "StringValue"),
        "allowed_batch_sizes": (6, "int64s"),
        "pad_variable_length_inputs": (7, "bool"),
    },
}


def ssl_config(text: bytes) -> Any:
    """Reads an SSLConfig. Raises ValueError with the place if it is none."""
    return _parse("SSLConfig", text)


def batching_parameters(text: bytes) -> Any:
    """Reads BatchingParameters. Raises ValueError with the place if they are none."""
    return _parse("BatchingParameters", text)


def _parse(message: str, text: bytes) -> Any:
    from google.protobuf import text_format

    try:
        return text_format.Parse(text.decode(), _classes()[message]())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(" ".join(str(error).split())[:300]) from None


@cache
def _classes() -> dict[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

    file = descriptor_pb2.FileDescriptorProto(
        name="seqline_serving.proto",
        package=PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    field_type = descriptor_pb2.FieldDescriptorProto
    plain = {
        "string": field_type.TYPE_STRING,
        "bool": field_type.TYPE_BOOL,
        "int64s": field_type.TYPE_INT64,
    }

    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            repeated = kind.endswith("s")
            label = field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            added.type = plain.get(kind, field_type.TYPE_MESSAGE)
            if kind not in plain:
                added.type_name = f".google.protobuf.{kind}"

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in MESSAGES
    }
