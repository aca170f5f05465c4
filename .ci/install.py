"""Installs what its arguments name, as `pip install` would, into the environment whose Python runs this.

uv does it in a tenth of pip's time. uv reads none of pip's settings, so they are handed on under uv's names: indexes,
local folders of wheels, constraints, certificates. Without them uv may take another build of torch than pip would.
Where uv is not to be had or does not get through, pip installs.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
# pip's option: uv's variable, and what separates its values. pip takes spaces and new lines for all of them.
NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "no-index": ("UV_OFFLINE", " "),
    "proxy": ("ALL_PROXY", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
}


def uv_settings(pip_config_list: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Translates pip's settings into uv's environment variables.

    Args:
        pip_config_list: What `pip config list` prints: a line `section.option='value'` for each setting.
        environment: The variables of the user, who may have set uv's own: those stay as they are.

    Returns:
        The variables to add to `environment`.
    """
    settings = dict(line.split("=", 1) for line in pip_config_list.splitlines() if "=" in line)
    added = {}
    for section in ("global", "install", ":env:"):  # as in pip, the later one wins
        for option, (name, separator) in NAMES.items():
            if (value := settings.get(f"{section}.{option}")) and name not in environment:
                added[name] = separator.join(map(os.path.expanduser, str(ast.literal_eval(value)).split()))
    if "UV_INDEX_STRATEGY" not in environment:
        added["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip takes the best version of all indexes
    return added


def install(arguments: list[str]) -> int:
    """Installs with uv, else with pip; returns the exit status of the one that installed."""
    if subprocess.run([*PIP, "install", "--quiet", "uv"]).returncode == 0:
        listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=True).stdout
        uv = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, *arguments]
        if sys.dont_write_bytecode:  # else each process would compile all that it imports
            uv.append("--compile-bytecode")
        if subprocess.run(uv, env=os.environ | uv_settings(listed, os.environ)).returncode == 0:
            return 0
    print("uv could not install this; pip does, which takes a few minutes", file=sys.stderr)
    return subprocess.run([*PIP, "install", "--quiet", *arguments]).returncode


if __name__ == "__main__":
    sys.exit(install(sys.argv[1:]))
