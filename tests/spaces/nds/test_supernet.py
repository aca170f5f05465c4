from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.spaces import NDS
from acenas.spaces.nds.network import CellPlace, Projection, Source, cell_places
from acenas.spaces.nds.supernet import NDSSupernet
from acenas.spaces.supernet import PathStatistics

ONLY_NONE = "|none~0|none~1|"
RARE = {
    "darts": [
        # A node of nothing, which is read; an operation twice; the normal cell never reads the last one.
        f"normal={ONLY_NONE}+|sep_conv_3x3~2|none~1|+|sep_conv_3x3~0|sep_conv_3x3~0|+|skip_connect~0|max_pool_3x3~4|"
        f";reduce=|skip_connect~0|skip_connect~1|+{ONLY_NONE}+{ONLY_NONE}+|dil_conv_5x5~3|avg_pool_3x3~1|"
        ";width=2;depth=5",
        # Nothing reaches the output.
        f"normal={'+'.join([ONLY_NONE] * 4)};reduce={'+'.join([ONLY_NONE] * 4)};width=6;depth=3",
    ]
}


def space(family: str, stem: str = "cifar", depths: Sequence[int] = (3, 5)) -> NDS:
    return NDS(family, widths=(2, 6), depths=depths, stem=stem, in_channels=1)  # type: ignore[arg-type]


def supernet(of: NDS) -> NDSSupernet:
    torch.manual_seed(0)
    network = of.build_supernet(num_classes=3).double()
    for parameter in network.parameters():  # gamma and beta that matter
        nn.init.normal_(parameter, std=0.5)
    return network


def images(size: int = 5) -> Tensor:
    # Small and odd: 11 x 11.
    return torch.randn(size, 1, 11, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def columns(source: Source, outputs: dict[str, tuple[int, ...]], most: int) -> list[int]:
    """Channels of the shared kernel that those of an input stand for, one by one."""
    if source.kind == "stem":
        return list(range(source.channels))
    return [
        (state - 2) * most + channel for state in outputs[source.kind] for channel in range(source.channels)
    ]


def kind(source: Source, halve: bool) -> str:
    return ("stem" if source.kind == "stem" else "cells") + ("_halved" if halve else "")


def shares(of: NDS, arch: str) -> dict[str, tuple[str, list[int] | None]]:
    """For each parameter of the stand-alone network the shared one, and its input channels where not the first."""
    whole = of.architecture(arch)
    width, depth = whole.width, whole.depth
    graphs = {"normal": whole.normal, "reduce": whole.reduce}
    outputs = {name: graph.outputs for name, graph in graphs.items()}
    places = cell_places(width, depth, of.stem)
    scale = of.widths[-1] / width
    result: dict[str, tuple[str, list[int] | None]] = {}

    def most(source: Source) -> int:
        return int(source.channels * scale)

    for name, _ in of.build(arch, num_classes=3).named_parameters():
        first, *rest = name.split(".")
        if first == "stem":
            result[name] = name, None
        elif first == "head":
            last = places[-1]
            source = Source("reduce" if last.reduction else "normal", last.channels)
            result[name] = (
                f"classifier.{rest[-1]}",
                columns(source, outputs, most(source)) if rest[-1] == "weight" else None,
            )
        else:
            place: CellPlace = places[int(rest[0])]
            cell = f"cells.stage{place.stage + 1}_cell{place.position + 1}"
            graph = graphs["reduce" if place.reduction else "normal"]
            if rest[1].startswith("project"):
                before = rest[1] == "project_before"
                source = place.before if before else place.last
                halve = before and place.halve_before
                chosen = columns(source, outputs, most(source)) if "conv" in rest[2] else None
                result[name] = f"{cell}.{rest[1]}.{kind(source, halve)}.{'.'.join(rest[2:])}", chosen
            else:
                node, input_ = map(int, rest[2])
                operation, state = graph.nodes[node][input_]
                result[name] = f"{cell}.operations.{node}_{state}.{operation}.{'.'.join(rest[3:])}", None
    return result


def sliced(shared: Tensor, like: Tensor, inputs: list[int] | None) -> Tensor:
    if inputs is not None:
        shared = shared[:, inputs]
    return shared[tuple(slice(size) for size in like.shape)]


def stand_alone(of: NDS, network: NDSSupernet, arch: str) -> nn.Module:
    alone, shared = of.build(arch, num_classes=3).double(), network.state_dict()
    pairs = shares(of, arch)
    for name, parameter in alone.named_parameters():
        other, inputs = pairs[name]
        parameter.data.copy_(sliced(shared[other], parameter, inputs))
    return alone


@pytest.mark.parametrize(
    ("family", "stem"),
    [
        ("darts", "cifar"), ("enas", "cifar"), ("nasnet", "cifar"), ("darts", "imagenet"), ("enas", "imagenet"),
        pytest.param("pnas", "cifar", marks=pytest.mark.slow),
        pytest.param("amoeba", "cifar", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_path_is_the_stand_alone_network_in_logits_and_gradients(family: str, stem: str) -> None:
    of = space(family, stem)
    network, x, labels = supernet(of), images(), torch.tensor([0, 1, 2, 0, 1])
    of_shared = dict(network.named_parameters())
    narrow, wide = (arch.split("width")[0] for arch in of.sample(2, torch.Generator().manual_seed(1)))
    archs = [f"{narrow}width=2;depth=3", f"{wide}width=6;depth=5", *RARE.get(family, [])]
    for arch in archs:
        alone, pairs = stand_alone(of, network, arch), shares(of, arch)
        logits, expected = network(x, arch), alone(x)
        torch.testing.assert_close(logits, expected)
        network.zero_grad(set_to_none=True)
        for output in (logits, expected):
            torch.autograd.backward(nn.functional.cross_entropy(output, labels))
        gradients: dict[str, Tensor] = {}
        for name, parameter in alone.named_parameters():
            if parameter.grad is not None:
                other, inputs = pairs[name]
                total = gradients.setdefault(other, torch.zeros_like(of_shared[other]))
                part = torch.zeros_like(total)
                sliced_part = torch.zeros_like(parameter)
                sliced_part.copy_(parameter.grad)
                index = [torch.arange(size) for size in parameter.shape]
                if inputs is not None:
                    index[1] = torch.tensor(inputs)
                part[torch.meshgrid(*index, indexing="ij")] = sliced_part
                total += part  # one operation may stand on both inputs of a node
        assert {name for name, p in of_shared.items() if p.grad is not None} == set(gradients)
        for name, gradient in gradients.items():
            torch.testing.assert_close(of_shared[name].grad, gradient, msg=name)
        active = network.active_parameters(arch)
        assert len(active) == len(set(active))
        assert set(active) == {of_shared[name] for name in gradients}


def test_the_statistics_of_a_path_are_measured_for_the_channels_that_it_takes() -> None:
    of = space("enas")
    network, x = supernet(of).eval(), images(8)
    (arch,) = of.sample(1, torch.Generator().manual_seed(2))
    alone = stand_alone(of, network, arch).train()
    for layer in alone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0  # one batch: its statistics
    with torch.no_grad():
        alone(x)
        with PathStatistics(network) as statistics:
            statistics.measure(arch, [x], [None])
            measured = network(images(3), arch)
        torch.testing.assert_close(measured, alone.eval()(images(3)))


def test_a_path_that_the_network_is_too_small_for_is_an_error() -> None:
    network, wider = space("darts").build_supernet(3), NDS("darts", widths=(8,), depths=(3, 4, 5))
    (arch,) = wider.sample(1, torch.Generator().manual_seed(0))
    with pytest.raises(UserError, match=r"its width 8 is none of 2, 6; set space\.widths"):
        network(torch.zeros(1, 1, 8, 8), arch)
    arch = arch.replace("width=8", "width=6").replace("depth=3", "depth=4").replace("depth=5", "depth=4")
    with pytest.raises(UserError, match=r"its depth 4 is none of 3, 5; set space\.depths"):
        network(torch.zeros(1, 1, 8, 8), arch)


def test_cells_belong_to_their_position_in_their_stage() -> None:
    """Of up to 20 cells: those that any depth has, so many in each of three stages, reduction cells first in two."""
    for depth, stages in ((4, (1, 1, 2)), (8, (2, 3, 3)), (12, (4, 4, 4)), (20, (6, 7, 7))):
        places = cell_places(16, depth, "cifar")
        assert tuple(sum(place.stage == stage for place in places) for stage in range(3)) == stages
        assert [i for i, place in enumerate(places) if place.reduction] == [depth // 3, 2 * depth // 3]
        assert all(place.reduction == (place.stage > 0 and place.position == 0) for place in places)
        assert [place.channels for place in places] == [16 * 2**place.stage for place in places]
    with torch.device("meta"):
        network = NDS("enas", widths=(2,), depths=(4, 8)).build_supernet(10)
    assert len(network.cells) == 8
    names = {name for name, module in network.named_modules() if isinstance(module, Projection)}
    of_third = {name for name in names if name.startswith("cells.stage3_cell1.project_before")}
    assert of_third == {f"cells.stage3_cell1.project_before.{kind}" for kind in ("cells", "cells_halved")}
    assert "cells.stage1_cell2.project_before.stem" in names
    assert not any(name.startswith("cells.stage2_cell2.project_before.stem") for name in names)
