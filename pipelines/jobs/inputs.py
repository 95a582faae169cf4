"""What a command is to look at: its sources, how they are read, and which of their columns count."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipelines.jobs.samples import draw_samples
from pipelines.jobs.store import DEFAULT_STORE
from pipelines.options import fetching_reach, manifest_options
from schemas.errors import InvalidInput
from schemas.storage import Storage
from schemas.store import FeatureStore
from schemas.tables import AUGMENTATION
from transforms.sources import (
    FollowLinks,
    ListingRules,
    Source,
    annotated_columns,
    carried_columns,
    find_sources,
    take_first_look,
)

SAMPLES: Final = "./sample-pictures"


def find_images(given: argparse.Namespace) -> tuple[list[Source], ListingRules]:
    """Looks at the inputs; where none is given, draws the sample pictures.

    Raises:
        InvalidInput: If an input cannot be read, or there is no image in any of them, or none can be reached.
    """
    inputs = given.input
    if not inputs:
        samples = draw_samples(Path(SAMPLES))
        weights = "" if given.weights else " a conv base with random weights,"
        print(
            f"No --input: using {samples} sample pictures drawn into {SAMPLES},{weights} and the store "
            f"{given.output or DEFAULT_STORE}."
        )
        inputs, given.labels_from = [SAMPLES], "parent"
    sources = find_sources(inputs, manifest_options(given), listing_rules(given))
    rules = listing_rules(given, sources)
    if not take_first_look(sources, rules, expect_files=given.max_failure_ratio < 1):
        raise InvalidInput(" ".join(dict.fromkeys(source.without_image(rules) for source in sources)))
    return sources, rules


def asked_columns(given: argparse.Namespace) -> list[str]:
    """Returns the columns of `features` that the options ask for, besides those of every store."""
    return [*(given.layers or ()), *([AUGMENTATION] if given.augment else [])]


def listing_rules(given: argparse.Namespace, sources: Sequence[Source] = ()) -> ListingRules:
    """Returns how sources are read; without sources, nothing is carried along.

    Raises:
        InvalidInput: If two of them give a column different types.
    """
    return ListingRules(
        extensions=given.extensions,
        labels_from_parent=given.labels_from == "parent",
        stat_manifests=given.manifest_versions == "stat",
        carried=carried_columns(sources, manifest_options(given).carry),
        include_hidden=given.include_hidden,
        exclude=tuple(given.exclude or ()),
        storage=Storage(given.storage),
        reach=fetching_reach(given),
        follow_links=FollowLinks(given.follow_links),
    )


def stored_rules(rules: ListingRules, store: FeatureStore | None) -> ListingRules:
    """Returns rules by which columns are carried along with the types that they get in a store, if there is one.

    Raises:
        InvalidInput: If a column is in the store with another type.
    """
    return rules if store is None else dataclasses.replace(rules, carried=store.stored_fields(rules.carried))


def updated_columns(given: argparse.Namespace, sources: Sequence[Source], rules: ListingRules) -> list[str]:
    """Returns the columns in which known images are brought up to date with the input."""
    return annotated_columns(sources, rules) if given.update_labels else []
