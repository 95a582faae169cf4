"""How the clouds are asked: by whom, at which endpoint, and what their errors say."""

from schemas.clouds.access import Access
from schemas.clouds.aws import ENVIRONMENT as AWS_ENVIRONMENT
from schemas.clouds.aws import region_of, s3_access
from schemas.clouds.azure import ENVIRONMENT as AZURE_ENVIRONMENT
from schemas.clouds.azure import azure_access
from schemas.clouds.credentials import bucket_options, configuration_of, given_option, untranslated
from schemas.clouds.errors import BucketError, BucketUnavailable, InexactKey, NoCredentialsError, bucket_errors
from schemas.clouds.google import ENVIRONMENT as GOOGLE_ENVIRONMENT
from schemas.clouds.google import follows_token, google_access

__all__ = [
    "AWS_ENVIRONMENT",
    "AZURE_ENVIRONMENT",
    "GOOGLE_ENVIRONMENT",
    "Access",
    "BucketError",
    "BucketUnavailable",
    "InexactKey",
    "NoCredentialsError",
    "azure_access",
    "bucket_errors",
    "bucket_options",
    "configuration_of",
    "follows_token",
    "given_option",
    "google_access",
    "region_of",
    "s3_access",
    "untranslated",
]
