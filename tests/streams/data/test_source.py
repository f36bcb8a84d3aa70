"""Files of public data sets: found, downloaded, verified."""

import gzip
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from perdure.errors import DataUnavailable
from perdure.streams.source import RemoteFile, content

RAW = b"nine rows of some data set" * 5000


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        self.server.asked.append(self.path)


@pytest.fixture
def server(tmp_path):
    """A web server on this machine that serves the folder `server.folder` and counts requests."""
    folder = tmp_path / "served"
    folder.mkdir()
    served = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    served.folder, served.asked = folder, []
    thread = threading.Thread(target=served.serve_forever, args=(0.01,))
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home folder of its own for each test, and no folder named by the environment."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("PERDURE_DATA", raising=False)
    return home


def remote(server, *, raw=RAW, gzipped=False, name="rows.bin"):
    """The file at the server's address, with the checksum of what it should hold."""
    url = f"http://127.0.0.1:{server.server_port}/{name}"
    return RemoteFile(name, url, hashlib.sha256(raw).hexdigest(), gzipped=gzipped)


def unreachable(name="rows.bin"):
    """A file at an address where nobody answers."""
    return RemoteFile(name, f"http://127.0.0.1:9/{name}", hashlib.sha256(RAW).hexdigest())


def put(path, raw=RAW):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path


def test_a_file_is_downloaded_once_and_then_found(server, home):
    """Into the cache of the data set, under its own name, with nothing left beside it."""
    put(server.folder / "rows.bin")
    assert RAW == content(remote(server), "toys")
    assert RAW == content(remote(server), "toys")
    assert ["/rows.bin"] == server.asked
    assert [home / ".cache/perdure/toys/rows.bin"] == list((home / ".cache/perdure/toys").iterdir())


def test_a_file_may_also_be_copied_from_a_file_address(tmp_path):
    """As on a machine whose disks are shared."""
    url = put(tmp_path / "far/rows.bin").as_uri()
    file = RemoteFile("rows.bin", url, hashlib.sha256(RAW).hexdigest())
    assert RAW == content(file, "toys", tmp_path / "near")
    assert RAW == (tmp_path / "near/toys/rows.bin").read_bytes()


@pytest.mark.parametrize("where", ["", "toys"])
def test_a_folder_that_is_given_is_looked_in_first(tmp_path, home, where):
    """Itself, and its sub-folder named after the data set, before the cache."""
    put(tmp_path / "given" / where / "rows.bin")
    put(home / ".cache/perdure/toys/rows.bin", b"older")
    assert RAW == content(unreachable(), "toys", tmp_path / "given")


def test_the_environment_names_a_folder_that_comes_before_the_cache(
    server, tmp_path, home, monkeypatch
):
    """It is looked in, and downloads go there."""
    monkeypatch.setenv("PERDURE_DATA", str(tmp_path / "shelf"))
    put(server.folder / "rows.bin")
    content(remote(server), "toys")
    assert (tmp_path / "shelf/toys/rows.bin").is_file()
    put(home / ".cache/perdure/toys/rows.bin", b"older")
    assert RAW == content(unreachable(), "toys")


def test_data_sets_with_files_of_one_name_do_not_meet(server, tmp_path):
    """MNIST and Fashion-MNIST name their files alike."""
    put(server.folder / "rows.bin")
    content(remote(server), "toys", tmp_path)
    with pytest.raises(DataUnavailable, match="none of"):
        content(unreachable(), "games", tmp_path)


def test_a_packed_file_is_known_by_what_it_unpacks_to(server):
    """So that a distribution may pack it anew, at another level and time."""
    put(server.folder / "rows.gz", gzip.compress(RAW, compresslevel=1, mtime=1))
    file = remote(server, gzipped=True, name="rows.gz")
    assert RAW == content(file, "toys")
    put(Path.home() / ".cache/perdure/toys/rows.gz", gzip.compress(RAW, compresslevel=9, mtime=2))
    assert RAW == content(file, "toys")


def test_a_damaged_local_file_is_refused_and_not_replaced(server, tmp_path):
    """The message names the file, both checksums and what to do; nothing is downloaded over it."""
    put(server.folder / "rows.bin")
    path = put(tmp_path / "toys/rows.bin", RAW[:-1] + b"?")
    with pytest.raises(DataUnavailable) as caught:
        content(remote(server), "toys", tmp_path)
    for part in (str(path), hashlib.sha256(RAW).hexdigest(), "delete"):
        assert part in str(caught.value)
    assert [] == server.asked
    assert path.is_file()


@pytest.mark.parametrize(
    "raw",
    [gzip.compress(RAW)[:-20], b"no gzip at all", gzip.compress(RAW)[:30] + bytes(200)],
    ids=["cut short", "not packed", "overwritten"],
)
def test_a_packed_file_that_cannot_be_unpacked_is_damaged(tmp_path, raw):
    """In whatever way."""
    put(tmp_path / "rows.gz", raw)
    file = RemoteFile("rows.gz", "http://127.0.0.1:9/rows.gz", "0" * 64, gzipped=True)
    with pytest.raises(DataUnavailable, match=r"rows.gz is damaged .*delete"):
        content(file, "toys", tmp_path)


def test_a_damaged_download_leaves_nothing_behind(server, home):
    """A later attempt starts afresh."""
    put(server.folder / "rows.bin", b"an error page")
    with pytest.raises(DataUnavailable, match="is not the one expected"):
        content(remote(server), "toys")
    assert [] == list((home / ".cache/perdure/toys").iterdir())
    put(server.folder / "rows.bin")
    assert RAW == content(remote(server), "toys")


def test_a_file_that_is_nowhere_is_refused_with_every_place_looked_at(server, tmp_path, home):
    """And with the address that gave an error, and what to do."""
    with pytest.raises(DataUnavailable) as caught:
        content(remote(server, name="gone.bin"), "toys", tmp_path)
    message = str(caught.value)
    places = (tmp_path, tmp_path / "toys", home / ".cache/perdure/toys", "/usr/share/datasets/toys")
    for part in (*map(str, places), f"{server.server_port}/gone.bin", "404", "PERDURE_DATA"):
        assert part in message


def test_a_server_that_does_not_answer_is_an_error_of_the_same_kind():
    """Not one of the network's many."""
    with pytest.raises(DataUnavailable, match=r"downloading http://127.0.0.1:9/rows.bin"):
        content(unreachable(), "toys")


def test_a_folder_that_cannot_be_made_is_an_error_of_the_same_kind(tmp_path):
    """Such as one under a file."""
    put(tmp_path / "file")
    with pytest.raises(DataUnavailable, match="failed"):
        content(unreachable(), "toys", tmp_path / "file" / "below")
