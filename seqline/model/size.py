"""How large a network is, and whether this machine can train it at all. Imports nothing heavy."""

from seqline.data.features import NUM_RESERVED_IDS
from seqline.errors import UserError
from seqline.host.memory import total_bytes
from seqline.model.spec import Spec

# A training holds each parameter at least four times, as float32: as a weight, in Adam's two
# moments, and in the weights of the best epoch. A checkpoint copies all four into this machine's
# memory, also from a GPU.
BYTES_PER_PARAMETER = 4 * 4


def num_parameters(spec: Spec) -> dict[str, int]:
    """The number of parameters that are trained, by the setting that decides it most."""
    directions = 2 if spec.bidirectional else 1
    units, num_ids = spec.rnn_units, spec.num_tokens + NUM_RESERVED_IDS

    def recurrent(width: int) -> int:
        return directions * (width * units + units * units + units)

    first = recurrent(spec.dim or spec.embedding_dim)
    others = (spec.num_layers - 1) * recurrent(directions * units)

    embedding, skip = num_ids * spec.embedding_dim, (num_ids + spec.num_bigrams) * spec.skip_dim
    if spec.dim:
        embedding, skip = 0, (spec.dim + 1) * spec.skip_dim
    elif spec.embedding_dim > units:  # what the first layer reads decides its kernel
        embedding, first = embedding + first, 0

    pooled = directions * units * (2 if spec.pooling == "mean_max" else 1)
    return {
        "trainer.embedding_dim": embedding,
        "trainer.rnn_units": first + others,
        "trainer.skip_dim": skip,
        "transform.max_length": 0,
        "the labels": (pooled + spec.skip_dim + 1) * spec.num_classes,
    }


def check(spec: Spec, setting: str = "") -> None:
    """Refuses a network that this machine cannot train, whatever else it does.

    It is a lower bound, so that no network is refused that can be trained: no activations, no
    other process, all of the swap. Only where padding is read like text (`masking` is False) a row
    of max_length states counts, since a step holds at least one.

    Args:
        spec: the network.
        setting: what is to be lowered, if it is known; by default what takes most.

    Raises:
        UserError: it needs more memory than there is.
    """
    memory = total_bytes()
    needed = {name: BYTES_PER_PARAMETER * num for name, num in num_parameters(spec).items()}
    if not spec.masking:
        needed["transform.max_length"] = 4 * spec.max_length * spec.rnn_units

    total = sum(needed.values())
    if memory is None or total <= memory:
        return

    largest = max(needed, key=lambda name: needed[name])
    if largest == "trainer.embedding_dim" and spec.num_tokens > spec.embedding_dim:
        largest = "transform.vocab_size or trainer.embedding_dim"
    num = sum(num_parameters(spec).values())
    uses = "weights, Adam's moments, the best epoch"
    if not spec.masking:
        uses += ", the states of one row of max_length"
    raise UserError(
        f"The network would have {num:,} parameters and its training would need {total / 1e9:,.0f}"
        f" GB of memory at least ({uses}); this machine has"
        f" {memory / 1e9:,.0f} GB. Lower {setting or largest}."
    )
