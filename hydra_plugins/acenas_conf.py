"""`ACENAS_CONF`: a folder of the user's own configs, which every command finds as with `--config-dir`."""

from __future__ import annotations

from contextlib import suppress

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin
from typing_extensions import override

from acenas.errors import UserError
from acenas.files import own_configs


class UserConfigs(SearchPathPlugin):
    """Adds the folder to where Hydra looks for configs, after the package's own."""

    @override
    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        with suppress(
            UserError
        ):  # commands tell of it; other applications of Hydra have nothing to do with it
            if folder := own_configs():
                search_path.append("ACENAS_CONF", f"file://{folder}")
