"""Downloads from a server on this machine, which breaks off, lies, or knows no ranges."""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from acenas.errors import UserError
from acenas.tables import download as module
from acenas.tables.command import main
from acenas.tables.download import Source, download, get, sources

CONTENT = random.Random(0).randbytes(3_500_000)
BLOCK = module._BLOCK
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What it serves at `/file`, and how badly."""

    content: bytes = CONTENT
    etag: str = '"one"'
    breaks_after: list[int] = field(default_factory=list)  # bytes of each answer, until it is empty
    ranges: bool = True
    fails: list[int] = field(default_factory=list)  # statuses of the first answers
    seen: list[str | None] = field(default_factory=list)  # the ranges asked for
    sends_on_to: str = ""
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers["Range"]
        self.seen.append(wanted)
        if self.sends_on_to:
            request.send_response(302)
            request.send_header("Location", self.sends_on_to)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if self.fails:
            request.send_error(self.fails.pop(0))
            return
        start = 0
        if wanted and self.ranges and request.headers["If-Range"] == self.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        size = len(self.content)
        if start >= size:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{size}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        request.send_header("Content-Length", str(size - start))
        request.send_header("ETag", self.etag)
        request.end_headers()
        end = start + self.breaks_after.pop(0) if self.breaks_after else size
        request.wfile.write(self.content[start:end])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "_WAIT", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        served.url = f"http://127.0.0.1:{http.server_port}/file"
        yield served
        http.shutdown()


def test_a_file_comes_whole_with_progress(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = tmp_path / "data" / "file.bin"
    assert download(server.url, path, SHA256, progress=lambda *at: told.append(at)) == SHA256
    assert path.read_bytes() == CONTENT
    assert told[0] == (0, len(CONTENT)) and told[-1] == (len(CONTENT), len(CONTENT)) and len(told) > 3
    assert list(path.parent.iterdir()) == [path]


def test_a_connection_that_breaks_goes_on_from_there(server: Server, tmp_path: Path) -> None:
    server.breaks_after = [15 * BLOCK, 0, 23 * BLOCK + 9]
    server.fails = [503]
    download(server.url, tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.seen == [None, None, *[f"bytes={blocks * BLOCK}-" for blocks in (15, 15, 38)]]


def test_another_command_goes_on_where_one_gave_up(server: Server, tmp_path: Path) -> None:
    server.breaks_after = [16 * BLOCK, *[0] * 5]
    with pytest.raises(UserError, match=r"at byte 1,048,576; .* the same command goes on from there"):
        download(server.url, tmp_path / "file")
    server.breaks_after, server.seen = [], []
    download(server.url, tmp_path / "file", SHA256)
    assert server.seen == [f"bytes={16 * BLOCK}-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_kill_after_the_last_byte_costs_nothing(server: Server, tmp_path: Path) -> None:
    server.breaks_after = [1_000_000, *[0] * 5]
    with pytest.raises(UserError):
        download(server.url, tmp_path / "file")
    (tmp_path / "file.part").write_bytes(CONTENT)
    server.breaks_after, server.seen = [], []
    download(server.url, tmp_path / "file", SHA256)
    assert server.seen == [f"bytes={len(CONTENT)}-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("change", ["ranges", "file"])
def test_where_it_cannot_go_on_it_starts_again(server: Server, tmp_path: Path, change: str) -> None:
    """A server that knows no ranges, and one whose file is another one by now: parts of two are never joined."""
    server.breaks_after = [1_000_000]
    content = CONTENT
    if change == "ranges":
        server.ranges = False
    else:
        server.breaks_after += [0] * 5
        with pytest.raises(UserError):
            download(server.url, tmp_path / "file")
        content = server.content = CONTENT[::-1]
        server.etag, server.breaks_after = '"two"', []
    download(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == content


def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    for sha256, md5 in (("0" * 64, ""), ("", "0" * 32)):
        with pytest.raises(UserError, match="wrong checksum, not 0000"):
            download(server.url, tmp_path / "file", sha256, md5)
        assert not list(tmp_path.glob("file")) and not list(tmp_path.glob("*.part"))


def test_what_the_server_refuses_is_said_at_once(server: Server, tmp_path: Path) -> None:
    server.fails = [404]
    with pytest.raises(UserError, match="the server answers 404"):
        download(server.url, tmp_path / "file")
    assert len(server.seen) == 1
    with pytest.raises(UserError, match="the connection failed"):
        download("http://127.0.0.1:9/file", tmp_path / "file")
    (tmp_path / "blocked").write_text("no folder")
    with pytest.raises(UserError, match="cannot be written"):
        download(server.url, tmp_path / "blocked" / "file")


def test_a_file_that_is_there_is_checked_not_fetched(server: Server, tmp_path: Path) -> None:
    source = Source("x", "X", "file", "page", "then", url=server.url, sha256=SHA256)
    (tmp_path / "file").write_bytes(CONTENT)
    assert get(source, tmp_path) == (tmp_path / "file", SHA256)
    (tmp_path / "file").write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match="is not the official file, or is damaged: its SHA256"):
        get(source, tmp_path)
    assert server.seen == []


def test_every_source_is_whole() -> None:
    for source in sources().values():
        assert source.page.startswith("https://") and source.url.startswith("https://" if source.url else "")
        assert len(source.sha256) in (0, 64) and len(source.md5) in (0, 32)
        assert source.then.format(file="F", folder="D").startswith(("python -m acenas", "tar xf F"))


@pytest.mark.parametrize(
    "url", ["http://example.org/file", "ftp://127.0.0.1.example.org/file", "file:///etc/passwd"]
)
def test_only_what_is_encrypted_is_downloaded(server: Server, tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match=f"{url}: only https"):
        download(url, tmp_path / "file", SHA256)
    server.sends_on_to = url
    with pytest.raises(UserError, match=f"{url}: only https"):
        download(server.url, tmp_path / "file", SHA256)
    assert not list(tmp_path.glob("file*")) and len(server.seen) == 1


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("", 2), ("no", 2)])
def test_where_no_checksum_is_known_a_person_is_asked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, status: int
) -> None:
    asked: list[str] = []

    def reply(question: str) -> str:
        asked.append(question)
        return answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", reply)
    for _ in range(2):
        assert main(["get", "nds", "--url", server.url, "--data-dir", str(tmp_path)]) == status
    assert (tmp_path / "nds_data.zip").exists() == (status == 0)
    assert len(asked) == (1 if status == 0 else 2), "what is there already is not asked about"
    assert all(question.endswith("Download it all the same? [y/N] ") for question in asked)


def test_the_command(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACENAS_DATA", raising=False)
    assert main(["get"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in sources())
    where = ["--data-dir", str(tmp_path)]
    assert main(["get", "nds", "--url", server.url, *where]) == 2
    assert "no checksum of nds_data.zip is known" in capsys.readouterr().err and not server.seen
    assert main(["get", "nds", "--url", server.url, *where, "--yes"]) == 0
    shown = capsys.readouterr().out
    assert f"its SHA-256 is {SHA256}" in shown
    assert f"Then: python -m acenas.tables import nds {tmp_path}/nds_data.zip" in shown
    assert main(["get", "nb101", "--url", server.url, "--sha256", SHA256, *where]) == 0
    assert "its checksum is the one you gave" in capsys.readouterr().out
    for arguments, message in (
        (["cifar10", "--url", server.url, *where], "wrong checksum"),
        (["nb201", *where], f"save the file as {tmp_path}/NAS-Bench-201-v1_1-096897.pth"),
        (["nb101", "--url", server.url], "name the folder"),
        (["nb102", *where], "choose from nb101"),
    ):
        assert main(["get", *arguments]) == 2
        assert message in capsys.readouterr().err
