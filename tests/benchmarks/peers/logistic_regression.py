"""scikit-learn's `LogisticRegression` on a made table: standardised, C chosen by the log loss on validation.

python -m tests.benchmarks.peers.logistic_regression --table=FOLDER --layer=LAYER --label=label --figures=FILE
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler


def main() -> None:
    """Fits one classifier for each value of C, and writes the best one's log losses."""
    command = argparse.ArgumentParser(allow_abbrev=False)
    command.add_argument("--table", required=True, help="a folder of Parquet files with a column of splits")
    command.add_argument("--layer", required=True, help="the column of features")
    command.add_argument("--label", required=True, help="the column of labels, strings or lists of them")
    command.add_argument("--values", required=True, help="values of C, joined by commas")
    command.add_argument("--figures", type=Path, required=True, help="where the figures go")
    given = command.parse_args()
    parts, targets = read_splits(given.table, given.layer, given.label)
    scaler = StandardScaler().fit(parts["train"])
    parts = {name: scaler.transform(features) for name, features in parts.items()}
    started = time.perf_counter()
    fitted = []
    for value in map(float, given.values.split(",")):
        model = LogisticRegression(C=value, max_iter=2000)
        if targets["train"].ndim == 2:
            model = OneVsRestClassifier(model)
        model.fit(parts["train"], targets["train"])
        losses = {name: _log_loss(model, parts[name], targets[name]) for name in ("validation", "test")}
        fitted.append({"C": value, **losses, "seconds": time.perf_counter() - started})
        print(fitted[-1], flush=True)
    best = min(fitted, key=lambda found: found["validation"])
    given.figures.write_text(json.dumps({**best, "values": fitted}))


def read_splits(folder: str, layer: str, label: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns features, float32 [n, D], and targets, int64 [n] or [n, labels], by split."""
    table = ds.dataset(folder).to_table(columns=[layer, label, "split"]).combine_chunks()
    features = table.column(layer).chunk(0).flatten().to_numpy().reshape(len(table), -1)
    labels = table.column(label)
    if pa.types.is_list(labels.type):
        targets = MultiLabelBinarizer().fit_transform(labels.to_pylist())
    else:
        targets = np.unique(labels.to_numpy(), return_inverse=True)[1]
    splits = table.column("split").to_numpy()
    rows = {name: np.flatnonzero(splits == name) for name in ("train", "validation", "test")}
    return (
        {name: features[chosen] for name, chosen in rows.items()},
        {name: targets[chosen] for name, chosen in rows.items()},
    )


def _log_loss(model: LogisticRegression | OneVsRestClassifier, features: np.ndarray, targets: np.ndarray) -> float:
    """Returns the cross-entropy, the mean over images, and over labels where there are several."""
    scores = model.predict_proba(features)
    if targets.ndim == 1:
        return float(log_loss(targets, scores))
    return float(np.mean([log_loss(targets[:, label], scores[:, label]) for label in range(targets.shape[1])]))


if __name__ == "__main__":
    main()
