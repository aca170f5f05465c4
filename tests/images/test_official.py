import pickle

import numpy as np
import pytest

from acenas.errors import UserError
from acenas.images.official import images_of_batch
from tests.images.official import pixels, python2_pickle

GOOD = pixels(2, 2, 0)


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        ([1, 2], "holds a list"),
        ({"data": GOOD}, "has no 'labels'; it holds 'data'"),
        ({"labels": [1, 2]}, "has no 'data'"),
        ({"data": GOOD[:, :-1].copy(), "labels": [1, 2]}, r"N x 12 bytes, not \(2, 11\) uint8"),
        ({"data": [1, 2], "labels": [1, 2]}, "N x 12 bytes"),
        ({"data": GOOD, "labels": [1]}, "must be 2 whole numbers"),
        ({"data": GOOD, "labels": ["a", "b"]}, "must be 2 whole numbers"),
        ({"data": GOOD, "labels": [1, 10]}, "must lie between 0 and 9, not 1 and 10"),
        ({"data": GOOD, "labels": [-1, 1]}, "must lie between 0 and 9, not -1 and 1"),
    ],
)
def test_another_format_is_an_error_that_says_what_is_wrong(batch: object, says: str) -> None:
    with pytest.raises(UserError, match=says):
        images_of_batch(python2_pickle(batch), "data_batch_1", "labels", 2, 0, 9)


def test_keys_may_be_bytes() -> None:
    content = pickle.dumps({b"data": GOOD, b"labels": [3, 4]}, protocol=2)
    images, labels = images_of_batch(content, "batch", "labels", 2, 0, 9)
    assert labels.tolist() == [3, 4] and np.array_equal(images.numpy(), GOOD.reshape(2, 3, 2, 2))
