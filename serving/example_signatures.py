"""The signatures that classify and regress requests ask: those for tf.Examples."""

from serving import reading
from serving.errors import RefusedError
from serving.model import CLASSIFY, DEFAULT_SIGNATURE, EXAMPLES, REGRESS, LoadedModel, Signature

EXAMPLES_SIGNATURE = "serving_examples"


def examples_signature(model: LoadedModel, verb: str, name: str) -> Signature:
    """The signature that a classify or regress request asks.

    It has that method, or, as the exporter's, takes serialized tf.Examples and gives probabilities.
    """
    for candidate in [name] if name else [DEFAULT_SIGNATURE, EXAMPLES_SIGNATURE]:
        if candidate in model.signatures and fits(model.signatures[candidate], verb):
            return model.signatures[candidate]

    if name:
        if name not in model.signatures:
            raise reading.unknown_signature(name, model.signatures)
        tried = f"{name[:100]!r} is none"
    else:
        tried = f"neither {DEFAULT_SIGNATURE} nor {EXAMPLES_SIGNATURE} is one"
    raise RefusedError(f"Expected a {verb} signature, for tf.Examples; {tried}.")


def fits(signature: Signature, verb: str) -> bool:
    """Whether a signature is one for such requests."""
    inputs = list(signature.inputs.values())
    if len(inputs) != 1 or inputs[0].dtype.kind != "O" or inputs[0].shape not in (None, (-1,)):
        return False
    if verb == "regress":
        return signature.method == REGRESS and "outputs" in signature.outputs
    if signature.method == CLASSIFY:
        return bool({"classes", "scores"} & signature.outputs.keys())
    return list(signature.inputs) == [EXAMPLES] and "probabilities" in signature.outputs
