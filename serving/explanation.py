"""Why a row got its label: the answers of the signature `serving_explain`, read and written out.

The exporter makes that signature for models with a wide part (trainer.wide). What an n-gram or a
part of the model adds is a number of log-odds: of the label against the average of all labels.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SIGNATURE = "serving_explain"
# What it answers. A model without a recurrent part lacks `recurrent` and its probabilities.
OUTPUTS = {
    "top_labels",
    "top_probabilities",
    "ngrams",
    "counts",
    "scores",
    "others",
    "prior",
    "wide_probabilities",
}
MISSING = "it has no wide part (trainer.wide); --explain needs one"
# Digits of a number after the point, as those of the probabilities.
DIGITS = 6
# The n-grams that are printed for a label, and as many against it.
NUM_PRINTED = 8
# Characters of a row that are printed.
WIDTH = 100


def explanations(answer: Mapping[str, Any], labels: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The explanations of rows.

    Args:
        answer: What `serving_explain` answers: output -> array.
        labels: The label of each row.

    Yields:
        {"label": what is explained,
         "for", "against": [{"ngram": ..., "count": how often the row has it, "score": what all of
             its occurrences add}], what adds most or takes most away in front,
         "others": what the row's other n-grams add,
         "prior": what the n-grams' part says of a row without n-grams,
         "recurrent": what the recurrent part adds,
         "total": the sum of all of these: the log-odds of the label against the average label,
         "wide_probability", "recurrent_probability": what each part says of the label alone}.
        `recurrent` and `recurrent_probability` are None for a model without that part.
    """
    values = {name: value.tolist() for name, value in answer.items()}
    for number, label in enumerate(labels):
        yield _explanation({name: value[number] for name, value in values.items()}, label)


def _explanation(row: Mapping[str, Any], label: str) -> dict[str, Any]:
    top = [one.decode() for one in row["top_labels"]]
    # Of labels that are equally likely, the given one may not be among the k likeliest.
    place = top.index(label) if label in top else 0

    ngrams = [
        {"ngram": name.decode("utf-8", "replace"), "count": count, "score": scores[place]}
        for name, count, scores in zip(row["ngrams"], row["counts"], row["scores"], strict=True)
        if count  # it is 0 after the last n-gram
    ]
    ngrams.sort(key=lambda ngram: -ngram["score"])
    parts = {
        part: row[part][place] if part in row else None for part in ("others", "prior", "recurrent")
    }
    total = sum(ngram["score"] for ngram in ngrams) + sum(filter(None, parts.values()))
    alone = {
        f"{part}_probability": row[output][place] if output in row else None
        for part in ("wide", "recurrent")
        for output in [f"{part}_probabilities"]
    }

    for ngram in ngrams:
        ngram["score"] = round(ngram["score"], DIGITS)
    numbers = {**parts, "total": total, **alone}
    return {
        "label": top[place],
        "for": [ngram for ngram in ngrams if ngram["score"] > 0],
        "against": [ngram for ngram in reversed(ngrams) if ngram["score"] < 0],
        **{
            name: None if number is None else round(number, DIGITS)
            for name, number in numbers.items()
        },
    }


def lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """What a terminal shows of an answer of `serving.predict.predict` with an explanation.

    Args:
        answer: The answer, of texts or tokens, or one with an error.
    """
    row = answer["text"] if "text" in answer else answer["tokens"]
    shown = _printable(" ".join((row if isinstance(row, str) else " ".join(row)).split()))
    shown = shown if len(shown) <= WIDTH else f"{shown[: WIDTH - 3]}..."

    if "error" in answer:
        yield shown or "(an empty text)"
        yield f"  {answer['error']}"
        return

    why = answer["explanation"]
    label = why["label"]
    yield f"{_printable(label)}  {_percent(answer['probabilities'][label])}"
    yield f"  {shown or '(an empty text)'}"

    printed = 0.0
    for name, ngrams in (("for", why["for"]), ("against", why["against"])):
        yield f"  speaks {name} it" if ngrams else f"  no n-gram speaks {name} it"
        for ngram in ngrams[:NUM_PRINTED]:
            times = f"  ({ngram['count']} times)" if ngram["count"] > 1 else ""
            yield f"    {ngram['score']:+7.3f}  {_name(ngram['ngram'])}{times}"
            printed += ngram["score"]

    rest = sum(ngram["score"] for ngram in [*why["for"], *why["against"]]) - printed
    yield "  besides"
    if max(len(why["for"]), len(why["against"])) > NUM_PRINTED or why["others"]:
        yield f"    {rest + why['others']:+7.3f}  all other n-grams"
    yield f"    {why['prior']:+7.3f}  before any n-gram"
    if why["recurrent"] is not None:
        yield f"    {why['recurrent']:+7.3f}  recurrent part"
    yield f"  = {why['total']:+7.3f}  log-odds of {_printable(label)} against the average label"

    if why["recurrent"] is not None:
        yield (
            f"  the n-grams alone: {_percent(why['wide_probability'])};"
            f" the recurrent part alone: {_percent(why['recurrent_probability'])}"
        )


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f} %"


def _name(ngram: str) -> str:
    """An n-gram, in quotes if one could not tell where it begins or ends."""
    return f"'{_printable(ngram)}'" if ngram != ngram.strip() else _printable(ngram)


def _printable(text: str) -> str:
    """A text in which nothing moves the terminal's cursor or changes its colours."""
    return "".join(
        character if character.isprintable() else f"\\x{ord(character):02x}" for character in text
    )
