"""`FineTuning`: how a classifier and the last layers of its conv base are trained together."""

import dataclasses
import math
from typing import Final

from schemas.augmentation import Augmentation
from schemas.classifiers.recipes import CLASS_WEIGHTS, OPTIMIZERS
from schemas.errors import InvalidRecipe
from schemas.serialisation import Serialisable

DECAYS: Final = ("none", "cosine")


@dataclasses.dataclass(frozen=True)
class FineTuning(Serialisable):
    """How a classifier and the last layers of its conv base are trained together.

    Optimizer, learning rate and batch size are those of Chollet, *Deep Learning with Python* (2017), 5.3.

    Attributes:
        unfreeze_from: The layer of the base that is trained, and with it all that follow in Keras's order.
        optimizer: The name of a Keras optimizer.
        learning_rate: Its learning rate, at the most.
        warmup_epochs: Epochs over which the learning rate rises from 0, a step a batch.
        decay: `cosine` lets it fall to 0 until the last of `epochs`.
        epochs: The most passes over the training part.
        patience: Epochs without a lower validation loss after which training stops, with the weights of the best epoch
            kept, which may be those of the start; 0 trains to the end and keeps the last weights.
        batch_size: Images an update.
        class_weight: `balanced` weighs rare classes as much as frequent ones; see `Recipe`.
        augmentation: The ranges within which each epoch sees other copies of the pictures; None for the pictures alone.
        mixed_precision: Whether the base computes in bfloat16; its weights stay float32.
        seed: The seed of shuffling and dropout.
    """

    unfreeze_from: str
    optimizer: str = "rmsprop"
    learning_rate: float = 1e-5
    warmup_epochs: int = 0
    decay: str = "none"
    epochs: int = 30
    patience: int = 5
    batch_size: int = 20
    class_weight: str = "none"
    augmentation: Augmentation | None = dataclasses.field(default_factory=Augmentation)
    mixed_precision: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            InvalidRecipe: If a field has a value with which nothing can be trained.
        """
        choices = {"optimizer": OPTIMIZERS, "decay": DECAYS, "class_weight": CLASS_WEIGHTS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InvalidRecipe(f"{name} {getattr(self, name)!r} is not one of {', '.join(allowed)}.")
        for name, holds, what in (
            ("learning_rate", 0 < self.learning_rate < math.inf, "above 0 and finite"),
            ("epochs", self.epochs >= 1, "1 or more"),
            ("warmup_epochs", 0 <= self.warmup_epochs < self.epochs, f"at least 0 and below the {self.epochs} epochs"),
            ("patience", self.patience >= 0, "0 or more"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("seed", 0 <= self.seed < 2**32, "between 0 and 2^32 - 1"),
        ):
            if not holds:
                raise InvalidRecipe(f"{name} is {getattr(self, name)}; it must be {what}.")
