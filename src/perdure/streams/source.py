"""Files of public data sets: found in a local folder, or downloaded and verified."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from perdure.errors import DataUnavailable

VARIABLE = "PERDURE_DATA"
CHUNK = 1 << 20
PATIENCE = 60  # seconds without a byte before a download is given up


@dataclass(frozen=True)
class RemoteFile:
    """A file at its official address.

    Args:
        name: of the file.
        url: where it is downloaded from.
        sha256: of its content, in hexadecimal.
        gzipped: its content is what gzip unpacks: a distribution that packs it anew has the same.
    """

    name: str
    url: str
    sha256: str
    gzipped: bool = False


def content(file: RemoteFile, dataset: str, folder: str | Path | None = None) -> bytes:
    """The verified content of a file, downloaded only where no local folder has it.

    It is looked for in `folder` itself, then in a sub-folder named after the data set of: `folder`,
    the environment variable PERDURE_DATA, ~/.cache/perdure, /usr/share/datasets. A download goes,
    once verified, to the first of these sub-folders.

    Args:
        file: what to find.
        dataset: the name of its data set.
        folder: where to look first.

    Raises:
        DataUnavailable: it is nowhere, cannot be downloaded, or its content is wrong.
    """
    places = _places(dataset, folder)
    for place in places:
        path = place / file.name
        if path.is_file():
            return _verified(file, path, f"delete {path} to have it downloaded from {file.url}")
    target = places[1] if folder is not None else places[0]
    return _downloaded(file, target, places)


def _places(dataset: str, folder: str | Path | None) -> list[Path]:
    roots = [Path.home() / ".cache" / "perdure", Path("/usr/share/datasets")]
    if os.environ.get(VARIABLE):
        roots.insert(0, Path(os.environ[VARIABLE]))
    given = [] if folder is None else [Path(folder), Path(folder) / dataset]
    return given + [root / dataset for root in roots]


def _verified(file: RemoteFile, path: Path, remedy: str) -> bytes:
    try:
        if file.gzipped:
            with gzip.open(path) as packed:
                found = packed.read()
        else:
            found = path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataUnavailable(f"{path} is damaged ({error}); {remedy}") from error
    digest = hashlib.sha256(found).hexdigest()
    if digest != file.sha256:
        raise DataUnavailable(
            f"the content of {path} has SHA-256 {digest} and should have {file.sha256}; {remedy}"
        )
    return found


def _downloaded(file: RemoteFile, target: Path, places: list[Path]) -> bytes:
    looked = ", ".join(str(place) for place in places)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target) as beside:
            part = Path(beside) / file.name
            _copy(file, part)
            found = _verified(file, part, f"the file at {file.url} is not the one expected")
            part.replace(target / file.name)
            return found
    except (OSError, HTTPException) as error:
        raise DataUnavailable(
            f"{file.name} is in none of {looked}, and downloading {file.url} to {target} failed: "
            f"{error}; put the file into one of these folders, or name its folder in {VARIABLE}"
        ) from error


def _copy(file: RemoteFile, path: Path) -> None:
    console = Console(stderr=True)
    bar = Progress(
        "{task.description}",
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar, _opened(file.url) as answer, path.open("wb") as out:
        length = answer.headers.get("Content-Length")
        task = bar.add_task(file.name, total=None if length is None else int(length))
        while chunk := answer.read(CHUNK):
            out.write(chunk)
            bar.advance(task, len(chunk))


def _opened(url: str) -> Any:
    try:
        # The addresses are constants, and what they send is verified.
        return urlopen(url, timeout=PATIENCE)  # noqa: S310
    except HTTPError as error:
        error.close()  # or the connection stays open as long as the error does
        raise
