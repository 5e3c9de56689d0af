"""Downloads, against a server on 127.0.0.1: whole, continued, refused, in one line each time."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gdown
import pytest
from serving import Server, serving

from reproduce.errors import ReproduceError
from reproduce.files import _umask
from reproduce.intake import download, transfer
from reproduce.intake.download import Downloads
from reproduce.intake.sources import Source
from reproduce.intake.transfer import Transfer

CONTENT = os.urandom(1_000_000)
OTHER = os.urandom(1_000_000)
PATH, FILE = "/set/data.bin", "set/data.bin"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving({PATH: CONTENT}) as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_PAUSE", 0.001)
    monkeypatch.setattr(transfer, "_CHUNK", 1000)


def source(*urls: str, **changes: Any) -> Source:
    values = {
        "description": "the data",
        "file": FILE,
        "urls": urls,
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "md5": None,
        "bytes": len(CONTENT),
        "licence": "none",
        "by_hand": "get it from the moon",
    }
    return Source(**values | changes)


def unlisted(*urls: str) -> Source:
    return source(*urls, sha256=None)


def obtain(wanted: Source, *, folder: Path, mirror: str | None = None) -> Path:
    return Downloads(sources={"it": wanted}, folder=folder, mirror=mirror).obtain("it")


def left(folder: Path) -> list[str]:
    """The files in `folder`, without locks."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and ".lock" not in path.name
    )


def refused(folder: Path, wanted: Source, words: str, **named: Any) -> str:
    with pytest.raises(ReproduceError, match=words) as caught:
        obtain(wanted, folder=folder, **named)
    message = str(caught.value)
    assert "\n" not in message
    assert "get it from the moon" in message
    return message


def test_a_file_comes_whole_and_is_fetched_once(tmp_path: Path, server: Server) -> None:
    wanted = source(server.address + PATH)
    for _ in range(2):
        assert obtain(wanted, folder=tmp_path) == tmp_path / FILE
        assert (tmp_path / FILE).read_bytes() == CONTENT
    assert server.requests == [(PATH, None)]
    assert left(tmp_path) == [FILE]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o666 & ~_umask()


@pytest.mark.parametrize("etag", ['"one"', 'W/"weak"', None])
def test_a_cut_transfer_is_continued_where_it_broke(tmp_path: Path, server: Server, etag: str | None) -> None:
    server.etag, server.cuts = etag, [0.5]
    obtain(source(server.address + PATH), folder=tmp_path)
    assert (tmp_path / FILE).read_bytes() == CONTENT
    assert server.requests == [(PATH, None), (PATH, "bytes=500000-")]
    assert server.sent == len(CONTENT)
    assert left(tmp_path) == [FILE]


def test_progress_is_no_failure_however_often_it_is_cut(tmp_path: Path, server: Server) -> None:
    server.cuts = [0.1] * 20
    obtain(source(server.address + PATH), folder=tmp_path)
    assert (tmp_path / FILE).read_bytes() == CONTENT
    assert len(server.requests) == 21
    assert server.sent < len(CONTENT) + 20 * 1000


def test_without_ranges_a_cut_transfer_starts_over(tmp_path: Path, server: Server) -> None:
    server.ranges, server.cuts = False, [0.5]
    obtain(source(server.address + PATH), folder=tmp_path)
    assert (tmp_path / FILE).read_bytes() == CONTENT
    assert server.sent == 1.5 * len(CONTENT)


def test_a_transfer_that_is_always_cut_is_given_up_and_continued_by_the_next_run(
    tmp_path: Path, server: Server
) -> None:
    wanted = source(server.address + PATH)
    server.cuts = [0.5] + [0.0] * 4
    refused(tmp_path, wanted, r"the data could not be fetched \(.*(cut|no connection).*4 times")
    assert not (tmp_path / FILE).exists()
    server.requests.clear()
    obtain(wanted, folder=tmp_path)
    assert (tmp_path / FILE).read_bytes() == CONTENT
    assert server.requests == [(PATH, "bytes=500000-")]


KILLED = """
    import sys
    from pathlib import Path
    from reproduce.intake import transfer
    from reproduce.intake.download import Downloads
    from reproduce.intake.sources import Source

    class Bar:  # ends this process, as `kill -9` does, in the middle of the file
        def __init__(self, **named): self.total, self.seen = named["total"], named["initial"]
        def __enter__(self): return self
        def __exit__(self, *_): pass
        def update(self, n):
            self.seen += n
            if self.seen >= self.total / 2:
                import os, signal
                os.kill(os.getpid(), signal.SIGKILL)

    transfer.tqdm = Bar
    Downloads(sources={"it": Source.model_validate_json(sys.argv[1])}, folder=Path(sys.argv[2])).obtain("it")
"""


def test_a_killed_process_leaves_what_the_next_one_continues(tmp_path: Path, server: Server) -> None:
    server.files[PATH] = CONTENT
    wanted = source(server.address + PATH)
    command = [sys.executable, "-c", textwrap.dedent(KILLED), wanted.model_dump_json(), str(tmp_path)]
    assert subprocess.run(command, check=False, cwd=Path(__file__).parent.parent).returncode == -signal.SIGKILL
    assert not (tmp_path / FILE).exists()
    have = (tmp_path / "set/.data.bin.part").stat().st_size
    assert 0 < have < len(CONTENT)
    server.requests.clear()
    obtain(wanted, folder=tmp_path)
    assert (tmp_path / FILE).read_bytes() == CONTENT
    assert server.requests == [(PATH, f"bytes={have}-")]


@pytest.mark.parametrize("respect_if_range", [True, False])
def test_a_file_that_changed_meanwhile_starts_over(tmp_path: Path, server: Server, respect_if_range: bool) -> None:
    wanted = unlisted(server.address + PATH)
    server.cuts = [0.5] + [0.0] * 4
    refused(tmp_path, wanted, "4 times")
    server.files[PATH], server.etag, server.respect_if_range = OTHER, '"two"', respect_if_range
    server.requests.clear()
    obtain(wanted, folder=tmp_path)
    assert (tmp_path / FILE).read_bytes() == OTHER
    again = [] if respect_if_range else [(PATH, None)]  # the server noticed, or we did
    assert server.requests == [(PATH, "bytes=500000-"), *again]


def test_a_file_that_became_shorter_or_longer_starts_over(tmp_path: Path, server: Server) -> None:
    wanted = unlisted(server.address + PATH)
    server.etag = None
    for new in (OTHER[:100], OTHER[:700_000]):
        server.files[PATH], server.cuts = CONTENT, [0.5] + [0.0] * 4
        refused(tmp_path, wanted, "4 times")
        server.files[PATH] = new
        obtain(wanted, folder=tmp_path)
        assert (tmp_path / FILE).read_bytes() == new
        (tmp_path / FILE).unlink()
        (tmp_path / "checksums.json").unlink()


def test_a_transfer_that_was_whole_when_it_was_killed_is_not_repeated(tmp_path: Path, server: Server) -> None:
    wanted = source(server.address + PATH)
    server.cuts = [0.5] + [0.0] * 4
    refused(tmp_path, wanted, "4 times")
    (tmp_path / "set/.data.bin.part").write_bytes(CONTENT)
    server.requests.clear()
    obtain(wanted, folder=tmp_path)
    assert (tmp_path / FILE).read_bytes() == CONTENT
    assert server.requests == []


def test_what_another_address_began_is_not_continued(tmp_path: Path, server: Server) -> None:
    server.files["/b"], server.cuts = OTHER, [0.5] + [0.0] * 4
    wanted = unlisted(server.address + PATH, server.address + "/b")
    obtain(wanted, folder=tmp_path)
    assert (tmp_path / FILE).read_bytes() == OTHER
    assert server.requests[-1] == ("/b", None)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(tmp_path: Path, server: Server, status: int) -> None:
    server.status = [status] * 3
    obtain(source(server.address + PATH), folder=tmp_path)
    assert len(server.requests) == 4
    (tmp_path / FILE).unlink()
    server.status = [status] * 4
    refused(tmp_path, source(server.address + PATH), rf"busy or broken \(HTTP {status}\) \(4 times\)")


@pytest.mark.parametrize(("status", "words"), [(404, "dead link"), (410, "dead link"), (403, "the server refused")])
def test_a_dead_link_is_not_asked_twice_and_the_next_address_is_taken(
    tmp_path: Path, server: Server, status: int, words: str
) -> None:
    server.status = [status]
    refused(tmp_path, source(server.address + PATH), rf"{words} \(HTTP {status}\)\)")
    assert len(server.requests) == 1
    server.status = [status]
    obtain(source(server.address + "/gone", server.address + PATH), folder=tmp_path)
    assert (tmp_path / FILE).read_bytes() == CONTENT
    assert left(tmp_path) == [FILE]


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
@pytest.mark.parametrize("checked", [True, False])
def test_a_web_page_is_not_taken_for_the_file(tmp_path: Path, server: Server, kind: str, checked: bool) -> None:
    server.files[PATH] = b"\n<!DOCTYPE html><html><body>Quota exceeded</body></html>"
    server.content_type = kind
    wanted = source(server.address + PATH) if checked else unlisted(server.address + PATH)
    refused(tmp_path, wanted, "a web page came in place of the file; perhaps a download quota is used up")
    assert left(tmp_path) == []


def test_a_wrong_checksum_is_told_with_sizes_and_the_file_removed(tmp_path: Path, server: Server) -> None:
    server.files[PATH] = OTHER[:-1]
    message = refused(
        tmp_path, source(server.address + PATH), r"wrong checksum, removed: 999,999 bytes \(about 1,000,000"
    )
    assert hashlib.sha256(CONTENT).hexdigest() in message
    assert left(tmp_path) == []
    md5 = hashlib.md5(CONTENT).hexdigest()
    refused(tmp_path, source(server.address + PATH, sha256=None, md5=md5), f"whose md5 is not {md5}")
    server.files[PATH] = CONTENT
    obtain(source(server.address + PATH, sha256=None, md5=md5), folder=tmp_path)
    assert left(tmp_path) == [FILE]


def test_without_a_published_checksum_the_first_file_decides(tmp_path: Path, server: Server) -> None:
    wanted = unlisted(server.address + PATH)
    obtain(wanted, folder=tmp_path)
    noted = json.loads((tmp_path / "checksums.json").read_text())
    assert noted == {FILE: hashlib.sha256(CONTENT).hexdigest()}
    (tmp_path / FILE).unlink()
    server.files[PATH] = OTHER
    refused(tmp_path, wanted, "wrong checksum, .* as noted in .*checksums.json when it was first used")
    (tmp_path / FILE).write_bytes(OTHER)
    refused(tmp_path, wanted, r"data\.bin is not the file that is expected: .* as noted in .*checksums.json")
    obtain(source(server.address + PATH, file="more", sha256=None), folder=tmp_path)
    assert json.loads((tmp_path / "checksums.json").read_text()) == noted | {"more": hashlib.sha256(OTHER).hexdigest()}


def test_a_file_put_there_by_hand_is_verified_and_used(tmp_path: Path, server: Server) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / FILE).write_bytes(CONTENT)
    for wanted in (source(), source(server.address + PATH), unlisted()):
        assert obtain(wanted, folder=tmp_path).read_bytes() == CONTENT
    assert server.requests == []
    for content, words in ((OTHER, "is not the file that is expected: 1,000,000 bytes"), (b"<html>", "is a web page")):
        (tmp_path / FILE).write_bytes(content)
        refused(tmp_path, source(server.address + PATH), rf"set/data\.bin {words}.*delete it and run again, or get it")
        assert (tmp_path / FILE).read_bytes() == content  # it is the user's
    (tmp_path / FILE).unlink()
    refused(tmp_path, source(), "there is no address for it")


def test_a_mirror_takes_the_place_of_every_address(tmp_path: Path, server: Server) -> None:
    server.files["/mirror/set/data.bin"] = CONTENT
    wanted = source("http://127.0.0.1:1/nowhere")
    for mirror in (f"{server.address}/mirror", f"{server.address}/mirror/", str(tmp_path / "one")):
        folder = tmp_path / ("two" if mirror.endswith("one") else "one")  # a copy of one is a mirror
        (folder / FILE).unlink(missing_ok=True)
        assert obtain(wanted, folder=folder, mirror=mirror).read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["/mirror/set/data.bin"] * 2
    refused(tmp_path / "three", wanted, "there is no such file", mirror=str(tmp_path / "empty"))
    (tmp_path / "one" / FILE).write_bytes(OTHER)
    refused(tmp_path / "three", wanted, "wrong checksum", mirror=str(tmp_path / "one"))
    assert (tmp_path / "one" / FILE).read_bytes() == OTHER


def test_a_path_may_stand_among_the_addresses(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(CONTENT)
    wanted = source(str(tmp_path / "not mine"), str(tmp_path / "mine"))
    assert obtain(wanted, folder=tmp_path / "downloads").read_bytes() == CONTENT


def test_without_a_network_one_line_says_so(tmp_path: Path) -> None:
    with serving({}) as server:
        address = server.address
    refused(tmp_path, source(address + PATH), r"no connection to the server; is there a network\? \(4 times\)")
    refused(tmp_path, source("http://nowhere.invalid/x"), "no connection to the server")


def test_a_full_disk_is_one_line_and_what_is_there_is_kept(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def receive(transfer: Transfer, response: Any, *_: Any) -> None:
        transfer.part.write_bytes(response.raw.read(300_000))
        transfer.part.unlink()
        transfer.part.symlink_to("/dev/full")
        with transfer.part.open("wb") as file:
            file.write(b"more")

    monkeypatch.setattr(Transfer, "_receive", receive)
    with pytest.raises(
        ReproduceError, match=r"the disk is full: .* of .*data\.bin .*make room and run again"
    ) as caught:
        obtain(source(server.address + PATH, server.address + "/second"), folder=tmp_path)
    assert "\n" not in str(caught.value)
    assert len(server.requests) == 1


def test_two_that_want_the_same_file_fetch_it_once(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = unlisted(server.address + PATH)
    threads = [threading.Thread(target=obtain, args=(wanted,), kwargs={"folder": tmp_path}) for _ in range(2)]
    (tmp_path / "set").mkdir()
    told = ""
    with download._locked(tmp_path / FILE):
        for thread in threads:
            thread.start()
        while told.count("waiting for another process that fetches") < 2:
            told += capsys.readouterr().err
        assert server.requests == []
    for thread in threads:
        thread.join()
    assert server.requests == [(PATH, None)]
    assert (tmp_path / FILE).read_bytes() == CONTENT


def test_google_drive_is_asked_through_gdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://drive.google.com/uc?id=abc"
    calls: list[dict[str, Any]] = []

    def fetch(url: str, output: str, **named: Any) -> str:
        calls.append({"url": url, **named})
        Path(output).write_bytes(CONTENT)
        return output

    monkeypatch.setattr(gdown, "download", fetch)
    assert obtain(source(address), folder=tmp_path).read_bytes() == CONTENT
    assert [(call["url"], call["resume"]) for call in calls] == [(address, True)]
    assert left(tmp_path) == [FILE]
    (tmp_path / FILE).unlink()

    def refuse(url: str, output: str, **named: Any) -> str:
        raise gdown.exceptions.FileURLRetrievalError("Too many users\nhave viewed it")

    monkeypatch.setattr(gdown, "download", refuse)
    refused(tmp_path, source(address), r"Google Drive: Too many users have viewed it\)")


# --- what is told before the first byte


def downloads(folder: Path, size: int = 2_000_000_000) -> Downloads:
    return Downloads(sources={"a": source(bytes=size), "b": source(file="b", bytes=size)}, folder=folder)


def test_what_is_to_be_fetched_is_told_with_what_is_needed_and_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(download, "_free", lambda folder: 50e9)
    downloads(tmp_path / "not there yet").announce(["a", "b"], profile="full", disk_gb=30)
    assert capsys.readouterr().err == (
        "fetch: 2 files, 4.00GB to fetch; the profile full needs about 30 GB of disk in all; 50.0GB are free\n"
    )
    (tmp_path / "b").write_bytes(b"")
    (tmp_path / "set").mkdir()
    with (tmp_path / "set/.data.bin.part").open("wb") as part:
        part.truncate(1_500_000_000)  # half of it is there
    downloads(tmp_path).announce(["a", "b"], profile="full", disk_gb=60.5)
    assert capsys.readouterr().err == (
        "fetch: 1 file, 500MB to fetch; the profile full needs about 60.5 GB of disk in all; "
        "50.0GB are free (perhaps too few)\n"
    )
    downloads(tmp_path).announce(["b"], profile="full", disk_gb=60.5)
    assert capsys.readouterr().err == ""


def test_what_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_free", lambda folder: 3e9)
    downloads(tmp_path).announce(["a"], profile="mine", disk_gb=None)
    with pytest.raises(
        ReproduceError, match=r"4.00GB are to be fetched into .* where 3.00GB are free: make room"
    ) as caught:
        downloads(tmp_path).announce(["a", "b"], profile="mine", disk_gb=None)
    assert "\n" not in str(caught.value)


def test_a_file_that_changed_is_never_mixed_with_what_was_there(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed as soon as the new version's answer is noted, before a byte of it has come."""
    wanted = unlisted(server.address + PATH)
    server.ranges, server.cuts = False, [0.5] + [0.0] * 4
    refused(tmp_path, wanted, "4 times")
    server.files[PATH], server.etag, server.ranges = OTHER, '"two"', True

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Transfer, "_receive", killed)
        with pytest.raises(KeyboardInterrupt):
            obtain(wanted, folder=tmp_path)
    obtain(wanted, folder=tmp_path)
    assert (tmp_path / FILE).read_bytes() == OTHER


def test_what_nothing_vouches_for_is_not_continued(tmp_path: Path, server: Server) -> None:
    """No checksum is known, and the server tells no version from another."""
    wanted = unlisted(server.address + PATH)
    server.etag, server.cuts = None, [0.5] + [0.0] * 4
    refused(tmp_path, wanted, "4 times")
    server.files[PATH] = OTHER
    obtain(wanted, folder=tmp_path)
    assert (tmp_path / FILE).read_bytes() == OTHER


def test_an_answer_that_refuses_the_range_is_never_taken_for_a_part(tmp_path: Path, server: Server) -> None:
    server.cuts, server.status = [0.5], [200, 416]
    server.error_headers = {"Content-Range": "bytes 500000-999999/1000000", "ETag": '"one"'}
    obtain(source(server.address + PATH), folder=tmp_path)
    assert (tmp_path / FILE).read_bytes() == CONTENT
    assert server.requests == [(PATH, None), (PATH, "bytes=500000-"), (PATH, None)]


@pytest.mark.parametrize("mirror", ["~nobody-of-that-name/x", "ftp://example.org", "/dev/null/below"])
def test_a_mirror_that_is_none_is_one_line(tmp_path: Path, mirror: str) -> None:
    refused(tmp_path, source("https://example.org/x"), "no such file|neither http", mirror=mirror)


def test_a_checksum_that_was_noted_is_named_and_can_be_taken_back(tmp_path: Path, server: Server) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / FILE).write_bytes(OTHER)
    downloads = Downloads(sources={"it": unlisted(server.address + PATH)}, folder=tmp_path)
    downloads.obtain("it")
    (tmp_path / FILE).unlink()
    with pytest.raises(ReproduceError, match=r"as noted in .*checksums\.json"):
        downloads.obtain("it")
    downloads.forget("it")
    assert downloads.obtain("it").read_bytes() == CONTENT
