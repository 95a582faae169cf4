"""`ModelCard`: what is known of a trained classifier, its files among it, with a checksum of its own."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Self

from schemas.serialisation import Serialisable, with_checksum, without_checksum
from schemas.spec import FeatureSpec, Shape
from schemas.storage import PublishedFile

_CHECKSUM: Final = "card_sha256"


@dataclasses.dataclass(frozen=True)
class ModelCard(Serialisable, indent=2):
    """What is known of a trained classifier.

    Attributes:
        model_id: The first 16 hex digits of a SHA-256 over its weights, its classes and the spec of its features: the
            same training gives the same id.
        created_at: When it was trained (UTC, ISO 8601).
        spec: The spec of the features that it takes.
        layer: The layer whose output it takes.
        feature_shape: The shape of one feature.
        store: The store on which it was trained.
        table_version: The version of `features` on which it was trained.
        labels_from: Where the labels came from: a column, or a file.
        split_by: What decided the parts: `column` or `hash`.
        images: Images by part.
        left_out: Images without a label, and labelled ones without a part.
        images_by_class: Images by class and part.
        recipe: The recipe's fields by name.
        batch_size: Images an update; all of them for L-BFGS.
        learning_rate: The optimizer's; None for L-BFGS.
        epochs: Epochs that were trained; for L-BFGS the passes over the training part.
        best_epoch: The epoch, from 1, whose weights were kept; for L-BFGS the row of `history.csv`.
        streamed: Whether the training part was larger than the memory allowed, and read window by window.
        memory_bytes: The bytes of features that were allowed in memory.
        peak_memory_bytes: The most bytes that the process had in memory.
        seconds: Wall time of the training alone.
        metrics: Accuracy, AUC and log loss by part, as in `metrics.json`.
        options: The command's options, credentials taken out.
        versions: Versions by package.
        folds: Folds of the training part by which the L2 of a linear probe was chosen; 0 where the validation split
            chose.
        augmented_rows: Rows that were trained on besides one an image: of augmented copies of pictures.
        fine_tuning: Where a fine-tuned classifier came from, and how: `FineTuning`'s fields, the classifier and the
            conv base that it began with, what was trained, and the metrics before. None for one that was trained on
            features; of the others, `store` and `table_version` are those of the classifier that they came from.
        files: Its files; none in cards that are older than this list.
    """

    model_id: str
    created_at: str
    spec: FeatureSpec
    layer: str
    feature_shape: Shape
    store: str
    table_version: int
    labels_from: str
    split_by: str
    images: Mapping[str, int]
    left_out: Mapping[str, int]
    images_by_class: Mapping[str, Mapping[str, int]]
    recipe: Mapping[str, Any]
    batch_size: int
    learning_rate: float | None
    epochs: int
    best_epoch: int
    streamed: bool
    memory_bytes: int
    peak_memory_bytes: int
    seconds: float
    metrics: Mapping[str, float | None]
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    folds: int = 0
    augmented_rows: int = 0
    fine_tuning: Mapping[str, Any] | None = None
    files: tuple[PublishedFile, ...] = ()

    def __post_init__(self) -> None:
        """Checks that its features are of its spec.

        Raises:
            ValueError: If they are not.
        """
        if not self.spec.is_resolved or self.spec.shape_by_layer.get(self.layer) != self.feature_shape:
            raise ValueError(f"The spec has no features of {self.layer} of shape {self.feature_shape}.")

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the features that the classifier takes."""
        return self.spec.fingerprint

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON values, the fingerprint for those who read the card themselves, and a checksum."""
        return with_checksum({**super().to_dict(), "fingerprint": self.fingerprint}, _CHECKSUM)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` returned.

        Raises:
            ValueError: If a field is missing, one is unknown or has a value of another type, or the checksum differs.
            InvalidSpec: If the spec cannot be.
        """
        fields = without_checksum(values, _CHECKSUM)
        fields.pop("fingerprint", None)
        return super().from_dict(fields)
