"""The model card of a network: its architecture, origin, accuracy, cost and use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from acenas.markup import code, markdown
from acenas.training.final.network import NetworkFacts

PARTS = {"valid": "validation", "test": "test"}

EXAMPLES = {
    "network.torchscript.pt": """```python
import torch
logits = torch.jit.load("network.torchscript.pt")(images)
```""",
    "network.onnx": """```python
import onnxruntime
(logits,) = onnxruntime.InferenceSession("network.onnx").run(None, {"images": images})
```""",
}
"""How each file is used; `images` are prepared as the card says."""


@dataclass(frozen=True)
class Origin:
    """How a network was found, and what else is known from its run and the runs beside it.

    Attributes:
        lines: sentences in Markdown.
        latency_ms: measured milliseconds for one image, by device.
        seeds: accuracies of trainings of the same network in the same way, by seed; in percent, by part.
    """

    lines: Sequence[str] = ("Its architecture was given, not searched by this package.",)
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    seeds: Mapping[int, Mapping[str, float]] = field(default_factory=dict)


def model_card(facts: NetworkFacts, origin: Origin, files: Mapping[str, float]) -> str:
    """Returns the model card as Markdown.

    Args:
        facts: of the network.
        origin: how it was found.
        files: exported files, each with its largest difference from the network, as a part of the largest logit.
    """
    channels, height, width = facts.image_shape
    sections = {
        f"A network for {markdown(facts.dataset)}": [
            f"It tells {facts.num_classes} classes apart in images of {channels} x {height} x {width} (channels, "
            f"height, width). Its architecture is of the search space `{code(facts.space)}`:",
            f"```\n{code(facts.arch)}\n```",
        ],
        "Accuracy": _accuracy(facts, origin),
        "How it was found": [" ".join(origin.lines)],
        "Cost": _cost(facts, origin),
        "Training": [f"{markdown(facts.training)}."],
        "Use": _use(facts, files),
        "Classes": [f"Numbers from 0 to {facts.num_classes - 1}; the data set tells no names."],
    }
    if facts.damaged:
        some = ", ".join(f"`{code(name)}`" for name in list(facts.damaged)[:10])
        sections["Training"].append(
            f"{len(facts.damaged)} images could not be read and were left out: {some}."
        )
    if facts.classes:
        sections["Classes"] = [
            ", ".join(f"{label} {markdown(name)}" for label, name in enumerate(facts.classes)) + "."
        ]
    texts = [
        "\n\n".join([f"{'##' if place else '#'} {title}", *lines])
        for place, (title, lines) in enumerate(sections.items())
    ]
    return "\n\n".join(texts) + "\n"


def _accuracy(facts: NetworkFacts, origin: Origin) -> list[str]:
    seeds = origin.seeds or {facts.seed: facts.accuracy}
    rows = [
        "| images | this network | mean over seeds | standard deviation | seeds |",
        "|---|---|---|---|---|",
    ]
    for part, title in PARTS.items():
        known = [accuracy[part] for accuracy in seeds.values() if part in accuracy]
        if part in facts.accuracy:
            spread = f"{np.std(known, ddof=1):.2f}" if len(known) > 1 else "–"
            rows.append(
                f"| {title} | {facts.accuracy[part]:.2f} % | {np.mean(known):.2f} % | {spread} | {len(known)} |"
            )
    about = (
        "In percent of the images; a seed is a training of the same architecture in the same way, from other initial "
        "weights and in another order of the images."
    )
    if len(seeds) == 1:
        about += " It was trained with one seed, so nothing is known of the spread."
    return ["\n".join(rows), about]


def _cost(facts: NetworkFacts, origin: Origin) -> list[str]:
    rows = [
        "| parameters | multiply-adds | operations |",
        "|---|---|---|",
        f"| {facts.params_m:.4g} million | {facts.macs_m:.4g} million | {facts.flops_m:.4g} million |",
    ]
    about = (
        "For one image. Multiply-adds are those of convolutions and linear layers; operations are those and the "
        "ones of normalisation, activation and pooling."
    )
    latency = [
        f"| {markdown(device)} | {milliseconds:.4g} ms |"
        for device, milliseconds in origin.latency_ms.items()
    ]
    if latency:
        latency = ["\n".join(["| device | latency of one image |", "|---|---|", *latency])]
    return ["\n".join(rows), about, *(latency or ["Its latency on a device was not measured."])]


def _use(facts: NetworkFacts, files: Mapping[str, float]) -> list[str]:
    mean, std = (", ".join(f"{value:.6g}" for value in values) for values in (facts.mean, facts.std))
    prepared = f"First, {markdown(facts.preparation)}. " if facts.preparation else ""
    shape = ", ".join(map(str, ("batch", *facts.image_shape)))
    held = "\n".join(f"- `{name}`: differs from the network by {files[name]:.1g}" for name in files)
    return [
        f"{prepared}Pixels as the data set holds them (bytes, channels first"
        f"{', RGB' if facts.image_shape[0] == 3 else ''}) are normalised "
        f"for each channel: `(pixel - mean) / std` with mean {mean} and std {std}. The input is float32 "
        f"`[{shape}]`, the output a logit for each class, `[batch, {facts.num_classes}]`.",
        "Files, compared with the network on random inputs; differences are parts of the largest logit:",
        held,
        *(EXAMPLES[name] for name in files),
    ]
