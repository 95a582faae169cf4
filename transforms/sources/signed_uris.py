"""Image refs without secrets: the URI that everybody sees, and beside it the one by which a worker fetches."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.images import LOCATION, PROBLEM, REF_SCHEMA
from schemas.storage import without_secrets
from transforms.manifests import URI, bare_uris, changed_urls

# Of a ref's own columns those that hold what somebody may have written a URL into.
_TEXTS: Final = frozenset({"label", PROBLEM})


def without_signatures(refs: pa.RecordBatch) -> pa.RecordBatch:
    """Returns refs whose URIs are names of images alone; what signs them is in a column that no table has.

    What else is text in them, such as a column of URLs that a manifest carries along, is without secrets, too.
    """
    uris = refs.column(URI)
    bare = bare_uris(uris)
    if bare is not uris:
        signed = pc.if_else(pc.equal(uris, bare), pa.scalar(None, pa.string()), uris)
        refs = _with(_with(refs, LOCATION, pc.coalesce(refs.column(LOCATION), signed)), URI, bare)
    for field in refs.schema:
        texts = refs.column(field.name)
        is_text = pa.types.is_string(field.type) and (field.name in _TEXTS or field.name not in REF_SCHEMA.names)
        if is_text and texts.null_count < len(texts):
            changed = changed_urls(texts, without_secrets)
            refs = refs if changed is texts else _with(refs, field.name, changed)
    return refs


def _with(refs: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    index = refs.schema.get_field_index(name)
    return refs.set_column(index, refs.schema.field(index), values)
