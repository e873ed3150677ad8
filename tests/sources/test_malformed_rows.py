"""Some 500 malformed files and folders of texts and tables: samples or one plain sentence, never a traceback."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lsi_engine.errors import InputError
from lsi_engine.samples import SampleSet, table, texts

Case = tuple[str, bytes]
WHOLE = [
    ("good film", "1.5", "pos"),
    ("bad film", "2.5", "neg"),
    ("fine plot", "-3e2", "pos"),
    ("dull plot", "4", "neg"),
]
HEADER = ("text", "x", "label")
#: Cells that are dangerous, wrong or odd, for any column.
CELLS = [
    "", " ", "\t", "nan", "NaN", "inf", "-inf", "1e999", "1_000", "0x10", "１２", "1,5", "NULL", "None", "?", "True",
    "\x00", "a\x00b", "\ufeff", "\u202etxt.exe", "\u200b", "\ud800", "\udce9", "é", "שלום", "e\u0301", "🙂" * 50,
    "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "../../etc/passwd", "{{7*7}}", "%s%n", "a" * 300, "x " * 5000,
    '"', '""', '"open', 'mid"dle', "line\nend", "cr\rcr", "crlf\r\n", ",", ";", "\\", "\\n", "-", "--name", "'",
    "9" * 400, "\x1b[31m", "\x7f", "row-000001",
]  # fmt: skip


def csv_of(rows: list[tuple[str, ...]], delimiter: str = ",", quoted: bool = True) -> bytes:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if quoted else text

    lines = [delimiter.join(map(cell, row)) for row in [HEADER, *rows]]
    return "\n".join(lines).encode("utf-8", "surrogateescape" if "\ud800" not in "".join(lines) else "surrogatepass")


def json_of(rows: list[tuple[str, ...]]) -> bytes:
    return "\n".join(json.dumps(dict(zip(HEADER, row, strict=True))) for row in rows).encode()


def parquet_of(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def odd_cells() -> Iterator[Case]:
    """Each odd cell in each column, quoted and bare, as CSV and JSON."""
    for number, odd in enumerate(CELLS):
        for column in range(3):
            row = list(WHOLE[0])
            row[column] = odd
            yield f"cell{number}-{column}.csv", csv_of([*WHOLE, tuple(row)])
            yield f"cell{number}-{column}.jsonl", json_of([*WHOLE, tuple(row)])
        yield f"bare{number}.csv", csv_of([*WHOLE, (odd, odd, odd)], quoted=False)


def encodings() -> Iterator[Case]:
    text = csv_of([*WHOLE, ("café", "5", "pos")], quoted=False).decode()
    for name in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "cp437", "utf-7", "cp037"):
        yield f"{name}.csv", text.encode(name)
        yield f"{name}.tsv", text.replace(",", "\t").encode(name)
    yield "half-utf-16.csv", codecs.BOM_UTF16_LE + text.encode("utf-16-le")[:-1]
    yield "bom-alone.csv", codecs.BOM_UTF8
    yield "bom-alone.jsonl", codecs.BOM_UTF16_BE


def cut_short() -> Iterator[Case]:
    """Every file cut at several places, and with one byte turned over."""
    frame = pd.DataFrame(WHOLE, columns=HEADER)
    whole = {
        "a.csv": csv_of(WHOLE), "a.tsv": csv_of(WHOLE, "\t"), "a.jsonl": json_of(WHOLE), "a.parquet": parquet_of(frame),
        "a.csv.gz": gzip.compress(csv_of(WHOLE)), "a.jsonl.gz": gzip.compress(json_of(WHOLE)),
    }  # fmt: skip
    for name, payload in whole.items():
        for part in range(8):
            yield f"cut{part}-{name}", payload[: len(payload) * part // 8]
            broken = bytearray(payload)
            broken[len(payload) * part // 8] ^= 0xFF
            yield f"turned{part}-{name}", bytes(broken)
        yield f"other-{name}", b"\x89PNG\r\n\x1a\n" + bytes(64)


def shapes() -> Iterator[Case]:
    """Ragged, doubled, missing and empty columns, and JSON that is something else."""
    for name, lines in {
        "header-only": ["text,x,label"],
        "blank": ["", "", ""],
        "one-column": ["text", "a", "b"],
        "no-header": ["a,1,p"],
        "doubled": ["text,text,label", "a,b,p"],
        "unnamed": [",,", "a,1,p", "b,2,n"],
        "spaces": [" text , x , label ", "a,1,p"],
        "ragged": ["text,x,label", "a", "b,1", "c,1,p,9", "d,1,p", ",,,,,,", "e,2,n"],
        "wide": [",".join(map(str, range(3000)))],
        "quote-open": ["text,x,label", '"a,1,p', "b,2,n"],
        "quote-in-header": ['"text,x,label', "a,1,p"],
        "one-class": ["text,x,label", "a,1,p", "b,2,p"],
        "all-labels-differ": ["text,x,label", "a,1,p", "b,2,n", "c,3,m"],
        "no-labels": ["text,x,label", "a,1,", "b,2,"],
        "semicolons": ["text;x;label", "a;1;p", "b;2;n"],
        "long-header": ["t" * 100_000 + ",label", "a,p", "b,n"],
        "duplicate-id": ["id,text,x,label", "1,a,1,p", "1,b,2,n"],
        "duplicate-sample_id": ["sample_id,text,x,label", "1,a,1,p", "1,b,2,n"],
        "only-commas": [",,,", ",,,"],
    }.items():
        yield f"{name}.csv", "\n".join(lines).encode()
        yield f"{name}.tsv", "\n".join(lines).replace(",", "\t").encode()
    deep = "[" * 100_000
    for name, content in {
        "list": "[1, 2]",
        "array-file": json.dumps([{"text": "a", "label": 1}]),
        "null": "null",
        "deep": deep,
        "nan": "NaN",
        "deep-value": '{"text": ' + deep,
        "bigint": '{"text": "a", "label": ' + "9" * 5000 + "}",
        "bare": "text",
        "nested": '{"text": {"a": 1}, "label": ["x"]}',
        "doubled": '{"text": "a", "text": "b", "label": 1}',
        "number": "3.5",
        "no-text": '{"label": 1}',
        "keys-differ": '{"text": "a", "label": 1}\n{"texte": "b", "label": 0}',
        "bool": '{"text": true, "label": false}',
        "empty-key": '{"": "a", "label": 1}',
        "escape": '{"text": "\\ud83d", "label": 1}',
        "comment": '// no JSON\n{"text": "a", "label": 1}',
        "trailing": '{"text": "a", "label": 1},\n{"text": "b", "label": 0},',
    }.items():
        yield f"{name}.jsonl", content.encode()
        yield f"{name}.ndjson.gz", gzip.compress((content + "\n").encode() + json_of(WHOLE))


def columns_of_parquet() -> Iterator[Case]:
    lists = pd.DataFrame({"text": [["a"], ["b"]], "x": [1.0, 2.0], "label": ["p", "n"]})
    yield "lists.parquet", parquet_of(lists)
    for number, values in enumerate(
        [
            [b"a", b"\xff"],
            [1, None],
            [1.5, np.inf],
            [True, False],
            pd.to_datetime(["2020-01-01", "2020-01-02"]),
            [10**18, -(10**18)],
            [None, None],
            [{"a": 1}, {"a": 2}],
            pd.Categorical(["u", "v"]),
            [np.nan, np.nan],
        ]
    ):
        for column in HEADER:
            frame = pd.DataFrame({"text": ["a b", "c d"], "x": [1.0, 2.0], "label": ["p", "n"]})
            frame[column] = values
            yield f"type{number}-{column}.parquet", parquet_of(frame)
    buffer = io.BytesIO()
    doubled = pa.Table.from_arrays([pa.array(["a", "b"])] * 3, names=["text", "text", "label"])
    pq.write_table(doubled, buffer)
    yield "doubled.parquet", buffer.getvalue()
    for stated in (
        b"{",
        b"[]",
        b'{"info": 3}',
        b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": [1]}}}}',
    ):
        buffer = io.BytesIO()
        plain = pa.table({"text": ["a", "b"], "label": [0, 7]}).replace_schema_metadata({b"huggingface": stated})
        pq.write_table(plain, buffer)
        yield f"stated{len(stated)}.parquet", buffer.getvalue()


MAKERS = (odd_cells, encodings, cut_short, shapes, columns_of_parquet)
CASES = [case for maker in MAKERS for case in maker()]


def read(source: Callable[..., SampleSet], path: Path) -> SampleSet | str:
    """The samples, whole; or the sentence that the user reads. Anything else is raised."""
    try:
        samples = source(path)
    except InputError as error:
        message = str(error)
        assert message
        assert "Traceback" not in message
        message.encode()
        return message
    frame = samples.table
    assert frame["label"].nunique() >= 2
    assert frame["sample_id"].str.fullmatch("[A-Za-z0-9_-]{1,64}").all()
    if samples.modality == "text":
        assert frame["text"].str.strip().str.len().gt(0).all()
    else:
        assert samples.features is not None
        assert np.isfinite(samples.features).all()
    assert samples.skipped["reason"].str.len().gt(0).all()
    for stored in (frame, samples.skipped):
        pa.Table.from_pandas(stored).validate(full=True)  # what a run writes next
    return samples


def test_there_are_some_five_hundred() -> None:
    assert len(CASES) >= 500
    assert len({name for name, _ in CASES}) == len(CASES)


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
@pytest.mark.parametrize("source", [texts, table])
def test_no_file_ends_in_a_traceback(tmp_path: Path, source: Callable[..., SampleSet], maker: Callable) -> None:
    read_whole = 0
    for name, payload in maker():
        path = tmp_path / name
        path.write_bytes(payload)
        try:
            samples = read(source, path)
            if isinstance(samples, SampleSet):
                read_whole += 1
                # A row that cannot be used is skipped with its place; bare line ends make two rows of one.
                rows = len(samples) + samples.skipped["item"].str.startswith("line ").sum()
                assert maker is not odd_cells or name.startswith("bare") or rows == 5
        except Exception as error:
            error.add_note(f"while reading {name}")
            raise
        path.unlink()
    assert read_whole > 0


NAMES = [
    "שלום.txt",
    "a\nb.txt",
    "\u202egnp.txt",
    "e\u0301.txt",
    "-rf.txt",
    "a b.txt",
    "'\".txt",
    "<b>.txt",
    "%00.txt",
    "🙂.txt",
]


def test_folders_of_odd_files(tmp_path: Path) -> None:
    root = tmp_path / "data"
    contents = [
        b"",
        b" \n",
        b"\xff\xfe",
        b"\xff\xfea",
        b"caf\xe9",
        b"\x00\x01",
        b"x" * 1_000_001,
        codecs.BOM_UTF8,
        bytes(range(256)),
    ]
    for label in ("pos", "n\neg"):
        (root / label).mkdir(parents=True)
        for number, name in enumerate(NAMES):
            (root / label / name).write_text(f"text {number}", encoding="utf-8")
        for number, payload in enumerate(contents):
            (root / label / f"odd{number}.txt").write_bytes(payload)
        (root / label / "image.png").write_bytes(b"\x89PNG")
        with open(os.fsencode(root / label) + b"/\xff\xfe.txt", "wb") as file:
            file.write(b"text")
        os.mkfifo(root / label / "pipe.txt")
        (root / label / "loop").symlink_to(root)
        (root / label / "self.txt").symlink_to("self.txt")
    secret = tmp_path / "secret.txt"
    secret.write_text("nothing outside the folder is opened")
    (root / "pos" / "out.txt").symlink_to(secret)
    (root / "pos" / "up").symlink_to(tmp_path)
    (root / "empty").mkdir()
    closed = root / "closed"
    closed.mkdir()
    closed.chmod(0)
    try:
        samples = texts(root)
    finally:
        closed.chmod(0o700)
    assert samples.table["label"].value_counts().to_dict() == {"pos": 10, "n\neg": 10}
    assert not samples.table["text"].str.contains("outside").any()
    reasons = dict(samples.skipped.to_numpy().tolist())
    assert reasons["pos/out.txt"] == "leads out of the dataset's folder, so it is not opened"
    assert reasons["pos/pipe.txt"] == "not a plain file"
    assert "not valid UTF-8" in reasons["pos/\\xff\\xfe.txt"]
    per_class = len(contents) + 5  # the PNG, the name, the pipe, the folder's link, the link to itself
    assert len(samples.skipped) == 2 * per_class + 2 + (0 if os.access(closed, os.R_OK) and os.geteuid() == 0 else 1)


def test_hugging_face_folders_that_lie(tmp_path: Path) -> None:
    (tmp_path / "outside.arrow").write_bytes(b"secret")
    states = [
        "",
        "[]",
        "{}",
        '{"_data_files": 3}',
        '{"_data_files": []}',
        '{"_data_files": [3]}',
        '{"_data_files": [{}]}',
        '{"_data_files": [{"filename": "../outside.arrow"}]}',
        '{"_data_files": [{"filename": "/etc/passwd"}]}',
        '{"_data_files": [{"filename": "gone.arrow"}]}',
        '{"_data_files": [{"filename": "state.json"}]}',
        '{"_data_files": [{"filename": "."}]}',
        '{"_data_files": [{"filename": "a\\u0000b"}]}',
        "[" * 100_000,
        '{"_indices_data_files": ["x"], "_data_files": [{"filename": "a"}]}',
        '{"_data_files": [{"filename": "\\ud800"}]}',
    ]
    for number, state in enumerate(states):
        folder = tmp_path / f"set{number}"
        folder.mkdir()
        (folder / "state.json").write_text(state)
        assert isinstance(read(texts, folder), str), state
    for number, splits in enumerate(
        ['{"splits": 1}', '{"splits": ["../set0"]}', '{"splits": []}', '{"splits": ["gone"]}']
    ):
        folder = tmp_path / f"dict{number}"
        folder.mkdir()
        (folder / "dataset_dict.json").write_text(splits)
        assert isinstance(read(texts, folder), str), splits


def test_what_is_no_plain_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "folder.csv").mkdir()
    for name in ("pipe.csv", "loop.csv", "folder.csv", "gone.csv", "nul\0.csv", "long" * 100 + ".csv"):
        for source in (texts, table):
            assert isinstance(read(source, tmp_path / name), str), name


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kibibytes on Linux")
def test_a_bomb_is_refused_with_little_memory(tmp_path: Path) -> None:
    """A quarter of a gigabyte of one letter, behind a gzip file of a megabyte."""
    for name, start in (("bomb.csv.gz", b"text,label\na,b\nc,"), ("bomb.jsonl.gz", b'{"text": "')):
        with gzip.open(tmp_path / name, "wb", compresslevel=1) as file:
            file.write(start)
            for _ in range(32):
                file.write(b"x" * 2**23)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        message = read(texts, tmp_path / name)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
        assert isinstance(message, str)
        assert "million characters" in message
        assert grown < 200, f"{grown:.0f} MiB more"
