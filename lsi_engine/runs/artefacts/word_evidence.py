"""Which words of a text speak for its label and which against it, as the run's own probe sees them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from lsi_engine.errors import InputError
from lsi_engine.features.extractor import Extractor
from lsi_engine.features.tfidf import WORD, TfidfExtractor
from lsi_engine.runs import sources
from lsi_engine.runs.store import Run
from lsi_engine.samples import SampleSet

#: Parts that are left out in turn; a longer text is cut into sentences, or into runs of them.
MOST_PARTS = 48
BATCH = 16
SENTENCE = re.compile(r"[^.!?…。！？؟\n]+[.!?…。！？؟\n]*")


@dataclass(frozen=True)
class Part:
    """``text[start:end]`` and its ``push`` in units of the logit: above 0 for the label, below 0 for the rival."""

    start: int
    end: int
    push: float


@dataclass(frozen=True)
class WordEvidence:
    """The parts of a text, in order, that change by how much the probe prefers ``label`` to ``rival``.

    ``method`` is "linear" where the pushes are exact parts of the difference of the two logits (with ``offset`` they
    add up to ``difference``), "occlusion" where each is what the difference loses when the part alone is left out
    (they need not add up; ``offset`` is 0).
    """

    method: Literal["linear", "occlusion"]
    label: str
    rival: str
    parts: list[Part]
    difference: float
    offset: float


@dataclass(frozen=True)
class Contrast:
    """The probe's logit of ``label`` less that of ``rival``: unscaled ``features · direction + offset``."""

    label: str
    rival: str
    direction: NDArray[np.float64]
    offset: float

    def __call__(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """``(B,)`` differences of ``(B, D)`` features."""
        return features.astype(np.float64) @ self.direction + self.offset


def contrast(run: Run, label: str, rival: str) -> Contrast:
    """The run's stored probe as the contrast of two of its classes.

    Raises ``InputError`` for an unknown class, or a run without a linear probe.
    """
    for name in (label, rival):
        if name not in run.classes:
            raise InputError(f"run {run.name!r} has no class {name!r}")
    try:
        probe = safetensors.numpy.load_file(run.path / "probe.safetensors")
        weight, bias = probe["weight"].astype(np.float64), probe["bias"].astype(np.float64)
        mean, scale = probe["feature_mean"].astype(np.float64), probe["feature_scale"].astype(np.float64)
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(f"run {run.name!r} has no linear probe to read: {error}") from error
    first, second = run.classes.index(label), run.classes.index(rival)
    direction = (weight[first] - weight[second]) / scale
    return Contrast(label, rival, direction, float(bias[first] - bias[second] - direction @ mean))


def extractor_of(run: Run, cache: Path) -> Extractor:
    """The text extractor that a finished run was scored with, its corpus being the run's own texts.

    Raises ``InputError`` when the run has no texts, or the encoder is gone or another than it was.
    """
    if run.modality != "text" or run.config.extractor is None:
        raise InputError(f"run {run.name!r} holds no texts")
    samples = SampleSet(run.name, "text", run.samples(), run.config.source)
    extractor = sources.extractor(run.config.extractor, samples, cache, device=run.config.device)
    if extractor.key != run.provenance["extractor_key"]:
        raise InputError(f"the encoder of run {run.name!r} has changed since it was scored: score it again")
    return extractor


def word_evidence(text: str, difference: Contrast, extractor: Extractor) -> WordEvidence:
    """What each word of ``text`` adds to ``difference``: exact for TF-IDF, by leaving parts out for other encoders."""
    if isinstance(extractor, TfidfExtractor):
        return _linear(text, difference, extractor)
    return _occluded(text, difference, extractor)


def _linear(text: str, difference: Contrast, extractor: TfidfExtractor) -> WordEvidence:
    pushes = extractor.word_parts(text, difference.direction)
    found = [(match.start(), match.end(), match[0].lower()) for match in WORD.finditer(text)]
    counts: dict[str, int] = {}
    for *_, word in found:
        counts[word] = counts.get(word, 0) + 1
    # A word's weight belongs to all its occurrences alike.
    parts = [Part(start, end, pushes[word] / counts[word]) for start, end, word in found if word in pushes]
    total = sum(pushes.values()) + difference.offset
    return WordEvidence("linear", difference.label, difference.rival, parts, total, difference.offset)


def _occluded(text: str, difference: Contrast, extractor: Extractor) -> WordEvidence:
    spans = parts_of(text)
    versions = [text, *(text[:start] + text[end:] for start, end in spans)]
    values = np.concatenate(
        [
            difference(extractor.forward([extractor.prepare(version) for version in versions[at : at + BATCH]]))
            for at in range(0, len(versions), BATCH)
        ]
    )
    parts = [Part(start, end, float(values[0] - value)) for (start, end), value in zip(spans, values[1:], strict=True)]
    return WordEvidence("occlusion", difference.label, difference.rival, parts, float(values[0]), 0.0)


def parts_of(text: str) -> list[tuple[int, int]]:
    """``(start, end)`` of the parts to leave out: words, else sentences, else equal runs of sentences or words."""
    words = [match.span() for match in re.finditer(r"\S+", text)]
    if len(words) <= MOST_PARTS:
        return words
    sentences = [match.span() for match in SENTENCE.finditer(text) if match[0].strip()]
    units = sentences if len(sentences) >= 4 else words
    share = -(-len(units) // MOST_PARTS)
    return [(units[at][0], units[min(at + share, len(units)) - 1][1]) for at in range(0, len(units), share)]
