"""The settings that results depend on, kept beside them so that a folder never mixes results of different settings."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from acenas.errors import UserError
from acenas.files import read_json, write_text
from acenas.images import ImageTask
from acenas.seeds import torch_generator
from acenas.spaces.base import SearchSpace


def image_settings(task: ImageTask) -> dict[str, Any]:
    """Returns what observed accuracies depend on in `task`, as plain values. Reads no test image."""
    checksum = hashlib.sha256()
    for part in (task.splits.train, task.splits.valid):
        for piece in part.content():
            checksum.update(piece)
    return {
        "name": task.source.name,
        "sha256": checksum.hexdigest(),
        "augmentation": asdict(task.augmentation),
        "evaluation": asdict(task.evaluation),
        "draws": task.draws,
    }


def network_settings(space: SearchSpace, num_classes: int) -> dict[str, str]:
    """Returns the name of `space`, and one of its networks as text for all that its skeleton depends on."""
    example = space.sample(1, torch_generator(0, "example"))[0]
    return {"space": space.name, "network": str(space.build(example, num_classes))}


def check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Writes `settings` to the JSON file `path`, or compares them with those that it holds already.

    Raises:
        UserError: where they differ: the results beside `path` were made with other settings.
    """
    if not path.exists():
        write_text(path, json.dumps(settings, indent=2) + "\n")
        return
    theirs = read_json(path, {str: object}, "remove the folder to start again")
    different = sorted(key for key in settings if settings[key] != theirs.get(key))
    if different:
        raise UserError(
            f"{path.parent} holds results with another {' and '.join(different)}; "
            "choose another folder, or remove this one to start again"
        )
