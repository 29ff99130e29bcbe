"""tf.Examples read without TensorFlow, whose import takes seconds.

A check and a reader need this one message.

Format: tensorflow/core/example/{example,feature}.proto. The message here parses the same bytes;
only the values of a FloatList are declared as bytes, which packed floats are in protobuf's wire
encoding: so they become an array without a Python object for each.
"""

from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

PROTO = """
name: "seqline/tf_example.proto" package: "seqline" syntax: "proto3"
message_type { name: "BytesList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "FloatList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "UnpackedFloatList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
message_type { name: "Int64List" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type {
  name: "Feature"
  field { name: "bytes_list" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".seqline.BytesList" }
  field { name: "float_list" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".seqline.FloatList" }
  field { name: "int64_list" number: 3 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".seqline.Int64List" }
}
message_type {
  name: "Features"
  field { name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".seqline.Features.FeatureEntry" }
  nested_type {
    name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".seqline.Feature" }
  }
}
message_type {
  name: "Example"
  field { name: "features" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".seqline.Features" }
}
"""


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"seqline.{name}"))


# A pool of its own: TensorFlow's has a tf.Example that is declared otherwise.
POOL = descriptor_pool.DescriptorPool()
POOL.Add(text_format.Parse(PROTO, descriptor_pb2.FileDescriptorProto()))
EXAMPLE, UNPACKED_FLOAT_LIST = _message("Example"), _message("UnpackedFloatList")


def parse(record: bytes) -> Any:
    """The features of a serialized tf.Example.

    A map from their names. Raises ValueError for bytes that are none.
    """
    try:
        return EXAMPLE.FromString(record).features.feature
    except DecodeError as error:
        raise ValueError(str(error)) from None


def value(feature: Any) -> bytes | int | float | list[Any] | None:
    """A feature's one value.

    Several stay a list, and None stands for nothing. Raises as `values` does.
    """
    if len(found := feature.bytes_list.value) == 1:
        return bytes(found[0])
    several = values(feature)
    several = several.tolist() if isinstance(several, np.ndarray) else several
    return several if len(several) > 1 else several[0] if several else None


def values(feature: Any) -> list[bytes] | list[int] | np.ndarray:
    """What a feature holds.

    Bytes, integers or float32 [n]; an empty list for nothing. Raises ValueError for floats that are
    cut off.
    """
    if found := feature.bytes_list.value:
        return list(found)
    if found := feature.int64_list.value:
        return list(found)
    if not feature.HasField("float_list"):
        return []
    packed = b"".join(feature.float_list.value)
    if not packed:  # not packed is rare and right, too
        return np.array(
            UNPACKED_FLOAT_LIST.FromString(feature.float_list.SerializeToString()).value, np.float32
        )
    if len(packed) % 4:
        raise ValueError("a list of floats ends within a number")
    return np.frombuffer(packed, "<f4")
