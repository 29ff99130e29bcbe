"""Reads tf.Examples and SequenceExamples without TensorFlow, whose import takes seconds.

Format: tensorflow/core/example/{example,feature}.proto. The messages here parse the same bytes, but
they declare the values of a FloatList as bytes. Packed floats are bytes in protobuf's wire
encoding, and become an array without a Python object for each.

Field 1 of a tf.Example and of a tf.SequenceExample holds Features; field 2, the feature lists, is
the SequenceExample's alone. So a record with field 2 is a SequenceExample, and one without it reads
the same as either. A file may hold both.
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
  name: "FeatureList"
  field {
    name: "feature" number: 1 label: LABEL_REPEATED
    type: TYPE_MESSAGE type_name: ".seqline.Feature"
  }
}
message_type {
  name: "FeatureLists"
  field {
    name: "feature_list" number: 1 label: LABEL_REPEATED
    type: TYPE_MESSAGE type_name: ".seqline.FeatureLists.FeatureListEntry"
  }
  nested_type {
    name: "FeatureListEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field {
      name: "value" number: 2 label: LABEL_OPTIONAL
      type: TYPE_MESSAGE type_name: ".seqline.FeatureList"
    }
  }
}
message_type {
  name: "Example"
  field {
    name: "features" number: 1 label: LABEL_OPTIONAL
    type: TYPE_MESSAGE type_name: ".seqline.Features"
  }
  field {
    name: "feature_lists" number: 2 label: LABEL_OPTIONAL
    type: TYPE_MESSAGE type_name: ".seqline.FeatureLists"
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
    """The features of a serialized tf.Example, or the context of a SequenceExample, by their names.

    Raises:
        ValueError: These bytes are neither.
    """
    return parse_with_lists(record)[0]


def parse_with_lists(record: bytes) -> tuple[Any, Any]:
    """(features, feature lists), each by their names. A tf.Example has no feature lists.

    Raises:
        ValueError: These bytes are neither a tf.Example nor a SequenceExample.
    """
    try:
        example = EXAMPLE.FromString(record)
        return example.features.feature, example.feature_lists.feature_list
    except DecodeError as error:
        raise ValueError(str(error)) from None


def steps(feature_list: Any) -> list[Any] | np.ndarray:
    """The steps of a feature list: numbers as an array [time, dim], all else as values.

    Numbers whose steps differ in length are lists.

    Raises:
        ValueError: See `values`.
    """
    features = feature_list.feature
    if any(feature.bytes_list.value for feature in features):
        return [value(feature) for feature in features]

    held = [np.asarray(values(feature)) for feature in features]
    if held and len(held[0]) and len({len(step) for step in held}) == 1:
        return np.array(held)
    return [step.tolist() for step in held]


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
        try:
            unpacked = UNPACKED_FLOAT_LIST.FromString(feature.float_list.SerializeToString())
        except DecodeError as error:
            raise ValueError(str(error)) from None
        return np.array(unpacked.value, np.float32)

    if len(packed) % 4:
        raise ValueError("a list of floats ends within a number")
    return np.frombuffer(packed, "<f4")
