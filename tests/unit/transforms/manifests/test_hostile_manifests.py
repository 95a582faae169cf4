"""Manifests that nobody means well: one sentence with the limit or the column, in bounded memory."""

import gzip
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import InvalidInput
from tests.conftest import REPOSITORY
from transforms.manifests import named_format, open_manifest

MB = 10**6


def read(path: Path) -> int:
    """Reads a manifest to its end, and returns its rows."""
    form = named_format(str(path))
    assert form
    manifest = open_manifest(f"file://{path}", form)
    return sum(rows.num_rows for section in manifest.sections() for rows in manifest.rows(section))


def parquet(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def nested(depth: int) -> pa.DataType:
    kind = pa.string()
    for _ in range(depth):
        kind = pa.list_(kind)
    return kind


def list_in_lists(depth: int) -> object:
    value: object = "deep"
    for _ in range(depth):
        value = [value]
    return value


def varint(number: int) -> bytes:
    """A number as Thrift's compact protocol writes it."""
    left, digits = number * 2 if number >= 0 else -number * 2 - 1, bytearray()
    while left > 127:
        digits.append(left & 127 | 128)
        left >>= 7
    return bytes([*digits, left])


def claiming(field: str, number: int) -> bytes:
    """A Parquet file of 9,999 rows whose footer has another number in a field of its row group."""
    content = parquet(pa.table({"uri": [f"{row}.jpg" for row in range(9_999)]}))
    before = varint(getattr(pq.read_metadata(io.BytesIO(content)).row_group(0), field))
    footer = content[-8 - int.from_bytes(content[-8:-4], "little") : -8]
    assert before in footer
    changed = footer.replace(before, varint(number))
    return content[: -8 - len(footer)] + changed + len(changed).to_bytes(4, "little") + content[-4:]


WHOLE = parquet(pa.table({"uri": [f"{number}.jpg" for number in range(999)]}))
NAMES = ["uri", *(f"column_{number}" for number in range(9_999))]
LONG = "x" * MB

MANIFESTS: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "a struct": ("m.parquet", lambda: parquet(pa.table({"uri": [{"path": "a.jpg"}]})), "'uri' (struct<path: string>)"),
    "an object": ("m.jsonl", lambda: b'{"uri": {"path": "a.jpg"}}\n', "'uri' (struct<>)"),
    "many columns in CSV": ("m.csv", lambda: ",".join(NAMES).encode() + b"\n", "more than 5,000 columns"),
    "many columns in Parquet": (
        "m.parquet",
        lambda: parquet(pa.table({name: ["a"] for name in NAMES})),
        "more than 5,000 columns",
    ),
    "many columns in a line": (
        "m.jsonl",
        lambda: json.dumps(dict.fromkeys(NAMES, 1)).encode(),
        "more than 5,000 columns",
    ),
    "many columns in many lines": (
        "m.jsonl",
        lambda: "".join(f'{{"{name}": 1}}\n' for name in NAMES).encode(),
        "more than 5,000 columns",
    ),
    "a header of 1 MB": ("m.csv", f"uri,{LONG}\na.jpg,1\n".encode, "1,000 are the most"),
    "a header of 2 MB": ("m.csv", f"uri,{LONG}{LONG}\na.jpg,1\n".encode, "first line has more than 1,048,576"),
    "a name of 1 MB in Parquet": (
        "m.parquet",
        lambda: parquet(pa.table({"uri": ["a"], LONG: [1]})),
        "1,000 are the most",
    ),
    "a name of 1 MB in JSON": ("m.jsonl", lambda: json.dumps({"uri": "a", LONG: 1}).encode(), "1,000 are the most"),
    "100 lists in Parquet": (
        "m.parquet",
        lambda: parquet(pa.table({"uri": ["a"], "deep": pa.array([list_in_lists(100)], nested(100))})),
        "'deep' (list<",
    ),
    "100 lists in JSON": (
        "m.jsonl",
        lambda: json.dumps({"uri": "a", "deep": list_in_lists(100)}).encode(),
        "'deep' (list<",
    ),
    "100,000 lists in JSON": ("m.jsonl", lambda: b'{"uri": ' + b"[" * 100_000, "Line 1 of the manifest"),
    "no footer": ("m.parquet", lambda: WHOLE[:-4], "cannot be read"),
    "a footer of zeros": ("m.parquet", lambda: WHOLE[:-200] + bytes(192) + WHOLE[-8:], "cannot be read"),
    "a footer of 2 GB": ("m.parquet", lambda: WHOLE[:-8] + b"\xff\xff\xff\x7fPAR1", "cannot be read"),
    "pages of zeros": ("m.parquet", lambda: WHOLE[:4] + bytes(len(WHOLE) - 900) + WHOLE[-896:], "cannot be read"),
    "only a footer": ("m.parquet", lambda: b"PAR1" + WHOLE[-600:], "cannot be read"),
    "nothing": ("m.parquet", lambda: b"", "cannot be read"),
    "a claim of 2 TB": (
        "m.parquet",
        lambda: claiming("total_byte_size", 2**41),
        "row group 0 has 2,199,023,255,552 bytes; 268,435,456 are the most in a file of",
    ),
    "a claim of 2 TB, packed": (
        "m.parquet.zst",
        lambda: bytes(pa.Codec("zstd").compress(claiming("total_byte_size", 2**41))),
        "268,435,456 are the most",
    ),
    "a claim of 10^12 rows": (
        "m.parquet",
        lambda: claiming("num_rows", 10**12),
        "row group 0 has 1,000,000,000,000 rows; 16,777,216 are the most",
    ),
    "a claim below nothing": ("m.parquet", lambda: claiming("total_byte_size", -5), "row group 0 has -5 bytes"),
    "300 MB of the same letter": (
        "m.parquet",
        lambda: parquet(pa.table({"uri": pa.repeat("x" * 1000, 300_000)}), use_dictionary=False, compression="zstd"),
        "268,435,456 are the most in a file of",
    ),
    "no gzip": ("m.csv.gz", lambda: b"uri\na.jpg\n", "cannot be read"),
    "half a gzip": ("m.csv.gz", lambda: gzip.compress(b"uri\n" + LONG.encode())[:-20], "cannot be read"),
    "a quote that never ends": ("m.csv", lambda: b'uri,note\na.jpg,"' + LONG.encode() * 40, "cannot be read"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_hostile_manifest_is_refused_by_one_sentence(case: str, tmp_path: Path) -> None:
    name, content, said = MANIFESTS[case]
    (tmp_path / name).write_bytes(content())
    with pytest.raises(InvalidInput) as raised:
        read(tmp_path / name)
    sentence = str(raised.value)
    assert said in sentence
    assert "\n" not in sentence
    assert len(sentence) < 700


def blanks(compress: Callable[[bytes], bytes], lines: str) -> bytes:
    """A small file that decompresses to 1.2 GB; members of both formats may follow one another."""
    return compress(b"uri\n") + compress(lines.encode() * (60 * MB // len(lines))) * 20


BOMBS = {
    "m.csv.gz": (gzip.compress, "\n"), "m.jsonl.zst": (pa.Codec("zstd").compress, "["),
    "m.parquet.zst": (pa.Codec("zstd").compress, "x"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_bounded_memory(name: str, tmp_path: Path) -> None:
    """In a process of its own, whose peak is that of nothing else."""
    compress, lines = BOMBS[name]
    (tmp_path / name).write_bytes(blanks(lambda data: bytes(compress(data)), lines))
    assert (tmp_path / name).stat().st_size < 5 * MB
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from schemas.errors import InvalidInput\n"
        "from tests.unit.transforms.manifests.test_hostile_manifests import read\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    read(Path(sys.argv[1]))\n"
        "except InvalidInput as error:\n    print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / name)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    said, megabytes = done.stdout.splitlines()
    assert "decompress to more than 1,073,741,824" in said
    assert int(megabytes) < 200


def test_what_is_packed_is_held_in_as_many_bytes_as_it_has(tmp_path: Path) -> None:
    (tmp_path / "m.parquet.gz").write_bytes(gzip.compress(WHOLE))
    tracemalloc.start()
    assert read(tmp_path / "m.parquet.gz") == 999
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50 * MB


def test_a_line_without_an_end_is_refused(tmp_path: Path) -> None:
    for name in ("m.txt", "m.jsonl", "m.csv"):
        with (tmp_path / name).open("wb") as file:
            file.write(b"uri\n")
            file.truncate(100 * MB)
        with pytest.raises(InvalidInput, match=r"67,108,864 bytes|no JSON|cannot be read"):
            read(tmp_path / name)
