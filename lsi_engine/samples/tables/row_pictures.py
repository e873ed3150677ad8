"""The pictures that belong to the rows of a feature file: looked at by people, never scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.files import UnreadableMedia, content_key, files_below, inside, read_each, read_file
from lsi_engine.samples.images import cifar_files
from lsi_engine.samples.images.decoding import identify


@dataclass(frozen=True)
class RowPictures:
    """``media (N,)`` and ``content (N,)``: reference and identity of each row's picture, "" for a row without one.

    ``skipped`` are ``(item, reason)`` pairs for pictures that were named or expected and cannot be shown.
    """

    media: list[str]
    content: list[str]
    skipped: list[tuple[str, str]] = field(default_factory=list)


def row_pictures(
    folder: Path, rows: int, paths: Sequence[str] | None, *, progress: Progress = silent
) -> RowPictures | None:
    """The pictures below ``folder`` of ``rows`` samples; ``None`` where not one of them can be shown.

    With ``paths (rows,)`` each row names its picture, relative to ``folder`` ("" for none); a path that leads out of
    the folder is not opened. Without, row i has the i-th picture: of the CIFAR batches in ``folder``, which may hold
    fewer than there are rows, or else of its images, folder by folder as torchvision's ``ImageFolder`` counts them,
    which must then be as many as there are rows. Stage "scan", counted in pictures.

    Raises ``InputError`` when ``folder`` is none, or when its pictures cannot be told to belong to the rows.
    """
    if not folder.is_dir():
        raise InputError(f"the folder of pictures {folder} is {'a file' if folder.exists() else 'not there'}")
    records = cifar_files.folder_of_records(folder)
    if paths is not None:
        wanted = dict(enumerate(paths))
    elif records is not None:
        wanted = dict(enumerate(cifar_files.record_references(*records)))
        if len(wanted) > rows:
            raise InputError(f"{folder} has {len(wanted):,} pictures for {rows:,} rows: is it the right dataset?")
    else:
        wanted = dict(enumerate(_images(folder)))
        if len(wanted) != rows:
            raise InputError(
                f"{folder} has {len(wanted):,} images for {rows:,} rows of features, so which belongs to which cannot "
                "be told: name each row's picture in image_path (image_paths in .npz)"
            )

    def read(item: tuple[int, str]) -> tuple[str, str]:
        if records is not None:
            kind, root = records
            return item[1], content_key(cifar_files.read_record({"kind": kind, "root": str(root)}, item[1]))
        media = inside(str(folder), item[1].replace("\\", "/")).relative_to(folder.resolve()).as_posix()
        payload = read_file({"root": str(folder)}, media)
        identify(payload)
        return media, content_key(payload)

    found = RowPictures([""] * rows, [""] * rows)
    named = [(row, path) for row, path in wanted.items() if path]
    for (row, path), one in read_each(read, named, progress):
        if isinstance(one, UnreadableMedia):
            found.skipped.append((f"picture {path} of row {row}", f"{one}; the row is scored, without its picture"))
        else:
            found.media[row], found.content[row] = one
    if paths is None and len(wanted) < rows:
        found.skipped.append((f"pictures of {rows - len(wanted):,} rows", f"{folder} has {len(wanted):,} pictures"))
    return found if any(found.media) else None


def pictures_of(source: dict[str, Any]) -> dict[str, Any]:
    """Description of the source that the pictures of a feature file's ``source`` are media of."""
    folder = Path(source.get("images") or Path(source["path"]).parent)
    kind, root = cifar_files.folder_of_records(folder) or ("image_folder", folder)
    return {"kind": kind, "root": str(root)}


def _images(folder: Path) -> list[str]:
    """Relative paths of the images below ``folder``: by class folder, then by folder, then by name."""
    found = []
    for path in files_below(folder, []):
        try:
            identify(read_file({"root": str(folder)}, path))
        except UnreadableMedia:
            continue  # a table of labels, a thumbnail database: no picture, so no row
        found.append(path)
    return sorted(found, key=lambda path: (path.split("/")[0] if "/" in path else "", *_place(path)))


def _place(path: str) -> tuple[str, str]:
    whole = PurePosixPath(path)
    return str(whole.parent), whole.name
