"""Listed images by hash partition: what planning in one process holds."""

from collections.abc import Sequence
from typing import Final

from schemas.annotations import LABELS, has_label_lists
from schemas.images import GIVEN, KNOWN_IN, SUPERSEDES
from transforms.shuffle import by_partition
from transforms.sources import IgnoredFiles, ListingRules, Source, list_source, look_up_versions

_PLANNED_BY: Final = ("uri", "version", "label", "split", SUPERSEDES, KNOWN_IN, GIVEN)


def listed_by_partition(
    sources: Sequence[Source], rules: ListingRules, ignored: IgnoredFiles, annotations: Sequence[str] = ()
) -> dict[int, list[bytes]]:
    """Lists the images of sources, by the hash partitions of their URIs.

    Args:
        sources: The sources.
        rules: How they are read.
        ignored: Where the files without an image's extension are counted.
        annotations: The columns of annotations that are compared with those of a table.

    Returns:
        Packed batches with the columns of refs that planning looks at alone.
    """
    listed = (batch for source in sources for batch in list_source(source, rules, ignored))
    lists = [LABELS] if has_label_lists(rules.schema) else []
    columns = list(dict.fromkeys((*_PLANNED_BY, *lists, *annotations)))
    return by_partition(look_up_versions(batch, rules.reach).select(columns) for batch in listed)
