"""The sources as a form or a command line sees them: what each says of its arguments is what its function takes."""

from __future__ import annotations

import inspect

import pytest

from lsi_engine.errors import InputError
from lsi_engine.samples import open_media, open_source, sources
from lsi_engine.samples.media import media_source
from lsi_engine.samples.registry import SOURCES, Source


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.kind)
def test_settings_are_the_arguments_in_words(source: Source) -> None:
    arguments = {**inspect.signature(source.opener).parameters}
    assert (arguments.pop("progress", None) is not None) == source.reports_progress
    assert [setting.name for setting in source.settings] == list(arguments)
    for setting in source.settings:
        stated = arguments[setting.name].default
        assert setting.required == (stated is inspect.Parameter.empty)
        assert setting.default == (None if setting.required else stated)
        assert setting.label
        assert setting.help
        assert (setting.form == "choice") == bool(setting.choices)
        assert not setting.choices or setting.default in setting.choices


def test_kinds_commands_and_titles_are_each_one_source_s_own() -> None:
    for said in ("kind", "command", "title"):
        assert len({getattr(source, said) for source in sources()}) == len(sources())


def test_what_is_bundled_opens_without_being_told_anything() -> None:
    bundled = {source.kind for source in sources() if source.bundled}
    assert bundled == {"digits", "demo_texts", "breast_cancer"}
    for kind in bundled:
        samples = open_source({"kind": kind})
        assert samples.modality == SOURCES[kind].modality
        assert (samples.features is not None) == SOURCES[kind].with_features


def test_sources_without_images_say_so() -> None:
    for source in sources():
        if source.media is None and source.media_source is None:
            with pytest.raises(InputError, match="have no image to open"):
                open_media({"kind": source.kind}, "0")


def test_pictures_of_a_feature_file_are_opened_as_those_of_a_folder() -> None:
    source = media_source({"kind": "feature_file", "path": "/nowhere/features.npz"})
    assert source["kind"] in SOURCES
    assert SOURCES[source["kind"]].media is not None
