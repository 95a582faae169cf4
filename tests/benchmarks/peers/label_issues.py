"""cleanlab's `find_label_issues` on a made table, the scores out of fold by scikit-learn's `LogisticRegression`.

python -m tests.benchmarks.peers.label_issues --table=FOLDER --layer=LAYER --labels=labels.csv --figures=FILE
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
from cleanlab.filter import find_label_issues
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    """Writes the images whose labels are likely wrong, the likeliest first."""
    command = argparse.ArgumentParser(allow_abbrev=False)
    command.add_argument("--table", required=True, help="a folder of Parquet files")
    command.add_argument("--layer", required=True, help="the column of features")
    command.add_argument("--labels", required=True, help="a CSV of uri and label")
    command.add_argument("--figures", type=Path, required=True, help="where the images go")
    given = command.parse_args()
    table = ds.dataset(given.table).to_table(columns=["uri", given.layer]).combine_chunks()
    column = table.column(given.layer).chunk(0)
    features = column.flatten().to_numpy().reshape(len(column), -1)
    with Path(given.labels).open(newline="") as file:
        label_of = {row["uri"]: row["label"] for row in csv.DictReader(file)}
    uris = np.array(table.column("uri").to_pylist())
    _, targets = np.unique([label_of[uri] for uri in uris], return_inverse=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    scores = cross_val_predict(model, features, targets, cv=5, method="predict_proba")
    issues = find_label_issues(
        targets, scores, filter_by="prune_by_noise_rate", return_indices_ranked_by="normalized_margin"
    )
    given.figures.write_text(json.dumps({"uris": uris[issues].tolist()}))


if __name__ == "__main__":
    main()
