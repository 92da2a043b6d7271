"""Saved logs in whole lines, whatever they are compressed with, however they come, however they are broken."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.evidence.line import LONGEST
from probe.service.saved_logs import CHUNK, Chunker, Unreadable, open_log, size_in_all

LINE = b"Nov 22 18:29:06 mail postfix/smtpd[1]: connect from unknown[198.51.100.7]\n"


def read(path: Path) -> bytes:
    log = open_log(str(path))
    try:
        return b"".join(log.pieces())
    finally:
        log.close()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("text", [b"", b"x", LINE * 3, LINE * 100_000])
def test_what_it_is_compressed_with_its_first_bytes_say(
    tmp_path: Path, pack: Callable[[bytes], bytes], text: bytes
) -> None:
    path = tmp_path / "mail.log.2"
    path.write_bytes(pack(text))
    assert read(path) == text


def test_pieces_of_a_compressed_file_one_after_another(tmp_path: Path) -> None:
    path = tmp_path / "mail.log.gz"
    path.write_bytes(gzip.compress(LINE) + gzip.compress(LINE))
    assert read(path) == LINE * 2


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("harm", [lambda packed: packed[:-20], lambda packed: packed[:30] + b"junk" * 9])
def test_a_broken_one_says_so_after_what_is_sound(
    tmp_path: Path, pack: Callable[[bytes], bytes], harm: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "mail.log.gz"
    path.write_bytes(harm(pack(LINE * 1000)))
    with pytest.raises(Unreadable, match=r"compressed content|Invalid data|invalid"):
        read(path)


@pytest.mark.parametrize(("begins", "said"), [(b"\x28\xb5\x2f\xfd", "zstdcat"), (b"PK\x03\x04", "unzip -p")])
def test_what_cannot_be_read_says_what_can(tmp_path: Path, begins: bytes, said: str) -> None:
    path = tmp_path / "mail.log.x"
    path.write_bytes(begins + bytes(100))
    with pytest.raises(Unreadable, match=said):
        read(path)


@pytest.mark.parametrize(
    ("name", "said"), [("nowhere", "no such file"), (".", "is a directory"), ("a\0b", "null"), ("x" * 300, "too long")]
)
def test_what_is_no_file_says_why(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        open_log(str(tmp_path / name))


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def write() -> None:
        with fifo.open("wb", buffering=0) as end:
            for _ in range(1000):
                end.write(LINE)

    writer = threading.Thread(target=write)
    writer.start()
    assert read(fifo) == LINE * 1000
    writer.join()


def test_the_size_is_told_where_all_of_it_is_known(tmp_path: Path) -> None:
    path, fifo = tmp_path / "mail.log", tmp_path / "fifo"
    path.write_bytes(LINE)
    os.mkfifo(fifo)
    assert size_in_all([str(path), str(path), str(tmp_path / "nowhere")]) == 2 * len(LINE)
    assert size_in_all([str(path), str(fifo)]) is None


def chunked(*pieces: bytes) -> tuple[list[bytes], int]:
    chunker = Chunker()
    chunks = [chunk for piece in pieces if (chunk := chunker.feed(piece))]
    return [*chunks, chunker.rest()], chunker.overlong


@given(st.lists(st.binary(max_size=200), max_size=20), st.integers(0, 3))
def test_nothing_is_lost_between_pieces(pieces: list[bytes], fill: int) -> None:
    lines = LINE * (fill * CHUNK // len(LINE) // 2)
    chunks, overlong = chunked(*pieces, lines, *pieces)
    assert (b"".join(chunks), overlong) == (b"".join([*pieces, lines, *pieces]), 0)
    assert all(chunk.endswith(b"\n") for chunk in chunks[:-1])


@pytest.mark.parametrize("length", [LONGEST + CHUNK, 3 * CHUNK, 9 * CHUNK + 1])
def test_a_line_that_is_too_long_is_skipped_and_counted(length: int) -> None:
    endless = b"x" * length
    pieces = [endless[at : at + (1 << 20)] for at in range(0, length, 1 << 20)]
    chunks, overlong = chunked(LINE, *pieces, b"y\n" + LINE)
    assert overlong == 1
    assert b"".join(chunks) == LINE + LINE


def test_a_chunk_does_not_end_between_half_a_line_and_its_rest() -> None:
    half = b"2026-11-22T18:29:06.1Z stdout P postfix/cleanup[1]: said: \n"
    chunks, _ = chunked(LINE * (CHUNK // len(LINE)) + half, LINE)
    assert len(chunks) == 2
    assert chunks[1].startswith(half)
