"""The public surface that the golden scenarios drive, and the only places of theirs that know where something lives.

Everything else goes through the command line, in this process, and through names of the top-level ``lsi_engine``. When
a module of the engine or a file of a run moves, this file is the one to change.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import runpy
import sys
import typing
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import scipy.linalg  # noqa: F401  # `threads` limits the libraries that are loaded when it begins, so all of them are
import sklearn.decomposition  # noqa: F401
import torch
from threadpoolctl import threadpool_info, threadpool_limits

import lsi_engine


class Workplace:
    """A temporary folder with a cache of its own, and the command line that works in it."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.cache = self.root / "cache"
        self.cache.mkdir(parents=True, exist_ok=True)

    def __truediv__(self, name: str) -> Path:
        return self.root / name

    def lsi(self, *arguments: object, code: int = 0) -> str:
        """What ``lsi ARGUMENTS`` writes to standard output (standard error when it is to fail with ``code``)."""
        from lsi_engine.cli import main

        return self._called(main, ["lsi", *map(str, arguments)], code)

    def reference(self, *arguments: object) -> str:
        """What ``python -m lsi_engine.reference ARGUMENTS`` prints."""

        def run() -> None:
            runpy.run_module("lsi_engine.reference", run_name="__main__")

        return self._called(run, ["lsi_engine.reference", *map(str, arguments)], 0)

    def json(self, *arguments: object) -> Any:
        return json.loads(self.lsi(*arguments, "--json"))

    def plain(self, text: str) -> str:
        """``text`` without what differs from one machine, day or release to the next."""
        text = text.replace(str(self.root), "<TMP>").replace(quote(str(self.root), safe=""), "<TMP>")
        text = re.sub(r'(scores_fingerprint\\?"+: ?\\?"+)[0-9a-f]{32}', r"\1<SCORES>", text)
        return re.sub(
            r'(program\\?"+: ?\\?"+lsi-inspector\\?"+,\s*\\?"+version\\?"+: ?\\?"+)[^"\\]+', r"\1<VERSION>", text
        )

    def _called(self, function: Any, argv: list[str], code: int) -> str:
        said, told = io.StringIO(), io.StringIO()
        before = sys.argv, os.environ.get("LSI_CACHE")
        sys.argv, os.environ["LSI_CACHE"] = argv, str(self.cache)
        ended = 0
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
                function()
        except SystemExit as end:
            ended = int(end.code or 0)
        finally:
            sys.argv = before[0]
            del os.environ["LSI_CACHE"]
            if before[1] is not None:
                os.environ["LSI_CACHE"] = before[1]
        assert ended == code, f"{' '.join(argv)} ended with {ended}: {told.getvalue()[-2000:]}"
        return told.getvalue() if code else said.getvalue()

    # What a run holds, by the names that the run store documents.

    def folder(self, run: str) -> Path:
        return self.cache / "runs" / run

    def scores(self, run: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder(run) / "scores.parquet")

    def samples(self, run: str) -> pd.DataFrame:
        """The sample table, with this machine's folders taken out."""
        frame = pd.read_parquet(self.folder(run) / "samples.parquet")
        for column in frame.columns[[pd.api.types.is_string_dtype(frame[name]) for name in frame]]:
            frame[column] = [self.plain(value) for value in frame[column].fillna("<NA>")]
        return frame

    def arrays(self, run: str) -> dict[str, Any]:
        """Leave-one-out probabilities, probe, seeds, features of its own, clusters and maps: whatever there is."""
        from safetensors.numpy import load_file

        folder, found = self.folder(run), {}
        for name in ("probabilities", "features", "duplicates", "map/pca", "map/umap"):
            if (folder / f"{name}.npy").is_file():
                found[name] = np.load(folder / f"{name}.npy", allow_pickle=False)
        found["probe"] = dict(sorted(load_file(folder / "probe.safetensors").items()))
        if (folder / "seed_scores.npz").is_file():
            with np.load(folder / "seed_scores.npz", allow_pickle=False) as archive:
                found["seeds"] = {name: archive[name] for name in sorted(archive.files)}
        return found

    def decide(self, run: str, *decisions: tuple[str, str, str | None, str]) -> str:
        """Record ``(sample_id, action, new_label, note)`` in the run's review log; returns its digest."""
        from lsi_engine.curation import Decisions

        given = self.scores(run).set_index("sample_id")["label"]
        log = Decisions(self.folder(run) / "decisions.sqlite")
        for sample_id, action, new_label, note in decisions:
            log.record(
                sample_id,
                action,  # type: ignore[arg-type]
                new_label=new_label,
                note=note,
                reviewer="Ann",
                expected_revision=log.revisions().get(sample_id, 0),
                given_label=str(given[sample_id]),
                token=f"golden {run} {sample_id} {log.version()}",
            )
        found = log.digest()
        log.close()
        return found


def sgd_settings(**settings: Any) -> Any:
    """What ``retrain_network`` wants to be told about the training; its class has no name at the top level."""
    kind = getattr(lsi_engine, "SgdSettings", None) or typing.get_type_hints(lsi_engine.retrain_network)["settings"]
    return kind(**settings)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Within, every product and every ``in_parallel`` has ``count`` threads, whatever the environment says."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)


def arithmetic() -> dict[str, str]:
    """What decides the last digits: the processor's instructions as the libraries see them, and the libraries."""
    kernels = sorted({entry["architecture"] for entry in threadpool_info() if entry.get("architecture")})
    packages = ("numpy", "scipy", "torch", "torchvision", "scikit-learn", "pillow", "pandas")
    return {
        "openblas": ", ".join(kernels),
        "torch kernels": torch.backends.cpu.get_cpu_capability(),
        **{name: version(name) for name in packages},
    }


def digest(content: bytes | str) -> str:
    return hashlib.blake2b(content.encode() if isinstance(content, str) else content, digest_size=16).hexdigest()


def files_below(folder: Path) -> dict[str, str]:
    """Digest of each file below ``folder`` by its relative path; links are followed."""
    return {
        path.relative_to(folder).as_posix(): digest(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class _Visible(HTMLParser):
    """The text that a reader of the page sees, a line an element; drawings and styles left out."""

    HIDDEN = frozenset({"script", "style", "svg", "head"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._hidden = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in self.HIDDEN

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in self.HIDDEN

    def handle_data(self, data: str) -> None:
        if not self._hidden and data.strip():
            self.lines.append(" ".join(data.split()))


def visible_lines(page: str) -> list[str]:
    """The report's text; times, dates, versions and the digest of the scores' bytes are named, not repeated."""
    lines = _Visible(page).lines
    facts = {
        "Scored": "<WHEN>",
        "Versions": "<VERSIONS>",
        "Report written": "<WHEN>",
        "Scores fingerprint": "<SCORES>",
        "Gradient norm": "<ROUNDING>",
    }
    return [facts.get(before, line) for before, line in zip(["", *lines], lines, strict=False)]


def chosen(content: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Those of ``names`` that ``content`` has: what a later version adds is no difference."""
    return {name: content[name] for name in names if name in content}
