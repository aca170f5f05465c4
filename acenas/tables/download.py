"""Official files: their sources, and downloads that are resumed and verified.

It uses `requests` rather than `pooch`, which restarts an interrupted download from the beginning.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
import yaml

from acenas.errors import UserError
from acenas.files import read_json
from acenas.tables.importers.files import sha256

Progress = Callable[[int, int | None], object]
"""Called with the number of bytes downloaded so far, and the size of the file, or None where it is unknown."""

_ATTEMPTS = 5  # in a row that receive no byte
_WAIT = 0.5  # seconds; doubled after each of them
_BLOCK = 1 << 16  # bytes; at most so many are lost when the connection breaks
_TRANSIENT = (429, 500, 502, 503, 504)  # status codes worth another attempt
_TIMEOUT = (15, 60)  # seconds to connect, and between two bytes


@dataclass(frozen=True)
class Source:
    """An official file; see `sources.yaml`, which holds them.

    Attributes:
        name: on the command line.
        title: what it is.
        file: its name in the data folder.
        page: that describes the file, or where it has to be downloaded by hand.
        then: the command to run on it, with `{file}` and `{folder}`.
        url: for the download; empty where it has to be downloaded by hand.
        size: in words.
        sha256: of the official file; empty where that is not known.
        md5: likewise.
    """

    name: str
    title: str
    file: str
    page: str
    then: str
    url: str = ""
    size: str = "not known"
    sha256: str = ""
    md5: str = ""


def sources() -> dict[str, Source]:
    """Returns all official files by name."""
    text = resources.files("acenas.tables").joinpath("sources.yaml").read_text(encoding="utf-8")
    return {name: Source(name, **fields) for name, fields in yaml.safe_load(text).items()}


def get(source: Source, folder: Path, progress: Progress = lambda done, total: None) -> tuple[Path, str]:
    """Downloads the official file to `folder` where it is missing; verifies it and returns it with its SHA-256.

    Raises:
        UserError: as `download` and `sha256`; and where the file has to be downloaded by hand, with how to do it.
    """
    path = folder / source.file
    if path.exists():
        return path, sha256(path, source.sha256, source.md5)
    if source.url:
        return path, download(source.url, path, source.sha256, source.md5, progress)
    raise UserError(
        f"{source.title}: no program can download it from its page. Open {source.page} in a browser, save the file as "
        f"{path}, and run this command again: it then checks the file"
    )


def download(
    url: str, path: Path, expected: str = "", md5: str = "", progress: Progress = lambda done, total: None
) -> str:
    """Downloads `url` to `path` and returns its SHA-256. `path` exists only once the file is complete and verified.

    Bytes received are kept in `<path>.part`. After a broken connection or a kill, the download continues from there if
    the server supports it and its file has not changed, and else restarts.

    Args:
        url: of the file.
        path: of the result.
        expected: SHA-256 of the file in hexadecimal; empty where that is not known.
        md5: likewise.
        progress: see `Progress`.

    Raises:
        UserError: where `url` is not https, the server cannot be reached or refuses, the connection breaks repeatedly,
            the disk is full, or a checksum is wrong (the bytes received are removed then).
    """
    _check_encrypted(url)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fetch_patiently(url, part, progress)
        try:
            digest = sha256(part, expected, md5)
        except UserError:
            part.unlink()
            raise UserError(
                f"{url}: what came has a wrong checksum, not {expected or md5}; it was removed. Run the command again; "
                "where that does not help, the server no longer has the official file"
            ) from None
        part.replace(path)
        _validator(part).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    return digest


def _fetch_patiently(url: str, part: Path, progress: Progress) -> None:
    """Repeats `_fetch` while the connection breaks, until `_ATTEMPTS` in a row have received nothing."""
    failures = 0
    while True:
        before = _size(part)
        try:
            return _fetch(url, part, progress)
        except requests.RequestException as error:
            response = error.response
            if response is not None and response.status_code not in _TRANSIENT:
                raise UserError(
                    f"{url}: the server answers {response.status_code} {response.reason}"
                ) from None
            failures = 1 if _size(part) > before else failures + 1
            if failures == _ATTEMPTS:
                raise UserError(
                    f"{url}: the connection failed ({type(error).__name__}) at byte {_size(part):,}; what has come is "
                    f"kept in {part}, and the same command goes on from there"
                ) from None
            time.sleep(_WAIT * 2**failures)


def _fetch(url: str, part: Path, progress: Progress) -> None:
    """Appends the rest of the file to `part`, or downloads all of it. Raises as `requests` does."""
    start = _size(part)
    kept: dict[str, str] = {}
    if start:
        with suppress(UserError):  # nothing is known of the part, so it begins again
            kept = read_json(_validator(part), {"url": str, "version": str})
    headers = {"Accept-Encoding": "identity"}  # bytes as they are: compressed ones could not be counted
    if start and kept.get("url") == url and kept.get("version"):
        headers |= {"Range": f"bytes={start}-", "If-Range": kept["version"]}
    with requests.get(
        url, headers=headers, stream=True, timeout=_TIMEOUT, hooks={"response": _encrypted}
    ) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            if response.headers.get("Content-Range") == f"bytes */{start}":
                return  # it was whole already
            part.unlink()
            raise requests.ConnectionError("the file on the server is another one now")
        response.raise_for_status()
        resumes = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        resumes = resumes and response.status_code == requests.codes.partial_content
        done = start if resumes else 0
        version = response.headers.get("ETag", "")
        if not version or version.startswith("W/"):  # a weak one is not enough to join parts
            version = response.headers.get("Last-Modified", "")
        if not resumes:
            part.unlink(missing_ok=True)  # before its version changes: they must belong together
            _validator(part).write_text(json.dumps({"url": url, "version": version}))
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        progress(done, total)
        with part.open("ab" if resumes else "wb") as file:
            for block in response.iter_content(_BLOCK):
                file.write(block)
                done += len(block)
                progress(done, total)
        if total is not None and done < total:
            raise requests.ConnectionError(f"{total - done:,} bytes did not come")


def _encrypted(response: requests.Response, **_: object) -> None:
    """Checks where a server sends on to."""
    if response.is_redirect:
        _check_encrypted(urljoin(response.url, response.headers["Location"]))


def _check_encrypted(url: str) -> None:
    """Raises `UserError` unless `url` is https, or of this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise UserError(
            f"{url[:200]}: only https is downloaded from, where nobody on the way can change what comes"
        )


def _validator(part: Path) -> Path:
    """Returns the file with the URL and the version (ETag) of the file that `part` belongs to."""
    return part.with_name(part.name + ".json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
