"""Gives SavedModels with the same content the same bytes.

TensorFlow numbers the functions of a graph by a counter of the process, and names lookup tables by
the absolute path of their vocabulary. So two exports of one model differ. Artifacts are compared
byte for byte, so this module rewrites these names.
"""

import re
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import saved_model_pb2

# The names of functions end in a counter of the process: "__inference_predict_1234",
# "cond_true_1187".
NUMBERED = re.compile(r"(.*_)(\d+)", re.DOTALL)
# The unused arguments of a loop are named after its function:
# "..._cond_1544___redundant_placeholder0".
PLACEHOLDER = re.compile(r"(.*_)(\d+)(___redundant_placeholder.*)", re.DOTALL)
# TextFileInitializer names a table "hash_table_<path>_<key index>_<value index>". Loading the model
# appends "_load_<id>_<id>".
TABLE_NAME = re.compile(r"hash_table_(.+?)_(-?\d+_-?\d+)(?:_load_\d+_\d+)*")
# A table that is initialized by tensors is named "<counter>", and its initializer
# "key_value_init<counter>".
TENSOR_TABLE = re.compile(r"(\d+)(?:_load_\d+_\d+)*")
TENSOR_INITIALIZER = re.compile(r"(\^?key_value_init)(\d+)(.*)", re.DOTALL)


def canonicalize(export_dir: Path) -> None:
    """Rewrites `<export_dir>/saved_model.pb` in place, with names that depend on the content only.

    Functions are numbered from 0 in the order of their creation. Tables are named after the base
    name of their asset. `fingerprint.pb` is deleted: it holds a random id and the checksum of the
    old bytes.
    """
    path = export_dir / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())

    rename = _renaming(
        {
            function.signature.name
            for meta_graph in saved_model.meta_graphs
            for function in meta_graph.graph_def.library.function
        }
    )

    for meta_graph in saved_model.meta_graphs:
        _rewrite(meta_graph, rename)
        _rename_tables_and_arguments(meta_graph.graph_def)

        library = meta_graph.graph_def.library
        for function in library.function:
            # A pruned graph lists its nodes in the order of their addresses.
            function.node_def.sort(key=lambda node: node.name)

        functions = sorted(library.function, key=lambda function: function.signature.name)
        del library.function[:]
        library.function.extend(functions)

    path.write_bytes(saved_model.SerializeToString(deterministic=True))
    (export_dir / "fingerprint.pb").unlink(missing_ok=True)


def _renaming(functions: Collection[str]) -> Callable[[str], str]:
    """A function from a string of the graph to its new text.

    Args:
        functions: The names of all functions of the graph.
    """
    numbers = {int(match[2]) for name in functions if (match := NUMBERED.fullmatch(name))}
    ranks = {number: rank for rank, number in enumerate(sorted(numbers))}
    initializers: dict[str, int] = {}  # numbered in the order in which they occur

    def rename(text: str) -> str:
        if match := TENSOR_INITIALIZER.fullmatch(text):
            return f"{match[1]}{initializers.setdefault(match[2], len(initializers))}{match[3]}"

        match = NUMBERED.fullmatch(text) if text in functions else PLACEHOLDER.fullmatch(text)
        if not match or int(match[2]) not in ranks:
            return text
        return f"{match[1]}{ranks[int(match[2])]}{''.join(match.groups()[2:])}"

    return rename


def _rename_tables_and_arguments(graph: graph_pb2.GraphDef) -> None:
    numbers: dict[str, int] = {}  # numbered in the order in which they occur

    def rename(name: str) -> str:
        if match := TENSOR_TABLE.fullmatch(name):
            return str(numbers.setdefault(match[1], len(numbers)))

        match = TABLE_NAME.fullmatch(name)
        return f"hash_table_{PurePosixPath(match[1]).name}_{match[2]}" if match else name

    nodes = list(graph.node)
    for function in graph.library.function:
        nodes += function.node_def

    for node in nodes:
        if "shared_name" in node.attr:
            node.attr["shared_name"].s = rename(node.attr["shared_name"].s.decode()).encode()

    key = "_user_specified_name"
    for function in graph.library.function:
        for argument in function.arg_attr.values():
            # No user specified a number. It is the id of a captured tensor in the process.
            if key in argument.attr and argument.attr[key].s.isdigit():
                del argument.attr[key]


def _rewrite(message: Message, rename: Callable[[str], str]) -> None:
    """Applies `rename` to every string of a message and every key of its maps. Skips tensors."""
    if message.DESCRIPTOR.full_name == "tensorflow.TensorProto":
        return

    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _rewrite_map(value, field, rename)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for part in value if field.is_repeated else [value]:
                _rewrite(part, rename)
        elif field.type == FieldDescriptor.TYPE_STRING:
            if field.is_repeated:
                value[:] = [rename(text) for text in value]
            else:
                setattr(message, field.name, rename(value))


def _rewrite_map(value: Any, field: FieldDescriptor, rename: Callable[[str], str]) -> None:
    """Applies `rename` to the values and the keys of a map."""
    value_type = field.message_type.fields_by_name["value"].type
    holds_messages = value_type == FieldDescriptor.TYPE_MESSAGE
    if holds_messages:
        for part in value.values():
            _rewrite(part, rename)
    elif value_type == FieldDescriptor.TYPE_STRING:
        for key in value:
            value[key] = rename(value[key])

    for key in [key for key in value if isinstance(key, str) and rename(key) != key]:
        if holds_messages:
            value[rename(key)].CopyFrom(value[key])
        else:
            value[rename(key)] = value[key]
        del value[key]
