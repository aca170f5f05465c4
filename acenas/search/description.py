"""What a study is, in a file of its folder: another study is refused there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

from acenas.errors import UserError
from acenas.files import read_json, write_text

STUDY = "study.json"
"""The file: the space, the objective and so on of a study, and its budget."""


def read_description(folder: Path) -> dict[str, Any]:
    """What the folder says of its study; nothing where there is none. Raises `UserError` for a damaged file."""
    file = folder / STUDY
    kind = {
        "budget?": int,
        "epochs?": float,
        "budget_epochs?": float,
        "seed?": int,
        "objective?": {"name": str, "unit": str, "direction": str},
        "constraints?": {str: float},
        "front?": {str: str},
    }
    remedy = "get it back, or remove the folder to begin again"
    return read_json(file, kind, remedy) if file.exists() else {}


def write_description(folder: Path, description: Mapping[str, Any]) -> None:
    """Writes what `read_description` reads."""
    write_text(folder / STUDY, json.dumps(description, indent=2) + "\n")


def settings_of(thing: Any, name: str) -> dict[str, str]:
    """The settings of a ranker by names such as `ranker.loss.sigma`, without those of the study or the machine."""
    found: dict[str, str] = {}
    for each in fields(thing) if is_dataclass(thing) else ():
        value, full = getattr(thing, each.name), f"{name}.{each.name}"
        if is_dataclass(value) and not isinstance(value, type):
            found |= {full: type(value).__name__} | settings_of(value, full)
        elif each.name not in ("space", "seed", "accelerator") and " at 0x" not in repr(value):
            found[full] = repr(value)
    return found


def check_same_study(folder: Path, theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    """Raises `UserError` where `folder` holds `theirs`, a study that differs from `mine` in more than the budget."""
    theirs = {"front": {}, **theirs} if theirs else {}  # there were none before 0.2
    if theirs and theirs.get("epochs") != mine.get("epochs"):
        has, not_ = (f"{each['epochs']:g}" if "epochs" in each else "uncounted" for each in (theirs, mine))
        raise UserError(
            f"{folder} holds a study whose trainings have {has} epochs, not {not_}; choose another folder"
        )
    for name, value in mine.items():
        if name in theirs and theirs[name] != value and name not in ("budget", "budget_epochs"):
            both = [shorten(str(each), 150, placeholder=" ...") for each in (theirs[name], value)]
            what = {
                "choices": "space",
                "graphs": "space",
                "constraints": "set of constraints",
                "weak_labels": "set of weak labels",
            }.get(name, name)
            raise UserError(
                f"{folder} holds a study with another {what} ({both[0]}, not {both[1]}); choose another folder"
            )
    for name, what in (("budget", "trainings"), ("budget_epochs", "epochs")):
        before, now = theirs.get(name, 0), mine.get(name, 0)
        if before > now:
            raise UserError(
                f"{folder} holds a study of {before:g} {what}; a budget can be raised, not lowered to {now:g}"
            )
