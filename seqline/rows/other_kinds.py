"""Files that are known by their names and not read: what they are, and the way out."""

from pathlib import PurePosixPath

# Endings -> what the file is, and how its rows get into a file that is read.
KINDS: dict[tuple[str, ...], tuple[str, str]] = {
    (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"): (
        "a workbook",
        'Save its sheet as CSV UTF-8, or pandas.read_excel(path).to_csv("rows.csv", index=False).',
    ),
    (".npy", ".npz"): (
        "an array of NumPy, which has no columns",
        "Write contents and labels as columns:"
        ' pandas.DataFrame({"text": list(x), "label": y}).to_parquet("rows.parquet").',
    ),
    (".pkl", ".pickle", ".joblib"): (
        "a pickle, which runs code when it is loaded",
        'If you trust it: pandas.read_pickle(path).to_parquet("rows.parquet").',
    ),
    (".pt", ".pth", ".safetensors"): (
        "a file of tensors, which has no rows",
        'Write contents and labels as columns of a table: to_parquet("rows.parquet").',
    ),
    (".orc",): (
        "an ORC file",
        'Write it as Parquet: pandas.read_orc(path).to_parquet("rows.parquet").',
    ),
    (".avro",): ("an Avro file", "Convert it to Parquet or JSONL."),
    (".h5", ".hdf5", ".hdf"): (
        "an HDF5 file",
        'Write its table as Parquet: pandas.read_hdf(path).to_parquet("rows.parquet").',
    ),
    (".mat",): ("a MATLAB file", "Write it as CSV with writetable, or as Parquet."),
    (".rds", ".rdata", ".rda"): ("an R file", 'Write it in R: write.csv(rows, "rows.csv").'),
    (".sav", ".dta", ".sas7bdat"): (
        "a file of SPSS, Stata or SAS",
        "Write it as Parquet with pandas.read_spss, read_stata or read_sas, and to_parquet.",
    ),
    (".db", ".sqlite", ".sqlite3", ".duckdb"): (
        "a database",
        "Write its table as CSV, such as with sqlite3 -header -csv.",
    ),
    (".xml", ".html", ".htm"): (
        "a document with markup",
        "Write its texts as CSV or JSONL, or as .txt files in the folders of their classes.",
    ),
    (".pdf", ".doc", ".docx", ".rtf", ".odt"): (
        "a document",
        "Save the texts as .txt files in the folders of their classes, or as JSONL.",
    ),
    (".tar", ".tgz", ".7z", ".rar"): ("an archive", "Unpack it, and name its files."),
}


def way_out(path: str) -> str | None:
    """`is an ORC file. Write it as ...`; None for a name that says nothing."""
    endings = [ending.lower() for ending in PurePosixPath(path).suffixes]
    for known, (kind, advice) in KINDS.items():
        # A compressed one has two endings, as rows.orc.gz.
        if not set(endings[-2:]).isdisjoint(known):
            return f"is {kind}. {advice}"
    return None
