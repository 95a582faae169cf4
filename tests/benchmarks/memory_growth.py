"""Peak memory of an extraction of N and of ten times N different pictures."""

import shutil
from collections.abc import Sequence

from schemas.store import FeatureStore
from tests.benchmarks.cases import Case, our_command
from tests.benchmarks.pictures import different_pictures, write_list
from tests.benchmarks.results import Figure, ratio
from tests.benchmarks.workshop import Workshop


def memory_growth(workshop: Workshop, case: Case) -> list[Figure]:
    """Measures one extraction of as many pictures as the case counts, and one of ten times as many.

    No two of them have the same bytes, so that none is a duplicate.

    Raises:
        Unmeasurable: If the base of the case cannot be published.
    """
    published = workshop.published(case)
    paths = different_pictures(case.paths, 10 * case.count, workshop.kept("different"))
    few = _peak(workshop, case, published, paths[: case.count])
    many = _peak(workshop, case, published, paths)
    return [few, many, ratio("ten times the pictures ÷ once", many, few)]


def _peak(workshop: Workshop, case: Case, published: FeatureStore, paths: Sequence[str]) -> Figure:
    store = workshop.warm_store(published)
    pictures = write_list(paths, workshop.scratch("pictures").with_suffix(".txt"))
    measured = workshop.run(our_command(case, store, pictures))
    shutil.rmtree(store, ignore_errors=True)
    return Figure(
        f"{case.conv_base}, {len(paths)} different pictures", (measured.peak_bytes / 1e6,), "MB", measured.message
    )
