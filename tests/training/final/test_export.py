import builtins
import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.spaces import MobileNet, NasBench201, SearchSpace
from acenas.spaces.mobilenet.network import Skeleton, Stage
from acenas.training.final import NetworkFacts, TrainedNetwork
from acenas.training.final.card import Origin
from acenas.training.final.export import Export

FACTS = NetworkFacts(
    arch="", space="", dataset="colours", num_classes=4, image_shape=(3, 16, 16), mean=(120.0, 110.5, 100.0),
    std=(60.0, 61.0, 62.0), params_m=1.25, macs_m=30.0, flops_m=33.0, training="3 epochs on 27 images", seed=1,
    accuracy={"valid": 91.0, "test": 90.0},
)  # fmt: skip
CELLS = NasBench201(channels=4, cells_per_stage=1, stages=2)
BLOCKS = MobileNet(Skeleton(stages=(Stage(8, 2, 2), Stage(12, 1, 1)), stem_channels=8, first_channels=8))


def trained(space: SearchSpace, arch: str) -> TrainedNetwork:
    """With weights and running averages that are not those of a fresh network."""
    network = space.build(arch, 4)
    generator = torch.Generator().manual_seed(0)
    network(torch.randn(8, 3, 16, 16, generator=generator))
    return TrainedNetwork(network.eval(), replace(FACTS, arch=arch, space=space.name))


@pytest.mark.parametrize(
    ("space", "arch"),
    [
        (CELLS, "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"),
        (CELLS, "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"),
        (BLOCKS, "k5e6,k3e3:k7e6"),
    ],
)
def test_files_answer_as_the_network_does(space: SearchSpace, arch: str, tmp_path: Path) -> None:
    onnxruntime: Any = importlib.import_module("onnxruntime")
    of = trained(space, arch)
    differences = Export().run(of, tmp_path, Origin())
    assert differences.keys() == {"torchscript", "onnx"} and max(differences.values()) < 1e-5
    images = torch.randn(7, 3, 16, 16)
    with torch.no_grad():
        expected = of.network(images).numpy()
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"))
    np.testing.assert_allclose(
        session.run(None, {"images": images.numpy()})[0], expected, rtol=1e-4, atol=1e-5
    )
    script = torch.jit.load(str(tmp_path / "network.torchscript.pt"))  # type: ignore[no-untyped-call]
    np.testing.assert_allclose(script(images).detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md", "network.onnx", "network.torchscript.pt",
    ]  # fmt: skip


class DependsOnTheBatch(nn.Module):
    """What a trace cannot hold: a branch."""

    def forward(self, images: Tensor) -> Tensor:
        logits = images.mean((2, 3))
        return -logits if len(images) == 1 else logits


@pytest.mark.filterwarnings("ignore:Converting a tensor to a Python")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", ["torchscript", "onnx"])
def test_a_file_that_answers_otherwise_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"the {name} file answers otherwise than the network, by 2 of the"):
        Export([name]).run(TrainedNetwork(DependsOnTheBatch(), FACTS), tmp_path, Origin())
    assert list(tmp_path.iterdir()) == []


def test_the_card_tells_what_a_user_must_know(tmp_path: Path) -> None:
    of = trained(BLOCKS, "k5e6,k3e3:k7e6")
    facts = replace(of.facts, preparation="the middle is cut out", damaged={"a/b.jpg": "truncated"})
    of = replace(of, facts=replace(facts, classes=("ant", "bee", "cat", "dog")))
    origin = Origin(
        ["It was found by a search."], {"pixel3": 4.5}, {1: FACTS.accuracy, 2: {"valid": 93.0, "test": 94.0}}
    )
    (tmp_path / ".network.onnx.1a2b3c4d.tmp").write_text("what a kill has left half written")
    Export(["torchscript"]).run(of, tmp_path, origin)
    assert {path.name for path in tmp_path.iterdir()} == {"network.torchscript.pt", "README.md"}
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    for text in (
        "k5e6,k3e3:k7e6",
        "tells 4 classes apart in images of 3 x 16 x 16",
        "| validation | 91.00 % | 92.00 % | 1.41 | 2 |",
        "| test | 90.00 % | 92.00 % | 2.83 | 2 |",
        "It was found by a search.",
        "| 1.25 million | 30 million | 33 million |",
        "| pixel3 | 4.5 ms |",
        "First, the middle is cut out.",
        "mean 120, 110.5, 100 and std 60, 61, 62",
        "3 epochs on 27 images.",
        "1 images could not be read and were left out: `a/b.jpg`",
        "0 ant, 1 bee, 2 cat, 3 dog.",
    ):
        assert text in card
    assert "network.onnx" not in card, "only files that were made are told of"


def test_formats_and_packages_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="formats are torchscript and onnx, not tflite"):
        Export(["tflite"])
    with pytest.raises(UserError, match="not none"):
        Export([])
    real = builtins.__import__
    monkeypatch.setattr(
        importlib, "import_module",
        lambda name: (_ for _ in ()).throw(ImportError) if name == "onnxruntime" else real(name),
    )  # fmt: skip
    with pytest.raises(UserError, match=r"needs onnxruntime: pip install 'acenas\[export\]'"):
        Export()
    Export(["torchscript"])
