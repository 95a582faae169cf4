"""Lists of images that are to be taken down: manifests in, URIs out. Pure of Beam."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import InvalidInput, first_line, with_count
from schemas.storage import canonical_uri, file_system
from transforms.manifests.columns import URI, ManifestOptions
from transforms.manifests.format import MANIFEST_EXTENSIONS, named_format
from transforms.manifests.manifest import open_manifest, without_encoding_option
from transforms.manifests.uris import canonical_uris

# In a file of near-duplicates, whether an image is the one of its group that stays.
_KEEP: Final = "keep"


def listed_uris(uri: str) -> pa.Array:
    """Reads the URIs of a list.

    Args:
        uri: A text with a URI a line, or a manifest with a column `uri`. A relative path in it is one beside it. Rows
            with `true` in a column `keep` are left out: of near-duplicates, as `pipelines.explore` writes them, one of
            each group stays.

    Returns:
        string [n]: the URIs in canonical form, each once.

    Raises:
        InvalidInput: If it cannot be read, has a row without a URI, or names no image.
    """
    form = named_format(uri)
    if form is None:
        raise InvalidInput(f"--uris takes a .{', .'.join(MANIFEST_EXTENSIONS)}, and {uri} is none of them.")
    location = canonical_uri(uri)
    try:
        fs, path = file_system(location)
        if not fs.isfile(path):
            raise InvalidInput(f"There is no list at {uri}.")
        manifest = open_manifest(location, form, ManifestOptions(carry=(_KEEP,)))
        batches = [_not_kept(rows) for section in manifest.sections() for rows in manifest.rows(section)]
    except InvalidInput as error:
        raise InvalidInput(without_encoding_option(str(error))) from error
    except (OSError, ImportError) as error:
        raise InvalidInput(f"The list {uri} cannot be read: {first_line(error)}") from error
    uris = pa.chunked_array(batches, pa.string()).combine_chunks()
    if uris.null_count:
        raise InvalidInput(f"The list {uri} has {with_count(uris.null_count, 'row')} without a uri.")
    if not len(uris):
        raise InvalidInput(f"The list {uri} names no image.")
    return canonical_uris(uris, location).unique()


def _not_kept(rows: pa.RecordBatch) -> pa.Array:
    uris = rows.column(URI)
    if _KEEP not in rows.schema.names:
        return uris
    keep = pc.equal(pc.utf8_lower(rows.column(_KEEP).cast(pa.string())), "true")
    return uris.filter(pc.invert(pc.fill_null(keep, False)))
