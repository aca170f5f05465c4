"""What a page offers to train a found architecture with."""

import shlex
from pathlib import Path

import pytest
import torch
from hydra import compose
from omegaconf import OmegaConf

from acenas.report.runs import OVERRIDES, flat
from acenas.run.command_line import as_meant
from acenas.run.config import check_config, composing, instantiate
from acenas.run.networks import final_command
from acenas.spaces import SearchSpace


def offered(folder: Path, *overrides: str) -> str:
    """The command that the page of a run of `overrides` offers; where there is one, its configuration is checked."""
    given = as_meant(overrides)
    (folder / OVERRIDES).parent.mkdir(parents=True, exist_ok=True)
    (folder / OVERRIDES).write_text(OmegaConf.to_yaml(OmegaConf.create(given)))
    with composing():
        cfg = compose("config", given)
        space: SearchSpace = instantiate(cfg.space)
        (arch,) = space.sample(1, torch.Generator().manual_seed(0))
        command = final_command(cfg, folder, space, arch)
        if command:
            final = compose("config", as_meant(shlex.split(command.replace("ARCHITECTURE", arch))[3:]))
            check_config(final)
            assert final.arch == arch
            trained: SearchSpace = instantiate(final.space)
            assert trained.name == space.name and final.images
            if cfg.images:
                assert dict(flat(final.space)) == dict(flat(cfg.space)) and final.images == cfg.images
    return command


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["experiment=nb201_ltr"], ""),
        (["table=nb201", "table.dataset=cifar100"], "space=nasbench201 images=cifar100"),
        (
            ["experiment=nds_darts_ltr", "table.dataset=imagenet"],
            "space=nds_darts images=imagenet final=imagenet_360 'space.variant=\"imagenet\"'",
        ),
        (
            ["experiment=mobilenet_ltr", "data_dir=."],
            "data_dir=. space=mobilenet images=imagenet final=imagenet_360",
        ),
        (
            ["experiment=mobilenet_tiny", "space.expansions=[2,6]", "images.draws=2"],
            "space=mobilenet_tiny 'space.expansions=[2,6]' images.draws=2",
        ),
    ],
)
def test_the_command_trains_the_space_of_the_run_on_its_images(
    tmp_path: Path, overrides: list[str], expected: str
) -> None:
    begin, end = "python -m acenas experiment=final", "'arch=\"ARCHITECTURE\"'"
    assert offered(tmp_path, *overrides) == " ".join(filter(None, [begin, expected, end]))


@pytest.mark.parametrize(
    "overrides",
    [
        ["space=choices", "space.choices={width: [16, 32]}", "table=none"],
        ["experiment=suite/gpt_s"],
        ["table=own", "table.space=nasbench201", "table.path=mine", "table.observed=jigsaw.valid"],
    ],
    ids=["no networks", "a table of a space without networks", "a table of other images"],
)
def test_where_nothing_can_be_trained_no_command_is_offered(tmp_path: Path, overrides: list[str]) -> None:
    assert offered(tmp_path, *overrides) == ""
