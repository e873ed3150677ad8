"""A folder of ``.txt`` files, one folder for each class, and what any text must be to be a sample."""

from __future__ import annotations

import codecs
from pathlib import Path

import pandas as pd

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress
from lsi_engine.samples.files import UnreadableMedia, content_key, encodable, files_below, read_each, read_file
from lsi_engine.samples.sample_set import opaque_id

#: Characters; a longer text is no sample but a book, and every later step would choke on it.
MAX_TEXT = 1_000_000
#: Top folders with these names are splits when no other folder lies beside them.
SPLITS = frozenset({"train", "test", "valid", "val", "dev", "validation"})
#: IMDb's folder of reviews without labels.
UNLABELLED = "unsup"


def unusable(text: str) -> str:
    """Why ``text`` cannot be a sample, in plain words; "" when it can."""
    if not text.strip():
        return "empty text"
    if len(text) > MAX_TEXT:
        return f"too long: {len(text):,} characters, the limit is {MAX_TEXT:,}"
    if "\0" in text:
        return "holds NUL characters: binary data, or UTF-16 without a byte-order mark"
    return "" if encodable(text) else "not valid UTF-8; save the file as UTF-8"


def text_folder(root: Path, progress: Progress) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """The sample table of the ``.txt`` files below ``root``, by relative path, and ``(item, reason)`` of the rest.

    The label is the folder directly below ``root``, or the one below that where the top folders are splits. Raises
    ``InputError`` when no file has a label.
    """
    skipped: list[tuple[str, str]] = []
    found = sorted(files_below(root, skipped))
    with_splits = {path.split("/", 1)[0] for path in found if "/" in path} <= SPLITS
    depth = 2 if with_splits else 1
    labelled: list[tuple[str, str, str]] = []
    unlabelled: dict[str, int] = {}
    for path in found:
        folders = path.split("/")[:-1]
        if len(folders) >= depth and folders[depth - 1] == UNLABELLED:
            folder = "/".join(folders[:depth])
            unlabelled[folder] = unlabelled.get(folder, 0) + 1
        elif not path.lower().endswith(".txt"):
            skipped.append((path, "not a .txt file"))
        elif len(folders) < depth:
            skipped.append((path, "lies in no class folder, so it has no label"))
        else:
            labelled.append((path, folders[depth - 1], folders[0] if with_splits else ""))
    skipped += [(folder, f"{count:,} texts without labels, left out") for folder, count in unlabelled.items()]
    if not labelled:
        reasons = "; ".join(f"{item}: {reason}" for item, reason in skipped[:3])
        raise InputError(
            f"{root} holds no labelled texts. Give a CSV, TSV, JSONL or Parquet file, or put the .txt files of each "
            f"class into a folder of their own.{' Found ' + reasons if reasons else ''}"
        )

    source = {"root": str(root)}

    def read(item: tuple[str, str, str]) -> str:
        return _decoded(read_file(source, item[0], most=4 * MAX_TEXT))

    rows = []
    for (path, label, split), text in read_each(read, labelled, progress):
        if isinstance(text, UnreadableMedia):
            skipped.append((path, str(text)))
        else:
            rows.append((opaque_id(path.encode()), label, path, text, content_key(text.encode()), split))
    table = pd.DataFrame(rows, columns=["sample_id", "label", "name", "text", "content", "split"], dtype="str")
    return table if with_splits else table.drop(columns="split"), skipped


def _decoded(payload: bytes) -> str:
    """UTF-8, or UTF-16 that says so by its byte-order mark; raises ``UnreadableMedia`` with the reason."""
    encoding = "utf-16" if payload[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        text = payload.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableMedia(f"not valid {encoding.removesuffix('-sig').upper()} (byte {error.start})") from error
    if reason := unusable(text):
        raise UnreadableMedia(reason)
    return text
