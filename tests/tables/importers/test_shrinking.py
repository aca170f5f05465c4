import pickle
import pickletools
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from acenas.errors import UserError
from acenas.files import load_plain
from acenas.tables.importers.shrinking import ShrinkingUnpickler


def record_size(seen: list[int], filled: dict[Any, Any]) -> None:
    seen.append(len(filled))


def test_values_that_a_pickle_repeats_are_the_same_where_it_is_shrunk(tmp_path: Path) -> None:
    """References to earlier values, by every protocol and with gaps in their numbers."""
    shared = ["a", {"b": 1.5}]
    content = {"x": shared, "y": [shared, "a", "b", "c" * 300], "z": {str(i): i for i in range(2500)}}
    for protocol in (2, 4):
        for data in (pickle.dumps(content, protocol), pickletools.optimize(pickle.dumps(content, protocol))):
            seen: list[int] = []
            read = load_plain(
                BytesIO(data), tmp_path, partial(ShrinkingUnpickler, shrink=partial(record_size, seen))
            )
            assert read == content and read["x"] is read["y"][0]
            assert max(seen) == 2500
    with pytest.raises(UserError, match="value 4,000,000,000 comes after"):
        load_plain(
            BytesIO(b"\x80\x02}r" + (4_000_000_000).to_bytes(4, "little") + b"."),
            tmp_path,
            partial(ShrinkingUnpickler, shrink=print),
        )
