"""What holds of every manifest: of its text, its encoding and its compression, or its Parquet."""

import bz2
import codecs
import datetime
import decimal
import functools
import gzip
import io
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import UsageError
from schemas.tables import check_carried
from tests.fuzz.mutations import json_text, mutated, mutated_json
from tests.fuzz.sandbox import no_network
from tests.fuzz.target import Target, refusal
from transforms.folders import IgnoredFiles
from transforms.sources import (
    ListingRules,
    ManifestOptions,
    carried_columns,
    find_sources,
    list_source,
    listed_uris,
)

_NAMES: Final = ("uri", "label", "split", "version", "URI", " uri ", "n", "x", "width", "ds", "_size", "a.b", "é", "")
_CELLS: Final = (
    "a.jpg", "b c.jpg", "s3://b/a.jpg", "gs://b/a", "/abs/a.jpg", "file:///a.jpg", "https://h/a?sig=b", "zip://a::/b.zip",
    "", " ", "cat", "train", "val", "nonsense", "1", "-1", "1.5", "NaN", "null", "true", "2026-01-31", 'say "a"', "a,b",
    "a;b", "a\tb", "a|b", "a\nb", "\u00e9", "\u202e", "x" * 300,
)  # fmt: skip
_TOKENS: Final = (
    b",", b";", b"\t", b"|", b'"', b'""', b"\n", b"\r", b"\r\n", b"\n\n", b"\0", codecs.BOM_UTF8, codecs.BOM_UTF16_LE,
    b"\xff", b"\xc3", b"uri", b"label", b"{", b"}", b"[", b"]", b":", b"\\ud800", b"\\u0000", b"1e999", b"-", b"#",
    b"::", b"x" * 70_000, b"PAR1",
)  # fmt: skip
_ENCODINGS: Final = (*["utf-8"] * 6, "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252", "utf-16-le", "shift_jis")
_COMPRESSIONS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "": bytes,
    ".gz": functools.partial(gzip.compress, compresslevel=1, mtime=0),
    ".bz2": functools.partial(bz2.compress, compresslevel=1),
    ".zst": pa.Codec("zstd").compress,
}
_TEXTS: Final = ("csv", "tsv", "jsonl", "txt")
# Of their sections, so that a small manifest has several.
_SMALL: Final = {"rows_per_section": 2, "bytes_per_section": 7}


class Case(NamedTuple):
    """A manifest, and how it is read."""

    name: str
    content: bytes
    options: ManifestOptions = ManifestOptions()


def _case(chance: Random) -> Case:
    extension = chance.choice((*_TEXTS, "parquet"))
    compression = chance.choice(("", "", "", *_COMPRESSIONS))
    encoding = chance.choice(_ENCODINGS)
    content = _parquet(chance) if extension == "parquet" else _text(extension, encoding, chance)
    packed = bytes(_COMPRESSIONS[compression](content))
    if compression and chance.random() < 0.2:
        packed = mutated(packed, chance)
    stated = encoding if chance.random() < 0.3 else None
    return Case(f"m.{extension}{compression}", packed, _options(stated, chance))


def _options(encoding: str | None, chance: Random) -> ManifestOptions:
    def column(often: float) -> str | None:
        return chance.choice(_NAMES) if chance.random() < often else None

    return ManifestOptions(
        uri_column=column(0.1) or "uri",
        label_column=column(0.1),
        split_column=column(0.1),
        uri_prefix=chance.choice(("", "", "", "pictures/", "zip://", "\0")),
        carry=chance.choice((None, None, (), ("n",), ("x", "é"))),
        encoding=encoding,
    )


def _header(chance: Random) -> list[str]:
    return ["uri", *(chance.choice(_NAMES) for _ in range(chance.choice((0, 1, 2, 3))))]


def _text(extension: str, encoding: str, chance: Random) -> bytes:
    names, rows = _header(chance), range(chance.choice((0, 1, 2, 5)))
    if extension == "jsonl":
        lines = [{name: chance.choice(_CELLS) for name in names} for _ in rows]
        texts = [json_text(mutated_json(line, chance) if chance.random() < 0.3 else line, chance) for line in lines]
        text = b"\n".join(texts).decode("utf-8", "replace")
    elif extension == "txt":
        text = "\n".join(chance.choice(_CELLS) for _ in rows)
    else:
        delimiter = "\t" if extension == "tsv" else chance.choice(",,;\t|")
        cells = [names, *([chance.choice(_CELLS) for _ in names] for _ in rows)]
        quoted = [
            ['"' + cell.replace('"', '""') + '"' if chance.random() < 0.3 else cell for cell in row] for row in cells
        ]
        text = chance.choice(("\n", "\n", "\r\n", "\r")).join(map(delimiter.join, quoted))
    content = text.encode(encoding, "replace")
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        content = mutated(content, chance, _TOKENS)
    return content


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


_LABELS: Final = pa.DictionaryArray.from_arrays(pa.array([0, None]), ["cat"])
_COLUMNS: Final[Sequence[Any]] = (
    pa.array(["a.jpg", "b.jpg"]), pa.array(["a.jpg", None], pa.large_string()), pa.array([b"a", b"\xff"]), _LABELS,
    pa.array([1, None]), pa.array([2**64 - 1, 0], pa.uint64()), pa.array([0.5, float("nan")]), pa.array([True, None]),
    pa.array([None, None], pa.null()), pa.array([decimal.Decimal("1.50"), None]), pa.array([["a", None], None]),
    pa.array([[1], []], pa.list_(pa.int8(), -1)), pa.array([[[1]], None]), pa.array([{"a": 1}, None]),
    pa.array([datetime.date(1, 1, 1), None]), pa.array([datetime.time(1), None]),
    pa.array([2**62, None], pa.timestamp("ns")), pa.array([0, 1], pa.timestamp("s", "Europe/Vienna")),
    pa.array([datetime.timedelta(1), None]), pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    pa.array(["a", "b"], pa.string_view()), pa.array([1.5, None], pa.float16()), pa.array([b"ab", None], pa.binary(2)),
    pa.array([{"bytes": b"x", "path": "a.jpg"}, {"bytes": None, "path": None}]),
)  # fmt: skip


def _parquet(chance: Random) -> bytes:
    names = _header(chance)
    arrays = [_COLUMNS[0] if chance.random() < 0.5 else chance.choice(_COLUMNS) for _ in names]
    schema = pa.schema([pa.field(name, array.type) for name, array in zip(names, arrays, strict=True)])
    file = io.BytesIO()
    groups, codec = chance.choice((1, 2)), chance.choice(("none", "snappy", "zstd"))
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), file, row_group_size=groups, compression=codec)
    content = file.getvalue()
    for _ in range(chance.choice((0, 1, 2))):
        content = mutated(content, chance)
    return content


@functools.cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="manifests"))


def _rows(path: Path, options: ManifestOptions, **sections: int) -> pa.Table:
    sources = find_sources([str(path)], options)
    carried = carried_columns(sources, options.carry)
    check_carried((), carried)
    rules = ListingRules(stat_manifests=False, carried=carried, **sections)
    batches = [batch for source in sources for batch in list_source(source, rules, IgnoredFiles())]
    return pa.Table.from_batches(batches, rules.schema)


def check_manifest(case: Case) -> str:
    """Its rows are refs by their schema, the same however it is divided, or it is refused by a sentence.

    A list of images that are to be taken down is read as well.
    """
    path = _folder() / case.name
    path.write_bytes(case.content)
    with no_network():
        try:
            listed_uris(str(path))
        except UsageError as error:
            refusal(error)
        try:
            rows = _rows(path, case.options)
        except UsageError as error:
            return refusal(error)
        rows.validate(full=True)
        assert not rows["uri"].null_count
        again = _rows(path, case.options, **_SMALL)
    assert repr(again.to_pylist()) == repr(rows.to_pylist())  # NaN is none of its equals.
    return "rows" if rows.num_rows else "no row"


def _lines(*lines: object) -> bytes:
    return "\n".join(json.dumps(line) for line in lines).encode()


def _other_levels() -> bytes:
    """Returns a Parquet file whose column is required by the schema, and has the levels of an optional one."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"uri": ["a.jpg"]}), sink)
    content = bytes(sink.getvalue())
    assert content.count(b"%\x02\x18\x03uri") == 1
    return content.replace(b"%\x02\x18\x03uri", b"%\x00\x18\x03uri")


FAILED: Final[Mapping[str, Case]] = {
    "levels of another schema": Case("m.parquet", _other_levels()),
    "objects within objects": Case("m.jsonl", b'{"uri": ' + b"[" * 100_000),
    "half of a character of UTF-16": Case("m.txt", codecs.BOM_UTF16_LE + "a.jpg\n".encode("utf-16-le") + b"\xe5"),
    "a packed list that breaks off": Case("m.csv.gz", gzip.compress(b"uri,label\n" + b"a.jpg,cat\n" * 110_000)[:-30]),
}
KNOWN: Final[Mapping[str, Case]] = {
    "nothing": Case("m.csv", b""),
    "a mark alone": Case("m.csv", codecs.BOM_UTF16_LE),
    "ten thousand columns": Case("m.csv", b",".join(b"c%d" % number for number in range(10_000)) + b"\nuri\n"),
    "a header of a megabyte": Case("m.csv", b"uri," + b"x" * 2**20 + b"\na.jpg,1\n"),
    "a URI that is an object": Case("m.jsonl", _lines({"uri": {"a": 1}})),
    "half of a character": Case("m.jsonl", b'{"uri": "\\ud800"}'),
    "a number beyond floats": Case("m.jsonl", _lines({"uri": "a", "n": 10**400}, {"uri": "b", "n": 0.5})),
    "zeros that are packed": Case("m.csv.gz", gzip.compress(bytes(10**6))),
    "what is no Parquet, packed": Case("m.parquet.gz", gzip.compress(b"PAR1")),
}

MANIFESTS: Final = Target(_case, check_manifest, {**KNOWN, **FAILED})
