"""Keys that obstore can tell: `object_store` takes a key for a path, and not every key is one."""

import re
from typing import Final

# It refuses `a//b`, `.`, `..` and control characters, and takes `/a` and `a/` for `a`.
_NO_PATH: Final = re.compile(r"[\x00-\x1f\x7f]|(?:^|/)\.{0,2}(?:/|$)")


def is_exact(key: str) -> bool:
    """Whether obstore asks for a key as it is; the empty one stands for the bucket.

    >>> is_exact("a b/100%.jpg"), is_exact("a//b.jpg"), is_exact("/a.jpg"), is_exact("a/./b.jpg")
    (True, False, False, False)
    """
    return not key or _NO_PATH.search(key) is None
