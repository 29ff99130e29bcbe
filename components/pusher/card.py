"""The model card of a version: README.md, in Markdown, with the metadata block that hubs read.

It says what the model is for, what it was made of, what was measured and what was not. It is made
of the files that are pushed with it (model.json, the evaluation) and of what a person wrote into
the configuration: the same bytes for the same artifacts, with no row of the data in it.
"""

from collections.abc import Iterator
from pathlib import Path

from components.pusher import PusherParams, card_metadata, card_usage
from components.pusher.card_figures import figures
from components.pusher.card_markdown import by_owner, number, table
from seqline.data import features
from seqline.data.blessing import InfraBlessing
from seqline.data.evaluation import Evaluation
from seqline.model.identity import CARD, ModelCard, read_card
from seqline.text import markdown

CONTENTS = {
    "text": "texts",
    "tokens": "lists of tokens",
    "sequence": "sequences of time steps, each of several numbers",
}
NAMELESS = "model"
# Labels that the first paragraph names.
NUM_LABELS = 20
# Figures of transform.json, and what the card calls them.
TRANSFORMED = {
    "tokens": "a token is a",
    "lowercase": "lower case",
    "num_tokens": "tokens in the vocabulary",
    "oov_rate": "share of train's tokens outside it",
    "max_length": "tokens or time steps that the recurrent part reads",
    "num_cut": "longer rows, cut to that",
    "dim": "numbers of a time step",
}


def write(
    model: Path, evaluation: Evaluation, blessing: InfraBlessing, params: PusherParams
) -> str:
    """The content of README.md.

    Args:
        model: The SavedModel; one of another program has no model.json, and a shorter card.
        evaluation: Its evaluation.
        blessing: What the server said.
        params: The texts that a person wrote.

    Raises:
        UserError: model.json is damaged.
    """
    path = model / CARD
    card = read_card(path.read_bytes() if path.is_file() else None, str(path))
    name = params.model_name or NAMELESS
    parts = [
        _summary(name, card, evaluation),
        _intended_use(card, params),
        _limits(card, params),
        _data(card, params),
        figures(card, evaluation),
        _not_measured(card, evaluation, blessing),
        card_usage.asking(name, card),
        _training(card),
        card_usage.digests(card, blessing),
    ]
    body = "\n".join(line for part in parts for line in [*part, ""])
    return card_metadata.block(name, card, evaluation, params) + "\n" + body.rstrip("\n") + "\n"


def _summary(name: str, card: ModelCard, evaluation: Evaluation) -> Iterator[str]:
    yield f"# {markdown(name)}"
    yield ""
    labels = card.get("labels", list(evaluation.classes))
    shown = ", ".join(markdown(label, 60) for label in labels[:NUM_LABELS])
    if len(labels) > NUM_LABELS:
        shown += f", and {len(labels) - NUM_LABELS:,} more"
    content = CONTENTS[card.get("content", "text")]
    yield f"Classifies {content} into {len(labels):,} classes: {shown}."
    yield ""
    low, high = evaluation.accuracy_interval
    yield (
        f"Accuracy on {evaluation.num_rows:,} rows that it was not trained on:"
        f" **{number(evaluation.accuracy)}** (95 % interval {number(low)} to {number(high)})."
    )


def _intended_use(card: ModelCard, params: PusherParams) -> Iterator[str]:
    yield "## Intended use"
    yield ""
    yield from by_owner(params.intended_use) or ["Not stated by its makers."]
    yield ""
    languages = ", ".join(params.language) or "not stated"
    if card.get("content", "text") != "sequence":
        yield f"- Languages: {markdown(languages)}"
    yield f"- License of the model: {markdown(params.license or 'not stated')}"
    yield f"- Contact: {' '.join(by_owner(params.contact)) or 'not stated'}"


def _limits(card: ModelCard, params: PusherParams) -> Iterator[str]:
    yield "## Limits"
    yield ""
    if own := by_owner(params.limitations):
        yield from own
        yield ""
    yield "- Every row gets one of the classes above, also a row that belongs to none of them."
    yield "- A probability says how sure the model is on rows like those of the data below."
    if card.get("content", "text") != "sequence":
        yield "- What it knows of language is what train holds: other words are guesses."
    max_length = card.get("data", {}).get("max_length")
    if max_length is not None and not card.get("network", {}).get("wide"):
        yield f"- It reads the first {number(max_length)} tokens or time steps of a row."
    yield "- It repeats what is wrong or one-sided in the labels that it was trained on."


def _data(card: ModelCard, params: PusherParams) -> Iterator[str]:
    yield "## Data"
    yield ""
    yield f"Source: {markdown(params.dataset or 'not stated')}."
    read, data = card.get("examples", {}), card.get("data", {})

    splits, num_rows = read.get("splits", {}), data.get("num_rows", {})
    rows = []
    for split in features.SPLITS:
        known = splits.get(split, {})
        if split in splits or split in num_rows:
            count = known.get("num_rows", num_rows.get(split))
            rows.append([split, number(count), number(known.get("num_classes"))])
    if rows:
        yield ""
        yield from table(["split", "rows", "classes"], rows)

    facts = list(_facts(card))
    if facts:
        yield ""
        yield from facts


def _facts(card: ModelCard) -> Iterator[str]:
    """What became of the rows, a line of a list for each fact."""
    read, data = card.get("examples", {}), card.get("data", {})
    spans = read.get("spans", {})
    if spans:
        of = f"{number(spans.get('first'))} to {number(spans.get('last'))}"
        yield f"- Spans: {number(spans.get('count'))} ({of})"
    if "num_read" in read:
        yield f"- Rows read: {number(read['num_read'])}"
    for problem, count in sorted(read.get("num_bad", {}).items()):
        yield f"- Rows that could not be used ({markdown(problem, 80)}): {number(count)}"
    if read.get("num_left_out"):
        yield f"- Rows of rare classes that were left out: {number(read['num_left_out'])}"

    for name, meaning in TRANSFORMED.items():
        if data.get(name) is not None:
            yield f"- {meaning[0].upper()}{meaning[1:]}: {number(data[name])}"


def _not_measured(
    card: ModelCard, evaluation: Evaluation, blessing: InfraBlessing
) -> Iterator[str]:
    yield "## What was not measured"
    yield ""
    yield "- Rows from elsewhere: the test rows come from the same source as those of train."
    yield "- Groups of people: a slice is measured only if the data have a column for it."
    yield "- Rows made to mislead the model, and how answers change when the world does."
    if evaluation.not_compared:
        why = evaluation.not_compared.get("why", "")
        yield f"- The version served before, on the same rows: {markdown(why)}."
    elif evaluation.served is None:
        yield "- The version served before, on the same rows: there was none to compare with."
    if not any(name != "majority class" for name in evaluation.baselines):
        yield "- A linear model on the same rows."
    if sample := evaluation.linear_sample:
        asked = f"{number(sample.get('num_asked'))} of {number(sample.get('num_test'))}"
        yield f"- The linear model on all rows: it answered {asked} test rows."
    few = [of for of in evaluation.slices if not of.get("judged")]
    if few:
        yield f"- Gates on {len(few):,} slices: they have too few rows to be judged."
    for gate in evaluation.gates:
        if gate.passed is None:
            yield f"- The gate {markdown(gate.name, 60)}: {markdown(gate.reason)}."
    if not blessing.asked:
        yield "- A server's answers: none was asked before the push."
    if card.get("exporter", {}).get("table_dtype") not in (None, "float32"):
        yield "- The trained network in float32 on the test rows: its tables were made smaller."


def _training(card: ModelCard) -> Iterator[str]:
    yield "## Training"
    yield ""
    network, kept = card.get("network", {}), card.get("training", {})
    if not network:
        yield "Not known: another program made this model."
        return

    parts = ["a SimpleRNN"] if network.get("recurrent", True) else []
    parts += ["a linear model of n-grams"] if network.get("wide") else []
    yield f"The model is {' and '.join(parts)}."
    if kept:
        yield (
            f"Of {number(kept.get('num_epochs'))} epochs, number"
            f" {number(kept.get('best_epoch'))} was kept: accuracy"
            f" {number(kept.get('val_accuracy'))}, loss {number(kept.get('val_loss'))} on eval."
        )
    settings = {**card.get("settings", {}), **network}
    exporter = {f"exporter.{name}": value for name, value in card.get("exporter", {}).items()}
    rows = [
        [f"`{name}`", number(value)]
        for name, value in [*sorted(settings.items()), *sorted(exporter.items())]
    ]
    yield ""
    yield "<details><summary>Settings</summary>"
    yield ""
    yield from table(["setting", "value"], rows)
    yield ""
    yield "</details>"
