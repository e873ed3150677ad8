"""What is scored: samples from one source, as a table, and a way to open one sample's media."""

from __future__ import annotations

from lsi_engine.samples.files import UnreadableMedia
from lsi_engine.samples.images.cifar import cifar10, cifar100
from lsi_engine.samples.images.dicom import dicom_folder
from lsi_engine.samples.images.digits import digits
from lsi_engine.samples.images.image_folder import image_folder
from lsi_engine.samples.images.published_folders import pneumonia, wordnet_folder
from lsi_engine.samples.media import open_media
from lsi_engine.samples.pairs.image_text_pairs import image_text_pairs
from lsi_engine.samples.registry import open_source, sources
from lsi_engine.samples.sample_set import SampleSet
from lsi_engine.samples.tables.breast_cancer import breast_cancer
from lsi_engine.samples.tables.feature_file import feature_file
from lsi_engine.samples.tables.table import table
from lsi_engine.samples.text.demo_texts import demo_texts
from lsi_engine.samples.text.texts import texts

__all__ = [
    "SampleSet",
    "UnreadableMedia",
    "breast_cancer",
    "cifar10",
    "cifar100",
    "demo_texts",
    "dicom_folder",
    "digits",
    "feature_file",
    "image_folder",
    "image_text_pairs",
    "open_media",
    "open_source",
    "pneumonia",
    "sources",
    "table",
    "texts",
    "wordnet_folder",
]
