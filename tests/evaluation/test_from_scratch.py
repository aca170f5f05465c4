import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.evaluation.curves import Curve, NeverStop, StopRule
from acenas.evaluation.from_scratch import TrainingEvaluator, TrainingJudge
from acenas.evaluation.jobs import arch_folder, read_result
from acenas.files import write_text
from acenas.images import Augmentation, Digits, Images, ImageSource, ImageSplits, ImageTask
from acenas.seeds import torch_generator
from acenas.spaces.nasbench201.space import NasBench201
from acenas.tables import BenchmarkTable, find_table
from acenas.training.batches import accuracies, evaluation_batches
from acenas.training.curve import CurveTraining
from acenas.training.lightning import fit
from acenas.training.network import initialised
from acenas.training.recipe import Recipe
from tests.executors.work import ThisProcess

HARDER = Augmentation(padding=1, noise=0.8)
IMAGES = ImageTask(Digits(), HARDER, HARDER, draws=2)
RECIPE = Recipe(
    epochs=3, batch_size=128, learning_rate=0.3, nesterov=True, warmup_epochs=0.3, gradient_clip=2.0
)
SPACE = NasBench201(channels=4, cells_per_stage=1, stages=1, in_channels=1)
ARCHS = [
    "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|",
    *SPACE.sample(2, torch.Generator().manual_seed(0)),
]


def evaluator(folder: Path, **changes: Any) -> TrainingEvaluator:
    arguments: dict[str, Any] = {"space": SPACE, "images": IMAGES, "recipe": RECIPE, "jobs": 1, **changes}
    return TrainingEvaluator(folder=folder, accelerator="cpu", **arguments)


def weights(folder: Path, arch: str) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(
        arch_folder(folder, SPACE.canonical(arch)) / "weights.pt", weights_only=True
    )
    return state


def curve_in(folder: Path) -> list[list[str]]:
    """The rows of the only curve, without their last column, the seconds."""
    (path,) = folder.glob("*/curve.csv")
    return [line.split(",")[:-1] for line in path.read_text().splitlines()]


def assert_same_weights(one: dict[str, Tensor], two: dict[str, Tensor]) -> None:
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    evaluator(folder).evaluate(ARCHS)
    return folder


def plain_training(arch: str, seed: int) -> nn.Module:
    """The textbook loop, without Lightning."""
    network, train = initialised(lambda: SPACE.build(arch, 10), seed), IMAGES.splits.train
    generator = torch_generator(seed, "training", "data")
    optimizer = torch.optim.SGD(network.parameters(), RECIPE.learning_rate, RECIPE.momentum, nesterov=True)
    per_epoch = len(train.labels) // RECIPE.batch_size
    step = 0
    for _ in range(RECIPE.epochs):
        order = torch.randperm(len(train.labels), generator=generator)
        inputs = IMAGES.augmented(train.images[order], generator)
        for batch in range(per_epoch):
            part = slice(batch * RECIPE.batch_size, (batch + 1) * RECIPE.batch_size)
            optimizer.param_groups[0]["lr"] = RECIPE.learning_rate * RECIPE.schedule(
                step, RECIPE.epochs * per_epoch
            )
            optimizer.zero_grad()
            torch.autograd.backward(
                nn.functional.cross_entropy(network(inputs[part]), train.labels[order][part])
            )
            nn.utils.clip_grad_norm_(network.parameters(), 2.0)
            optimizer.step()
            step += 1
    return network.eval()


def test_a_training_is_that_of_the_plain_loop(trained: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = plain_training(SPACE.canonical(ARCHS[0]), seed=0)
    torch.set_num_threads(threads)
    assert_same_weights(weights(trained, ARCHS[0]), dict(expected.state_dict()))
    (valid,) = accuracies(expected, evaluation_batches(IMAGES, "valid"))
    seen = evaluator(trained).evaluate(ARCHS)
    assert list(seen.archs) == ARCHS and seen.observed_accuracy[0] == pytest.approx(valid)
    assert (seen.seconds > 0).all()
    (test,) = accuracies(expected, evaluation_batches(IMAGES, "test"))
    judge = TrainingJudge(SPACE, IMAGES, trained, accelerator="cpu")
    assert judge.test_accuracy([ARCHS[0]])[0] == pytest.approx(test)


def test_a_training_again_is_that_of_the_next_seed(trained: Path, tmp_path: Path) -> None:
    first = evaluator(trained)
    again = first.repeated(1)
    again.folder = tmp_path / "again"
    again.evaluate(ARCHS[:1])
    evaluator(tmp_path / "other", seed=first.seed + 1).evaluate(ARCHS[:1])
    assert_same_weights(weights(tmp_path / "again", ARCHS[0]), weights(tmp_path / "other", ARCHS[0]))
    assert first.repeated(1).folder == trained / "repeat_1" and first.repeated(0).folder == trained


def test_every_epoch_is_a_row_of_the_curve(trained: Path) -> None:
    with (arch_folder(trained, SPACE.canonical(ARCHS[0])) / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = ["epoch", "learning_rate", "train_loss", "train_accuracy", "valid_accuracy", "seconds"]
    assert list(rows[0]) == names and 0 < float(rows[0]["seconds"]) < float(rows[1]["seconds"])
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[0]["train_loss"]) > float(rows[-1]["train_loss"]) > 0
    assert float(rows[0]["train_accuracy"]) < float(rows[-1]["train_accuracy"]) < 100
    assert float(rows[-1]["learning_rate"]) < 0.1 * float(rows[0]["learning_rate"])
    assert float(rows[-1]["valid_accuracy"]) == evaluator(trained).evaluate(ARCHS[:1]).observed_accuracy[0]


def test_what_is_trained_is_read_and_not_trained_again(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluator(trained).evaluate(ARCHS)
    monkeypatch.setattr(TrainingEvaluator, "train", None)
    again = evaluator(trained).evaluate([ARCHS[2], ARCHS[0], ARCHS[2]])
    assert again.observed_accuracy.tolist() == [first.observed_accuracy[i] for i in (2, 0, 2)]
    assert again.seconds.tolist() == [first.seconds[i] for i in (2, 0, 2)]
    assert evaluator(trained).known()[0] == []  # every accuracy takes a training


def test_equal_architectures_are_one_training(tmp_path: Path) -> None:
    forms: dict[str, list[str]] = {}
    for arch in SPACE.enumerate()[:200]:
        forms.setdefault(SPACE.canonical(arch), []).append(arch)
    form, equal = next((form, equal) for form, equal in forms.items() if len(equal) > 1)
    seen = evaluator(tmp_path, recipe=RECIPE.over(1)).evaluate([*equal, form])
    assert list(seen.archs) == [*equal, form] and len(set(seen.observed_accuracy)) == 1
    assert len(list(tmp_path.glob("*/result.json"))) == 1


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(trained: Path, tmp_path: Path) -> None:
    one, two = evaluator(trained).evaluate(ARCHS), evaluator(tmp_path, jobs=2).evaluate(ARCHS)
    assert one.observed_accuracy.tolist() == two.observed_accuracy.tolist()
    for arch in ARCHS:
        assert_same_weights(weights(trained, arch), weights(tmp_path, arch))


class WithDropout(NasBench201):
    """Networks that draw numbers in training."""

    def build(self, arch: str, num_classes: int) -> nn.Module:
        return nn.Sequential(nn.Dropout(0.2), super().build(arch, num_classes))


class Stopped(BaseException):
    """Nothing that is there for errors catches it, as nothing catches a kill."""


def test_a_half_trained_network_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = WithDropout(channels=4, cells_per_stage=1, stages=1, in_channels=1)
    made = {"space": space, "checkpoint_seconds": 0.0, "executor": ThisProcess()}
    evaluator(tmp_path / "whole", **made).evaluate(ARCHS[:1])
    start, epochs = CurveTraining.on_train_epoch_start, []

    def stop_in_the_third(self: CurveTraining) -> None:
        epochs.append(self.current_epoch)
        if len(epochs) == 3:
            raise Stopped
        start(self)

    monkeypatch.setattr(CurveTraining, "on_train_epoch_start", stop_in_the_third)
    stopped = tmp_path / "stopped"
    with pytest.raises(Stopped):
        evaluator(stopped, **made).evaluate(ARCHS[:1])
    evaluator(stopped, **made).evaluate(ARCHS[:1])
    assert epochs == [0, 1, 2, 2]
    assert_same_weights(weights(tmp_path / "whole", ARCHS[0]), weights(stopped, ARCHS[0]))
    assert curve_in(tmp_path / "whole") == curve_in(stopped)
    assert not list(stopped.glob("*/last.ckpt"))


def test_a_kill_before_the_result_is_written_costs_nothing(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise Stopped

    def stop_at_the_result(path: Path, text: str) -> None:
        if path.name == "result.json":
            raise Stopped
        write_text(path, text)

    with monkeypatch.context() as patch:
        patch.setattr("acenas.evaluation.jobs.write_text", stop_at_the_result)
        with pytest.raises(Stopped):
            evaluator(tmp_path, executor=ThisProcess()).evaluate(ARCHS[:1])
    monkeypatch.setattr(CurveTraining, "training_step", stop)
    seen = evaluator(tmp_path, executor=ThisProcess()).evaluate(ARCHS[:1])
    assert seen.observed_accuracy[0] == evaluator(trained).evaluate(ARCHS[:1]).observed_accuracy[0]
    assert_same_weights(weights(tmp_path, ARCHS[0]), weights(trained, ARCHS[0]))


class Until(StopRule):
    """Stops the trainings of some architectures after so many epochs."""

    def __init__(self, epochs: float, *archs: str) -> None:
        self.epochs, self.archs = epochs, archs

    def goes_on(self, arch: str, curve: Curve) -> bool:
        return arch not in self.archs or curve[-1][0] < self.epochs


def test_a_stopped_training_goes_on_as_if_it_had_never_stopped(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (full,) = evaluator(trained).results(ARCHS[:1])
    assert [epoch for epoch, _ in full.curve] == [1, 2, 3] and full.curve[-1][1] == full.value
    made, epochs = evaluator(tmp_path, executor=ThisProcess(), checkpoint_seconds=1e9), []
    assert made.epochs == 3 and made.resumable
    step = CurveTraining.on_train_epoch_start

    def note(self: CurveTraining) -> None:
        epochs.append(self.current_epoch + 1)
        step(self)

    monkeypatch.setattr(CurveTraining, "on_train_epoch_start", note)
    for until in (1, 1, 2, 1):  # asked again, and with a rule that would have stopped it earlier
        (result,) = made.results(ARCHS[:1], Until(until, ARCHS[0]))
        assert result.stopped and list(result.curve) == list(full.curve[:until])
        assert result.value == result.curve[-1][1] and not result.failure and result.seconds > 0
    assert epochs == [1, 2] and not list(tmp_path.glob("*/result.json"))
    assert len(list(tmp_path.glob("*/last.ckpt"))) == 1
    (result,) = made.results(ARCHS[:1], NeverStop())
    assert epochs == [1, 2, 3] and not result.stopped
    assert (result.value, list(result.curve)) == (full.value, list(full.curve))
    assert_same_weights(weights(tmp_path, ARCHS[0]), weights(trained, ARCHS[0]))
    assert not list(tmp_path.glob("*/last.ckpt"))
    (result,) = made.results(ARCHS[:1], Until(2, ARCHS[0]))  # what it had shown when this rule stops it
    assert result.stopped and list(result.curve) == list(full.curve[:2]) and epochs == [1, 2, 3]


@pytest.mark.parametrize("when", ["before the checkpoint", "in it", "before the answer"])
def test_a_kill_while_a_training_is_stopped_changes_nothing(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    made, rule = evaluator(tmp_path, executor=ThisProcess()), Until(2, ARCHS[0])

    def kill(*_: Any, **__: Any) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        if when == "before the checkpoint":
            patch.setattr("acenas.training.lightning.EpochCheckpoint.on_train_epoch_end", kill)
        elif when == "in it":
            patch.setattr("pytorch_lightning.Trainer.save_checkpoint", kill)
        else:
            patch.setattr("acenas.evaluation.from_scratch.fit", _then(kill))
        with pytest.raises(Stopped):
            list(made.results(ARCHS[:1], rule))
    (result,), (full,) = made.results(ARCHS[:1], rule), evaluator(trained).results(ARCHS[:1])
    assert list(result.curve) == list(full.curve[: len(result.curve)])
    assert result.stopped and len(result.curve) == 2
    (result,) = made.results(ARCHS[:1])
    assert (result.value, list(result.curve)) == (full.value, list(full.curve))
    assert_same_weights(weights(tmp_path, ARCHS[0]), weights(trained, ARCHS[0]))


def _then(end: Any) -> Any:
    def fit_and_end(*arguments: Any, **options: Any) -> None:
        fit(*arguments, **options)
        end()

    return fit_and_end


@pytest.mark.slow
def test_two_at_once_are_stopped_each_by_its_own_curve(trained: Path, tmp_path: Path) -> None:
    made = evaluator(tmp_path, jobs=2)
    found = {result.arch: result for result in made.results(ARCHS, Until(2, ARCHS[0], ARCHS[2]))}
    full = {result.arch: result for result in evaluator(trained).results(ARCHS)}
    assert [found[arch].stopped for arch in ARCHS] == [True, False, True]
    for arch, epochs in zip(ARCHS, (2, 3, 2), strict=True):
        assert list(found[arch].curve) == list(full[arch].curve[:epochs])
    list(made.results(ARCHS))
    for arch in ARCHS:
        assert_same_weights(weights(trained, arch), weights(tmp_path, arch))


def test_architectures_alike_are_one_training_that_goes_on_for_one_of_them(tmp_path: Path) -> None:
    different = (arch for arch in SPACE.enumerate() if SPACE.canonical(arch) != arch)
    one = next(arch for arch in different if SPACE.canonical(arch).count("conv_3x3") == 3)
    pair = [one, SPACE.canonical(one)]
    made = evaluator(tmp_path, executor=ThisProcess())
    first, second = made.results(pair, Until(1, pair[0]))
    assert first.stopped and len(first.curve) == 1 and not second.stopped and len(second.curve) == 3
    assert len(list(tmp_path.glob("*/result.json"))) == 1


SCRIPT = """
import sys
from tests.evaluation.test_from_scratch import ARCHS, LONG, evaluator
from pathlib import Path
evaluator(Path(sys.argv[1]), jobs=2, recipe=LONG, checkpoint_seconds=0.0).evaluate(ARCHS[:2])
"""
LONG = RECIPE.over(60)


@pytest.mark.slow
def test_killed_with_all_its_processes_and_resumed_gives_the_same_weights(tmp_path: Path) -> None:
    evaluator(tmp_path / "whole", recipe=LONG).evaluate(ARCHS[:2])
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(killed)], stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not list(killed.glob("*/last.ckpt")):
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert list(killed.glob("*/last.ckpt")) and len(list(killed.glob("*/result.json"))) < 2
    evaluator(killed, recipe=LONG).evaluate(ARCHS[:2])
    for arch in ARCHS[:2]:
        assert_same_weights(weights(tmp_path / "whole", arch), weights(killed, arch))


class Failing(NasBench201):
    """One architecture of the sample has no network."""

    def build(self, arch: str, num_classes: int) -> nn.Module:
        if arch == SPACE.canonical(ARCHS[1]):
            raise RuntimeError("no such layer")
        return super().build(arch, num_classes)


def test_a_failure_is_reported_and_the_others_are_kept(trained: Path, tmp_path: Path) -> None:
    space = Failing(channels=4, cells_per_stage=1, stages=1, in_channels=1)
    bad = SPACE.canonical(ARCHS[1])
    results = {result.arch: result for result in evaluator(tmp_path, space=space).results(ARCHS)}
    log = arch_folder(tmp_path, bad) / "error.log"
    assert [results[arch].failure for arch in ARCHS] == ["", f"RuntimeError: no such layer; see {log}", ""]
    assert np.isnan(evaluator(tmp_path, space=space).evaluate(ARCHS).observed_accuracy).tolist() == [
        False,
        True,
        False,
    ]
    assert bad in log.read_text() and "Traceback" in log.read_text()
    for arch in (ARCHS[0], ARCHS[2]):
        assert_same_weights(weights(tmp_path, arch), weights(trained, arch))
    evaluator(tmp_path).evaluate(ARCHS)  # mended: the same network now builds
    assert not log.exists()


class Killing(NasBench201):
    """Building one architecture of the sample takes more memory than there is."""

    def build(self, arch: str, num_classes: int) -> nn.Module:
        if arch == SPACE.canonical(ARCHS[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().build(arch, num_classes)


@pytest.mark.slow
def test_a_process_that_is_killed_is_reported(tmp_path: Path) -> None:
    space = Killing(channels=4, cells_per_stage=1, stages=1, in_channels=1)
    results = {result.arch: result for result in evaluator(tmp_path, space=space, jobs=2).results(ARCHS)}
    assert "process was killed, perhaps for want of memory" in results[ARCHS[1]].failure
    assert np.isnan(results[ARCHS[1]].value)


@pytest.mark.parametrize(
    ("learning_rate", "reason"),
    [
        (1e20, "diverged: the training loss of epoch 1 is nan"),
        (1e-9, "diverged: a training loss of"),
    ],
)
def test_a_diverged_training_has_failed(tmp_path: Path, learning_rate: float, reason: str) -> None:
    recipe = replace(RECIPE, learning_rate=learning_rate, gradient_clip=None)
    (result,) = evaluator(tmp_path, recipe=recipe, executor=ThisProcess()).results(ARCHS[:1])
    assert result.failure.startswith(reason) and np.isnan(result.value)
    assert not list(tmp_path.glob("*/result.json")) and list(tmp_path.glob("*/curve.csv"))


def test_accuracies_are_those_of_the_measured_table(tmp_path: Path) -> None:
    space = NasBench201(channels=16, cells_per_stage=1, stages=1, in_channels=1)
    images = replace(IMAGES, draws=4)
    recipe = Recipe(10, 32, 0.3, nesterov=True, weight_decay=5e-4, warmup_epochs=1)  # conf/recipe/digits.yaml
    table = BenchmarkTable.open(find_table("nb201_digits"))
    archs = table.archs[:1]
    seen = evaluator(tmp_path, space=space, images=images, recipe=recipe).evaluate(archs)
    judge = TrainingJudge(space, images, tmp_path, accelerator="cpu")
    # The table's networks were trained side by side: rounding differs, and grows from step to step.
    assert seen.observed_accuracy == pytest.approx(table.lookup(archs, "digits.valid.10.s0"), abs=3.0)
    assert judge.test_accuracy(archs) == pytest.approx(table.lookup(archs, "digits.test.10.s0"), abs=3.0)


class Untouchable(ImageSplits):
    """Whoever reads the test images fails."""

    def __getattribute__(self, name: str) -> Any:
        if name == "test":
            raise AssertionError("the test images were read")
        return super().__getattribute__(name)


class Guarded(ImageSource):
    """The digits without their test images."""

    name = "digits"

    def load(self) -> ImageSplits:
        splits, nothing = Digits().load(), Images(torch.zeros(0), torch.zeros(0))
        return Untouchable(splits.train, splits.valid, nothing, 10, splits.mean, splits.std)


def test_the_evaluator_never_reads_a_test_image(trained: Path, tmp_path: Path) -> None:
    images = replace(IMAGES, source=Guarded())
    seen = evaluator(tmp_path, images=images).evaluate(ARCHS[:1])
    assert seen.observed_accuracy[0] == evaluator(trained).evaluate(ARCHS[:1]).observed_accuracy[0]
    with pytest.raises(AssertionError, match="test images were read"):
        TrainingJudge(SPACE, images, tmp_path, accelerator="cpu").test_accuracy(ARCHS[:1])


def test_the_judge_knows_what_was_trained_and_nothing_else(trained: Path) -> None:
    judge = TrainingJudge(SPACE, IMAGES, trained, accelerator="cpu")
    archs, test = judge.known()
    assert sorted(archs) == sorted(SPACE.canonical(arch) for arch in ARCHS)
    assert judge.test_accuracy(archs).tolist() == test.tolist()
    assert np.all((test > 5) & (test <= 100))
    with pytest.raises(UserError, match="holds no finished training of"):
        judge.test_accuracy([ARCHS[0], "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": RECIPE.over(2)}, "results with another recipe"),
        ({"seed": 1}, "results with another seed"),
        ({"images": ImageTask(Digits())}, "results with another images"),
        ({"space": NasBench201(channels=8, in_channels=1)}, "results with another network"),
    ],
)
def test_another_way_of_training_in_the_same_folder_is_refused(
    trained: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        evaluator(trained, **changes).evaluate(ARCHS)


def test_arguments_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="jobs must be at least 1"):
        evaluator(tmp_path, jobs=0)
    with pytest.raises(UserError, match="do not fill a batch of 1000"):
        evaluator(tmp_path, recipe=replace(RECIPE, batch_size=1000)).evaluate(ARCHS)
    with pytest.raises(UserError, match="not a NAS-Bench-201 cell"):
        evaluator(tmp_path).evaluate(["nonsense"])
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="finds no GPU"):
            TrainingJudge(SPACE, IMAGES, tmp_path, accelerator="gpu")


def test_mixed_precision_and_channels_last_train_the_same_network(trained: Path, tmp_path: Path) -> None:
    mixed = evaluator(tmp_path, precision="bf16-mixed", channels_last=True)
    difference = (
        mixed.evaluate(ARCHS).observed_accuracy - evaluator(trained).evaluate(ARCHS).observed_accuracy
    )
    assert np.abs(difference).max() < 15 and difference.any()
    assert all(tensor.dtype != torch.bfloat16 for tensor in weights(tmp_path, ARCHS[0]).values())


def test_gpus_are_taken_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []

    def note(network: nn.Module, task: ImageTask, recipe: Recipe, seed: int, device: Any, *_: Any) -> None:
        used.append(str(device))
        raise RuntimeError("no GPU here")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("acenas.evaluation.from_scratch.CurveTraining", note)
    both = TrainingEvaluator(SPACE, IMAGES, RECIPE, tmp_path, executor=ThisProcess())
    assert both.jobs == 2
    assert [result.failure[:26] for result in both.results(ARCHS)] == ["RuntimeError: no GPU here;"] * 3
    assert used == ["cuda:0", "cuda:1", "cuda:0"]


@pytest.mark.parametrize("content", ["epoch,learning_rate\n1,2\n", "epoch,valid_accuracy\n1,x\n"])
def test_a_damaged_curve_is_one_sentence(tmp_path: Path, content: str) -> None:
    folder = arch_folder(tmp_path, SPACE.canonical(ARCHS[0]))
    write_text(folder / "curve.csv", content)
    with pytest.raises(UserError, match=rf"curve.csv is damaged, .*; remove {folder} to train it again"):
        list(evaluator(tmp_path).results(ARCHS[:1]))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"arch": "a", "value": "b"}', '{"arch": "a", "seconds": []}']
)
def test_a_damaged_result_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(UserError, match=rf"result.json is damaged, .*; remove {tmp_path} to train it again"):
        read_result(tmp_path, "a")
