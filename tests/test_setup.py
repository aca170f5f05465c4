"""Set-up: what the user's pip is told reaches uv, and pip installs where uv does not; files about the project agree."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import acenas

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", CHECKOUT / ".ci" / "install.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pip_config_list(**environment: str) -> str:
    """What pip prints with the settings of `environment`, and of files of this machine that no variable leaves out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_file_of_settings_is_handed_on_under_uvs_names(install: ModuleType, tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://index.test/simple\ntrusted-host = a.test b.test\ntimeout = 60\n"
        "[install]\nfind-links =\n  /wheels\n  https://wheels.test/\nconstraint = /etc/constraints.txt\n"
        "extra-index-url = https://u:p@more.test/simple?a=b\n    file:///most/simple\n"
    )
    settings = install.uv_settings(pip_config_list(PIP_CONFIG_FILE=str(config)), {})
    expected = {
        "UV_DEFAULT_INDEX": "https://index.test/simple",
        "UV_INDEX": "https://u:p@more.test/simple?a=b file:///most/simple",
        "UV_FIND_LINKS": "/wheels,https://wheels.test/",
        "UV_CONSTRAINT": "/etc/constraints.txt",
        "UV_INSECURE_HOST": "a.test b.test",
        "UV_HTTP_TIMEOUT": "60",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    assert expected.items() <= settings.items()


def test_variables_win_over_files_and_uvs_own_over_pips(install: ModuleType, tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nfind-links = /wheels\ncert = /pip.pem\n[install]\nfind-links = /more\n")
    listed = pip_config_list(PIP_CONFIG_FILE=str(config), PIP_FIND_LINKS="~/mine /yours", PIP_NO_INDEX="1")
    users = {"SSL_CERT_FILE": "/user.pem", "UV_INDEX_STRATEGY": "first-index"}
    settings = install.uv_settings(listed, users)
    assert settings["UV_FIND_LINKS"] == f"{Path.home()}/mine,/yours" and settings["UV_OFFLINE"] == "1"
    assert not users.keys() & settings.keys()


@pytest.mark.parametrize(
    ("fails", "installer"),
    [((), "uv"), (("install --quiet uv",), "pip"), (("uv pip install",), "pip")],
    ids=["uv", "no-uv", "uv-fails"],
)
def test_pip_installs_where_uv_does_not(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, fails: tuple[str, ...], installer: str
) -> None:
    succeeded = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        line = " ".join(command)
        failed = any(part in line for part in fails)
        if not failed and "--editable ." in line:
            succeeded.append("uv" if "-m uv" in line else "pip")
        return subprocess.CompletedProcess(command, int(failed), stdout="")

    monkeypatch.setattr(install.subprocess, "run", run)
    assert install.install(["--editable", "."]) == 0
    assert succeeded == [installer]


def test_the_citation_and_the_changelog_are_of_this_version() -> None:
    assert yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())["version"] == acenas.__version__
    newest = next(
        line for line in (CHECKOUT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")
    )
    assert newest.split()[1] == acenas.__version__
