"""Reads tf.Examples without TensorFlow, whose import takes seconds.

Format: tensorflow/core/example/{example,feature}.proto. The messages here parse the same bytes, but
they declare the values of a FloatList as bytes. Packed floats are bytes in protobuf's wire
encoding, and become an array without a Python object for each.
"""

from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

PROTO = """
name: "seqline/tf_example.proto" package: "seqline" syntax: "proto3"
message_type {
  name: "BytesList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES }
}
message_type {
  name: "FloatList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES }
}
message_type {
  name: "UnpackedFloatList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT }
}
message_type {
  name: "Int64List"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 }
}
message_type {
  name: "Feature"
  field {
    name: "bytes_list" number: 1 label: LABEL_OPTIONAL
    type: TYPE_MESSAGE type_name: ".seqline.BytesList"
  }
  field {
    name: "float_list" number: 2 label: LABEL_OPTIONAL
    type: TYPE_MESSAGE type_name: ".seqline.FloatList"
  }
  field {
    name: "int64_list" number: 3 label: LABEL_OPTIONAL
    type: TYPE_MESSAGE type_name: ".seqline.Int64List"
  }
}
message_type {
  name: "Features"
  field {
    name: "feature" number: 1 label: LABEL_REPEATED
    type: TYPE_MESSAGE type_name: ".seqline.Features.FeatureEntry"
  }
  nested_type {
    name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field {
      name: "value" number: 2 label: LABEL_OPTIONAL
      type: TYPE_MESSAGE type_name: ".seqline.Feature"
    }
  }
}
message_type {
  name: "Example"
  field {
    name: "features" number: 1 label: LABEL_OPTIONAL
    type: TYPE_MESSAGE type_name: ".seqline.Features"
  }
}
"""


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"seqline.{name}"))


# A pool of our own: TensorFlow's declares tf.Example in another way.
POOL = descriptor_pool.DescriptorPool()
POOL.Add(text_format.Parse(PROTO, descriptor_pb2.FileDescriptorProto()))
EXAMPLE, UNPACKED_FLOAT_LIST = _message("Example"), _message("UnpackedFloatList")


def parse(record: bytes) -> Any:
    """The features of a serialized tf.Example, by their names.

    Raises:
        ValueError: These bytes are not a tf.Example.
    """
    try:
        return EXAMPLE.FromString(record).features.feature
    except DecodeError as error:
        raise ValueError(str(error)) from None


def value(feature: Any) -> bytes | int | float | list[Any] | None:
    """The value of a feature: one value, a list of several, or None for an empty feature.

    Raises:
        ValueError: See `values`.
    """
    bytes_values = feature.bytes_list.value
    if len(bytes_values) == 1:
        return bytes(bytes_values[0])

    held = values(feature)
    if isinstance(held, np.ndarray):
        held = held.tolist()

    if not held:
        return None
    return held if len(held) > 1 else held[0]


def values(feature: Any) -> list[bytes] | list[int] | np.ndarray:
    """The values of a feature: bytes, integers or float32 [n]; [] for an empty feature.

    Raises:
        ValueError: A list of floats is cut off.
    """
    if bytes_values := feature.bytes_list.value:
        return list(bytes_values)
    if integers := feature.int64_list.value:
        return list(integers)

    if not feature.HasField("float_list"):
        return []

    packed = b"".join(feature.float_list.value)
    if not packed:  # Floats that are not packed are rare, but allowed.
        unpacked = UNPACKED_FLOAT_LIST.FromString(feature.float_list.SerializeToString())
        return np.array(unpacked.value, np.float32)

    if len(packed) % 4:
        raise ValueError("a list of floats ends within a number")
    return np.frombuffer(packed, "<f4")
