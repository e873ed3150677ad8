"""TF-IDF and its leading singular directions (latent semantic analysis): text features without any weights."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.features.extractor import extractor_key
from lsi_engine.progress import Progress, silent

#: What counts as a word: two letters or digits in a row at least.
WORD = re.compile(r"\w{2,}")
#: In a corpus of at least this many texts, a word that only one of them has is left out.
LARGE_CORPUS = 1000
#: The directions that are used when nothing is said: so many, and so many texts for each.
MOST_COMPONENTS, TEXTS_A_COMPONENT = 256, 8
#: Directions whose singular value is below this share of the largest are left out.
LEAST_SINGULAR = 1e-3
MODEL_FILE = "tfidf.safetensors"


def words(text: str) -> list[str]:
    return [found[0].lower() for found in WORD.finditer(text)]


def usual_components(texts: int) -> int:
    """D for so many ``texts`` when nobody asks for another."""
    return min(MOST_COMPONENTS, max(texts // TEXTS_A_COMPONENT, 2))


class TfidfExtractor:
    """The words of one corpus, weighted by TF-IDF, projected on the corpus' leading singular directions.

    A word that stands c times in a text and in n of the N texts weighs (1 + ln c) · (ln((1 + N)/(1 + n)) + 1); a text's
    weights are scaled to length 1 (scikit-learn's sublinear, smoothed TF-IDF). A feature is their product with one
    right singular vector of the corpus (scikit-learn's randomised ``TruncatedSVD``, seeded). So features are linear in
    the weights of the words, which lets :meth:`word_parts` split any linear function of them among the words exactly.

    Fitted to the corpus when something is first computed and kept beside its features,
    ``<cache>/features/<key>/tfidf.safetensors``. The key covers every text and their order: another corpus, or one
    corrupted text, is another extractor.

    Parameters
    ----------
    texts, contents
        The N texts, and the hash of each.
    cache_folder
        The cache that holds the features.
    components
        D, the number of singular directions; fewer where the corpus has not as many (its rank). When not given, 256
        or an eighth of the texts, whichever is less: a probe on nearly as many features as texts learns them by heart.
    vocabulary
        The number of words that are used at most, the most frequent ones.
    seed
        Of the randomised decomposition.
    progress
        Stage "words", counted in texts.
    """

    def __init__(
        self,
        texts: Sequence[str],
        contents: Sequence[str],
        cache_folder: Path,
        *,
        components: int | None = None,
        vocabulary: int = 20_000,
        seed: int = 0,
        progress: Progress = silent,
    ) -> None:
        if components is None:
            components = usual_components(len(texts))
        for name, value, least in (("components", components, 2), ("vocabulary", vocabulary, 2), ("seed", seed, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"tfidf: {name} must be a whole number, {least} or greater, not {value!r}")
        self.texts, self.progress = texts, progress
        self.components, self.vocabulary, self.seed = components, vocabulary, seed
        corpus = hashlib.blake2b("\n".join(contents).encode(), digest_size=16).hexdigest()
        self.key = extractor_key(
            f"tfidf-{components}",
            corpus=corpus,
            vocabulary=vocabulary,
            seed=seed,
            words=WORD.pattern,
            sublinear=True,
            least_singular=LEAST_SINGULAR,
        )
        self.file = Path(cache_folder) / "features" / self.key / MODEL_FILE
        self._fitted: tuple[Any, NDArray[np.float32]] | None = None

    @property
    def dimension(self) -> int:
        return len(self._model()[1])

    def prepare(self, sample: str) -> str:
        return sample

    def forward(self, batch: Sequence[str]) -> NDArray[np.float32]:
        vectorizer, directions = self._model()
        return np.asarray(vectorizer.transform(batch) @ directions.T, dtype=np.float32)

    def word_parts(self, text: str, direction: NDArray[np.floating]) -> dict[str, float]:
        """What each word of ``text`` adds to ``features(text) · direction``, ``direction (D,)``.

        The parts add up to the product; words outside the vocabulary are not listed.
        """
        vectorizer, directions = self._model()
        row = vectorizer.transform([text]).tocoo()
        names = {column: word for word, column in vectorizer.vocabulary_.items()}
        columns = row.coords[1]
        parts = row.data * (directions[:, columns].T.astype(np.float64) @ np.asarray(direction, dtype=np.float64))
        return {names[column]: float(part) for column, part in zip(columns.tolist(), parts, strict=True)}

    def _model(self) -> tuple[Any, NDArray[np.float32]]:
        """The vectoriser, and the singular directions ``(D, words)`` float32."""
        if self._fitted is None:
            self._fitted = self._read() or self._fit()
        return self._fitted

    def _fit(self) -> tuple[Any, NDArray[np.float32]]:
        from sklearn.decomposition import TruncatedSVD

        vectorizer = _vectorizer(
            min_df=2 if len(self.texts) >= LARGE_CORPUS else 1, max_features=self.vocabulary, dtype=np.float32
        )
        try:
            weights = vectorizer.fit_transform(self._counted())
        except ValueError as error:
            raise InputError(
                f"the texts have no words to count (of two letters or digits at least): {error}"
            ) from error
        if weights.shape[1] < 2:
            raise InputError("the texts have only one word among them; TF-IDF needs two at least")
        rank = min(self.components, *weights.shape)
        svd = TruncatedSVD(rank, random_state=self.seed).fit(weights)
        # Beyond the corpus' rank there is only rounding, which standardising would make as large as what is real.
        real = svd.singular_values_ > LEAST_SINGULAR * svd.singular_values_[0]
        directions = np.ascontiguousarray(svd.components_[real], dtype=np.float32)
        self._write(vectorizer, directions)
        return vectorizer, directions

    def _counted(self) -> Iterator[str]:
        for done, text in enumerate(self.texts):
            if done % 500 == 0:
                self.progress("words", done, len(self.texts))
            yield text
        self.progress("words", len(self.texts), len(self.texts))

    def _read(self) -> tuple[Any, NDArray[np.float32]] | None:
        """The kept model; None when there is none or it is damaged, and so is fitted again, to the same values."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            kept = load_file(self.file)
            names = kept["words"].tobytes().decode().split("\n")
            vectorizer = _vectorizer(vocabulary={word: column for column, word in enumerate(names)}, dtype=np.float32)
            vectorizer.idf_ = kept["idf"]
        except (OSError, SafetensorError, KeyError, ValueError):
            return None
        return vectorizer, kept["directions"]

    def _write(self, vectorizer: Any, directions: NDArray[np.float32]) -> None:
        from safetensors.numpy import save_file

        names = "\n".join(vectorizer.get_feature_names_out()).encode()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.file.parent, prefix=MODEL_FILE, suffix=".tmp")
        os.close(handle)
        try:
            tensors = {"directions": directions, "idf": vectorizer.idf_, "words": np.frombuffer(names, np.uint8)}
            save_file(tensors, temporary)
            os.chmod(temporary, 0o644)
            os.replace(temporary, self.file)
        finally:
            Path(temporary).unlink(missing_ok=True)


def _vectorizer(**settings: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer  # a second to import

    return TfidfVectorizer(analyzer=words, sublinear_tf=True, **settings)
