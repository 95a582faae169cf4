"""URIs of images as text: protocols, chains, secrets, addresses; where manifests may point; what is a regular file."""

from schemas.uris.addresses import host_address, is_public
from schemas.uris.allowed_sources import ANY, AllowedSources, unknown_source
from schemas.uris.chains import MEMBER_PROTOCOLS, MemberUri, is_chained, member_uri, split_chain, tidy_name
from schemas.uris.local_files import check_regular, opened_file, read_file, read_range
from schemas.uris.paths import join, leaves_folder
from schemas.uris.places import Server, server_uri
from schemas.uris.protocols import (
    AZURE_PROTOCOLS,
    BUCKET_PROTOCOLS,
    GCS_PROTOCOLS,
    LOCAL_PROTOCOLS,
    S3_PROTOCOLS,
    account_of,
    is_in_a_bucket,
    is_local,
    is_on_the_web,
    protocol_of,
    without_query,
)
from schemas.uris.secrets import bare_uri, without_secrets

__all__ = [
    "ANY",
    "AZURE_PROTOCOLS",
    "BUCKET_PROTOCOLS",
    "GCS_PROTOCOLS",
    "LOCAL_PROTOCOLS",
    "MEMBER_PROTOCOLS",
    "S3_PROTOCOLS",
    "AllowedSources",
    "MemberUri",
    "Server",
    "account_of",
    "bare_uri",
    "check_regular",
    "host_address",
    "is_chained",
    "is_in_a_bucket",
    "is_local",
    "is_on_the_web",
    "is_public",
    "join",
    "leaves_folder",
    "member_uri",
    "opened_file",
    "protocol_of",
    "read_file",
    "read_range",
    "server_uri",
    "split_chain",
    "tidy_name",
    "unknown_source",
    "without_query",
    "without_secrets",
]
