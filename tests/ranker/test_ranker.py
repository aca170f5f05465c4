"""Pretraining, finetuning and scoring: what they learn, and that they can be repeated and interrupted."""

import csv
import functools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from scipy.stats import kendalltau
from torch import Tensor

from acenas.errors import UserError
from acenas.ranker import BidirectionalEncoder, Finetuning, GraphRanker, PaperEncoder, Pretraining, Prior
from acenas.ranker.module import FinetuningModule, squared_errors
from acenas.ranking import LambdaRankLoss, StandardisedMSELoss, ndcg_at_k, relevance
from acenas.spaces import GraphBatch
from tests.ranker.graphs import SPACE, accuracies_of, random_dags

SMALL = functools.partial(BidirectionalEncoder, hidden_channels=8, layers=2, out_channels=16)
GRAPHS = random_dags(120)
ACCURACIES = accuracies_of(GRAPHS)
WEAK_LABELS = torch.stack(
    [ACCURACIES + torch.randn(120, generator=torch.Generator().manual_seed(1)), -ACCURACIES], 1
)


def small_ranker(**changes: Any) -> GraphRanker:
    """A ranker without prior; changes of a group are a dictionary."""
    groups: dict[str, Any] = {
        "pretraining": Pretraining(epochs=3, batch_size=32),
        "finetuning": Finetuning(passes=10, replay_size=16, fresh_head=False),
        "prior": Prior(weight=0.0, corrected=False),
    }
    options = {"encoder": SMALL, "loss": LambdaRankLoss(scale=20.0), "head_channels": 16, "dropout": 0.1}
    options |= {name: replace(group, **changes.pop(name, {})) for name, group in groups.items()}
    return GraphRanker(SPACE, **{**options, **changes})


def correlation(scores: Tensor, accuracies: Tensor) -> float:
    return float(kendalltau(scores.numpy(), accuracies.numpy()).statistic)


@pytest.mark.parametrize("encoder", [SMALL, PaperEncoder])
def test_overfits_twenty_architectures(encoder: functools.partial[BidirectionalEncoder]) -> None:
    graphs, accuracies = GRAPHS[:20], ACCURACIES[:20]
    ranker = small_ranker(encoder=encoder, dropout=0.0, finetuning={"passes": 150})
    ranker.finetune(graphs, accuracies, round=1)
    scores = ranker.score(graphs)
    assert ndcg_at_k(scores, relevance(accuracies), 5) > 0.99, "LambdaRank cares for the top"
    assert scores.argmax() == accuracies.argmax()
    finetuning = {"passes": 150, "regression_weight": 100.0}
    ranker = small_ranker(encoder=encoder, dropout=0.0, finetuning=finetuning)
    ranker.finetune(graphs, accuracies, round=1)
    assert correlation(ranker.score(graphs), accuracies) > 0.8, "regression for the whole order"


def test_pretraining_helps_to_rank_what_was_never_observed(tmp_path: Path) -> None:
    ranker = small_ranker(pretraining={"epochs": 40})
    ranker.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path)
    assert correlation(ranker.score(GRAPHS), WEAK_LABELS[:, 0]) > 0.7, "the first weak label's order"
    fresh = small_ranker()
    for each in (ranker, fresh):
        each.finetune(GRAPHS[:20], ACCURACIES[:20], round=1)
    with_pretraining, without = (
        correlation(each.score(GRAPHS[20:]), ACCURACIES[20:]) for each in (ranker, fresh)
    )
    assert with_pretraining > max(without, 0.4)


def test_the_prior_says_what_few_observations_leave_open(tmp_path: Path) -> None:
    """Three observations in the wrong order: with a prior the others keep the order of the weak labels."""
    without, weak, strong = (
        small_ranker(prior={"weight": weight}, finetuning={"passes": 60}) for weight in (0.0, 1.0, 30.0)
    )
    for number, ranker in enumerate((without, weak, strong)):
        ranker.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path / str(number))
    together = WEAK_LABELS[:, 0] / WEAK_LABELS[:, 0].std() - WEAK_LABELS[:, 1] / WEAK_LABELS[:, 1].std()
    agreement = correlation(strong.score(GRAPHS), together)
    assert agreement > correlation(without.score(GRAPHS), together), (
        "before finetuning: all labels, not the first"
    )
    for ranker in (without, weak, strong):
        ranker.finetune(GRAPHS[:3], -ACCURACIES[:3], round=1)
    of_without, of_weak, of_strong = (
        correlation(ranker.score(GRAPHS[3:]), together[3:]) for ranker in (without, weak, strong)
    )
    assert of_without < of_weak < of_strong and of_strong > 0.5
    strong.finetune(GraphBatch.cat([GRAPHS[:3]] * 40), -ACCURACIES[:3].repeat(40), round=1)
    assert correlation(strong.score(GRAPHS[3:]), together[3:]) < of_strong, "it fades with what is observed"


def test_a_prior_that_learns_tells_a_label_that_misleads(tmp_path: Path) -> None:
    """What is observed contradicts the first label: the scores of the others follow it sooner."""
    fixed, learned = (small_ranker(prior={"weight": 10.0, "corrected": each}) for each in (False, True))
    for number, ranker in enumerate((fixed, learned)):
        ranker.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path / str(number))
        ranker.finetune(GRAPHS[:12], -ACCURACIES[:12], round=1)
    of_fixed, of_learned = (
        correlation(ranker.score(GRAPHS[12:]), -ACCURACIES[12:]) for ranker in (fixed, learned)
    )
    assert of_learned > of_fixed + 0.1


def test_a_prior_without_replayed_labels_is_an_error() -> None:
    with pytest.raises(UserError, match=r"prior\.weight needs"):
        small_ranker(prior={"weight": 1.0}, finetuning={"replay_size": 0})
    with pytest.raises(UserError, match=r"prior\.size must be above 0"):
        small_ranker(prior={"weight": 1.0, "size": 0.0})


def test_finetuning_starts_from_the_pretrained_weights_every_time(tmp_path: Path) -> None:
    one, two = small_ranker(), small_ranker()
    for number, ranker in enumerate([one, two]):
        ranker.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path / str(number))
    one.finetune(GRAPHS[:20], ACCURACIES[:20], round=1)
    one.finetune(GRAPHS[:40], ACCURACIES[:40], round=2)
    torch.manual_seed(7)  # the global state is nobody's business
    two.finetune(GRAPHS[:40], ACCURACIES[:40], round=2)
    assert torch.equal(one.score(GRAPHS), two.score(GRAPHS))
    two.finetune(GRAPHS[:40], ACCURACIES[:40], round=3)
    assert not torch.equal(one.score(GRAPHS), two.score(GRAPHS)), "the round has no influence on dropout"


def test_the_callers_random_state_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    ranker = small_ranker()
    ranker.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path)
    ranker.finetune(GRAPHS[:20], ACCURACIES[:20], round=1)
    assert torch.equal(torch.rand(4), expected)


class KilledError(Exception):
    """Stands for a kill."""


class Kill(pl.Callback):
    """Ends the process's work within the second epoch, after some of its steps."""

    def on_train_batch_end(self, trainer: pl.Trainer, *args: object) -> None:
        assert trainer.num_training_batches == 3
        if trainer.current_epoch == 1 and args[-1] == 1:
            raise KilledError


def test_a_killed_pretraining_goes_on_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = small_ranker()
    whole.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path / "whole")
    monkeypatch.setattr("acenas.ranker.data.AT_ONCE", 1)  # each step alone
    with pytest.raises(KilledError):
        small_ranker().pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path / "killed", callbacks=[Kill()])
    torch.manual_seed(11)
    resumed, epochs = small_ranker(), Epochs()
    resumed.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path / "killed", callbacks=[epochs])
    assert epochs.seen == [1, 2], "the first epoch was done"
    assert torch.equal(whole.score(GRAPHS), resumed.score(GRAPHS))


@pytest.mark.parametrize("list_size", [None, 7])
def test_how_many_steps_are_made_at_once_changes_nothing(
    list_size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scores() -> Tensor:
        ranker = small_ranker(finetuning={"passes": 5, "list_size": list_size}, prior={"weight": 1.0})
        ranker._set_pretrained(ranker._fresh_network(GRAPHS, WEAK_LABELS.shape[1]), GRAPHS, WEAK_LABELS)
        ranker.finetune(GRAPHS[:20], ACCURACIES[:20], round=1)
        return ranker.score(GRAPHS)

    together = scores()
    monkeypatch.setattr("acenas.ranker.data.AT_ONCE", 1)
    assert torch.equal(scores(), together)


def test_a_finished_pretraining_is_not_done_again(tmp_path: Path) -> None:
    first, again, epochs = small_ranker(), small_ranker(), Epochs()
    first.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path)
    again.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path, callbacks=[epochs])
    assert epochs.seen == []
    assert torch.equal(first.score(GRAPHS), again.score(GRAPHS))


class Epochs(pl.Callback):
    """Notes the epochs that are really trained."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seen.append(trainer.current_epoch)


def test_save_and_load(tmp_path: Path) -> None:
    saved, loaded = small_ranker(), small_ranker()
    saved.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path)
    saved.save(tmp_path / "ranker.pt")
    loaded.load(tmp_path / "ranker.pt")
    assert torch.equal(saved.score(GRAPHS), loaded.score(GRAPHS))
    for ranker in (saved, loaded):
        ranker.finetune(GRAPHS[:20], ACCURACIES[:20], round=1)
    assert torch.equal(saved.score(GRAPHS), loaded.score(GRAPHS)), "replay differs after loading"


def test_a_file_of_another_ranker_is_refused(tmp_path: Path) -> None:
    ranker = small_ranker()
    ranker.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path)
    ranker.save(tmp_path / "ranker.pt")
    (tmp_path / "broken.pt").write_bytes(b"nothing")
    with pytest.raises(UserError, match="remove it to pretrain again"):
        small_ranker(head_channels=5).load(tmp_path / "ranker.pt")
    with pytest.raises(UserError, match="remove it to pretrain again"):
        small_ranker().load(tmp_path / "broken.pt")
    with pytest.raises(UserError, match=r"there is no file .*absent\.pt"):
        small_ranker().load(tmp_path / "absent.pt")


def test_squared_errors_leave_missing_labels_out() -> None:
    predictions = torch.randn(6, 2, requires_grad=True)
    labels = torch.randn(6, 2)
    labels[::2, 1] = torch.nan
    errors = squared_errors(predictions, labels)
    known = (predictions[1::2, 1] - labels[1::2, 1]).square().mean()
    torch.testing.assert_close(errors[1], known)
    errors.sum().backward()  # type: ignore[no-untyped-call]
    assert predictions.grad is not None and predictions.grad.isfinite().all()
    assert (predictions.grad[::2, 1] == 0).all()


def test_missing_weak_labels(tmp_path: Path) -> None:
    labels = WEAK_LABELS.clone()
    labels[::3, 0] = torch.nan
    labels[5] = torch.nan
    ranker = small_ranker()
    ranker.pretrain(GRAPHS, labels, folder=tmp_path)
    ranker.finetune(GRAPHS[:20], ACCURACIES[:20], round=1)
    assert ranker.score(GRAPHS).isfinite().all()


@pytest.mark.parametrize("value", [torch.nan, 3.0])
def test_a_label_that_says_nothing_is_named(value: float, tmp_path: Path) -> None:
    labels = WEAK_LABELS.clone()
    labels[:, 1] = value
    with pytest.raises(UserError, match=r"weak\.snip"):
        small_ranker().pretrain(GRAPHS, labels, folder=tmp_path, label_names=["weak.flops", "weak.snip"])


def test_metrics_of_every_epoch_reach_the_loggers(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    names = ["flops", "snip"]
    small_ranker().pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path, label_names=names, loggers=[logger])
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"pretrain/loss", "pretrain/flops_mse", "pretrain/snip_mse"} <= rows[0].keys()
    losses = [float(row["pretrain/loss"]) for row in rows]
    assert len(losses) == 3 and losses[-1] < losses[0]


def test_every_ingredient_can_be_switched_off(tmp_path: Path) -> None:
    finetuning = {"regression_weight": 0, "replay_size": 0, "list_size": 5}
    plain = small_ranker(finetuning=finetuning, loss=StandardisedMSELoss())
    plain.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path)
    plain.finetune(GRAPHS[:12], ACCURACIES[:12], round=1)
    assert plain.score(GRAPHS).isfinite().all()


def test_the_head_can_start_as_that_of_the_first_label(tmp_path: Path) -> None:
    ranker = small_ranker(
        finetuning={"start_from_label": True, "learning_rate": 0.0, "encoder_learning_rate": 0.0}
    )
    ranker.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path)
    before = ranker.score(GRAPHS)
    ranker.finetune(GRAPHS[:20], ACCURACIES[:20], round=1)
    assert torch.equal(before, ranker.score(GRAPHS))


def test_several_graphs_per_architecture(tmp_path: Path) -> None:
    graphs = random_dags(40, per_arch=2, num_globals=1)
    labels = graphs.mask.sum(dim=(1, 2)).float().unsqueeze(1)
    ranker = small_ranker()
    ranker.pretrain(graphs, labels, folder=tmp_path)
    ranker.finetune(graphs[:10], labels[:10, 0], round=1)
    assert ranker.score(graphs).shape == (40,)


def test_what_cannot_be_is_refused() -> None:
    for wrong in ({"dropout": 1.0}, {"head_channels": 0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            small_ranker(**wrong)
    for group, wrong in (
        ("pretraining", {"epochs": 0}),
        ("pretraining", {"batch_size": 0}),
        ("pretraining", {"samples": 0}),
        ("pretraining", {"weight_decay": -1.0}),
        ("finetuning", {"warmup": 1.5}),
        ("finetuning", {"patience": 0}),
        ("finetuning", {"passes": 0}),
        ("finetuning", {"replay_weight": -1.0}),
        ("finetuning", {"list_size": 1}),
        ("prior", {"weight": -1.0}),
    ):
        with pytest.raises(UserError, match=rf"ranker\.{group}\.{next(iter(wrong))} must be"):
            small_ranker(**{group: wrong})
    with pytest.raises(UserError, match="choose one of fresh_head and start_from_label"):
        small_ranker(finetuning={"fresh_head": True, "start_from_label": True})
    with pytest.raises(UserError, match="patience waits for a better NDCG: choose a loss of relevance"):
        small_ranker(finetuning={"patience": 5}, loss=StandardisedMSELoss())
    with pytest.raises(RuntimeError, match="knows nothing yet"):
        small_ranker().score(GRAPHS)
    with pytest.raises(ValueError, match="20 graphs, but 19 accuracies"):
        small_ranker().finetune(GRAPHS[:20], ACCURACIES[:19], round=1)


def test_scores_do_not_depend_on_what_else_is_scored() -> None:
    """Batches are made of graphs of alike sizes, and cut to the largest of them."""
    ranker = small_ranker(finetuning={"passes": 2})
    ranker.finetune(GRAPHS[:20], ACCURACIES[:20], round=1)
    scores = ranker.score(GRAPHS[:40])
    alone = torch.cat([ranker.score(GRAPHS[i : i + 1]) for i in range(40)])
    torch.testing.assert_close(scores, alone)
    assert ranker.score(GRAPHS[:0]).shape == (0,)


def test_kept_weights_go_on_from_the_last_round_until_they_are_forgotten(tmp_path: Path) -> None:
    ranker = small_ranker(finetuning={"keep_weights": True})
    ranker.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path)
    pretrained, found = ranker.score(GRAPHS), []
    for _ in range(2):
        for number, count in enumerate((10, 20), start=1):
            ranker.finetune(GRAPHS[:count], ACCURACIES[:count], round=number)
            found.append(ranker.score(GRAPHS))
        ranker.forget()
        assert torch.equal(ranker.score(GRAPHS), pretrained)
    assert torch.equal(found[0], found[2]) and torch.equal(found[1], found[3])
    ranker.finetune(GRAPHS[:20], ACCURACIES[:20], round=2)
    assert not torch.equal(ranker.score(GRAPHS), found[1]), "the second round alone"


def test_an_optimizer_is_adam_with_its_weight_decay_and_schedule() -> None:
    """One step on one list, against torch's optimizers on the parameters as they are."""
    for decoupled, kind in ((True, torch.optim.AdamW), (False, torch.optim.Adam)):
        how = {"weight_decay": 0.1, "decoupled": decoupled, "warmup": 0.0, "learning_rate": 0.01}
        ranker = small_ranker(
            dropout=0.0,
            finetuning={"passes": 3, "replay_size": 0, "encoder_learning_rate": 0.01, **how},
        )
        network = ranker._fresh_network(GRAPHS, 0)
        parameters = [*network.encoder.parameters(), *network.ranking_head.parameters()]
        optimizer = kind(parameters, weight_decay=0.1)
        for step in range(3):
            optimizer.param_groups[0]["lr"] = 0.01 * 0.5 * (1 + math.cos(math.pi * max(step - 1, 0) / 2))
            optimizer.zero_grad()
            torch.autograd.backward(ranker.loss(network(GRAPHS[:20])[None], ACCURACIES[None, :20]))
            optimizer.step()
        ranker.finetune(GRAPHS[:20], ACCURACIES[:20], round=1)
        # Nothing but rounding errors says where the scores lie as a whole, and Adam makes whole steps of them.
        here, beside = (scores - scores.mean() for scores in (ranker.score(GRAPHS), network(GRAPHS).detach()))
        torch.testing.assert_close(here, beside, rtol=1e-3, atol=1e-4)


def test_pretraining_on_a_sample_knows_no_others(tmp_path: Path) -> None:
    ranker = small_ranker(pretraining={"samples": 40})
    ranker.pretrain(GRAPHS, WEAK_LABELS, folder=tmp_path)
    labels = ranker.state()["labels"]
    assert labels.shape == (40, 2) and len(labels.unique(dim=0)) == 40


def test_patience_ends_a_finetuning_that_has_learned_its_order(tmp_path: Path) -> None:
    def steps(**finetuning: Any) -> int:
        ranker, counted = small_ranker(dropout=0.0, finetuning={"passes": 200, **finetuning}), [0]
        loss = ranker.loss.for_labels

        def counting(labels: Tensor) -> Callable[[Tensor], Tensor]:
            of_scores = loss(labels)

            def counted_loss(scores: Tensor) -> Tensor:
                counted[0] += 1
                return of_scores(scores)

            return counted_loss

        object.__setattr__(ranker.loss, "for_labels", counting)
        ranker.finetune(GRAPHS[:10], ACCURACIES[:10], round=1)
        return counted[0]

    assert steps() == 200
    assert 10 < steps(patience=10) < 200
    assert steps(patience=300) == 200


def test_passes_are_waited_for_as_a_plain_loop_does() -> None:
    """The mean NDCG of two lists a pass, drawn by chance: it ends where none of the last three is a new best."""
    generator = torch.Generator().manual_seed(0)
    settings = Finetuning(passes=50, list_size=4, patience=3)
    module = FinetuningModule(
        small_ranker()._fresh_network(GRAPHS, 0), LambdaRankLoss(), settings, 100, False, 0.0
    )
    best, since = -1.0, 0
    for _ in range(50):
        pair = torch.rand(2, generator=generator).tolist()
        module._ndcg += pair
        since = 0 if sum(pair) > best else since + 1
        best = max(best, sum(pair))
        assert module._waited_for(3) == (since >= 3)
        if since >= 3:
            return
    raise AssertionError("such a sequence ends")
