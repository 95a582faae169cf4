"""Keras's `model.fit` on the features of a table, held as arrays: standardised, a hidden layer, dropout, Adam.

python -m tests.benchmarks.peers.model_fit --table=FOLDER --layer=LAYER --label=label --hidden=256 --epochs=6
"""

import argparse

import keras

from tests.benchmarks.peers.logistic_regression import read_splits


def main() -> None:
    """Fits as many epochs as are asked for, judging each on the validation split."""
    command = argparse.ArgumentParser(allow_abbrev=False)
    command.add_argument("--table", required=True, help="a folder of Parquet files with a column of splits")
    command.add_argument("--layer", required=True, help="the column of features")
    command.add_argument("--label", required=True, help="the column of labels")
    command.add_argument("--hidden", type=int, required=True, help="units of the hidden layer")
    command.add_argument("--epochs", type=int, required=True)
    command.add_argument("--batch_size", type=int, required=True)
    given = command.parse_args()
    features, targets = read_splits(given.table, given.layer, given.label)
    normalisation = keras.layers.Normalization()
    normalisation.adapt(features["train"])
    model = keras.Sequential(
        [
            normalisation,
            keras.layers.Dense(given.hidden, "relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(int(targets["train"].max()) + 1, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        features["train"],
        targets["train"],
        batch_size=given.batch_size,
        epochs=given.epochs,
        validation_data=(features["validation"], targets["validation"]),
        validation_batch_size=1024,
        verbose=0,
    )


if __name__ == "__main__":
    main()
