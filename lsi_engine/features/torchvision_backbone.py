"""Any of torchvision's classification models as a frozen extractor of its penultimate features."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from lsi_engine.errors import InputError
from lsi_engine.features import torchvision_guard
from lsi_engine.features.extractor import extractor_key
from lsi_engine.features.weights import digest, load_state, published_state
from lsi_engine.numerics.device import device_identity, device_named

torchvision_guard.install()

import torchvision.models  # noqa: E402
from torchvision.transforms import functional as transforms  # noqa: E402
from torchvision.transforms.functional import InterpolationMode  # noqa: E402


def backbone_names() -> list[str]:
    """Every model that :class:`TorchvisionBackbone` accepts."""
    return torchvision.models.list_models(module=torchvision.models)


class TorchvisionBackbone:
    """A torchvision classification model without its last layer, in evaluation mode, gradients off.

    The features are what goes into the layer that would give the class logits: for SqueezeNet and other
    convolutional classifiers the last feature map averaged over positions (512 numbers for ``squeezenet1_1``),
    for VGG the 4 096 activations of the last hidden layer.

    Parameters
    ----------
    backbone
        One of :func:`backbone_names`.
    weights
        "default" for the weights that torchvision publishes for this model (downloaded once), or the path of a
        ``.safetensors``, ``.pt`` or ``.pth`` state dict in torchvision's key names. The last layer may be missing
        or have any number of classes; it is not used.
    image_size
        Edge of the square that the model sees. By default the model's published preprocessing (for most: shorter
        edge to 256, centre 224). When given: shorter edge to ``image_size``, centre square, nothing cut off besides.
    device
        Where it runs; "auto" takes a GPU where there is one. Another device than the CPU is part of the key.

    Raises
    ------
    InputError
        Unknown model, weights refused or missing, keys that do not fit (some are named).
    """

    def __init__(
        self, backbone: str, *, weights: str | Path | None, image_size: int | None = None, device: str = "auto"
    ) -> None:
        name = backbone
        if name not in backbone_names():
            close = difflib.get_close_matches(name, backbone_names(), n=3)
            hint = f"did you mean {', '.join(close)}?" if close else "see torchvision's list of classification models"
            raise InputError(f"there is no backbone {name!r}; {hint}")
        if weights is None:
            raise InputError(
                f"{name} needs weights: an untrained network's features are worthless. "
                'Give "default" for the published ones or the path of a file.'
            )
        if image_size is not None and not 8 <= image_size <= 2048:
            raise InputError(f"the image size must lie between 8 and 2048 pixels, not {image_size}")
        self.name = name
        published = torchvision.models.get_model_weights(name).DEFAULT
        preset = published.transforms()
        self.crop = int(image_size or preset.crop_size[0])
        self.resize = int(image_size or preset.resize_size[0])
        self.interpolation: InterpolationMode = preset.interpolation
        self.mean, self.std = list(preset.mean), list(preset.std)

        state = published_state(name, published) if str(weights) == "default" else load_state(Path(weights))
        self.model, used = _without_last_layer(name, state)
        self.device = device_named(device)
        # Twice as fast on a CPU, and the prepared images already lie in memory like this.
        self.model.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.key = extractor_key(
            f"{name}-{self.crop}px",
            model=name,
            weights=digest(used),
            resize=self.resize,
            crop=self.crop,
            interpolation=self.interpolation.value,
            mean=self.mean,
            std=self.std,
            **device_identity(self.device),
        )
        try:
            self.dimension = int(self._features(torch.zeros(1, 3, self.crop, self.crop)).shape[1])
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"{name} cannot work on images of {self.crop} × {self.crop} pixels: {error}") from error

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """``(crop, crop, channels)`` uint8; resized as torchvision's own preset does."""
        image = transforms.resize(image.convert("RGB"), [self.resize], self.interpolation, antialias=True)
        return np.asarray(transforms.center_crop(image, [self.crop, self.crop]))

    def forward(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        pixels = torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2)
        scaled = transforms.normalize(pixels.to(torch.float32) / 255, self.mean, self.std)
        return self._features(scaled).cpu().numpy()

    def _features(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return self.model(images.to(self.device)).float()


def feature_dimension(backbone: str) -> int:
    """D of the features that ``backbone`` gives, without its weights; raises ``InputError`` for an unknown name."""
    if backbone not in backbone_names():
        raise InputError(f"there is no backbone {backbone!r}")
    with torch.device("meta"):
        model = torchvision.models.get_model(backbone, weights=None)
    last = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
    return last.in_features if isinstance(last, nn.Linear) else last.in_channels


def _without_last_layer(name: str, state: dict[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    """The model with ``state`` loaded and without its last layer, and the weights that its features depend on."""
    # Both were trained on inputs that they rescale themselves; the others know no such options.
    options = {"transform_input": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, weights=None, **options)
    # The last layer registered is the one that makes the logits, in every classification model of torchvision.
    last = [path for path, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
    model.set_submodule(last, nn.Identity())

    def used(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        # Without the heads that only training uses, and the counters that older files do not have.
        heads = (f"{last}.", "aux1.", "aux2.", "AuxLogits.")
        return {
            key: value
            for key, value in tensors.items()
            if not key.startswith(heads) and not key.endswith("num_batches_tracked")
        }

    needed, given = used(model.state_dict()), used(state)
    differences = {
        "missing": needed.keys() - given.keys(),
        "not part of the model": given.keys() - needed.keys(),
        "of another shape": {key for key in needed.keys() & given.keys() if needed[key].shape != given[key].shape},
    }
    problems = [
        f"{what}: {', '.join(sorted(keys)[:3])}{' …' if len(keys) > 3 else ''} ({len(keys)} of {len(needed)})"
        for what, keys in differences.items()
        if keys
    ]
    if problems:
        raise InputError(f"the weights are not those of {name}. {'; '.join(problems)}")
    # MNASNet refuses weights without the layout version that safetensors files cannot carry; the shapes fit, so
    # it is the present one.
    versioned = OrderedDict(given)
    versioned._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    model.load_state_dict(versioned, strict=False)
    return model.eval().requires_grad_(False), given
