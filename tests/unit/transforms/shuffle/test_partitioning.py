"""Members of archives stay together, and follow each other in the order of their archive."""

import pyarrow as pa

from schemas.images import REF_SCHEMA
from transforms.shuffle import in_reading_order
from transforms.shuffle.partitioning import partition_numbers


def test_members_of_a_folder_of_an_archive_are_in_one_partition() -> None:
    archives = [f"zip://{folder}{{}}.jpg::s3://b/{name}.zip" for folder in ("", "a/", "a/b::c/") for name in "xyz"]
    uris = [archive.format(number) for archive in archives for number in range(50)]
    numbers = partition_numbers(pa.array(uris), 1024).reshape(9, 50)
    assert (numbers == numbers[:, :1]).all()
    assert len(set(numbers[:, 0].tolist())) == 9


def test_other_images_are_where_they_were() -> None:
    uris = pa.array([f"s3://b/{number}.jpg" for number in range(1000)])
    alone = partition_numbers(uris, 32)
    mixed = partition_numbers(pa.concat_arrays([uris, pa.array(["tar://0.jpg::s3://b/a.tar"])]), 32)
    assert (alone == mixed[:-1]).all()
    assert len(set(alone.tolist())) == 32


def test_archives_follow_each_other_and_their_members_as_they_lie_there() -> None:
    rows = [
        ("file:///z.jpg", None),
        ("zip://a.jpg::file:///2.zip", "zip:9:1:1:0:0:0"),
        ("tar://b.jpg::file:///1.tar", "raw:512:1"),
        ("tar://a.jpg::file:///1.tar", "raw:1024:1"),
        ("tar://c.jpg::file:///1.tgz", "gzip:10240:1:v"),
        ("tar://d.jpg::file:///1.tgz", "gzip:512:1:v"),
        ("zip://b.jpg::file:///2.zip", None),
        ("file:///a.jpg", None),
    ]
    refs = pa.RecordBatch.from_pylist([{"uri": uri, "_place": place} for uri, place in rows], REF_SCHEMA)
    order = [2, 3, 5, 4, 1, 6]
    uris = in_reading_order(refs).column("uri").to_pylist()
    assert uris[:2] == ["file:///a.jpg", "file:///z.jpg"] or uris[-2:] == ["file:///a.jpg", "file:///z.jpg"]
    assert [uri for uri in uris if "::" in uri] == [rows[row][0] for row in order]
    alone = refs.select(["uri"]).slice(0, 1)
    assert in_reading_order(alone).equals(alone)
