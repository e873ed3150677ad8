"""What a source is: a function that reads samples, its arguments in words, and how its samples' media are opened."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from lsi_engine.samples.files import read_file
from lsi_engine.samples.images.decoding import decode_image
from lsi_engine.samples.images.deep import DeepImage, decode_deep_file, is_deep_file
from lsi_engine.samples.sample_set import Modality, SampleSet
from lsi_engine.samples.setting import Setting


@dataclass(frozen=True)
class MediaReader:
    """How a source stores a sample's image: ``read(source, media)`` gives its bytes, ``decode`` an image of them."""

    read: Callable[[dict[str, Any], str], bytes]
    decode: Callable[[bytes], Image.Image]
    #: Whether there may be more than 8 bits of grey, judged by the header, and then all of them; ``None``: never.
    is_deep: Callable[[bytes], bool] | None = None
    decode_deep: Callable[[bytes], DeepImage | None] | None = None


#: Files below ``source["root"]`` in the formats that Pillow decodes.
IMAGE_FILES = MediaReader(read_file, decode_image, is_deep_file, decode_deep_file)


@dataclass(frozen=True)
class Source:
    """One kind of source.

    Attributes
    ----------
    opener
        ``(**settings) -> SampleSet``; takes ``progress`` too where reading may last. Its name is the source's kind.
    title, group
        What people call it, and the heading that it stands under; its own title unless another is given.
    command
        Sub-command of ``lsi compute``.
    modality
        Of its samples; a feature file with pictures gives images instead.
    settings
        The arguments of ``opener``, in their order.
    media
        How its images are opened, where it has any.
    media_source
        From its description to that of the source that its media lie in, where that is another.
    with_features
        Its samples come with their features.
    archives
        Keys of ``ARCHIVES`` that it can be fetched from.
    """

    opener: Callable[..., SampleSet]
    title: str
    command: str
    modality: Modality
    group: str = ""
    settings: tuple[Setting, ...] = ()
    media: MediaReader | None = None
    media_source: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    with_features: bool = False
    archives: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.title)

    @property
    def kind(self) -> str:
        """Its name in a run's configuration."""
        return self.opener.__name__

    @property
    def reports_progress(self) -> bool:
        return "progress" in inspect.signature(self.opener).parameters

    @property
    def bundled(self) -> bool:
        """Whether it is there wherever the engine is installed, so that nothing has to be given."""
        return not any(setting.required for setting in self.settings)
