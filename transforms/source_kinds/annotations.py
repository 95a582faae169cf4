"""What sources say of their images, in one form: labels without blanks, splits in one spelling. Pure of Beam."""

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.annotations import LABELS, given_text, has_label_lists
from schemas.classifiers import SPLITS, canonical_splits
from schemas.errors import InvalidInput
from schemas.images import GIVEN, PROBLEM
from transforms.archives import Fields
from transforms.manifests import is_list, trimmed
from transforms.source_kinds.source import ListingRules, Source

# The folders of an image in its source, which the host or bucket is not; the query of a URL; an archive's member.
_PARENT: Final = r"(?s)^[^/]*//[^/]*(?:(?:/.*)?/(?P<split>[^/]+))?/(?P<label>[^/]+)/[^/]+$"
_QUERY: Final = r"(?s)[?#].*$"
_MEMBER: Final = r"(?s)^[A-Za-z0-9+.-]+://(.*?)::(?:[A-Za-z0-9+.-]+://|[a-z]+cache::).*$"

_SPLITS: Final = pa.array([split.word for split in SPLITS])
_NOTHING: Final = pa.scalar(None, pa.string())


def annotated_columns(sources: Iterable[Source], rules: ListingRules) -> list[str]:
    """Returns the columns of annotations that are listed, and of which sources may say something."""
    names = [name for source in sources for name in source.annotations]
    found = dict.fromkeys([*(("label", "split") if rules.labels_from_parent else ()), *names])
    return [name for name in found if name in rules.schema.names]


def stated_annotations(refs: pa.RecordBatch, columns: Iterable[str], where: str) -> pa.RecordBatch:
    """Brings what an input says of images besides where they are into the form of the table.

    Args:
        refs: Refs, with what it says as it is.
        columns: The columns of which it says something, empty cells too.
        where: The input, for messages.

    Returns:
        The refs, labels without blanks around them, none where nothing is left, splits in one spelling.

    Raises:
        InvalidInput: If a split is unknown.
    """
    splits = canonical_splits(refs.column("split"))
    strange = refs.filter(pc.and_(pc.is_valid(splits), pc.invert(pc.is_in(splits, value_set=_SPLITS))))
    if strange.num_rows:
        split, uri = strange.column("split")[0], strange.column("uri")[0]
        raise InvalidInput(f"The {where} has the split '{split}' for {uri}; a split is train, validation or test.")
    given = pa.repeat(pa.scalar(given_text(columns), pa.string()), refs.num_rows)
    lists = {LABELS: bare_labels(refs.column(LABELS))} if has_label_lists(refs.schema) else {}
    return replaced(refs, {"label": bare_labels(refs.column("label")), "split": splits, GIVEN: given, **lists})


def refs_with_fields(refs: pa.RecordBatch, said: Sequence[Fields], names: Sequence[str], where: str) -> pa.RecordBatch:
    """Returns refs with what is said of each image beside it.

    Args:
        refs: Refs [n]; of those that cannot be read nothing is said.
        said: What is said of each [n].
        names: The columns of which something is said.
        where: The input, for messages.

    Raises:
        InvalidInput: If a split is unknown.
    """
    if not names:
        return refs
    columns = {name: [fields.get(name) for fields in said] for name in names}
    types = {name: refs.schema.field(name).type for name in names}
    refs = replaced(refs, {name: pa.array(values, types[name]) for name, values in columns.items()})
    refs = stated_annotations(refs, names, where)
    is_unreadable = pc.is_valid(refs.column(PROBLEM))
    return replaced(refs, {GIVEN: pc.if_else(is_unreadable, _NOTHING, refs.column(GIVEN))})


def bare_labels(labels: pa.Array) -> pa.Array:
    """Returns labels without blanks around them; where nothing is left, there is none.

    Args:
        labels: Texts or numbers [n], or lists of them.

    Returns:
        string [n], or list<string> [n].
    """
    if not is_list(labels.type):
        return trimmed(_names_of_numbers(labels))
    names = trimmed(_names_of_numbers(pc.list_flatten(labels)))
    is_left = pc.is_valid(names)
    rows = pc.list_parent_indices(labels).filter(is_left).to_numpy()
    ends = np.cumsum(np.bincount(rows, minlength=len(labels)))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    return pa.ListArray.from_arrays(offsets, names.filter(is_left), mask=pc.is_null(labels))


def _names_of_numbers(labels: pa.Array) -> pa.Array:
    """Returns labels as texts; NaN, as which other programs write what is missing, is none."""
    if pa.types.is_floating(labels.type):
        labels = pc.if_else(pc.is_nan(labels), pa.scalar(None, labels.type), labels)
    return labels.cast(pa.string())


def parent_annotations(refs: pa.RecordBatch) -> pa.RecordBatch:
    """Fills in labels and splits that are null from the names of folders.

    The label is the name of an image's folder, and the split that of the folder above, if that is a split's. Where the
    image's own folder is named for a split, that is its split, and it has no label. Hidden folders name nothing.
    """
    uris, is_web = _in_source(refs.column("uri"))
    found = pc.extract_regex(uris, _PARENT)
    folders, of_folders = _names(pc.struct_field(found, "label"), is_web)
    _, of_folders_above = _names(pc.struct_field(found, "split"), is_web)
    is_flat = pc.and_(pc.is_valid(of_folders), pc.is_null(of_folders_above))
    labels = pc.if_else(is_flat, _NOTHING, folders)
    splits = pc.coalesce(of_folders_above, pc.if_else(is_flat, of_folders, _NOTHING))
    return replaced(
        refs,
        {"label": pc.coalesce(refs.column("label"), labels), "split": pc.coalesce(refs.column("split"), splits)},
    )


def split_annotations(refs: pa.RecordBatch) -> pa.RecordBatch:
    """Fills in splits that are null from the names of folders, as `parent_annotations` does."""
    return replaced(refs, {"split": parent_annotations(refs).column("split")})


def _in_source(uris: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Returns URIs without queries and without the archives of members, and which of them are URLs of the web."""
    is_web = pc.or_(pc.starts_with(uris, "http://"), pc.starts_with(uris, "https://"))
    if pc.any(is_web).as_py():
        uris = pc.if_else(is_web, pc.replace_substring_regex(uris, _QUERY, ""), uris)
    is_member = pc.and_not(pc.match_substring(uris, "::"), pc.or_(is_web, pc.starts_with(uris, "file:")))
    if pc.any(is_member).as_py():
        uris = pc.if_else(is_member, pc.replace_substring_regex(uris, _MEMBER, r"member:///\1"), uris)
    return uris, is_web


def _names(folders: pa.Array, is_web: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Returns the labels and the splits that folders name, null for none; names on the web are unquoted."""
    if pc.any(is_web).as_py():
        unquoted = pa.array([name and unquote(name) for name in folders.to_pylist()], pa.string())
        folders = pc.if_else(is_web, unquoted, folders)
    encoded = folders.dictionary_encode()
    names = bare_labels(encoded.dictionary)
    names = pc.if_else(pc.starts_with(names, "."), _NOTHING, names)
    return names.take(encoded.indices), _split_names(names).take(encoded.indices)


def _split_names(names: pa.Array) -> pa.Array:
    """Returns the splits that folders are named for; null for other folders."""
    splits = canonical_splits(names)
    return pc.if_else(pc.is_in(splits, value_set=_SPLITS), splits, _NOTHING)


def replaced(refs: pa.RecordBatch, columns: dict[str, pa.Array]) -> pa.RecordBatch:
    """Returns refs with other values in some of their columns."""
    for name, values in columns.items():
        index = refs.schema.get_field_index(name)
        refs = refs.set_column(index, refs.schema.field(index), values.cast(refs.schema.field(index).type))
    return refs
