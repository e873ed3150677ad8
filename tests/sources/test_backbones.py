"""torchvision's models as extractors: the features are those of the plain model, the weights are checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from other_device import DEVICE, OtherDevice
from PIL import Image
from written_images import pattern, write_classes

from lsi_engine.errors import InputError
from lsi_engine.features import torchvision_guard
from lsi_engine.features.extract import extract
from lsi_engine.features.torchvision_backbone import TorchvisionBackbone
from lsi_engine.runs import sources
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunConfig, RunStore
from lsi_engine.samples import image_folder, open_media

torchvision_guard.install()
import torchvision  # noqa: E402

IMAGES = [
    Image.fromarray(pattern(300, 260)),
    Image.fromarray(pattern(50, 90, seed=7)),
    Image.fromarray(pattern(256, 256)[..., 0]),
]


def random_model(name: str, **options: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    return torchvision.models.get_model(name, weights=None, **options).eval()


def inputs(name: str) -> torch.Tensor:
    preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    return torch.stack([preset(image.convert("RGB")) for image in IMAGES])


def features(extractor: TorchvisionBackbone) -> np.ndarray:
    return extractor.forward(np.stack([extractor.prepare(image) for image in IMAGES]))


@pytest.fixture
def squeezenet(tmp_path: Path) -> Path:
    """Weights without a classifier head, as feature extractors are published."""
    state = {
        key: value for key, value in random_model("squeezenet1_1").state_dict().items() if key.startswith("features")
    }
    safetensors.torch.save_file(state, tmp_path / "squeezenet.safetensors")
    return tmp_path / "squeezenet.safetensors"


def test_squeezenet_features_are_the_pooled_last_map(squeezenet: Path) -> None:
    extractor = TorchvisionBackbone("squeezenet1_1", weights=squeezenet, device="cpu")
    with torch.no_grad():
        expected = random_model("squeezenet1_1").features(inputs("squeezenet1_1")).mean((2, 3)).numpy()
    computed = features(extractor)
    assert (extractor.dimension, computed.dtype, computed.shape) == (512, np.float32, (3, 512))
    np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_resnet_features_are_its_average_pool_whatever_the_number_of_classes(tmp_path: Path) -> None:
    model = random_model("resnet18", num_classes=3)
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in model.state_dict().items()}},
        tmp_path / "w.pth",
    )
    extractor = TorchvisionBackbone("resnet18", weights=tmp_path / "w.pth", device="cpu")
    model.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = model(inputs("resnet18")).numpy()
    np.testing.assert_allclose(features(extractor), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_models_with_a_hidden_layer_give_the_input_of_the_last(tmp_path: Path) -> None:
    model = random_model("mobilenet_v3_small")
    torch.save(model.state_dict(), tmp_path / "w.pt")
    extractor = TorchvisionBackbone("mobilenet_v3_small", weights=tmp_path / "w.pt", device="cpu")
    seen: list[torch.Tensor] = []
    model.classifier[3].register_forward_pre_hook(lambda layer, arguments: seen.append(arguments[0]))
    with torch.no_grad():
        model(inputs("mobilenet_v3_small"))
    np.testing.assert_allclose(features(extractor), seen[0].numpy(), rtol=1e-4, atol=1e-5 * seen[0].abs().max().item())


def test_an_image_size_uses_the_whole_image(squeezenet: Path) -> None:
    extractor = TorchvisionBackbone("squeezenet1_1", weights=squeezenet, image_size=64, device="cpu")
    prepared = extractor.prepare(Image.fromarray(pattern(64, 64)))
    np.testing.assert_array_equal(prepared, pattern(64, 64))
    assert extractor.prepare(IMAGES[1]).shape == (64, 64, 3)


def test_the_key_names_what_decides_the_features(squeezenet: Path, tmp_path: Path) -> None:
    key = TorchvisionBackbone("squeezenet1_1", weights=squeezenet, device="cpu").key
    state = safetensors.torch.load_file(squeezenet)
    torch.save(state | {"classifier.1.weight": torch.zeros(5, 512, 1, 1)}, tmp_path / "same.pth")
    assert TorchvisionBackbone("squeezenet1_1", weights=tmp_path / "same.pth", device="cpu").key == key
    assert TorchvisionBackbone("squeezenet1_1", weights=squeezenet, image_size=224, device="cpu").key != key
    state["features.12.expand3x3.bias"][0] += 1e-3
    torch.save(state, tmp_path / "other.pth")
    assert TorchvisionBackbone("squeezenet1_1", weights=tmp_path / "other.pth", device="cpu").key != key
    assert Path(key).name == key


def test_a_folder_of_images_through_a_backbone(squeezenet: Path, tmp_path: Path) -> None:
    samples = image_folder(write_classes(tmp_path / "data"))
    extractor = TorchvisionBackbone("squeezenet1_1", weights=squeezenet, image_size=64, device="cpu")
    rows, failed, kept = extract(samples, extractor, tmp_path, batch_size=4)
    assert kept.all()
    assert not len(failed)
    images = [extractor.prepare(open_media(samples.source, media)) for media in samples.table["media"]]
    expected = np.concatenate([extractor.forward(np.stack([image])) for image in images])
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_weights_that_do_not_fit_are_named(squeezenet: Path, tmp_path: Path) -> None:
    state = safetensors.torch.load_file(squeezenet)
    with pytest.raises(
        InputError, match=r"not those of resnet18\. missing: bn1\.bias, .*not part of the model: features\."
    ):
        TorchvisionBackbone("resnet18", weights=squeezenet)
    del state["features.0.bias"]
    safetensors.torch.save_file(state, tmp_path / "lacking.safetensors")
    with pytest.raises(InputError, match=r"missing: features\.0\.bias \(1 of"):
        TorchvisionBackbone("squeezenet1_1", weights=tmp_path / "lacking.safetensors")
    safetensors.torch.save_file(state | {"features.0.bias": torch.zeros(3)}, tmp_path / "shape.safetensors")
    with pytest.raises(InputError, match=r"of another shape: features\.0\.bias"):
        TorchvisionBackbone("squeezenet1_1", weights=tmp_path / "shape.safetensors")


class Anything:
    """Stands for whatever code a checkpoint may want to run."""


def test_files_that_hold_no_weights(squeezenet: Path, tmp_path: Path) -> None:
    torch.save({"weights": Anything()}, tmp_path / "code.pth")
    torch.save({"a": 1}, tmp_path / "numbers.pth")
    (tmp_path / "cut.safetensors").write_bytes(squeezenet.read_bytes()[:5000])
    (tmp_path / "cut.pth").write_bytes((tmp_path / "numbers.pth").read_bytes()[:100])
    (tmp_path / "w.onnx").write_bytes(b"x")
    for name, message in {
        "code.pth": "holds more than tensors",
        "numbers.pth": "holds no state dict",
        "cut.safetensors": "damaged",
        "cut.pth": "cut.pth",
        "w.onnx": "weights are read from",
        "gone.pth": "there is no weights file",
    }.items():
        with pytest.raises(InputError, match=message):
            TorchvisionBackbone("squeezenet1_1", weights=tmp_path / name)


def test_settings_that_cannot_be_used(squeezenet: Path) -> None:
    with pytest.raises(InputError, match="did you mean resnet50"):
        TorchvisionBackbone("resnet-50", weights=squeezenet)
    with pytest.raises(InputError, match="features are worthless"):
        TorchvisionBackbone("squeezenet1_1", weights=None)
    with pytest.raises(InputError, match="8 × 8"):
        TorchvisionBackbone("squeezenet1_1", weights=squeezenet, image_size=8)
    with pytest.raises(InputError, match="between 8 and 2048"):
        TorchvisionBackbone("squeezenet1_1", weights=squeezenet, image_size=0)


def test_published_weights_offline_say_what_was_wanted_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    # A proxy that refuses every connection: offline on any machine.
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError) as raised:
        TorchvisionBackbone("squeezenet1_1", weights="default")
    message = str(raised.value)
    assert "https://download.pytorch.org/models/squeezenet1_1-" in message
    assert str(tmp_path / "checkpoints") in message
    assert "is not there" in message
    assert "path of local weights" in message


def test_published_weights_come_from_the_download_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    url = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT.url
    (tmp_path / "checkpoints").mkdir()
    torch.save(random_model("squeezenet1_1").state_dict(), tmp_path / "checkpoints" / Path(url).name)
    extractor = TorchvisionBackbone("squeezenet1_1", weights="default", device="cpu")
    with torch.no_grad():
        expected = random_model("squeezenet1_1").features(inputs("squeezenet1_1")).mean((2, 3)).numpy()
    np.testing.assert_allclose(features(extractor), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    (tmp_path / "checkpoints" / Path(url).name).write_bytes(b"half a download")
    with pytest.raises(InputError, match="is damaged: remove it"):
        TorchvisionBackbone("squeezenet1_1", weights="default")


def test_torchvision_and_transformers_import_after_the_guard() -> None:
    program = """
import sys
from lsi_engine.features import torchvision_guard
torchvision_guard.install()
assert "torchvision" not in sys.modules
torchvision_guard.install()
import torchvision, torchvision.ops, transformers
from transformers.models.clip import modeling_clip
torchvision_guard.install()
print(torchvision.transforms.functional.__name__, modeling_clip.CLIPModel.__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["torchvision.transforms.functional", "CLIPModel"], done.stderr


def test_another_device_reaches_the_model_and_has_features_of_its_own(squeezenet: Path, tmp_path: Path) -> None:
    samples = image_folder(write_classes(tmp_path / "images", 2))
    settings = {"kind": "torchvision", "backbone": "squeezenet1_1", "weights": str(squeezenet)}
    expected, _, key = sources.features(samples, settings, tmp_path)
    assert key == TorchvisionBackbone("squeezenet1_1", weights=squeezenet, device="cpu").key
    with OtherDevice():
        found, _, other_key = sources.features(samples, settings, tmp_path, device=str(DEVICE))
        model = TorchvisionBackbone("squeezenet1_1", weights=squeezenet, device=str(DEVICE)).model
        assert {parameter.device for parameter in model.parameters()} == {DEVICE}
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert other_key != key


def test_a_run_computes_its_features_on_its_own_device(squeezenet: Path, tmp_path: Path) -> None:
    write_classes(tmp_path / "images", 2)
    config = RunConfig(
        name="elsewhere",
        source={"kind": "image_folder", "root": str(tmp_path / "images")},
        extractor={"kind": "torchvision", "backbone": "squeezenet1_1", "weights": str(squeezenet)},
        device="cuda:99",
    )
    store = RunStore(tmp_path / "runs")
    with pytest.raises(InputError, match="device 'cuda:99' is not there"):
        compute(config, store)
    assert not (store.cache / "features").exists()
