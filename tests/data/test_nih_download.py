"""The download against a local server that breaks off, lies and sends what it should not."""

import hashlib
import io
import os
import shutil
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter

from data import nih_download
from data.nih_download import DownloadError, download, https_alone, main, unpack

FILM = b"\x89PNG " + os.urandom(200_000)


def archive(*members: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    """Serves ``files``; breaks off ``breaks`` times, after half of what is asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.breaks = 0
        self.errors: list[int] = []
        self.location = ""
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, asked = self.server, self.headers["Range"]
        server.ranges.append(asked)
        content = server.files.get(self.path[1:])
        if server.location or server.errors or content is None:
            self.send_response(302 if server.location else (server.errors or [404]).pop(0))
            self.send_header("Location", server.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        rest = content[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if server.breaks:
            server.breaks -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def two(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two archives in the place of the twelve, for which this machine may be asked by http."""
    server.files = {
        "0.gz": archive(("images/00000001_000.png", FILM), ("images/00000001_001.png", FILM[:9])),
        "1.gz": archive(("./images/00000002_000.png", FILM[:7])),
    }
    digests = [(n, hashlib.md5(content).hexdigest()) for n, content in server.files.items()]

    def session() -> requests.Session:
        local = https_alone()
        local.mount(server.url, HTTPAdapter())
        return local

    monkeypatch.setattr(nih_download, "https_alone", session)
    monkeypatch.setattr(nih_download, "ARCHIVES", digests)
    monkeypatch.setattr(nih_download, "BASE_URL", server.url)
    monkeypatch.setattr(nih_download, "PAUSE", 0)


def films(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "images").iterdir())


def test_the_films_of_every_archive_come_and_the_archives_go(server, two, tmp_path):
    download(tmp_path, [1, 2])
    assert films(tmp_path) == ["00000001_000.png", "00000001_001.png", "00000002_000.png"]
    assert (tmp_path / "images/00000001_000.png").read_bytes() == FILM
    left = sorted(path.name for path in (tmp_path / ".download").iterdir())
    assert left == ["images_001.done", "images_002.done"]
    download(tmp_path, [1, 2])
    assert server.ranges == [None, None]


def test_a_subset_and_kept_archives(server, two, tmp_path):
    download(tmp_path, [2], keep_archives=True)
    assert films(tmp_path) == ["00000002_000.png"]
    kept = tmp_path / ".download" / "images_002.tar.gz"
    assert kept.read_bytes() == server.files["1.gz"]
    (tmp_path / ".download" / "images_002.done").unlink()
    download(tmp_path, [2], keep_archives=True)
    assert server.ranges == [None]  # a kept archive is unpacked again without a transfer


def test_a_broken_transfer_goes_on_where_it_stopped(server, two, tmp_path):
    server.breaks = 2
    download(tmp_path, [1])
    assert server.ranges == [None, "bytes=65536-", "bytes=131072-"]
    assert (tmp_path / "images/00000001_000.png").read_bytes() == FILM


def test_a_run_that_gave_up_leaves_what_the_next_one_goes_on_from(server, two, tmp_path):
    server.breaks = nih_download.ATTEMPTS
    with pytest.raises(DownloadError, match="What has arrived is kept: run the command again"):
        download(tmp_path, [1])
    have = (tmp_path / ".download" / "images_001.tar.gz.part").stat().st_size
    assert 0 < have < len(server.files["0.gz"])
    download(tmp_path, [1])
    assert server.ranges[-1] == f"bytes={have}-"
    assert len(films(tmp_path)) == 2


def test_a_transfer_that_was_whole_before_its_run_ended_is_not_repeated(server, two, tmp_path):
    (tmp_path / ".download").mkdir()
    (tmp_path / ".download" / "images_001.tar.gz.part").write_bytes(server.files["0.gz"])
    download(tmp_path, [1])
    assert server.ranges == [f"bytes={len(server.files['0.gz'])}-"]
    assert len(films(tmp_path)) == 2


def test_another_checksum_unpacks_nothing_and_keeps_nothing(server, two, tmp_path, monkeypatch):
    monkeypatch.setattr(nih_download, "ARCHIVES", [("0.gz", "0" * 32)])
    with pytest.raises(DownloadError, match=r"images_001\.tar\.gz.* does not match the known hash"):
        download(tmp_path, [1])
    assert not (tmp_path / "images").exists()
    assert list((tmp_path / ".download").iterdir()) == []
    assert len(server.ranges) == 1


def test_a_server_in_trouble_is_asked_again_and_an_absent_file_is_not(
    server, two, tmp_path, monkeypatch
):
    server.errors = [503]
    download(tmp_path, [2])
    assert len(server.ranges) == 2
    monkeypatch.setattr(nih_download, "ARCHIVES", [("gone.gz", "0" * 32)])
    with pytest.raises(DownloadError, match="404"):
        download(tmp_path, [1])
    assert len(server.ranges) == 3


def test_space_is_checked_before_anything_is_asked_for(server, two, tmp_path, monkeypatch):
    usage = shutil._ntuple_diskusage(10**11, 0, 11 * 10**9)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(DownloadError, match="11 GB are free, 2 archives need 12 GB"):
        download(tmp_path, [1, 2])
    with pytest.raises(DownloadError, match="2 archives need 16 GB"):
        download(tmp_path, [1, 2], keep_archives=True)
    assert server.ranges == []
    download(tmp_path, [1])


def test_a_disk_that_fills_up_is_named(server, two, tmp_path):
    (tmp_path / ".download").mkdir()
    (tmp_path / ".download" / "images_001.tar.gz.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="the disk is full; free some and run again"):
        download(tmp_path, [1])


def test_nothing_but_https_is_spoken(server, two, tmp_path):
    with pytest.raises(requests.exceptions.InvalidSchema):
        https_alone().get("http://example.org/0.gz")
    server.location = "http://example.org/0.gz"
    with pytest.raises(DownloadError, match="No connection adapters were found for 'http://exam"):
        download(tmp_path, [1])
    assert len(server.ranges) == 1


def link(kind: bytes, name: str, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "member",
    [
        ("../00000001_000.png", b"x"),
        ("images/../../00000001_000.png", b"x"),
        ("/images/00000001_000.png", b"x"),
        ("Data_Entry_2017.csv", b"x"),
        ("images/00000001_000.png\n", b"x"),
        link(tarfile.SYMTYPE, "images/00000001_000.png", "/etc/passwd"),
        link(tarfile.SYMTYPE, "images", "/tmp"),
        link(tarfile.LNKTYPE, "images/00000001_000.png", "../secret"),
        link(tarfile.CHRTYPE, "images/00000001_000.png"),
        link(tarfile.FIFOTYPE, "images/00000001_000.png"),
        link(tarfile.DIRTYPE, "../images"),
    ],
)
def test_a_member_that_is_no_film_ends_the_unpacking(tmp_path, member):
    folder = tmp_path / "nih"
    folder.mkdir()
    path = tmp_path / "images_001.tar.gz"
    path.write_bytes(archive(("images/00000000_000.png", b"film"), member))
    with pytest.raises(DownloadError, match=r"images_001\.tar\.gz: '.*' is no film"):
        unpack(path, folder)
    found = sorted(str(entry.relative_to(tmp_path)) for entry in tmp_path.rglob("*"))
    assert found == ["images_001.tar.gz", "nih", "nih/images", "nih/images/00000000_000.png"]


def test_folders_of_the_archive_count_as_no_films(tmp_path):
    path = tmp_path / "images_001.tar.gz"
    folders = [link(tarfile.DIRTYPE, name) for name in (".", "images", "./images")]
    path.write_bytes(archive(*folders, ("images/00000000_000.png", b"film")))
    assert unpack(path, tmp_path) == 1


def test_half_an_archive_is_named(tmp_path):
    path = tmp_path / "images_001.tar.gz"
    path.write_bytes(archive(("images/00000000_000.png", FILM))[:100_000])
    with pytest.raises(DownloadError, match=r"images_001\.tar\.gz: not a whole archive"):
        unpack(path, tmp_path)


def test_the_command_says_what_is_still_absent(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(nih_download, "download", lambda *_: None)
    (tmp_path / "test_list.txt").touch()
    assert main([str(tmp_path), "--only", "1", "3"]) == 0
    said = capsys.readouterr().out.replace("\n", "")
    assert "Put Data_Entry_2017_v2020.csv, BBox_List_2017.csv, train_val_list.txt into" in said
    assert "test_list.txt" not in said
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--only", "13"])


def test_the_command_ends_with_the_error_and_no_traceback(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file")]) == 1
    assert "file" in capsys.readouterr().err
