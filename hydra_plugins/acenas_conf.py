"""`ACENAS_CONF`: a folder of the user's own configs, which every command finds as with `--config-dir`."""

from __future__ import annotations

import os
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin
from typing_extensions import override


class UserConfigs(SearchPathPlugin):
    """Adds the folder to where Hydra looks for configs, after the package's own."""

    @override
    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if folder := os.environ.get("ACENAS_CONF"):
            search_path.append("ACENAS_CONF", f"file://{Path(folder).expanduser().absolute()}")
