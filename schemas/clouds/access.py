"""`Access`: how the buckets of a cloud are asked."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Access:
    """How the buckets of a cloud are asked.

    Attributes:
        options: Options of `object_store`; those of the environment it reads by itself.
        endpoint: The server; None for the cloud's own.
        has_bucket_in_host: Whether the bucket is part of the name of the endpoint's host.
        credentials: Whom to ask for credentials, as obstore does; None where the options or the environment have them.
    """

    options: Mapping[str, str]
    endpoint: str | None
    has_bucket_in_host: bool = False
    credentials: Callable[[], Any] | None = None
