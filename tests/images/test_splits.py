import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acenas.errors import UserError
from acenas.images import FileDivision, OrderedDivision, RandomDivision
from tests.images.example import numbered


def index_file(folder: Path, **parts: Any) -> Path:
    """In NATS-Bench's format: each part is its type and its numbers, as strings."""
    path = folder / "split.txt"
    path.write_text(
        json.dumps({key: ["int", [str(n) for n in numbers]] for key, numbers in parts.items()}),
        encoding="utf-8",
    )
    return path


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 20), st.integers(0, 5))
def test_random_parts_have_their_sizes_and_no_common_image(
    first: int, second: int, rest: int, seed: int
) -> None:
    division = RandomDivision("train", (first, second), seed)
    a, b = (part.tolist() for part in division.indices(first + second + rest))
    assert (len(a), len(b)) == (first, second)
    assert len({*a, *b}) == first + second and {*a, *b} <= set(range(first + second + rest))
    again = RandomDivision("train", [first, second], seed).indices(first + second + rest)
    assert [a, b] == [part.tolist() for part in again]


def test_the_seed_decides_the_random_parts() -> None:
    by_seed = [RandomDivision("train", (50, 50), seed).indices(100)[0].tolist() for seed in (0, 1)]
    assert by_seed[0] != by_seed[1]


def test_the_training_images_are_divided_for_validation() -> None:
    train, test = numbered(10), numbered(4, 10)
    parts = OrderedDivision("train", (6, 4)).divide(train, test)
    assert [part.labels.tolist() for part in parts] == [
        [0, 1, 2, 3, 4, 5], [6, 7, 8, 9], [10, 11, 12, 13]
    ]  # fmt: skip
    assert all(torch.equal(part.images[:, 0, 0, 0].long(), part.labels) for part in parts)


def test_the_test_images_are_divided_for_validation() -> None:
    parts = OrderedDivision("test", (1, 3)).divide(numbered(10), numbered(4, 10))
    assert [part.labels.tolist() for part in parts] == [list(range(10)), [10], [11, 12, 13]]


def test_an_index_file_is_taken_as_it_is(tmp_path: Path) -> None:
    path = index_file(tmp_path, xvalid=[3, 1], xtest=[0, 2])
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    first, second = FileDivision("test", path, ("xvalid", "xtest"), (2, 2), md5).indices(4)
    assert first.tolist() == [3, 1] and second.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"train": [0, 1], "valid": [1, 2]}, "1 images are in train and in valid, such as 1"),
        ({"train": [0, 1], "valid": [2, 4]}, "valid names image 4, and there are 4: 0 to 3"),
        ({"train": [0, -1], "valid": [2, 3]}, "train names image -1"),
        ({"train": [0, 0], "valid": [2, 3]}, "train names an image twice"),
        ({"train": [0], "valid": [2, 3]}, r"the parts have \(1, 2\) images, not \(2, 2\)"),
        ({"train": [0, 1], "xvalid": [2, 3]}, r"has no 'valid'; it holds \['train', 'xvalid'\]"),
        ({"train": [0, 1], "valid": []}, "valid must be"),
        ({"train": [0, 1], "valid": ["two"]}, "valid must be .* with whole numbers"),
    ],
)
def test_an_index_file_that_does_not_fit_says_why(tmp_path: Path, parts: dict[str, Any], says: str) -> None:
    division = FileDivision("train", index_file(tmp_path, **parts), ("train", "valid"), (2, 2))
    with pytest.raises(UserError, match=says):
        division.indices(4)


@pytest.mark.parametrize(
    "content", ["", "{", "{}", "[]", "3", '{"train": [0, 1]}', '{"train": ["float", ["0"]]}']
)
def test_another_format_says_so(tmp_path: Path, content: str) -> None:
    path = tmp_path / "split.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"is damaged|parts by name|has no 'train'|train must be"):
        FileDivision("train", path, ("train", "valid")).indices(4)


def test_another_checksum_and_a_missing_file_are_errors(tmp_path: Path) -> None:
    path = index_file(tmp_path, train=[0], valid=[1])
    with pytest.raises(UserError, match=r"has the MD5 .*, not 2da7"):
        FileDivision("train", path, ("train", "valid"), md5="2da7").indices(2)
    with pytest.raises(UserError, match=r"index file .* is missing; the official ones come from https"):
        FileDivision("train", tmp_path / "none.txt", ("train", "valid"))


def test_sizes_and_parts_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UserError, match=r"sizes \(3, 2\) need 5 images, and there are 4"):
        RandomDivision("train", (3, 2)).indices(4)
    with pytest.raises(UserError, match="need 5 images"):
        OrderedDivision("train", (3, 2)).indices(4)
    with pytest.raises(UserError, match="two numbers of at least 1"):
        RandomDivision("train", (3, 0))
    with pytest.raises(UserError, match="of must be train or test"):
        RandomDivision("valid", (3, 1))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="keys must be two"):
        FileDivision("train", "split.txt", ("train",))
