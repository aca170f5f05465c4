import pytest
import torch

from acenas.images import Digits, ImageTask
from acenas.training.batches import TrainingBatches


@pytest.mark.parametrize("at_once", [8192, 100])
def test_an_epoch_holds_every_image_but_for_an_incomplete_batch(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acenas.training.batches.AUGMENTED_AT_ONCE", at_once)
    task = ImageTask(Digits(valid=200, test=200))
    batches_of = TrainingBatches(task, 32, seed=0)
    assert len(batches_of) == 1397 // 32
    epochs = [list(batches_of) for _ in range(2)]
    everything = {image.numpy().tobytes() for image in task.splits.normalise(task.splits.train.images)}
    for batches in epochs:
        assert len(batches) == 1397 // 32 and {len(batch.labels) for batch in batches} == {32}
        assert (
            len({image.numpy().tobytes() for batch in batches for image in batch.images} & everything) > 1300
        )
    assert not torch.equal(epochs[0][0].labels, epochs[1][0].labels)
