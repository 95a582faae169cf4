"""What this machine keeps for its user of what takes long to build or to fetch."""

from schemas.caches.fetched_files import FETCHED, fetched_file
from schemas.caches.user_cache import CACHE_VARIABLE, cache_folder, evict, is_own

__all__ = ["CACHE_VARIABLE", "FETCHED", "cache_folder", "evict", "fetched_file", "is_own"]
