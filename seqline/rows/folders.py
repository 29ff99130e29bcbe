"""What a folder of a source holds, and which of its files are read.

out/part-00000.csv, out/part-00001.csv             files of one kind
out/label=pos/part-0.parquet                       the same in partitions: `key=value` folders
reviews/pos/1.txt, reviews/neg/1.txt               texts in the folders of their classes
texts/1.txt, texts/more/2.txt                      texts, where no label is needed
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from seqline.errors import DataError, UserError
from seqline.rows import other_kinds, unused
from seqline.rows.formats import folder as texts
from seqline.rows.formats import kind_of_name
from seqline.rows.read import known_kinds, suffix
from seqline.rows.unused import Reason, Unused
from seqline.storage import listing
from seqline.storage.listing import Entry, Listing

# What other programs leave beside data: their names alone tell that they hold no rows.
MARKERS = re.compile(
    r"_SUCCESS(\..*)?|_committed_.*|_started_.*|_metadata|_common_metadata|\..*\.crc|\._.*"
    r"|\.DS_Store|Thumbs\.db|desktop\.ini|\.git(keep|ignore|attributes)|\.keep",
    re.DOTALL,
)
MARKED_FOLDERS = {".git", ".hg", ".svn", ".dvc", "_delta_log", ".hoodie", "_spark_metadata"}
# Tables whose log tells which rows of their files still count.
TABLES = {"_delta_log": "Delta Lake", ".hoodie": "Hudi"}
# What Hugging Face's `save_to_disk` writes beside .arrow files.
ARROW_MARKERS = {"dataset_info.json", "state.json", "dataset_dict.json"}
PARTITION = re.compile(r"[^=.][^=]*=.*", re.DOTALL)
# Splits as folders are no classes -> the names that the table of a source gives them.
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "eval": "validation",
}


@dataclass
class Shape:
    """What of a folder is read.

    Attributes:
        kind: The NAME of the format.
        chosen: The files that are read, in the order of their paths.
        unused: The others.
    """

    kind: str
    chosen: list[Entry]
    unused: list[Unused]


@dataclass(frozen=True)
class _Inside:
    """A file beneath the folder: itself, the folders between, and its name."""

    entry: Entry
    folders: tuple[str, ...]
    name: str

    @property
    def is_partition(self) -> bool:
        """Whether it lies in the folder itself, or in partitions."""
        return all(PARTITION.fullmatch(folder) for folder in self.folders)

    @property
    def is_data(self) -> bool:
        """Whether it is a file of rows, here or in a partition. Other engines hide `_x`."""
        return (
            self.is_partition
            and not self.name.startswith("_")
            and kind_of_name(self.entry.path) is not None
        )


def look_into(path: str, beneath: Sequence[Entry] | None, section: str, labelled: bool) -> Shape:
    """What of a folder is read.

    Args:
        path: The folder.
        beneath: The files in it. None for a local folder, which is listed.
        section: Whose source it is, for messages.
        labelled: Whether texts need the folder of a class.

    Raises:
        UserError: It has files of several kinds, or something cannot be read.
        DataError: It has no file that can be read, or a link leads nowhere.
    """
    others: list[Unused] = []
    hidden_paths: list[str] = []
    if beneath is None:
        listed = listing.walk(path)
        hidden_paths = listed.hidden
        others += [*hidden(listed), *repeated(listed)]
        beneath = listed.files

    inside = []
    markers = []
    has_arrow = any(entry.path.endswith(".arrow") for entry in beneath)
    for entry in beneath:
        *folders, name = entry.path[len(path) :].lstrip("/").split("/")
        is_arrow_marker = has_arrow and name in ARROW_MARKERS
        if is_arrow_marker or is_marker("/".join([*folders, name])):
            markers.append(entry.path)
        else:
            inside.append(_Inside(entry, tuple(folders), name))

    name = f"{section}.source: the folder {unused.printable(path)}"
    _check_no_table([*markers, *hidden_paths], name, path)
    others += unused.unused(unused.MARKER, markers)
    kind, chosen = _choose(inside, name, path, labelled)
    others += _unused(inside, chosen, kind, labelled)
    return Shape(kind, [file.entry for file in chosen], others)


def _choose(
    inside: list[_Inside], name: str, path: str, labelled: bool
) -> tuple[str, list[_Inside]]:
    """(kind, files that are read)."""
    # Without labels texts may lie in the folder itself, too.
    depths = (1,) if labelled else (0, 1)
    in_place = [file for file in inside if len(file.folders) in depths]
    data = [file for file in inside if file.is_data]
    plain = [file for file in in_place if texts.is_text(file.name)]
    bare = [file for file in in_place if "." not in file.name and not file.is_partition]

    classes = {file.folders[0] for file in plain if file.folders}
    if plain and (not data or (labelled and len(classes) > 1)):
        if labelled:
            _check_classes(classes, inside, name, path)
        return texts.NAME, plain
    if data:
        _check_one_kind([*data, *plain], name, path)
        if labelled:
            _check_no_splits(data, name, path)
        return kind_of_name(data[0].name) or "", data

    # The files of 20 Newsgroups are named by numbers.
    has_texts = any(texts.is_text(file.name) for file in inside)
    if len({file.folders[0] for file in bare}) > 1 and not has_texts:
        return texts.NAME, bare
    raise _nothing(inside, name, path, labelled)


def _check_no_table(paths: list[str], name: str, path: str) -> None:
    for folder, engine in TABLES.items():
        if any(f"/{folder}/" in hidden_path for hidden_path in paths):
            raise UserError(
                f"{name} is a table of {engine}: its files also hold rows that were deleted or"
                " replaced. Export the table, or name the files by a glob to read all of them:"
                f' "{unused.printable(path)}/*.parquet".'
            )


def _check_classes(classes: set[str], inside: list[_Inside], name: str, path: str) -> None:
    """Refuses folders of splits, which hold the folders of classes."""
    deeper = any(len(file.folders) > 1 and texts.is_text(file.name) for file in inside)
    if deeper and {folder.lower() for folder in classes} <= set(SPLIT_FOLDERS):
        raise _holds_splits(classes, name, path)


def _holds_splits(folders: set[str], name: str, path: str) -> UserError:
    splits = {SPLIT_FOLDERS[folder.lower()]: f'"{path}/{folder}"' for folder in sorted(folders)}
    table = ", ".join(f"{split} = {place}" for split, place in splits.items())
    return UserError(
        f"{name} holds the folders of splits, {', '.join(sorted(folders))}. Name each split:"
        f" source = {{{table}}}."
    )


def _check_no_splits(data: list[_Inside], name: str, path: str) -> None:
    """Refuses train.csv beside test.csv, or test-00000-of-00001.parquet: no parts of one whole."""
    places: dict[str, str] = {}
    for file in data:
        word = re.split("[^A-Za-z]", file.name, maxsplit=1)[0]
        split = SPLIT_FOLDERS.get(word.lower())
        if split is not None and not file.folders:
            is_first = split not in places
            places[split] = f"{path}/{file.name if is_first else f'{word}*{suffix(file.name)}'}"

    if "train" in places and len(places) > 1:
        table = ", ".join(f'{split} = "{place}"' for split, place in places.items())
        raise UserError(
            f"{name} holds the files of several splits. Name each split: source = {{{table}}};"
            f' or all files by a glob, to split their rows anew: "{path}/*".'
        )


def _check_one_kind(files: list[_Inside], name: str, path: str) -> None:
    kinds: dict[str, str] = {}
    for file in files:
        kinds.setdefault(kind_of_name(file.name) or texts.NAME, file.name)

    if len(kinds) > 1:
        suffixes = sorted({suffix(first) for first in kinds.values()})
        raise UserError(
            f"{name} holds files of several kinds, {', '.join(suffixes)}"
            f" ({', '.join(map(unused.printable, sorted(kinds.values())))}); name one kind by a"
            f' glob, such as "{unused.printable(path)}/*{suffixes[0]}".'
        )


def _nothing(inside: list[_Inside], name: str, path: str, labelled: bool) -> UserError:
    """The error for a folder of which nothing can be read."""
    if not inside:
        return DataError(f"{name} holds no file that is not hidden. Name a folder with files.")

    shown = unused.printable(path)
    deeper = [file for file in inside if file.folders and kind_of_name(file.name) is not None]
    if deeper:
        first = unused.printable(deeper[0].entry.path)
        ending = suffix(deeper[0].name)
        outer = {file.folders[0] for file in deeper}
        if labelled and {folder.lower() for folder in outer} <= set(SPLIT_FOLDERS):
            return _holds_splits(outer, name, path)
        return DataError(
            f"{name} holds files of rows in deeper folders only ({first}). Name them by a glob:"
            f' "{shown}/**/*{ending}". A folder\'s name is a column where it is `column=value`.'
        )

    elsewhere = [file for file in inside if texts.is_text(file.name)]
    if elsewhere:
        first = unused.printable(elsewhere[0].entry.path)
        outer = {file.folders[0] for file in elsewhere if file.folders}
        if labelled and outer and {folder.lower() for folder in outer} <= set(SPLIT_FOLDERS):
            return _holds_splits(outer, name, path)
        if labelled:
            return DataError(
                f"{shown} holds 0 class folders with .txt files; at least two are needed:"
                f" <class>/<name>.txt. The texts are elsewhere ({first}). Move them into the"
                " folders of their classes, or name the folder that holds these."
            )
        return DataError(
            f'{name} holds texts in deeper folders only ({first}). Name them by a glob: "{shown}'
            '/**/*.txt".'
        )

    first = unused.printable(inside[0].entry.path)
    if way_out := other_kinds.way_out(inside[0].entry.path):
        return UserError(f"{name} holds no file of rows: {first} {way_out}")

    endings = Counter(suffix(file.name) or "no suffix" for file in inside)
    counts = ", ".join(f"{count:,} with {ending}" for ending, count in endings.most_common(3))
    return DataError(
        f"{name} holds no file of a kind that can be read, but {counts} ({first}). Give them the"
        f" ending of what they hold, {known_kinds()}, or .txt for texts in the folders of their"
        " classes (<class>/<name>.txt)."
    )


def _unused(
    inside: list[_Inside], chosen: list[_Inside], kind: str, labelled: bool
) -> list[Unused]:
    """The files that are not read, by their reasons."""
    paths = {file.entry.path for file in chosen}
    names: dict[Reason, list[str]] = {}
    for file in inside:
        if file.entry.path not in paths:
            reason = _why_not(file, kind, labelled)
            names.setdefault(reason, []).append(file.entry.path)
    return [record for reason, listed in names.items() for record in unused.unused(reason, listed)]


def _why_not(file: _Inside, kind: str, labelled: bool) -> Reason:
    if kind == texts.NAME:
        if len(file.folders) > 1:
            return unused.DEEPER
        return unused.SUFFIX if file.folders or not labelled else unused.LOOSE
    if any(name.startswith("_") for name in (*file.folders, file.name)):
        return unused.HIDDEN
    return unused.SUFFIX if file.is_partition else unused.DEEPER


def is_marker(path: str) -> bool:
    """Whether a name tells that another program left the file, and that it holds no rows."""
    parts = path.split("/")
    return MARKERS.fullmatch(parts[-1]) is not None or not MARKED_FOLDERS.isdisjoint(parts)


def hidden(listed: Listing) -> list[Unused]:
    """The hidden files of a listing."""
    markers = [path for path in listed.hidden if is_marker(path)]
    others = [path for path in listed.hidden if not is_marker(path)]
    return [*unused.unused(unused.MARKER, markers), *unused.unused(unused.HIDDEN, others)]


def repeated(listed: Listing) -> list[Unused]:
    """The folders that a listing found under two names."""
    names = [
        f"{name.rstrip('/')}/ (that is {first.rstrip('/') or '.'}/)"
        for name, first in listed.repeated
    ]
    return unused.unused(unused.SAME, names)
