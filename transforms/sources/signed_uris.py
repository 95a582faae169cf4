"""Image refs without secrets: the URI that everybody sees, and beside it the one by which a worker fetches."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.images import LOCATION, PROBLEM, REF_SCHEMA
from schemas.storage import without_secrets
from transforms.manifests import URI, bare_uris, changed_urls, with_items

# Of a ref's own columns those that hold what somebody may have written a URL into.
_TEXTS: Final = frozenset({"label", PROBLEM})


def without_signatures(refs: pa.RecordBatch) -> pa.RecordBatch:
    """Returns refs whose URIs are names of images alone; what signs them is in a column that no table has.

    What else is text in them, or lists of texts, such as a column of URLs that a manifest carries along, is without
    secrets, too.
    """
    uris = refs.column(URI)
    bare = bare_uris(uris)
    if bare is not uris:
        signed = pc.if_else(pc.equal(uris, bare), pa.scalar(None, pa.string()), uris)
        refs = _with(_with(refs, LOCATION, pc.coalesce(refs.column(LOCATION), signed)), URI, bare)
    for field in refs.schema:
        if field.name in _TEXTS or field.name not in REF_SCHEMA.names:
            values = refs.column(field.name)
            cleaned = _without_secrets(values)
            refs = refs if cleaned is values else _with(refs, field.name, cleaned)
    return refs


def _without_secrets(values: pa.Array) -> pa.Array:
    """Returns texts, or lists of them, of any depth, without secrets; itself if there are none, or it holds no text."""
    if values.null_count == len(values):
        return values
    if pa.types.is_string(values.type):
        return changed_urls(values, without_secrets)
    if not pa.types.is_list(values.type):
        return values
    items = values.flatten()
    cleaned = _without_secrets(items)
    return values if cleaned is items else with_items(values, cleaned)


def _with(refs: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    index = refs.schema.get_field_index(name)
    return refs.set_column(index, refs.schema.field(index), values)
