"""The mobile space of ProxylessNAS (Cai et al., ICLR 2019, arXiv 1812.00332), as TuNAS and AceNAS search it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from typing_extensions import override

from acenas.errors import UserError
from acenas.spaces.base import SearchSpace
from acenas.spaces.cost import Cost, count_cost
from acenas.spaces.graphs import GraphBatch
from acenas.spaces.mobilenet.blocks import SKIP, Operation, StageTexts
from acenas.spaces.mobilenet.network import InvertedResidual, MobileNetNetwork, Skeleton
from acenas.spaces.mobilenet.supernet import MobileNetSupernet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class MobileNet(SearchSpace):
    """Networks of inverted residual blocks: stages joined by `:`, the blocks of a stage joined by `,`.

    A block is `k<kernel>e<expansion>` or `skip`, except for the first of a stage, which cannot be skipped. Skips may
    stand anywhere in a stage; only the other blocks matter. With the default skeleton there are 21 blocks in 6 stages:
    6^6 * 7^15 strings for 1554^5 * 6 networks.

    Args:
        skeleton: all but the blocks; a smaller one suits small images.
        kernel_sizes: of the depthwise convolutions.
        expansions: of the blocks.

    Raises:
        UserError: for an even or repeated kernel size or expansion.

    >>> space = MobileNet(Skeleton(stages=((32, 3, 2), (40, 1, 2))))
    >>> space.canonical("k3e6,skip,k5e3:k7e6")
    'k3e6,k5e3,skip:k7e6'
    >>> space.to_indices("k3e6,skip,k5e3:k7e6")
    '0:0:0:0:1:0:0:0:1:1:0:0:0:2:1:0:0:0'
    """

    name = "mobilenet"
    in_channels_key = "space.skeleton.in_channels"

    def __init__(
        self,
        skeleton: Skeleton | None = None,
        kernel_sizes: Sequence[int] = (3, 5, 7),
        expansions: Sequence[int] = (3, 6),
    ) -> None:
        self.skeleton = skeleton or Skeleton()
        self.in_channels = self.skeleton.in_channels
        self.kernel_sizes, self.expansions = tuple(kernel_sizes), tuple(expansions)
        for name, values in (("kernel_sizes", self.kernel_sizes), ("expansions", self.expansions)):
            if not values or len(set(values)) < len(values) or min(values) < 1:
                raise UserError(f"space: {name} are different numbers, at least 1, not {list(values)}")
        if any(kernel % 2 == 0 for kernel in self.kernel_sizes):
            raise UserError(f"space: kernel_sizes are odd, not {list(self.kernel_sizes)}")
        self.operations = [Operation(*choice) for choice in product(self.kernel_sizes, self.expansions)]
        """In the order of their numbers."""
        self._names = [*map(str, self.operations), SKIP]
        self._skip = len(self.operations)
        self._depths = [stage.blocks for stage in self.skeleton.stages]
        self.num_node_types = 1 + len(self._depths) * len(self.operations)
        self._stages = [StageTexts(i, depth, self._names) for i, depth in enumerate(self._depths, start=1)]
        self._costs: dict[Any, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    # --- grammar ---

    def blocks(self, arch: str) -> list[list[Operation | None]]:
        """Returns the operations of the blocks of each stage as written, None for a skip."""
        self.validate(arch)
        of_name = dict(zip(self._names, [*self.operations, None], strict=True))
        return [[of_name[name] for name in stage.split(",")] for stage in arch.split(":")]

    def from_blocks(self, blocks: Sequence[Sequence[Operation | None]]) -> str:
        """Returns the architecture with these operations; skips at the end of a stage may be left out."""
        stages = [
            [*(SKIP if block is None else str(block) for block in stage), *[SKIP] * (depth - len(stage))]
            for stage, depth in zip(blocks, self._depths, strict=True)
        ]
        arch = ":".join(map(",".join, stages))
        self.validate(arch)
        return arch

    @override
    def validate(self, arch: str) -> None:
        self._rows([arch])

    def parse(self, text: str) -> str:
        """See `SearchSpace.parse`; also reads TuNAS' encoding."""
        return self.from_indices(text) if set(text) <= set("0123456789:") else super().parse(text)

    def from_indices(self, indices: str) -> str:
        """Returns the architecture of TuNAS' encoding (Bender et al., CVPR 2020, arXiv 2008.06120), not made canonical.

        Args:
            indices: indices of choices joined by colons, 73 for the default skeleton: the stem's filters, the fixed
                block's kernel and filters; for each stage kernel, expansion and operation (0 block, 1 skip) of each
                block, and the stage's filters; the head's filters. Filters and the fixed kernel have one choice, 0.

        Raises:
            UserError: where it is not one of this space.
        """
        numbers, wrong = indices.split(":"), "not an encoding of this space:"
        if (count := len(numbers)) != (expected := len(self._index_choices)):
            raise UserError(f"{wrong} {count} numbers joined by colons, not {expected}: {indices!r}")
        for place, (number, choices) in enumerate(zip(numbers, self._index_choices, strict=True)):
            if number not in map(str, range(choices)):
                raise UserError(
                    f"{wrong} number {place} is {number!r}, and can be 0 to {choices - 1}: {indices!r}"
                )
        left = map(int, numbers[3:])
        stages: list[list[Operation | None]] = []
        for depth in self._depths:
            stages.append([])
            for _ in range(depth):
                kernel, expansion, skipped = next(left), next(left), next(left)
                operation = Operation(self.kernel_sizes[kernel], self.expansions[expansion])
                stages[-1].append(None if skipped else operation)
            next(left)
        return self.from_blocks(stages)

    def to_indices(self, arch: str) -> str:
        """Reverses `from_indices`; kernel and expansion of a skip are 0."""
        numbers = [0, 0, 0]
        for stage in self.blocks(arch):
            for block in stage:
                if block is None:
                    numbers += [0, 0, 1]
                else:
                    kernel, expansion = block
                    numbers += [self.kernel_sizes.index(kernel), self.expansions.index(expansion), 0]
            numbers.append(0)
        return ":".join(map(str, [*numbers, 0]))

    @property
    def _index_choices(self) -> list[int]:
        """The number of values of each index of TuNAS' encoding."""
        kernels, expansions = len(self.kernel_sizes), len(self.expansions)
        stages = [[kernels, expansions, 1, *(kernels, expansions, 2) * (n - 1), 1] for n in self._depths]
        return [1, 1, 1, *chain.from_iterable(stages), 1]

    # --- equal functions ---

    def canonical(self, arch: str) -> str:
        """Returns the same blocks with all skips at the end of their stage."""
        return self.canonical_all([arch])[0]

    def canonical_all(self, archs: Sequence[str]) -> list[str]:
        """See `SearchSpace.canonical_all`; a million in seconds."""
        columns = [
            map(stage.canonical.__getitem__, rows)
            for stage, rows in zip(self._stages, self._rows(archs).T.tolist(), strict=True)
        ]
        return list(map(":".join, zip(*columns, strict=True)))

    # --- sampling and neighbours ---

    def sample(self, n: int, generator: torch.Generator) -> list[str]:
        """Draws `n` networks independently, as AceNAS and TuNAS do.

        Operations are uniform, and each block that can be skipped is skipped with probability 1/2.
        """
        columns = []
        for depth in self._depths:
            codes = torch.randint(self._skip, (n, depth), generator=generator)
            skipped = torch.randint(2, (n, depth), generator=generator).bool()
            skipped[:, 0] = False
            columns.append(self._write_stage(codes.masked_fill(skipped, self._skip).numpy()))
        return list(map(":".join, zip(*columns, strict=True)))

    def _write_stage(self, codes: NDArray[np.int64]) -> list[str]:
        """Returns the texts of `codes` ``[A, blocks]``; writes equal ones once."""
        keys = codes @ (len(self._names) ** np.arange(codes.shape[1]))
        _, first, place = np.unique(keys, return_index=True, return_inverse=True)
        texts = [",".join(self._names[code] for code in row) for row in codes[first].tolist()]
        return [texts[i] for i in place.tolist()]

    def neighbours(self, arch: str) -> list[str]:
        """Returns all other networks, in canonical form, that are one change away.

        A change gives a block another operation, removes a block that is not the first of its stage, or inserts one
        after another.
        """
        texts = self.canonical(arch).split(":")
        changed = [
            ":".join([*texts[:i], other, *texts[i + 1 :]])
            for i, depth in enumerate(self._depths)
            for other in self._changes(texts[i].split(","), depth)
        ]
        return list(dict.fromkeys(changed))

    def _changes(self, blocks: Sequence[str], depth: int) -> Iterator[str]:
        """Yields the texts of a stage after a change; see `neighbours`."""
        left, names = [name for name in blocks if name != SKIP], self._names[:-1]
        changed = []
        for i, before in enumerate(left):
            changed += [[*left[:i], name, *left[i + 1 :]] for name in names if name != before]
        changed += [[*left[:i], *left[i + 1 :]] for i in range(1, len(left))]
        if len(left) < depth:
            changed += [[*left[:i], name, *left[i:]] for i, name in product(range(1, len(left) + 1), names)]
        return (",".join([*texts, *[SKIP] * (depth - len(texts))]) for texts in changed)

    # --- graphs ---

    def encode(self, archs: Sequence[str]) -> GraphBatch:
        """Returns the chain of blocks of each network, without skips; no globals.

        Node types: 0 padding, 1 + stage * operations + operation.
        """
        columns = []
        for number, (stage, rows) in enumerate(zip(self._stages, self._rows(archs).T, strict=True)):
            codes = stage.codes[rows]
            columns.append(np.where(codes < self._skip, 1 + number * self._skip + codes, 0))
        types = np.concatenate(columns, axis=1)
        blocks_first = (types == 0).argsort(axis=1, kind="stable")
        node = torch.from_numpy(np.take_along_axis(types, blocks_first, axis=1))
        mask, edges = node > 0, torch.from_numpy(np.eye(node.shape[1], k=1, dtype=np.bool_))
        return GraphBatch(node, edges & mask[:, None, :], mask, torch.zeros(len(node), 0))

    # --- networks, costs and pictures ---

    def build(self, arch: str, num_classes: int) -> nn.Module:
        """Builds the network of the blocks that are not skipped."""
        return MobileNetNetwork(self._present(arch), num_classes, self.skeleton)

    def _present(self, arch: str) -> list[list[Operation]]:
        return [[block for block in stage if block is not None] for stage in self.blocks(arch)]

    def build_supernet(self, num_classes: int) -> MobileNetSupernet:
        """Builds the super-net, see `MobileNetSupernet`."""
        return MobileNetSupernet(self.blocks, self.operations, num_classes, self.skeleton)

    def costs(self, archs: Sequence[str], num_classes: int, image_shape: tuple[int, int, int]) -> list[Cost]:
        """See `SearchSpace.costs`; sums over the blocks, a million networks in seconds."""
        key = num_classes, image_shape
        if key not in self._costs:
            self._costs[key] = self._count_costs(*key)
        fixed, of_blocks = self._costs[key]
        totals = np.tile(fixed, (len(archs), 1))
        first = 0
        for stage, rows in zip(self._stages, self._rows(archs).T, strict=True):
            totals += of_blocks[first + np.arange(stage.depth), stage.codes].sum(1)[rows]
            first += stage.depth
        return list(map(Cost._make, totals.tolist()))

    def _count_costs(
        self, num_classes: int, image_shape: tuple[int, int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns costs: of all but the blocks ``[3]``, of blocks by operation ``[blocks, operations + 1, 3]``."""
        skeleton, (_, height, width) = self.skeleton, image_shape
        height, width = (-(-side // skeleton.stem_stride) for side in (height, width))
        of_blocks = np.zeros((sum(self._depths), len(self._names), len(Cost._fields)))
        with torch.device("meta"):
            blocks = [(stage, block) for stage, depth in enumerate(self._depths) for block in range(depth)]
            for costs, (stage, block) in zip(of_blocks, blocks, strict=True):
                place = skeleton.place(stage, block)
                for number, operation in enumerate(self.operations):
                    network = InvertedResidual(operation, place, skeleton.norm)
                    costs[number] = count_cost(network, (place.in_channels, height, width))
                height, width = (-(-side // place.stride) for side in (height, width))
            smallest = self.build(self.from_blocks([[self.operations[0]]] * len(self._depths)), num_classes)
            first = [number for number, (_, block) in enumerate(blocks) if block == 0]
            fixed = np.array(count_cost(smallest, image_shape)) - of_blocks[first, 0].sum(0)
        return fixed, of_blocks

    def draw(self, arch: str) -> Figure:
        """Draws the blocks from left to right, by stage."""
        from acenas.spaces.drawing import draw_blocks

        channels = [stage.channels for stage in self.skeleton.stages]
        return draw_blocks(self._present(arch), channels, max(self.kernel_sizes), self.expansions)

    # --- from strings to numbers ---

    def _rows(self, archs: Sequence[str]) -> NDArray[np.int64]:
        """``[A, stages]``: the number of each stage of `archs` in `_stages`, where each different text is read once."""
        count = len(self._stages)
        for arch in archs:
            if arch.count(":") != count - 1:
                raise UserError(
                    f"not a network of this space: {arch.count(':') + 1} stages joined by colons, not {count}: "
                    f"{arch!r:.200}"
                )
        rows = np.zeros((count, len(archs)), np.int64)
        for start in range(0, len(archs), 4096):  # in parts: a million short strings at once cost more
            texts = ":".join(archs[start : start + 4096]).split(":")
            for number, stage in enumerate(self._stages):
                rows[number, start : start + 4096] = [*map(stage.__getitem__, texts[number::count])]
        return rows.T
