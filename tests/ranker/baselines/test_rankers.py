"""What every baseline has in common as a ranker: it learns, repeats, saves, and scores each graph by itself."""

import functools
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau
from torch import Tensor

from acenas.errors import UserError
from acenas.ranker import Finetuning, GCNEncoder, GraphRanker, Prior, Ranker
from acenas.ranker.baselines import (
    BananasRanker,
    GaussianProcessRanker,
    LightGBMRanker,
    ObservedRanker,
    RandomForestRanker,
    WeakLabelRanker,
    XGBoostRanker,
)
from acenas.ranker.baselines.regression import graded
from acenas.ranking import PairwiseKLLoss, RankingLoss, StandardisedMSELoss
from acenas.spaces import Choices, GraphBatch, Graphs, NasBench201, Repeated, SearchSpace
from acenas.spaces.features import Counts, OneHot, Paths

SPACE = NasBench201()
ARCHS = sorted({SPACE.canonical(arch) for arch in SPACE.enumerate()})[::13]
GRAPHS = SPACE.encode(ARCHS)
# A simple function of a cell: convolutions are good, the more so the larger, and pooling is bad.
ACCURACIES = torch.tensor(
    [60 + 3.0 * a.count("3x3~") + 2.0 * a.count("1x1~") - 4.0 * a.count("pool_3x3~") for a in ARCHS]
)
WEAK_LABELS = torch.stack(
    [
        ACCURACIES + 3 * torch.randn(len(ARCHS), generator=torch.Generator().manual_seed(0)),
        torch.tensor([float(a.count("none")) for a in ARCHS]),
    ],
    dim=1,
)
TRAINED = torch.randperm(len(ARCHS), generator=torch.Generator().manual_seed(1))[:60]


def graph_network(space: SearchSpace, loss: RankingLoss, seed: int = 0) -> GraphRanker:
    """As `conf/ranker/brp_nas.yaml` and `gcn_regression.yaml`, smaller."""
    encoder = functools.partial(GCNEncoder, hidden_channels=16, layers=3, out_channels=16, dropout=0.1)
    return GraphRanker(
        space,
        encoder,
        loss,
        seed,
        head_channels=16,
        finetuning=Finetuning(passes=60, replay_size=0, replay_weight=0, fresh_head=False),
        prior=Prior(weight=0.0),
    )


ROW_RANKERS: dict[str, Callable[..., Ranker]] = {
    "gp": GaussianProcessRanker,
    "gp_counts": functools.partial(GaussianProcessRanker, features=Counts),
    "gp_paths_rbf": functools.partial(
        GaussianProcessRanker, features=Paths, smoothness=float("inf"), clip=False
    ),
    "random_forest": functools.partial(RandomForestRanker, trees=40),
    "xgboost": functools.partial(XGBoostRanker, rounds=40),
    "lightgbm": functools.partial(LightGBMRanker, rounds=40),
    "bananas": functools.partial(BananasRanker, features=OneHot, steps=100),
    "bananas_mean": functools.partial(BananasRanker, steps=100, thompson=False),
}
RANKERS = ROW_RANKERS | {
    "brp_nas": functools.partial(graph_network, loss=PairwiseKLLoss()),
    "gcn_regression": functools.partial(graph_network, loss=StandardisedMSELoss()),
}


def correlation(ranker: Ranker) -> float:
    """With the accuracies of what was not trained."""
    rest = torch.ones(len(ARCHS), dtype=torch.bool)
    rest[TRAINED] = False
    return float(kendalltau(ranker.score(GRAPHS[rest]).numpy(), ACCURACIES[rest].numpy()).statistic)


def finetuned(ranker: Ranker, number: int = 1) -> Ranker:
    ranker.finetune(GRAPHS[TRAINED], ACCURACIES[TRAINED], round=number)
    return ranker


@pytest.mark.parametrize("name", RANKERS)
def test_learns_a_simple_function(name: str) -> None:
    assert correlation(finetuned(RANKERS[name](SPACE))) > 0.3, "chance is 0"


@pytest.mark.parametrize("name", RANKERS)
def test_is_a_function_of_its_seed_the_round_and_what_was_observed(name: str) -> None:
    one, two, other = RANKERS[name](SPACE, seed=3), RANKERS[name](SPACE, seed=3), RANKERS[name](SPACE, seed=4)
    one.finetune(GRAPHS[TRAINED[:20]], ACCURACIES[TRAINED[:20]], round=1)
    expected = finetuned(one, 2).score(GRAPHS)
    torch.manual_seed(7)  # the global state is nobody's business
    assert torch.equal(finetuned(two, 2).score(GRAPHS), expected)
    if name not in ("gp", "gp_counts", "gp_paths_rbf"):  # there is no chance in a posterior
        assert not torch.equal(finetuned(other, 2).score(GRAPHS), expected)


@pytest.mark.parametrize("name", RANKERS)
def test_a_score_depends_on_its_graph_alone(name: str) -> None:
    ranker = finetuned(RANKERS[name](SPACE))
    scores = ranker.score(GRAPHS)
    assert scores.dtype == torch.float32 and scores.shape == (len(ARCHS),) and scores.isfinite().all()
    order = torch.randperm(len(ARCHS), generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(ranker.score(GRAPHS[order]), scores[order], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ranker.score(GRAPHS[5:9]), scores[5:9], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ROW_RANKERS)
def test_weak_labels_help(name: str, tmp_path: Path) -> None:
    """Where the graphs say little: 10 trained, and weak labels close to the accuracies."""

    def trained_on_ten(ranker: Ranker) -> float:
        ranker.finetune(GRAPHS[TRAINED[:10]], ACCURACIES[TRAINED[:10]], round=1)
        return correlation(ranker)

    with_labels = ROW_RANKERS[name](SPACE)
    with_labels.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path)
    assert torch.equal(with_labels.score(GRAPHS).argsort(), WEAK_LABELS[:, 0].argsort()), "until finetuned"
    assert trained_on_ten(with_labels) > trained_on_ten(ROW_RANKERS[name](SPACE))


@pytest.mark.parametrize("name", [*ROW_RANKERS, "weak_label"])
def test_save_and_load(name: str, tmp_path: Path) -> None:
    make = {**ROW_RANKERS, "weak_label": WeakLabelRanker}[name]
    saved, loaded = make(SPACE), make(SPACE)
    saved.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path)
    saved.save(tmp_path / "ranker.pt")
    loaded.load(tmp_path / "ranker.pt")
    assert torch.equal(saved.score(GRAPHS), loaded.score(GRAPHS))
    assert torch.equal(finetuned(saved).score(GRAPHS), finetuned(loaded).score(GRAPHS))


def test_a_file_of_another_ranker_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.pt").write_bytes(b"nothing")
    torch.save({"network": torch.zeros(1)}, tmp_path / "other.pt")
    for file in ("broken.pt", "other.pt"):
        with pytest.raises(UserError, match="remove it to pretrain again"):
            GaussianProcessRanker(SPACE).load(tmp_path / file)
    with pytest.raises(UserError, match="there is no file"):
        GaussianProcessRanker(SPACE).load(tmp_path / "absent.pt")


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="knows nothing yet"):
        GaussianProcessRanker(SPACE).score(GRAPHS)
    with pytest.raises(RuntimeError, match="nothing to save"):
        GaussianProcessRanker(SPACE).save(tmp_path / "ranker.pt")
    with pytest.raises(ValueError, match="4 graphs, but 3 accuracies"):
        RandomForestRanker(SPACE).finetune(GRAPHS[:4], ACCURACIES[:3], round=1)
    with pytest.raises(UserError, match="at least 2 members, not 1"):
        BananasRanker(SPACE, members=1)
    with pytest.raises(UserError, match="name one in weak_labels"):
        WeakLabelRanker(SPACE).finetune(GRAPHS[:4], ACCURACIES[:4], round=1)


@pytest.mark.parametrize(("ranker", "library"), [(XGBoostRanker, "xgboost"), (LightGBMRanker, "lightgbm")])
def test_a_missing_library_is_named(
    ranker: type[Ranker], library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=f"pip install {library}"):
        ranker(SPACE)  # type: ignore[call-arg]


@pytest.mark.parametrize("ranker", [XGBoostRanker, LightGBMRanker])
def test_boosting_splits_even_ten_architectures_that_are_nearly_alike(ranker: type[Ranker]) -> None:
    made: Ranker = ranker(SPACE)  # type: ignore[call-arg]
    made.finetune(GRAPHS[:10], torch.linspace(90, 91, 10), round=1)
    assert kendalltau(made.score(GRAPHS[:10]).numpy(), torch.arange(10)).statistic > 0.6
    made.finetune(GRAPHS[:10], torch.full((10,), 90.0), round=2)
    assert made.score(GRAPHS).isfinite().all(), "nothing to tell apart is no error"


def test_relevance_in_grades() -> None:
    grades = graded(ACCURACIES, 10)
    assert grades.min() == 0 and grades.max() == 10
    assert kendalltau(grades, ACCURACIES.numpy()).statistic > 0.8


def test_thompson_samples_vary_with_the_disagreement_of_the_members(tmp_path: Path) -> None:
    """Over many seeds the draws have the mean and the deviation of the members' predictions."""
    ranker = BananasRanker(SPACE, steps=20)
    finetuned(ranker)
    rows = ranker._features.rows(GRAPHS[:1])
    members = ranker._ensemble(torch.from_numpy(rows).float()).detach()
    draws = []
    for seed in range(2000):
        ranker._noise_seed = seed
        draws.append(float(ranker.score_rows(rows)[0]))
    standard_error = float(members.std()) / 2000**0.5
    assert abs(sum(draws) / 2000 - float(members.mean())) < 4 * standard_error
    assert torch.tensor(draws).std() == pytest.approx(float(members.std()), rel=0.1)


@pytest.mark.parametrize("ranker", [GaussianProcessRanker, functools.partial(RandomForestRanker, trees=40)])
def test_graphs_of_operations_are_seen_whatever_the_order_of_their_nodes(
    ranker: Callable[..., Ranker],
) -> None:
    """Two branches of two operations each: which of them is written first changes the nodes' positions alone."""
    names = ["a", "b", "c", "d"]
    pairs = [(first, second) for first in names for second in names]
    read = {
        "-".join(one + other): (
            ["input", *one, *other, "output"],
            [(0, 1), (1, 2), (2, 5), (0, 3), (3, 4), (4, 5)],
        )
        for one, other in itertools.combinations_with_replacement(pairs, 2)
    }
    space = Graphs(read)
    archs = space.enumerate()
    accuracies = torch.tensor(
        [float(sum(each[i : i + 3] == "a-b" for i in (0, 4)) - each.count("d")) for each in archs]
    )
    graphs = space.canonical_graphs(archs)
    trained = torch.randperm(len(archs), generator=torch.Generator().manual_seed(0))[:40]

    def learned(**features: object) -> float:
        made = ranker(space, **features)
        made.finetune(graphs[trained], accuracies[trained], round=1)
        return float(kendalltau(made.score(graphs).numpy(), accuracies.numpy()).statistic)

    assert learned() == learned(features=Counts) > max(0.8, learned(features=OneHot))


# --- weak labels ---


def remembered(graphs: GraphBatch, weak_labels: Tensor) -> Callable[[GraphBatch], NDArray[np.float64]]:
    ranker = WeakLabelRanker(SPACE)
    ranker.pretrain(graphs, weak_labels, folder=Path())
    return ranker.remembered


def test_weak_labels_are_found_again_whatever_the_order() -> None:
    memory = remembered(GRAPHS, WEAK_LABELS)
    expected = (WEAK_LABELS - WEAK_LABELS.mean(0)) / WEAK_LABELS.std(0, correction=0)
    order = torch.randperm(len(ARCHS))
    torch.testing.assert_close(torch.from_numpy(memory(GRAPHS[order])).float(), expected[order])


def test_graphs_of_any_layout_in_memory_have_their_labels() -> None:
    space = Choices({"k": [1, 3, 5], "layer": Repeated({"w": [1, 2]}, times=[1, 2])})
    archs = space.enumerate()
    ranker = RandomForestRanker(space)
    ranker.pretrain(space.encode(archs), torch.arange(len(archs))[:, None].float(), folder=Path())
    assert len(ranker.score(space.encode(archs))) == len(archs)


def test_equal_graphs_share_the_mean_of_their_labels_and_missing_ones_are_the_mean_of_all() -> None:
    cell = SPACE.canonical("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|")
    twins = [arch for arch in SPACE.enumerate() if SPACE.canonical(arch) == cell][:2]
    graphs = SPACE.encode([*twins, "|avg_pool_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|"])
    assert torch.equal(graphs.node[0], graphs.node[1]), "one function"
    memory = remembered(graphs, torch.tensor([[1.0, 5.0], [3.0, torch.nan], [5.0, 7.0]]))
    standardised = memory(graphs)
    assert standardised[0, 0] == standardised[1, 0] == pytest.approx((2 - 3) / (8 / 3) ** 0.5)
    assert standardised[:, 1].tolist() == pytest.approx([-1, -1, 1])
    unknown = memory(SPACE.encode(["|avg_pool_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"]))
    assert unknown.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("value", [torch.nan, 3.0])
def test_a_label_that_says_nothing_is_named(value: float, tmp_path: Path) -> None:
    labels = WEAK_LABELS.clone()
    labels[:, 1] = value
    with pytest.raises(UserError, match=r"weak\.snip"):
        WeakLabelRanker(SPACE).pretrain(
            GRAPHS, labels, folder=tmp_path, label_names=["weak.flops", "weak.snip"]
        )


def test_the_weak_label_is_the_order_whatever_was_observed(tmp_path: Path) -> None:
    ranker = WeakLabelRanker(SPACE)
    ranker.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path)
    ranker.finetune(GRAPHS[:9], ACCURACIES[:9], round=1)
    assert torch.equal(ranker.score(GRAPHS).argsort(), WEAK_LABELS[:, 0].argsort())


def test_the_observed_ranker_knows_what_was_observed(tmp_path: Path) -> None:
    ranker = ObservedRanker(SPACE)
    ranker.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path)
    ranker.save(tmp_path / "ranker.pt")
    ranker.load(tmp_path / "ranker.pt")
    assert ranker.score(GRAPHS[:3]).tolist() == [0, 0, 0]
    ranker.finetune(GRAPHS[:2], torch.tensor([90.0, 92.0]), round=1)
    assert ranker.score(GRAPHS[:3]).tolist() == [90, 92, 91]
    with pytest.raises(UserError, match="there is no file"):
        ranker.load(tmp_path / "absent.pt")


# --- the encoder of BRP-NAS ---


def test_the_gcn_hears_the_whole_graph_whatever_the_order_of_its_nodes() -> None:
    encoder = GCNEncoder(SPACE.num_node_types, hidden_channels=8, layers=3, out_channels=8).eval()
    order = torch.tensor([3, 1, 0, 7, 6, 5, 2, 4])
    shuffled = type(GRAPHS)(
        GRAPHS.node[:, order], GRAPHS.adjacency[:, order][:, :, order], GRAPHS.mask[:, order], GRAPHS.globals
    )
    torch.testing.assert_close(encoder(shuffled), encoder(GRAPHS))
    cells = [
        f"|nor_conv_3x3~0|+|none~0|{operation}~1|+|none~0|none~1|nor_conv_1x1~2|"
        for operation in ("nor_conv_3x3", "avg_pool_3x3")
    ]
    left, right = encoder(SPACE.encode(cells))
    assert not torch.allclose(left, right)
