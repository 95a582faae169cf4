"""Heads: the dense classifier on top of a conv base, as a Keras model from features to probabilities."""

from typing import TYPE_CHECKING, Final

from schemas.classifiers import THRESHOLD, LabelKind, LabelSet, Recipe
from schemas.spec import Shape
from transforms.linear import LinearHead, Moments

if TYPE_CHECKING:
    import keras

FEATURES: Final = "features"
PROBABILITIES: Final = "probabilities"
ACCURACY: Final = "accuracy"


def build_head(recipe: Recipe, shape: Shape, labels: LabelSet, moments: Moments | None) -> "keras.Model":
    """Builds a classifier.

    Args:
        recipe: How.
        shape: The shape of one feature, (D,) or (H, W, C).
        labels: The classes.
        moments: The mean and deviation of the reduced features; None where they are not standardised.

    Returns:
        A model from float32 [N, *shape] to probabilities, float32 [N, outputs]: a sigmoid for two classes and for
        multi-label, else a softmax.
    """
    import keras

    features = keras.Input(shape, name=FEATURES)
    values = _reduce(features, recipe.map_reduction)
    if moments is not None:
        values = _standardise(values, moments)
    penalty = keras.regularizers.L2(recipe.l2) if recipe.l2 else None
    if not recipe.hidden and recipe.dropout:
        values = keras.layers.Dropout(recipe.dropout, name="dropout")(values)
    for number, units in enumerate(recipe.hidden, 1):
        dense = keras.layers.Dense(units, recipe.activation, kernel_regularizer=penalty, name=f"hidden_{number}")
        values = dense(values)
        if recipe.dropout:
            values = keras.layers.Dropout(recipe.dropout, name=f"dropout_{number}")(values)
    activation = "softmax" if labels.kind == LabelKind.MULTI_CLASS else "sigmoid"
    output = keras.layers.Dense(labels.outputs, activation, kernel_regularizer=penalty, name=PROBABILITIES)
    return keras.Model(features, output(values), name="classifier")


def build_linear_head(head: LinearHead, labels: LabelSet, shape: Shape) -> "keras.Model":
    """Builds the model of a linear head that was fitted without Keras. Its kernel has the penalty of the fit.

    Args:
        head: The head.
        labels: Its classes.
        shape: The shape of one feature.
    """
    recipe = Recipe(map_reduction=head.map_reduction, l2=head.l2)
    model = build_head(recipe, shape, labels, head.moments)
    model.get_layer(PROBABILITIES).set_weights([head.kernel, head.bias])
    return model


def compile_head(head: "keras.Model", recipe: Recipe, labels: LabelSet) -> None:
    """Gives a head its loss and its optimizer."""
    import keras

    features = head.get_layer(PROBABILITIES).input.shape[-1]
    learning_rate = recipe.learning_rate_for(features)
    config = {} if learning_rate is None else {"learning_rate": learning_rate}
    optimizer = keras.optimizers.get({"class_name": recipe.optimizer, "config": config})
    compile_classifier(head, optimizer, labels)


def compile_classifier(model: "keras.Model", optimizer: "keras.optimizers.Optimizer", labels: LabelSet) -> None:
    """Gives a model that ends in probabilities the loss and the accuracy of its classes.

    XLA is left out: on a CPU it compiles for longer than such a model trains.
    """
    import keras

    if labels.kind == LabelKind.MULTI_CLASS:
        loss, accuracy = "sparse_categorical_crossentropy", keras.metrics.SparseCategoricalAccuracy(ACCURACY)
    else:
        loss, accuracy = "binary_crossentropy", keras.metrics.BinaryAccuracy(ACCURACY, threshold=THRESHOLD)
    model.compile(optimizer, loss, metrics=[accuracy], jit_compile=False)


def _reduce(features: "keras.KerasTensor", map_reduction: str) -> "keras.KerasTensor":
    import keras

    if len(features.shape) == 2:
        return features
    if len(features.shape) != 4 or map_reduction == "flatten":
        return keras.layers.Flatten()(features)
    pooling = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
    return pooling[map_reduction]()(features)


def _standardise(values: "keras.KerasTensor", moments: Moments) -> "keras.KerasTensor":
    """Subtracts the mean and divides by the deviation, both weights of the model that training leaves alone.

    A frozen batch normalisation does just this, on every backend; Keras's layer `Normalization` needs TensorFlow to be
    there wherever it is called.
    """
    import keras

    layer = keras.layers.BatchNormalization(
        center=False, scale=False, epsilon=0.0, trainable=False, name="standardisation"
    )
    standardised = layer(values)
    layer.set_weights([moments.mean, moments.deviation**2])
    return standardised
