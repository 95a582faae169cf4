"""What an extraction found of labels and splits: a line or two, and a sentence for whatever is odd."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from schemas.store import LabelCounts

_CLASSES_SHOWN: Final = 12
_NAMES_SHOWN: Final = 3
_LONGEST_NAME: Final = 40
# What other programs write where there is nothing.
_NO_VALUES: Final = frozenset({"na", "n/a", "nan", "null", "none", "<na>"})


def label_lines(labels: LabelCounts) -> Iterator[str]:
    """Yields what labels and splits were found, where there are any."""
    if labels.labelled:
        shown = [f"{_short(name)} {images:,}" for name, images in list(labels.classes.items())[:_CLASSES_SHOWN]]
        further = len(labels.classes) - len(shown)
        if further or labels.of_further_classes:
            shown.append(f"and {further:,}{' or more' if labels.of_further_classes else ''} further classes")
        yield f"  classes                {', '.join(shown)}"
    if labels.splits:
        counts = [f"{name} {labels.splits[name]:,}" for name in sorted(labels.splits, key=_split_order)]
        yield f"  splits                 {', '.join(counts)}"


def label_warnings(labels: LabelCounts) -> Iterator[str]:
    """Yields a sentence for whatever is odd about labels."""
    if not labels.labelled and len(labels.folders) > 1:
        yield (
            f"Warning: no image has a label, and the folders have names ({', '.join(labels.folders)}): "
            "--labels_from=parent takes them as labels, of images that are in the store already too."
        )
    rare = [name for name, images in labels.classes.items() if images < 2]
    if rare:
        yield f"Warning: {_named(rare)} only one image: a class needs one to train on and one to validate."
    if labels.contradictions:
        yield (
            f"Warning: {labels.contradictions:,} images are in the input with several labels, such as "
            f"{'; '.join(labels.contradicted)}: one of them was taken."
        )
    for names in list(_alike(labels.classes))[:_NAMES_SHOWN]:
        yield f"Warning: the labels {_quoted(names)} differ only by blanks or case, and are classes of their own."
    empty = [name for name in labels.classes if name.lower() in _NO_VALUES]
    if empty:
        yield f"Warning: {_quoted(empty)} is taken as a label; an image without one has an empty cell."


def _split_order(name: str) -> tuple[int, str]:
    order = ("train", "validation", "test")
    return (order.index(name) if name in order else len(order)), name


def _named(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"the class {_quoted(names)} has"
    further = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    return f"{len(names):,} classes ({_quoted(names)}{further}) have"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{_short(name)}'" for name in names[:_NAMES_SHOWN])


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _alike(classes: Mapping[str, int]) -> Iterator[list[str]]:
    by_form: dict[str, list[str]] = {}
    for name in classes:
        by_form.setdefault("".join(name.split()).casefold(), []).append(name)
    yield from (sorted(names) for names in by_form.values() if len(names) > 1)
