"""Only the named members leave an archive, as regular files of a believable size, or nothing does."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from reproduce.errors import ReproduceError
from reproduce.intake.archive import extract_members

NAME = "logs/run/model-120000.ckpt"
CONTENT = bytes(range(256)) * 40
LIMIT = 20_000


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(content), link
    return info, content


GOOD = entry(NAME, content=CONTENT)
BAIT = [
    entry("../escaped", content=b"x"),
    entry("/tmp/reproduce-escaped", content=b"x"),
    entry("logs/../../escaped", content=b"x"),
    entry("link", tarfile.SYMTYPE, link="/etc/passwd"),
    entry("logs/run", tarfile.SYMTYPE, link="/tmp"),
    entry("hard", tarfile.LNKTYPE, link=NAME),
    entry("device", tarfile.CHRTYPE),
    entry("pipe", tarfile.FIFOTYPE),
    entry("logs/other.ckpt", content=b"y" * 700),
    entry("logs/", tarfile.DIRTYPE),
    entry("n" * 300, content=b"a name in a header of its own"),
]


def raw(*entries: tuple[tarfile.TarInfo, bytes], kind: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def header(name: str, kind: bytes, size: int) -> bytes:
    """A header that claims `size` bytes, with nothing behind it."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def sparse(name: str, size: int) -> bytes:
    """A GNU sparse file of `size` bytes of which one block is stored."""
    block = bytearray(header(name, tarfile.GNUTYPE_SPARSE, 512))
    for start, number in ((386, size - 512), (398, 512), (483, size)):  # where the stored block goes, its size; in all
        block[start : start + 12] = b"\x80" + number.to_bytes(11, "big")  # too large for octal digits
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + b"z" * 512


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/out").mkdir()
    return tmp_path


def extract(base: Path, content: bytes, *, packed: Callable[[bytes], bytes] = gzip.compress) -> Path:
    archive = base / "in/logs.tar.gz"
    archive.write_bytes(packed(content))
    target = base / "in/out/model.ckpt"
    extract_members(archive, {NAME: target}, limit=LIMIT)
    return target


def files(base: Path) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(folder, name), base) for folder, _, names in os.walk(base) for name in names
    )


def refused(base: Path, content: bytes, words: str, *, packed: Callable[[bytes], bytes] = gzip.compress) -> None:
    with pytest.raises(ReproduceError, match=words) as caught:
        extract(base, content, packed=packed)
    message = str(caught.value)
    assert "\n" not in message
    assert "logs.tar.gz" in message
    assert files(base) == ["in/logs.tar.gz"]
    assert sorted(path.name for path in base.iterdir()) == ["in"]


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_a_member_is_written_whole_and_nothing_else_is(base: Path, kind: int) -> None:
    bait = BAIT[:-1] if kind == tarfile.USTAR_FORMAT else BAIT
    assert extract(base, raw(*bait, GOOD, *bait, kind=kind)).read_bytes() == CONTENT
    assert files(base) == ["in/logs.tar.gz", "in/out/model.ckpt"]
    assert not Path("/tmp/reproduce-escaped").exists()


def test_several_members_come_in_one_reading(base: Path) -> None:
    archive = base / "a.tar.gz"
    archive.write_bytes(gzip.compress(raw(GOOD, entry("b", content=b"bb"))))
    extract_members(archive, {"b": base / "b", NAME: base / "a"}, limit=LIMIT)
    assert ((base / "a").read_bytes(), (base / "b").read_bytes()) == (CONTENT, b"bb")
    with pytest.raises(ReproduceError, match=r"has no c"):
        extract_members(archive, {"b": base / "b2", "c": base / "c"}, limit=LIMIT)
    assert not (base / "b2").exists()


@pytest.mark.parametrize(
    ("kind", "link", "words"),
    [
        (tarfile.SYMTYPE, "/etc/passwd", "is a link"),
        (tarfile.LNKTYPE, "logs/other.ckpt", "is a link"),
        (tarfile.CHRTYPE, "", "a device or pipe"),
        (tarfile.BLKTYPE, "", "a device or pipe"),
        (tarfile.FIFOTYPE, "", "a device or pipe"),
        (tarfile.DIRTYPE, "", "a folder"),
    ],
)
def test_a_member_that_is_no_plain_file_is_refused(base: Path, kind: bytes, link: str, words: str) -> None:
    refused(base, raw(entry("logs/other.ckpt", content=b"y"), entry(NAME, kind, link=link)), words)


@pytest.mark.parametrize("name", [f"./{NAME}", f"../{NAME}", f"/{NAME}", f"logs/x/../run/{NAME.rpartition('/')[2]}"])
def test_another_spelling_of_the_name_is_another_name(base: Path, name: str) -> None:
    refused(base, raw(entry(name, content=CONTENT)), f"has no {NAME}; a file of that name lies elsewhere")


def test_a_member_that_is_not_there_is_named(base: Path) -> None:
    refused(base, raw(entry("logs/other.ckpt", content=b"y")), f"has no {NAME}$")


@pytest.mark.parametrize("second", [entry(NAME, content=b"another"), entry(NAME, tarfile.SYMTYPE, link="/etc")])
def test_a_member_that_is_there_twice_is_refused(base: Path, second: tuple[tarfile.TarInfo, bytes]) -> None:
    refused(base, raw(GOOD, second), "twice")


def test_a_member_that_claims_too_much_is_refused_before_a_byte_of_it_is_read(base: Path) -> None:
    refused(base, header(NAME, tarfile.REGTYPE, 10 * 2**30), "is 10,737,418,240 bytes, 20,000 at most")
    refused(base, raw(entry(NAME, content=bytes(LIMIT + 1))), "is 20,001 bytes")
    assert extract(base, raw(entry(NAME, content=bytes(LIMIT)))).stat().st_size == LIMIT


def test_a_sparse_member_of_10_gb_is_refused_and_one_beside_it_skipped(base: Path) -> None:
    end = bytes(1024)
    refused(base, sparse(NAME, 10 * 2**30) + end, "is a sparse file")
    assert extract(base, sparse("logs/other", 10 * 2**30) + raw(GOOD)).read_bytes() == CONTENT
    assert (base / "in/logs.tar.gz").stat().st_size < 2000


def test_a_long_header_is_not_taken_into_memory(base: Path) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        refused(base, header("long", kind, 2**31) + bytes(2**20), "damaged .*a header of 2,147,483,648 bytes")


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("where", ["tar", "gzip"])
def test_a_truncated_end_is_an_error_that_names_the_file(base: Path, kept: float, where: str) -> None:
    """Also behind the member that is wanted, where a reader that stops early would see nothing."""
    behind = entry("logs/other.ckpt", content=os.urandom(30_000))
    whole = raw(GOOD, behind).rstrip(b"\0")
    if where == "tar":
        refused(base, whole[: int(len(whole) * kept)], "damaged or cut short")
    else:
        refused(
            base, raw(GOOD, behind), "damaged or cut short", packed=lambda b: gzip.compress(b)[: int(30_000 * kept)]
        )


def test_a_changed_byte_is_noticed(base: Path) -> None:
    def flipped(content: bytes) -> bytes:
        packed = bytearray(gzip.compress(content))
        packed[-5] ^= 1  # the length
        packed[-8] ^= 1  # the checksum
        return bytes(packed)

    refused(base, raw(GOOD), "damaged or cut short", packed=flipped)
    behind = bytearray(raw(GOOD, entry("b", content=b"y")))
    behind[512 + len(CONTENT) + 0] ^= 1  # the name in the second header, which its checksum covers
    refused(base, bytes(behind), "damaged or cut short")


@pytest.mark.parametrize("content", [b"", b"<html>quota</html>", b"PK\x03\x04"])
def test_what_is_no_archive_is_one_line(base: Path, content: bytes) -> None:
    refused(base, content, "damaged or cut short", packed=lambda b: b)
    refused(base, content, "damaged or cut short")


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.map": "a,b"},
        {"GNU.sparse.size": "zz"},
        {"GNU.sparse.realsize": "q"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": NAME},
    ],
    ids=["map", "size", "realsize", "version 1"],
)
def test_sparse_headers_that_make_no_sense_are_damage(base: Path, headers: dict[str, str]) -> None:
    info, content = entry(NAME, content=b"x" * 1000)
    info.pax_headers = headers
    refused(
        base, raw((info, content), kind=tarfile.PAX_FORMAT), "damaged or cut short|not a plain file|is a sparse file"
    )


def test_headers_without_end_are_damage(base: Path) -> None:
    name = header("x", tarfile.GNUTYPE_LONGNAME, 1) + b"a" + bytes(511)
    refused(base, name * 5000, "damaged or cut short")
