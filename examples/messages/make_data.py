"""Writes messages.csv: 1,600 messages to a shop that does not exist, each with its topic.

The sentences are put together from the parts below, by digests: every machine writes the same
bytes. Writing anew replaces the file beside this one.
"""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

NUM_ROWS = 1600
# Topic -> how many of a hundred messages are about it.
SHARES = {"delivery": 30, "returns": 25, "payment": 20, "account": 13, "praise": 9, "fraud": 3}
THINGS = (
    "shoes", "jacket", "lamp", "kettle", "headphones", "backpack", "chair", "keyboard", "watch",
    "blanket", "tent", "mug",
)  # fmt: skip  # a line for each would be longer than the rest
OPENERS = (
    "", "", "", "Hi,", "Hello,", "Hello team,", "Good morning,", "Dear all,", "Sorry,", "Help!",
    "Quick question:", "Me again.", "As a regular customer:", "Writing from my phone,",
)  # fmt: skip  # a line for each would be longer than the rest
CLOSERS = (
    "", "", "", "", "Thanks", "Thank you!", "Please answer soon.", "Best regards", "Any idea?",
    "I am waiting.", "Order {number}.", "My order number is {number}.", "Cheers",
)  # fmt: skip  # a line for each would be longer than the rest
SENTENCES = {
    "delivery": (
        "my {thing} should have arrived {day}",
        "where is my parcel with the {thing}?",
        "tracking says delivered {day}, but there is no parcel",
        "the courier left the {thing} at the wrong house",
        "can you send the {thing} to another address?",
        "the order is late, nothing moved since {day}",
        "nobody rang the bell and now the {thing} is at the depot",
        "I paid for express and the {thing} is still on its way",
        "only half of the order came, the {thing} is missing",
    ),
    "returns": (
        "the {thing} is too small, I want to send it back",
        "how do I return a {thing}?",
        "the {thing} broke after two days, please replace it",
        "I sent the {thing} back {day} and have heard nothing",
        "the label for the return does not print",
        "wrong colour, I would like to exchange the {thing}",
        "is the {thing} covered if it stops working?",
        "the {thing} arrived damaged, what now?",
        "may I return the {thing} without its box?",
    ),
    "payment": (
        "I was charged twice for the {thing}",
        "my card was declined {day}",
        "please send an invoice for the {thing}",
        "the discount code did not work on the {thing}",
        "when will I get my money back for the {thing}?",
        "can I pay for the {thing} in instalments?",
        "the price of the {thing} changed at the checkout",
        "the amount on my bank statement is not what the {thing} cost",
        "the refund for the {thing} is too low",
    ),
    "account": (
        "I cannot log in since {day}",
        "the password link never arrives",
        "please change the email of my account",
        "how do I delete my account?",
        "the app signs me out all the time",
        "I have two accounts, can you merge them?",
        "my saved address is gone",
        "the code for signing in comes too late",
        "please take me off the newsletter",
    ),
    "praise": (
        "the {thing} is wonderful",
        "best {thing} I ever had, well done",
        "the {thing} came sooner than promised, great",
        "your colleague on the phone was so kind {day}",
        "five stars for the {thing}",
        "I love the new {thing}",
        "just wanted to say that the return was easy",
    ),
    "fraud": (
        "I did not order a {thing}, somebody used my card",
        "there is an order for a {thing} in my account that is not mine",
        "an email in your name asks for my password",
        "somebody logged in to my account {day} from abroad",
        "a charge {day} that I never made",
    ),
}
DAYS = ("yesterday", "on Monday", "on Friday", "last week", "two weeks ago", "this morning")


def pick(choices: Sequence[str], *key: object) -> str:
    """One of the choices, by a digest of the key."""
    return choices[number(*key) % len(choices)]


def number(*key: object) -> int:
    """A number that follows from the key."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8])


def message(row: int) -> tuple[str, str]:
    """The text and the topic of a row."""
    shares = [topic for topic, share in SHARES.items() for _ in range(share)]
    topic = pick(shares, "topic", row)
    told = pick(list(SHARES), "aside", row)

    parts = [pick(OPENERS, "opener", row)]
    if number("has aside", row) % 4 == 0 and told != topic:  # a second topic, in passing
        parts += [pick(SENTENCES[told], "told", row).rstrip("?") + ", but that is settled."]
    parts += [pick(SENTENCES[topic], "sentence", row), pick(CLOSERS, "closer", row)]

    text = " ".join(part for part in parts if part)
    text = text.replace("{thing}", pick(THINGS, "thing", row))
    text = text.replace("{day}", pick(DAYS, "day", row))
    return typed(text.replace("{number}", str(number("order", row) % 90000 + 10000)), row), topic


def typed(text: str, row: int) -> str:
    """The text as it was typed: in one word of ten, two letters change places."""
    words = text.split(" ")
    for place, word in enumerate(words):
        if len(word) > 3 and number("typo", row, place) % 10 == 0:
            at = 1 + number("letter", row, place) % (len(word) - 2)
            words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def write(path: Path) -> None:
    """Writes id, message and topic of every row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", "message", "topic"])
        rows.writerows([row, *message(row)] for row in range(1, NUM_ROWS + 1))


if __name__ == "__main__":
    write(Path(__file__).parent / "messages.csv")
