"""Texts: every layout gives the same samples, columns are found or asked for, nothing unusable goes unsaid."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lsi_engine.errors import InputError
from lsi_engine.samples import open_source, texts
from lsi_engine.samples.files import content_key

#: The last holds what breaks naive readers: delimiters, quotes, a line end, right-to-left text, markup.
REVIEWS = ["good film", "bad, long film", "fine", 'שלום "so" \n; <b>so</b>\tso']
LABELS = ["pos", "neg", "pos", "neg"]
FRAME = pd.DataFrame({"rating": [9, 2, 8, 1], "review": REVIEWS, "sentiment": LABELS})


def saved(frame: pd.DataFrame, folder: Path, kind: str) -> Path:
    path = folder / f"reviews.{kind}"
    if kind.startswith(("csv", "tsv")):
        frame.to_csv(path, index=False, sep="\t" if kind.startswith("tsv") else ",")
    elif kind.startswith("jsonl"):
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "jsonl", "jsonl.gz", "parquet"])
def test_every_file_of_rows_gives_the_same_samples(tmp_path: Path, kind: str) -> None:
    samples = texts(saved(FRAME, tmp_path, kind))
    assert samples.modality == "text"
    assert samples.table["text"].tolist() == REVIEWS
    assert samples.table["label"].tolist() == LABELS
    assert samples.table["content"].tolist() == [content_key(text.encode()) for text in REVIEWS]
    assert samples.table["sample_id"].tolist() == [f"row-{row:06d}" for row in range(4)]
    assert open_source(samples.source).table.equals(samples.table)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_what_spreadsheets_write(tmp_path: Path, encoding: str, delimiter: str) -> None:
    path = tmp_path / "sheet.csv"
    FRAME.to_csv(path, index=False, sep=delimiter, encoding=encoding, lineterminator="\r\n")
    assert texts(path).table["text"].tolist() == REVIEWS


def test_columns_are_named_found_or_asked_for(tmp_path: Path) -> None:
    path = saved(FRAME.rename(columns={"review": "words", "sentiment": "mood"}), tmp_path, "csv")
    with pytest.raises(InputError, match=r"--label-column.*'rating', 'words', 'mood'"):
        texts(path)
    with pytest.raises(InputError, match=r"--text-column.*'rating', 'words', 'mood'"):
        texts(path, label_column="mood")
    assert texts(path, text_column="Words", label_column="mood").table["text"].tolist() == REVIEWS
    with pytest.raises(InputError, match="no text column 'gone'; its columns are 'rating'"):
        texts(path, text_column="gone")
    with pytest.raises(InputError, match="both the text and the label"):
        texts(path, text_column="words", label_column="words")
    # Of two columns one known name is enough.
    for names in (("words", "label"), ("text", "mood")):
        two = FRAME[["review", "sentiment"]].set_axis(list(names), axis=1)
        assert texts(saved(two, tmp_path, "csv")).table["label"].tolist() == LABELS
    both = saved(FRAME.assign(comment="x"), tmp_path, "csv")
    with pytest.raises(InputError, match="'review' and 'comment' could each be the text"):
        texts(both)


def test_ids_groups_splits_and_known_truth(tmp_path: Path) -> None:
    frame = FRAME.assign(
        sample_id=["a-1", "a-2", "pos/3", "a-4"], group=["x", "x", "y", "y"], split=["train"] * 3 + ["test"]
    ).assign(true_label=["pos", "pos", "pos", "neg"])
    samples = texts(saved(frame, tmp_path, "csv"), split="train")
    assert samples.table["name"].tolist() == ["a-1", "a-2", "pos/3"]
    assert samples.table["sample_id"].iloc[:2].tolist() == ["a-1", "a-2"]
    assert samples.table["sample_id"].str.fullmatch("[A-Za-z0-9_-]+").all()
    assert samples.table["group"].tolist() == ["x", "x", "y"]
    assert samples.table["corrupted"].tolist() == [False, True, False]
    assert samples.skipped.to_numpy().tolist() == [["1 texts", "not of the split 'train'"]]
    with pytest.raises(InputError, match="no split 'valid'; it has 'test', 'train'"):
        texts(tmp_path / "reviews.csv", split="valid")
    # An `id` that is no identity is no reason to refuse the file.
    repeated = FRAME.assign(id=["u1", "u1", "u2", "u3"])
    assert texts(saved(repeated, tmp_path, "csv")).table["sample_id"].iloc[1] == "row-000001"
    with pytest.raises(InputError, match="'a-1' occurs more than once"):
        texts(saved(FRAME.assign(sample_id=["a-1"] * 4), tmp_path, "csv"))


def test_rows_that_cannot_be_used_are_listed_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    lines = ["text,label", "one,a", '"two\nlines",b', "three,a,extra", ",a", "four,", "f\udce9te,b", "n\0l,b", '"x"y,a']
    path.write_bytes("\n".join([*lines, '"never closed,a', "five,b"]).encode("utf-8", "surrogateescape"))
    samples = texts(path)
    assert samples.table["text"].tolist() == ["one", "two\nlines"]
    assert samples.table["position"].tolist() == [0, 1]
    reasons = dict(samples.skipped.to_numpy().tolist())
    assert reasons["line 5"] == "has 3 cells where the first line has 2"
    assert reasons["line 6"] == "empty text"
    assert reasons["line 7"] == "has no label"
    assert "UTF-8" in reasons["line 8"]
    assert "NUL" in reasons["line 9"]
    assert "no CSV row" in reasons["line 10"]
    assert "no CSV row: unexpected end of data" in reasons["line 11"]
    assert len(reasons) == 7


def test_a_cell_of_ten_megabytes_is_one_skipped_row(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    records = [{"text": "a b", "label": 1}, {"text": "x" * 10_000_000, "label": 0}, {"text": "c d", "label": 0}]
    path.write_text("\n".join(map(json.dumps, records)) + "\n[1]\n{broken\n" + '{"text": "\\ud800", "label": 1}')
    samples = texts(path)
    assert samples.table["label"].tolist() == ["1", "0"]
    reasons = samples.skipped["reason"].tolist()
    assert len(reasons) == 4
    assert any("10,000,000 characters" in reason for reason in reasons)


def write(path: Path, text: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def test_the_layout_of_imdb(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("pos", "neg"):
            for number in range(2):
                write(tmp_path / split / label / f"{number}_7.txt", f"{split} {label} {number}")
    for number in range(3):
        write(tmp_path / "train" / "unsup" / f"{number}_0.txt", "no label")
    write(tmp_path / "README", "about")
    write(tmp_path / "train" / "pos" / "broken.txt", b"\xff\xfeodd")
    samples = texts(tmp_path)
    assert samples.table["name"].tolist()[:3] == ["test/neg/0_7.txt", "test/neg/1_7.txt", "test/pos/0_7.txt"]
    assert samples.table["label"].value_counts().to_dict() == {"pos": 4, "neg": 4}
    assert samples.table["split"].tolist() == ["test"] * 4 + ["train"] * 4
    reasons = dict(samples.skipped.to_numpy().tolist())
    assert reasons.keys() == {"README", "train/unsup", "train/pos/broken.txt"}
    assert "3 texts without labels" in reasons["train/unsup"]
    assert "UTF-16" in reasons["train/pos/broken.txt"]
    one = texts(tmp_path / "train")
    assert "split" not in one.table
    assert len(one) == 4
    assert len(texts(tmp_path, split="test")) == 4


def huggingface(names: list[str]) -> dict[str, object]:
    return {"label": {"names": names, "_type": "ClassLabel"}, "text": {"dtype": "string", "_type": "Value"}}


def save_to_disk(folder: Path, table: pa.Table, split: str, files: int = 1) -> None:
    """The files that Hugging Face's ``Dataset.save_to_disk`` writes."""
    folder.mkdir(parents=True)
    listed = [f"data-{number:05d}-of-{files:05d}.arrow" for number in range(files)]
    step = -(-len(table) // files)
    for number, name in enumerate(listed):
        with pa.ipc.new_stream(str(folder / name), table.schema) as stream:
            stream.write_table(table.slice(number * step, step))
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": n} for n in listed], "_split": split}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": huggingface(["negative", "positive"])}))


def test_datasets_that_hugging_face_saved(tmp_path: Path) -> None:
    table = pa.table({"text": [*REVIEWS, "five"], "label": [1, 0, 1, 0, -1]})
    save_to_disk(tmp_path / "one", table, "train", files=2)
    samples = texts(tmp_path / "one")
    assert samples.table["label"].tolist() == ["positive", "negative", "positive", "negative"]
    assert samples.table["split"].tolist() == ["train"] * 4
    assert samples.skipped.to_numpy().tolist() == [["train, row 4", samples.skipped["reason"].iloc[0]]]
    assert "code is -1" in samples.skipped["reason"].iloc[0]

    for split in ("train", "test"):
        save_to_disk(tmp_path / "both" / split, table, split)
    (tmp_path / "both" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    both = texts(tmp_path / "both")
    assert both.table["text"].tolist() == REVIEWS * 2
    assert both.table["sample_id"].is_unique
    # The position is the row in the two splits one after the other, unusable rows counted.
    assert both.table["position"].tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert len(texts(tmp_path / "both", split="test")) == 4

    state = {"_data_files": [{"filename": "../../secret.arrow"}]}
    (tmp_path / "one" / "state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match="leads out of the dataset's folder"):
        texts(tmp_path / "one")


def test_folders_of_parquet(tmp_path: Path) -> None:
    stated = {"huggingface": json.dumps({"info": {"features": huggingface(["no", "yes"])}})}
    table = pa.table({"text": REVIEWS, "label": [1, 0, 1, 0]}).replace_schema_metadata(stated)
    for name in ("train-00000-of-00001", "test-00000-of-00001"):
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "data" / f"{name}.parquet")
    samples = texts(tmp_path)
    assert samples.table["split"].tolist() == ["test"] * 4 + ["train"] * 4
    assert samples.table["label"].tolist()[:2] == ["yes", "no"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"text,label\n", "no rows"),
        ("a.csv", b"text,label,text\na,b,c\n", "two columns called 'text'"),
        ("a.csv", b"text,label\na,b\nc,b\n", "class 'b'"),
        ("a.csv.gz", b"no gzip", "cannot be read"),
        ("a.csv.gz", gzip.compress(b"text,label\na,b\n" * 1000, mtime=0)[:40], "cannot be read"),
        ("a.jsonl", b"[]\n", "no JSON object"),
        ("a.parquet", b"PAR1", "cannot be read as Parquet"),
        ("a.docx", b"", "is none of .csv"),
        ("folder/a.md", b"x", "no labelled texts"),
        ("state.json", b"{", "cannot be read"),
    ],
)
def test_what_cannot_be_read_at_all(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    write(tmp_path / name, content)
    whole = name.startswith("folder") or name == "state.json"
    with pytest.raises(InputError, match=message):
        texts(tmp_path if whole else tmp_path / name)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        texts(tmp_path / "gone.csv")
