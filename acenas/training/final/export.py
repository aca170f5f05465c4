"""TorchScript and ONNX files of a network; a file is kept only where its outputs are those of the network."""

import importlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.files import atomic_path, remove_unfinished, write_text
from acenas.training.final.card import Origin, model_card
from acenas.training.final.network import TrainedNetwork

FILES = {"torchscript": "network.torchscript.pt", "onnx": "network.onnx"}
"""The names of the files, by format."""

BATCHES = (2, 1, 5)
"""Sizes of the batches that a file is compared on; it is made with the first."""


@dataclass(frozen=True)
class Export:
    """Exports a trained network.

    Attributes:
        formats: `torchscript` and `onnx`, or one of them.
        tolerance: the largest difference allowed between a logit of the file and of the network, as a part of the
            largest logit of the batch.

    Raises:
        UserError: for an unknown format, or where the packages of one are missing.
    """

    formats: Sequence[str] = ("torchscript", "onnx")
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if name not in FILES]
        if unknown or not self.formats:
            raise UserError(f"export: formats are {' and '.join(FILES)}, not {', '.join(unknown) or 'none'}")
        if "onnx" in self.formats:
            for package in ("onnx", "onnxruntime"):
                try:
                    importlib.import_module(package)
                except ImportError:
                    raise UserError(
                        f"export to ONNX needs {package}: pip install 'acenas[export]', or leave it out with "
                        "formats=[torchscript]"
                    ) from None

    def run(self, trained: TrainedNetwork, folder: str | Path, origin: Origin) -> dict[str, float]:
        """Writes the files and `README.md`, the model card, to `folder`.

        Returns:
            The largest difference of each format, as a part of the largest logit.

        Raises:
            UserError: where the outputs of a file differ from those of the network; it is then not written.
        """
        folder = Path(folder)
        network, shape = trained.network.cpu().float().eval(), trained.facts.image_shape
        differences = {name: self._write(name, network, shape, folder / FILES[name]) for name in self.formats}
        files = {FILES[name]: difference for name, difference in differences.items()}
        write_text(folder / "README.md", model_card(trained.facts, origin, files))
        remove_unfinished(folder)
        return differences

    def _write(self, name: str, network: nn.Module, shape: tuple[int, int, int], path: Path) -> float:
        make, load = {"torchscript": (_trace, _load_torchscript), "onnx": (_to_onnx, _load_onnx)}[name]
        generator = torch.Generator().manual_seed(0)
        batches = [torch.randn(size, *shape, generator=generator) for size in BATCHES]
        with atomic_path(path) as temporary, torch.no_grad(), warnings.catch_warnings():
            # torch 2.9 calls both exporters legacy; the successor needs further packages.
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.")
            warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export")
            make(network, batches[0], temporary)
            answer = load(temporary)
            difference = max(_difference(answer(batch), network(batch)) for batch in batches)
            if not difference <= self.tolerance:  # also where it is not a number
                raise UserError(
                    f"export: the {name} file answers otherwise than the network, by {difference:.2g} of the largest "
                    f"logit and not {self.tolerance:g} at most; it was not written to {path}"
                )
        return difference


def _difference(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


def _trace(network: nn.Module, example: Tensor, path: Path) -> None:
    torch.jit.save(torch.jit.trace(network, example, check_trace=False), str(path))  # type: ignore[no-untyped-call]


def _load_torchscript(path: Path) -> Callable[[Tensor], Tensor]:
    return torch.jit.load(str(path))  # type: ignore[no-untyped-call, no-any-return]


def _to_onnx(network: nn.Module, example: Tensor, path: Path) -> None:
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"]}
    names["dynamic_axes"] = {"images": {0: "batch"}, "logits": {0: "batch"}}
    torch.onnx.export(network, (example,), str(path), **names, dynamo=False)


def _load_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    onnx: Any = importlib.import_module("onnx")
    onnxruntime: Any = importlib.import_module("onnxruntime")
    onnx.checker.check_model(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def answer(images: Tensor) -> Tensor:
        (logits,) = session.run(None, {"images": images.numpy()})
        return torch.from_numpy(logits)

    return answer
