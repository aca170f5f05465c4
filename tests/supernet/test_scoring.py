from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.images import Images
from acenas.spaces.nasbench201.supernet import NasBench201Supernet
from acenas.supernet import Scoring, score_paths
from acenas.tables import WeakLabels
from acenas.training.processes import Hardware
from tests.supernet.example import SPACE, task

ARCHS = SPACE.sample(25, torch.Generator().manual_seed(0))


def network(seed: int = 0) -> NasBench201Supernet:
    torch.manual_seed(seed)
    built = SPACE.build_supernet(3)
    for parameter in built.parameters():
        nn.init.normal_(parameter)
    return built


def scoring(**options: object) -> Scoring:
    return Scoring(SPACE, task(), **{"archs": ARCHS, "batch_size": 7, "chunk_size": 4, **options})  # type: ignore[arg-type]


def plain_scores(net: NasBench201Supernet, arch: str, batches: list[Images]) -> tuple[float, float]:
    """Image by image, after the forward pass."""
    hits, losses = [], []
    for images, labels in batches:
        for logits, label in zip(net(images, arch).softmax(1).tolist(), labels.tolist(), strict=True):
            hits.append(max(range(3), key=logits.__getitem__) == label)
            losses.append(-np.log(logits[label]))
    return 100 * float(np.mean(hits)), float(np.mean(losses))


def test_scores_are_those_of_plain_loops() -> None:
    net, of = network(), scoring()
    batches = of.evaluation(torch.device("cpu"))
    assert [len(labels) for _, labels in batches] == [7, 7, 6], "20 images in batches of equal size"
    scores = score_paths(net, ARCHS, batches)
    with torch.no_grad():
        expected = [plain_scores(net, arch, batches) for arch in ARCHS]
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-4)
    assert len({round(loss, 5) for _, loss in expected}) > 10, "the paths differ"


def test_recalibrated_scores_do_not_depend_on_the_batch() -> None:
    net = network()
    device = torch.device("cpu")
    one, many = (scoring(batch_norm="recalibrated", calibration_batches=2, batch_size=b) for b in (20, 7))
    calibration = many.calibration(device)
    assert [len(images) for images in calibration] == [7, 7]
    assert not scoring().calibration(device)
    assert not torch.equal(calibration[0][:6], many.evaluation(device)[0].images[:6]), "of training images"
    scores = [score_paths(net, ARCHS, of.evaluation(device), calibration) for of in (one, many)]
    torch.testing.assert_close(*scores, rtol=1e-4, atol=1e-4)
    by_batch = [score_paths(net, ARCHS, of.evaluation(device)) for of in (one, many)]
    assert not torch.allclose(by_batch[0], by_batch[1], rtol=1e-2)


def test_labels_are_those_of_the_canonical_form(tmp_path: Path) -> None:
    net, of = network(), scoring(batch_norm="recalibrated")
    labels = of.run(net, tmp_path, weights="of a test")
    device = torch.device("cpu")
    batches, calibration = of.evaluation(device), of.calibration(device)
    canonical = [SPACE.canonical(arch) for arch in ARCHS]
    assert canonical != ARCHS
    expected = score_paths(net, canonical, batches, calibration)
    np.testing.assert_allclose(labels.values(ARCHS), expected, rtol=1e-5)
    labels.save(tmp_path / "weak_labels.parquet")
    saved = WeakLabels.load(tmp_path / "weak_labels.parquet", space=SPACE.name)
    np.testing.assert_array_equal(saved.values(ARCHS), labels.values(ARCHS))
    assert saved.names == ["weak.supernet", "weak.supernet_loss"]
    provenance = saved.provenance["weak.supernet_loss"]
    assert (
        "10 validation images of noise, each in 2 draws" in provenance.images
        and "lower is better" in provenance.images
    )
    assert provenance.weights == "of a test" and "device-seconds" in provenance.duration


class Counted(NasBench201Supernet):
    paths = 0

    def forward(self, images: Tensor, arch: str, memo: object = None) -> Tensor:
        type(self).paths += 1
        return super().forward(images, arch, memo)  # type: ignore[arg-type]


def test_what_is_scored_is_not_scored_again(tmp_path: Path) -> None:
    of, net = scoring(batch_size=20), network()
    net.__class__ = Counted
    seen: list[tuple[int, int]] = []
    whole = of.run(net, tmp_path, "w", progress=lambda done, total: seen.append((done, total)))
    chunks = sorted((tmp_path / "chunks").iterdir())
    distinct = len({SPACE.canonical(arch) for arch in ARCHS})
    assert Counted.paths == distinct
    assert seen == [(i, len(chunks)) for i in range(len(chunks) + 1)]
    assert len(chunks) == -(-distinct // 4)
    chunks[2].unlink()
    again = of.run(net, tmp_path, "w")
    assert Counted.paths <= distinct + 4
    np.testing.assert_array_equal(again.values(ARCHS), whole.values(ARCHS))

    Counted.paths = 0
    other = network(seed=1)
    other.__class__ = Counted
    assert not np.array_equal(of.run(other, tmp_path, "w").values(ARCHS), whole.values(ARCHS))
    scoring(batch_size=10).run(net, tmp_path, "w")
    assert Counted.paths == 3 * distinct, "other weights and other batches are scored anew"


@pytest.mark.parametrize("content", ["", "{", '{"archs": [], "scores": "x", "seconds": 1}'])
def test_a_damaged_chunk_is_scored_again(tmp_path: Path, content: str) -> None:
    whole = scoring().run(network(), tmp_path, weights="of a test").frame()
    next((tmp_path / "chunks").iterdir()).write_text(content)
    assert scoring().run(network(), tmp_path, weights="of a test").frame().equals(whole)


def test_the_network_is_left_as_it_was(tmp_path: Path) -> None:
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    scoring(batch_norm="recalibrated", channels_last=True).run(net, tmp_path, "w")
    assert net.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_other_precisions_give_nearly_the_same(precision: str, tmp_path: Path) -> None:
    net = network()
    plain = scoring().run(net, tmp_path / "plain", "w").values(ARCHS)
    other = scoring(hardware=Hardware(precision=precision)).run(net, tmp_path / "other", "w").values(ARCHS)  # type: ignore[arg-type]
    assert not np.array_equal(plain, other)
    np.testing.assert_allclose(other[:, 1], plain[:, 1], rtol=0.2)


def test_which_architectures() -> None:
    assert scoring(archs=None).architectures() == list(SPACE.enumerate())
    assert scoring(archs=[ARCHS[0], ARCHS[1], ARCHS[0]]).architectures() == ARCHS[:2]
    drawn = scoring(archs=300).architectures()
    assert len(set(drawn)) == 300 and drawn == [SPACE.canonical(arch) for arch in drawn]
    assert drawn == scoring(archs=300).architectures() != scoring(archs=300, seed=1).architectures()
    assert drawn[:50] == scoring(archs=300).architectures()[:50]
    with pytest.raises(UserError, match="fewer than 7000"):
        scoring(archs=7000).architectures()
    with pytest.raises(UserError, match="not a NAS-Bench-201 cell"):
        scoring(archs=["|none~0|"]).architectures()


def test_the_first_images_only() -> None:
    batches = scoring(images=9).evaluation(torch.device("cpu"))
    everything = scoring(batch_size=20).evaluation(torch.device("cpu"))[0]
    assert torch.equal(torch.cat([images for images, _ in batches]), everything.images[:9])
    assert [len(labels) for _, labels in batches] == [5, 4]


def test_numbers_below_one_are_refused() -> None:
    for name in ("batch_size", "images", "calibration_batches", "chunk_size", "archs"):
        with pytest.raises(UserError, match=f"{name} must be at least 1"):
            scoring(**{name: 0})
    with pytest.raises(UserError, match="batch_norm is batch or recalibrated"):
        scoring(batch_norm="running")


@pytest.mark.slow
def test_two_processes_share_the_work_and_go_on_where_one_was(tmp_path: Path) -> None:
    net = network()
    alone = scoring().run(net, tmp_path / "alone", "w")
    chunks = sorted((tmp_path / "alone" / "chunks").iterdir())
    for chunk in chunks[1:]:
        chunk.unlink()
    both = scoring(hardware=Hardware(devices=2)).run(net, tmp_path / "alone", "w")
    np.testing.assert_array_equal(alone.values(ARCHS), both.values(ARCHS))
    assert sorted((tmp_path / "alone" / "chunks").iterdir()) == chunks
