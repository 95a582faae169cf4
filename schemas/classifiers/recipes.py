"""`Recipe`: how a classifier is built and trained, and the combinations that a sweep tries."""

import dataclasses
import itertools
import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.errors import InvalidRecipe, nearest_names
from schemas.serialisation import Serialisable

ACTIVATIONS: Final = ("relu", "gelu", "elu", "selu", "silu", "tanh", "sigmoid")
OPTIMIZERS: Final = ("adam", "adamw", "sgd", "rmsprop", "nadam")
LBFGS: Final = "lbfgs"

# The column of a history that only linear probes have.
L2: Final = "l2"
MAP_REDUCTIONS: Final = ("flatten", "avg", "max")
CLASS_WEIGHTS: Final = ("none", "balanced")

_ADAM_FAMILY: Final = frozenset({"adam", "adamw", "nadam"})
_LINEAR_LEARNING_RATE: Final = 0.08
_UPDATES_AN_EPOCH: Final = 32
_BATCH_SIZES: Final = (32, 64, 128, 256, 512, 1024)


@dataclasses.dataclass(frozen=True)
class Recipe(Serialisable):
    """How a classifier is built and trained.

    The defaults are a linear probe: logistic regression on standardised features, brought to its optimum by L-BFGS,
    with the weight of the L2 penalty chosen by the validation loss. Whatever belongs to a training in epochs (hidden
    layers, dropout, a Keras optimizer, a learning rate, a batch size, epochs, patience) makes it one; what is not named
    then is as in `DROPOUT`. `resolved` says what holds.

    Attributes:
        hidden: The units of each hidden layer.
        activation: The activation of the hidden layers.
        dropout: The share, 0 to 1, that is dropped after each hidden layer; of the features where there is none.
        l2: The weight of the L2 penalty, the sum of squares of every kernel; chosen by validation where it is None and
            the optimizer is L-BFGS.
        standardise: Whether features are brought to mean 0 and variance 1, as the training part has them.
        map_reduction: What becomes of a feature map [H, W, C]: flattened to [H·W·C], or its average or maximum [C].
        optimizer: `lbfgs`, or the name of a Keras optimizer.
        learning_rate: Its learning rate; chosen by `learning_rate_for` where it is None. L-BFGS has none.
        batch_size: Images an update; chosen by `batch_size_for` where it is None. For L-BFGS they are all images.
        epochs: The most passes over the training part.
        patience: Epochs without a lower validation loss after which training stops, with the weights of the best epoch
            kept; 0 trains to the end and keeps the last weights.
        class_weight: `balanced` weighs an image by n / (classes · n of its class) (King and Zeng, 2001), so that rare
            classes count as much as frequent ones.
        seed: The seed of the initial weights, of shuffling and of dropout. Nothing of L-BFGS is random.
    """

    hidden: tuple[int, ...] = ()
    activation: str = "relu"
    dropout: float | None = None
    l2: float | None = None
    standardise: bool = True
    map_reduction: str = "avg"
    optimizer: str | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    epochs: int | None = None
    patience: int | None = None
    class_weight: str = "none"
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            InvalidRecipe: If a field has a value that no classifier takes, or L-BFGS is to do what it does not.
        """
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in {None, *allowed}:
                raise InvalidRecipe(f"{name} {getattr(self, name)!r} is not one of {', '.join(allowed)}.")
        for name, holds, what in (
            ("hidden", all(units >= 1 for units in self.hidden), "layers of one unit or more"),
            ("dropout", self.dropout is None or 0 <= self.dropout < 1, "at least 0 and below 1"),
            ("l2", self.l2 is None or 0 <= self.l2 < math.inf, "at least 0 and finite"),
            (
                "learning_rate",
                self.learning_rate is None or 0 < self.learning_rate < math.inf,
                "above 0 and finite",
            ),
            ("batch_size", self.batch_size is None or self.batch_size >= 1, "1 or more"),
            ("epochs", self.epochs is None or self.epochs >= 1, "1 or more"),
            ("patience", self.patience is None or self.patience >= 0, "0 or more"),
            ("seed", 0 <= self.seed < 2**32, "between 0 and 2^32 - 1"),
        ):
            if not holds:
                raise InvalidRecipe(f"{name} is {_text(getattr(self, name))}; it must be {what}.")
        if self.optimizer == LBFGS and self._of_epochs:
            raise InvalidRecipe(
                f"{self._of_epochs[0]} belongs to a training in epochs, and optimizer {LBFGS} brings a linear "
                "classifier to its optimum: leave one of them out."
            )

    @property
    def _of_epochs(self) -> list[str]:
        """The fields that are named and belong to a training in epochs."""
        return [name for name in _OF_EPOCHS if getattr(self, name)] + (["patience"] if self.patience == 0 else [])

    @property
    def is_probe(self) -> bool:
        """Whether the classifier is a linear probe by L-BFGS."""
        return self.optimizer in {None, LBFGS} and not self._of_epochs

    def resolved(self) -> "Recipe":
        """Returns the recipe with every value that its kind of training decides.

        What stays None is decided by the data: the L2 of a probe, learning rate and batch size of a training in epochs.
        """
        if self.is_probe:
            return dataclasses.replace(self, optimizer=LBFGS)
        decided = {
            name: getattr(DROPOUT, name)
            for name in ("dropout", "l2", "optimizer", "epochs", "patience")
            if getattr(self, name) is None
        }
        return dataclasses.replace(self, **decided)

    def batch_size_for(self, images: int) -> int:
        """Returns the batch size for a training part of so many images.

        Unless the recipe names one, it is the power of two from 32 to 1024 that gives at least 32 updates an epoch:
        small tables need the updates, large ones the speed.
        """
        if self.batch_size is not None:
            return self.batch_size
        return max((size for size in _BATCH_SIZES if size * (_UPDATES_AN_EPOCH - 1) <= images), default=_BATCH_SIZES[0])

    def learning_rate_for(self, features: int) -> float | None:
        """Returns the learning rate for vectors of so many features, or None for the optimizer's own default.

        An update of the Adam family moves every weight by about the learning rate, whatever its gradient, and so a
        linear classifier's output by the sum over all features: the more there are, the smaller it has to be. The
        factor gives 0.005 for 256 features and 0.002 for 1280, by the validation accuracy of MobileNet's.
        """
        if self.learning_rate is not None or self.hidden or self.optimizer not in _ADAM_FAMILY:
            return self.learning_rate
        return _LINEAR_LEARNING_RATE / math.sqrt(features)


_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "activation": ACTIVATIONS,
    "optimizer": (LBFGS, *OPTIMIZERS),
    "map_reduction": MAP_REDUCTIONS,
    "class_weight": CLASS_WEIGHTS,
}

# What makes a training one in epochs where it is named and not 0. A patience of 0 does so, too.
_OF_EPOCHS: Final = ("hidden", "dropout", "learning_rate", "batch_size", "epochs", "patience")

# Half of the features dropped at each step, and the best epoch's weights.
DROPOUT: Final = Recipe(dropout=0.5, l2=1e-4, optimizer="adam", epochs=100, patience=8)

# Chollet, Deep Learning with Python, 5.3.
BOOK: Final = Recipe(
    hidden=(256,),
    activation="relu",
    dropout=0.5,
    l2=0.0,
    standardise=False,
    map_reduction="flatten",
    optimizer="rmsprop",
    learning_rate=2e-5,
    batch_size=20,
    epochs=30,
    patience=0,
)
RECIPES: Final[Mapping[str, Recipe]] = {"default": Recipe(), "dropout": DROPOUT, "book": BOOK}


def parse_field(name: str, text: str) -> object:
    """Returns the value of a recipe's field from its text; the hidden layers are joined by `+`, and 0 is none.

    Raises:
        InvalidRecipe: If there is no such field, or the text is no value of it.
    """
    kinds = {field.name: field.type for field in dataclasses.fields(Recipe)}
    if name not in kinds:
        raise InvalidRecipe(f"A recipe has no field '{name}'{nearest_names(name, kinds) or ': ' + ', '.join(kinds)}")
    kind: Any = kinds[name]
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if name == "hidden":
            return tuple(int(units) for units in text.split("+") if int(units))
        return next(iter(typing.get_args(kind)), kind)(text)  # The first of `float | None`.
    except (ValueError, KeyError) as error:
        raise InvalidRecipe(f"'{text}' is no value of {name}.") from error


@dataclasses.dataclass(frozen=True)
class SweptField:
    """The values of one field that a sweep tries.

    Attributes:
        name: The field of the recipe.
        values: Its values.
    """

    name: str
    values: tuple[object, ...]

    @classmethod
    def parse(cls, text: str) -> "SweptField":
        """Reads `name=v1,v2`.

        Raises:
            InvalidRecipe: If it is none.
        """
        name, _, values = text.partition("=")
        parsed = tuple(parse_field(name, value) for value in values.split(",") if value)
        if not parsed:
            raise InvalidRecipe(f"--sweep takes name=value,value; '{text}' has no value.")
        return cls(name, parsed)


def combinations(recipe: Recipe, swept: Sequence[SweptField]) -> list[Recipe]:
    """Returns the recipe with every combination of the swept values; the recipe itself where nothing is swept.

    Raises:
        InvalidRecipe: If a field is swept twice, or a value is not allowed.
    """
    names = [field.name for field in swept]
    if len(set(names)) != len(names):
        raise InvalidRecipe(f"--sweep names a field twice: {', '.join(names)}.")
    products = itertools.product(*(field.values for field in swept))
    changes: list[dict[str, Any]] = [dict(zip(names, values, strict=True)) for values in products]
    return [dataclasses.replace(recipe, **changed) for changed in changes]


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
