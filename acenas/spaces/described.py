"""A space of the user's, as a command line names it: by a YAML file, a name in Python, or one in `ACENAS_CONF`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from acenas.errors import UserError
from acenas.files import own_configs
from acenas.spaces.base import SearchSpace
from acenas.trust import build_kind, import_name, trusting


def open_space(text: str) -> tuple[SearchSpace, dict[str, Any]] | None:
    """The space that `text` names, and its description to keep; None where it names none.

    A YAML file holds `choices` and other arguments of `Choices`, or `_target_` and the arguments of any space, as in
    the configuration; or it has these as its `space`. `module:object` and `module.object` are a space, or what makes
    one when it is called. Any other name is that of a file in the folder `space` of `ACENAS_CONF`.

    Raises:
        UserError: where there is no such file or object, or it describes no space.
    """
    conf = own_configs()
    own = conf / "space" / f"{text}.yaml" if conf else None
    path = own if own and own.is_file() else Path(text)
    try:
        if path.suffix in (".yaml", ".yml"):
            described = _read(path)
        elif {".", ":"} & set(text):
            described = {"object": text}
        else:
            return None
        return space_of(described, None), described
    except UserError as error:
        raise UserError(f"--space {text} describes no space: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"it cannot be read: {error}") from None
    found = found.get("space", found) if isinstance(found, dict) else found
    if not isinstance(found, dict):
        raise UserError("it is no mapping; give it choices, as in `choices: {width: [16, 32]}`")
    return found


def space_of(described: Mapping[str, Any], trust: Sequence[str] | None) -> SearchSpace:
    """The space of a description, which may name code of the modules `trust`; None for any, as the user's own may.

    Raises:
        UserError: where it describes no space, or names code that is not trusted.
    """
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    if "object" in described:
        with trusting(trust):
            found = import_name(str(described["object"]))
        space = found() if callable(found) and not isinstance(found, SearchSpace) else found
        if not isinstance(space, SearchSpace):
            raise UserError(f"{described['object']} is no SearchSpace but a {type(space).__name__}")
        return space
    if not {"_target_", "choices"} & set(described):
        raise UserError(f"it has neither choices nor _target_, only {', '.join(map(str, described))}")
    config = {"_target_": "acenas.spaces.Choices", **described}
    return build_kind(SearchSpace, config, trust)  # type: ignore[type-abstract]
