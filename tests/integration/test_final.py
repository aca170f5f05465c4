"""A found network is trained to its full accuracy, measured and exported, as a user does it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from acenas.run.commands.export import main as export_main
from acenas.run.commands.final import main as final_main
from tests.integration.conftest import Command, command, environment, result, run_folders, summary
from tests.integration.test_live import SMALL
from tests.shortcuts import acenas_here
from tests.training.final.example import write_data

CELL = "|none~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
MOBILE = (
    "k3e3,skip,skip,skip:k3e3,skip,skip,skip:k3e3,skip,skip,skip:k3e3,skip,skip,skip:k3e3,skip,skip,skip:k3e3"
)
QUICK = (
    "final.recipe.epochs=2",
    "final.recipe.warmup_epochs=1",
    "logger.mode=disabled",
    "trainer.accelerator=cpu",
)


def test_a_network_is_trained_measured_and_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = acenas_here("experiment=final", f"arch='{CELL}'", *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = run_folders(tmp_path / "outputs")
    found = summary(folder)
    accuracy = found["final"]["accuracy"]
    assert accuracy.keys() == {"valid", "test"} and found["export"] == ["torchscript", "onnx"]
    assert f"test accuracy {accuracy['test']:.2f} %" in done.stdout
    rows = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 4 and "train/valid_accuracy" in rows[0] and "train/test_accuracy" in rows[0]
    for options in ([], ["--checkpoint", str(folder / "final" / "training.ckpt"), "--accelerator", "cpu"]):
        assert final_main([str(folder), *options]) == 0
        assert f"{accuracy['test']:.2f} % of 400 test images of digits" in capsys.readouterr().out
    assert export_main([str(folder), "--out", str(tmp_path / "out"), "--formats", "torchscript"]) == 0
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"{accuracy['test']:.2f} %" in card and "was given, not searched" in card
    assert export_main([str(tmp_path)]) == 2
    assert "is no run's folder" in capsys.readouterr().err
    assert final_main([str(folder), "--checkpoint", str(tmp_path / "none.ckpt")]) == 2
    assert "there is no file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["experiment=final"],
            "final trains one network, and nothing names it; say either arch=ARCHITECTURE",
        ),
        (["experiment=final", "arch=a", "from_run=b"], "arch and from_run names it"),
        (["experiment=nb201_ltr", "arch=a"], "arch names what final trains, and final is empty"),
        (["experiment=nb201_ltr", "export=default"], "export needs a network that the run has trained"),
        (["experiment=final", "from_run=nowhere"], "nowhere is no finished search"),
        (["experiment=final", "arch=conv"], "conv"),
        (["experiment=final", f"arch='{CELL}'", "final.device_batch=48"], "does not divide into batches"),
        (["experiment=mobilenet_final", f"arch='{CELL}'"], "not a network of this space"),
        (["experiment=mobilenet_final", f"arch='{MOBILE}'"], "set data_dir or the environment variable"),
    ],
)
@pytest.mark.slow
def test_mistakes_are_one_message_and_leave_no_folder(
    acenas: Command, tmp_path: Path, overrides: list[str], message: str
) -> None:
    done = acenas(*overrides, cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr and message in done.stderr, done.stderr
    assert not list(tmp_path.glob("outputs/*/*"))


@pytest.mark.slow
def test_a_search_its_returned_network_and_the_final_one(acenas: Command, tmp_path: Path) -> None:
    """What a search trained is exported as it is; a run of its own trains it longer, with two seeds."""
    live = acenas(*SMALL, "table=none", "export=default", cwd=tmp_path)
    assert live.returncode == 0, live.stderr
    (folder,) = run_folders(tmp_path / "outputs")
    searched = summary(folder)
    card = (folder / "export" / "README.md").read_text(encoding="utf-8")
    assert "found by the search `digits_live` (seed 0)" in card and "trained 4 architectures in all" in card
    assert f"| validation | {searched['returned']['observed_accuracy']:.2f} %" in card
    done = acenas("-m", "experiment=final", f"from_run={folder}", "seed=0,1", *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    finals = run_folders(tmp_path / "outputs" / "final" / "..")
    finals = [run for run in finals if summary(run)["experiment"] == "final"]
    cards = [(run / "export" / "README.md").read_text(encoding="utf-8") for run in finals]
    assert len(cards) == 2 and all("trained 4 architectures in all" in card for card in cards)
    assert sum("| 2 |" in card for card in cards) == 1, "the second one knows of the first"
    other = acenas("experiment=final", f"from_run={folder}", "space=mobilenet_tiny", *QUICK, cwd=tmp_path)
    assert other.returncode == 2 and "Traceback" not in other.stderr


@pytest.mark.slow
def test_search_final_training_and_export_in_one_run(acenas: Command, tmp_path: Path) -> None:
    done = acenas(*SMALL, "table=none", "final=digits", "export=default", *QUICK[:2], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = run_folders(tmp_path / "outputs")
    found = summary(folder)
    assert (folder / "export" / "network.onnx").exists() and found["final"]["accuracy"]["test"] > 0
    assert "found by the search" in (folder / "export" / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_imagenet_recipe_on_a_folder_of_generated_images_is_resumed_after_a_kill(
    acenas: Command, tmp_path: Path
) -> None:
    """The published recipe and network, small in nothing but images and epochs, in two processes."""
    data = tmp_path / "data"
    write_data(data / "imagenet")
    (data / "imagenet" / "train" / "red" / "red_0.jpg").write_bytes(b"nothing")
    overrides = [
        "experiment=mobilenet_final", f"arch='{MOBILE}'", f"data_dir={data}", "trainer=ddp",
        "trainer.accelerator=cpu", "logger.mode=disabled", "images.source.crops.size=32", "images.source.workers=1",
        "images.source.division.sizes=[null,9]", "final=imagenet_90", "final.recipe.epochs=4",
        "final.recipe.warmup_epochs=1", "final.recipe.batch_size=16", "final.device_batch=4",
        "final.dropout=0.15",
    ]  # fmt: skip
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    done = acenas(*overrides, cwd=whole)
    assert done.returncode == 0, done.stderr
    assert "Damaged image left out" in done.stderr + done.stdout and "red_0.jpg" in done.stderr + done.stdout
    process = subprocess.Popen(
        command(*overrides),
        cwd=killed,
        env=environment(),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not list(killed.glob("outputs/*/*/final/training.ckpt")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert acenas(*overrides, cwd=killed).returncode == 0
    (one,), (two,) = (run_folders(cwd / "outputs") for cwd in (whole, killed))
    results = [result(folder) for folder in (one, two)]
    assert json.dumps(results[0]) == json.dumps(results[1])
    facts = [(folder / "final" / "network.json").read_text(encoding="utf-8") for folder in (one, two)]
    assert facts[0] == facts[1] and '"imagenet/train/red/red_0.jpg"' in facts[0]
    first, second = (torch.load(folder / "final" / "network.pt") for folder in (one, two))
    assert all(torch.equal(first[name], second[name]) for name in first)
    out = subprocess.run(
        [sys.executable, "-m", "acenas.final", str(one), "--accelerator", "cpu"],
        capture_output=True, text=True, env=environment(), check=True,
    ).stdout  # fmt: skip
    assert f"{results[0]['final']['accuracy']['test']:.2f} % of 9 test images of imagenet" in out
