"""The NIH films from their publisher: ``python -m data.nih_download FOLDER``.

12 archives, 42-45 GB, each unpacked into ``FOLDER/images`` and then removed. A transfer or a run
that broke off goes on where it stopped. ``docs/data.md`` says where the tables come from.
"""

import argparse
import errno
import re
import shutil
import sys
import tarfile
import time
import zlib
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path

import pooch
import requests
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from data.config import user_path
from data.nih_files import BOX_FILE, LABEL_FILES, SOURCE, TEST_LIST, TRAIN_VAL_LIST

BASE_URL = "https://nihcc.box.com/shared/static/"
ARCHIVES = (  # name there, MD5
    ("vfk49d74nhbxq3nqjg0900w5nvkorp5c.gz", "fe8ed0a6961412fddcbb3603c11b3698"),
    ("i28rlmbvmfjbl8p2n3ril0pptcmcu9d1.gz", "ab07a2d7cbe6f65ddd97b4ed7bde10bf"),
    ("f1t00wrtdk94satdfb9olcolqx20z2jp.gz", "2301d03bde4c246388bad3876965d574"),
    ("0aowwzs5lhjrceb3qp67ahp0rd1l1etg.gz", "9f1b7f5aae01b13f4bc8e2c44a4b8ef6"),
    ("v5e3goj22zr6h8tzualxfsqlqaygfbsn.gz", "1861f3cd0ef7734df8104f2b0309023b"),
    ("asi7ikud9jwnkrnkj99jnpfkjdes7l6l.gz", "456b53a8b351afd92a35bc41444c58c8"),
    ("jn1b4mw4n6lnh74ovmcjb8y48h8xj07n.gz", "1075121ea20a137b87f290d6a4a5965e"),
    ("tvpxmn7qyrgl0w8wfh9kqfjskv6nmm1j.gz", "b61f34cec3aa69f295fbb593cbd9d443"),
    ("upyy3ml7qdumlgk2rfcvlb9k6gvqq2pj.gz", "442a3caa61ae9b64e61c561294d1e183"),
    ("l6nilvfa9cg3s28tqv1qc1olm3gnz54p.gz", "09ec81c4c31e32858ad8cf965c494b74"),
    ("hhq8fkdgvcari67vfhs7ppg2w6ni4jze.gz", "499aefc67207a5a97692424cf5dbeed5"),
    ("ioqwiy20ihqwyr8pf4c24eazhh281pbu.gz", "dc9fda1757c2de0032b63347a7d2895c"),
)
ARCHIVE_BYTES = 4 * 10**9  # ours: above the mean, 45 GB / 12; films do not shrink in an archive
ATTEMPTS = 6  # ours: transfers of one archive, each going on where the last broke off
PAUSE = 2.0  # ours: seconds after the first attempt, more with each
_WORK = ".download"  # below the folder; hidden, so that no film is looked for there
_FILM = re.compile(r"(\./)?images/\d{8}_\d{3}\.png")
_FOLDER = re.compile(r"\.|(\./)?images")
_CHUNK = 2**16  # bytes; what a broken connection loses at most
_SECONDS = 60.0  # without a byte

console = Console(highlight=False)


class DownloadError(RuntimeError):
    """The films could not be had; the message says why and what to do."""


def download(
    folder: Path,
    numbers: Sequence[int] = range(1, len(ARCHIVES) + 1),
    keep_archives: bool = False,
) -> None:
    """Films of the archives ``numbers`` (from 1) into ``folder/images``; what is there stays.

    Raises DownloadError.
    """
    work = folder / _WORK
    open_numbers = [number for number in numbers if not _done(work, number).exists()]
    try:
        work.mkdir(parents=True, exist_ok=True)
        _check_space(folder, len(open_numbers), keep_archives)
        store = pooch.create(
            path=work,
            base_url=BASE_URL,
            registry={_name(number): f"md5:{ARCHIVES[number - 1][1]}" for number in open_numbers},
            urls={_name(number): BASE_URL + ARCHIVES[number - 1][0] for number in open_numbers},
        )
        session = https_alone()
        for number in open_numbers:
            transfer = _Transfer(session, work / f"{_name(number)}.part")
            archive = Path(store.fetch(_name(number), downloader=transfer))
            count = unpack(archive, folder)
            _done(work, number).touch()
            if not keep_archives:
                archive.unlink()
            console.print(f"{_name(number)}: {count:,} films unpacked")
    except requests.RequestException as error:
        raise DownloadError(f"{error}. What has arrived is kept: run the command again") from error
    except ValueError as error:  # pooch: another checksum
        raise DownloadError(f"{error} Run the command again") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DownloadError(f"{folder}: the disk is full; free some and run again") from error
        raise DownloadError(f"{folder}: {error}") from error


def unpack(archive: Path, folder: Path) -> int:
    """The films in ``archive`` into ``folder/images``; their number.

    Raises DownloadError for a member that is anything but images/<8 digits>_<3 digits>.png.
    """
    count = 0

    def film(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        nonlocal count
        if member.isdir() and _FOLDER.fullmatch(member.name):
            return None
        if not member.isreg() or not _FILM.fullmatch(member.name):
            raise DownloadError(
                f"{archive.name}: {member.name!r} is no film: nothing more is taken"
            )
        count += 1
        return tarfile.data_filter(member, path)

    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(folder, filter=film)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DownloadError(f"{archive.name}: not a whole archive ({error})") from error
    return count


class _Transfer:
    """A downloader for pooch that appends to what an earlier one left; pooch's starts anew."""

    def __init__(self, session: requests.Session, part: Path) -> None:
        self.session = session
        self.part = part

    def __call__(self, url: str, output_file: str, _store: object) -> None:
        with _progress() as progress:
            task = progress.add_task(self.part.stem, total=None)
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    self._append(url, lambda **what: progress.update(task, **what))
                    break
                except requests.RequestException as error:
                    if attempt == ATTEMPTS or not _may_pass(error):
                        raise
                    progress.console.print(f"{self.part.stem}: {error}; going on")
                    time.sleep(attempt * PAUSE)
        self.part.replace(output_file)

    def _append(self, url: str, report: Callable[..., None]) -> None:
        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        with self.session.get(url, headers=headers, stream=True, timeout=_SECONDS) as response:
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # nothing follows what is there: the checksum tells whether it is whole
            response.raise_for_status()
            resumed = response.status_code == HTTPStatus.PARTIAL_CONTENT
            have = have if resumed else 0
            length = response.headers.get("Content-Length")
            report(completed=have, total=have + int(length) if length else None)
            with self.part.open("ab" if resumed else "wb") as file:
                for chunk in response.iter_content(_CHUNK):
                    file.write(chunk)
                    report(advance=len(chunk))


def _may_pass(error: requests.RequestException) -> bool:
    """Whether another attempt could succeed: a broken connection, a server in trouble."""
    if error.response is not None:
        return error.response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(
        error,
        requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError,
    )


def https_alone() -> requests.Session:
    """A session that speaks nothing else, redirects included."""
    session = requests.Session()
    del session.adapters["http://"]
    return session


def _check_space(folder: Path, num_archives: int, keep_archives: bool) -> None:
    copies = 2 * num_archives if keep_archives else num_archives + 1
    needed, free = copies * ARCHIVE_BYTES, shutil.disk_usage(folder).free
    if num_archives and free < needed:
        raise DownloadError(
            f"{folder}: {free / 1e9:.0f} GB are free, {num_archives} archives need "
            f"{needed / 1e9:.0f} GB: take another folder, or fewer with --only"
        )


def _name(number: int) -> str:
    return f"images_{number:03d}.tar.gz"


def _done(work: Path, number: int) -> Path:
    return work / f"images_{number:03d}.done"


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m data.nih_download", description=__doc__)
    parser.add_argument("folder", type=user_path, help="what paths.nih will name")
    numbers = range(1, len(ARCHIVES) + 1)
    parser.add_argument(
        "--only", type=int, nargs="+", metavar="N", choices=numbers, default=numbers
    )
    parser.add_argument("--keep-archives", action="store_true")
    options = parser.parse_args(arguments)
    pooch.get_logger().setLevel("ERROR")  # errors arrive as exceptions, progress is ours
    console.print(f"NIH ChestX-ray, provided by the NIH Clinical Center, {SOURCE}")
    console.print(
        "Use is free; name the link and the NIH Clinical Center, cite Wang et al., CVPR 2017."
    )
    try:
        download(options.folder, options.only, options.keep_archives)
    except DownloadError as error:
        print(f"python -m data.nih_download: {error}", file=sys.stderr)
        return 1
    tables = (LABEL_FILES[0], BOX_FILE, TRAIN_VAL_LIST, TEST_LIST)
    absent = [name for name in tables if not (options.folder / name).exists()]
    if absent:
        console.print(f"Put {', '.join(absent)} into {options.folder}: they are at {SOURCE}")
    console.print(f'Then: make reproduce ARGS="experiment=nih paths.nih={options.folder}"')
    return 0


if __name__ == "__main__":
    sys.exit(main())
