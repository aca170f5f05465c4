from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.images import Augmentation, ImageBatches, ImageData, ImageTask
from tests.images.example import Numbered, numbered


def labels_of(batches: ImageBatches) -> list[list[int]]:
    seen = []
    for images, labels in batches:
        assert torch.equal(images[:, 0, 0, 0].long(), labels), "images keep their labels"
        seen.append(labels.tolist())
    return seen


def ranks(count: int, batch_size: int, world_size: int, seed: int = 0) -> list[list[list[int]]]:
    return [
        labels_of(
            ImageBatches(numbered(count), batch_size, torch.Generator().manual_seed(seed), r, world_size)
        )
        for r in range(world_size)
    ]


@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 3))
def test_every_image_is_seen_at_most_once_and_only_the_last_batch_is_left_out(
    count: int, batch_size: int, world_size: int
) -> None:
    by_rank = ranks(count, batch_size, world_size)
    seen = [label for batches in by_rank for batch in batches for label in batch]
    assert len(set(seen)) == len(seen) and set(seen) <= set(range(count))
    assert 0 <= count - len(seen) < batch_size * world_size
    assert all(len(batch) == batch_size for batches in by_rank for batch in batches)


@given(st.integers(2, 60), st.integers(1, 8))
def test_two_processes_do_the_steps_of_one_with_the_doubled_batch(count: int, batch_size: int) -> None:
    first, second = ranks(count, batch_size, 2)
    (single,) = ranks(count, 2 * batch_size, 1)
    assert [a + b for a, b in zip(first, second, strict=True)] == single


def test_the_generator_orders_the_images() -> None:
    assert ranks(20, 4, 1, seed=1) == ranks(20, 4, 1, seed=1) != ranks(20, 4, 1, seed=2)


class Recorder(pl.LightningModule):
    """Learns nothing to speak of, and remembers what it was shown in each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.seen: dict[int, list[tuple[Tensor, Tensor]]] = {}

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        self.seen.setdefault(self.current_epoch, []).append((images.clone(), labels.clone()))
        out: Tensor = self.layer(images.mean((1, 2, 3))[:, None]).mean()
        return out

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def fit(folder: Path, epochs: int, resume: Path | None = None) -> tuple[Recorder, pl.Trainer]:
    task = ImageTask(Numbered(), augmentation=Augmentation(padding=1, flip=True, noise=0.5))
    module = Recorder()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    trainer.fit(module, ImageData(task, 6, seed=1), ckpt_path=resume)
    return module, trainer


def test_lightning_sees_augmented_batches_and_a_resumed_fit_the_same_as_an_uninterrupted_one(
    tmp_path: Path,
) -> None:
    whole, _ = fit(tmp_path, epochs=2)
    begun, trainer = fit(tmp_path, epochs=1)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    resumed, _ = fit(tmp_path, epochs=2, resume=tmp_path / "last.ckpt")

    assert list(whole.seen) == [0, 1] and list(begun.seen) == [0] and list(resumed.seen) == [1]
    for epoch, module in ((0, begun), (1, resumed)):
        assert len(whole.seen[epoch]) == len(module.seen[epoch]) == 3
        for ours, theirs in zip(whole.seen[epoch], module.seen[epoch], strict=True):
            assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
    assert not torch.equal(whole.seen[0][0][1], whole.seen[1][0][1]), "every epoch has an order of its own"
    images, labels = whole.seen[0][0]
    assert images.dtype == torch.float32
    assert not torch.equal(images[:, 0, 0, 0], labels.float()), "training images are augmented"


def test_images_that_fill_no_batch_are_an_error(tmp_path: Path) -> None:
    trainer = pl.Trainer(accelerator="cpu", logger=False, max_epochs=1, default_root_dir=tmp_path)
    data = ImageData(ImageTask(Numbered()), 21, seed=0)
    data.trainer = trainer
    with pytest.raises(UserError, match="20 training images do not fill 1 batches of 21"):
        data.train_dataloader()
