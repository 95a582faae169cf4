"""Lists of images that are to be taken down: manifests in, URIs out. Pure of Beam."""

import pyarrow as pa

from schemas.errors import InvalidInput, first_line
from schemas.storage import canonical_uri, file_system
from transforms.manifests.columns import URI, ManifestOptions
from transforms.manifests.format import MANIFEST_EXTENSIONS, named_format
from transforms.manifests.manifest import open_manifest
from transforms.manifests.uris import canonical_uris


def listed_uris(uri: str) -> pa.Array:
    """Reads the URIs of a list.

    Args:
        uri: A text with a URI a line, or a manifest with a column `uri`. A relative path in it is one beside it.

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
        manifest = open_manifest(location, form, ManifestOptions(carry=()))
        batches = [rows.column(URI) for section in manifest.sections() for rows in manifest.rows(section)]
    except (OSError, ImportError) as error:
        raise InvalidInput(f"The list {uri} cannot be read: {first_line(error)}") from error
    uris = pa.chunked_array(batches, pa.string()).combine_chunks()
    if uris.null_count:
        raise InvalidInput(f"The list {uri} has {uris.null_count} rows without a uri.")
    if not len(uris):
        raise InvalidInput(f"The list {uri} names no image.")
    return canonical_uris(uris, location).unique()
