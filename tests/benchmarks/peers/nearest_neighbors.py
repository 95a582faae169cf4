"""scikit-learn's `NearestNeighbors` by brute force on a made table, on vectors of length 1.

python -m tests.benchmarks.peers.nearest_neighbors --table=FOLDER --layer=LAYER --queries=0 --k=16 --figures=FILE
"""

import argparse
import json
import time
from pathlib import Path

import pyarrow.dataset as ds
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize


def main() -> None:
    """Finds the neighbours of the first rows, and writes how long that took beyond reading."""
    command = argparse.ArgumentParser(allow_abbrev=False)
    command.add_argument("--table", required=True, help="a folder of Parquet files")
    command.add_argument("--layer", required=True, help="the column of features")
    command.add_argument("--queries", type=int, required=True, help="how many rows ask; 0 for all of them")
    command.add_argument("--k", type=int, required=True, help="neighbours of each")
    command.add_argument("--figures", type=Path, required=True, help="where the figures go")
    given = command.parse_args()
    column = ds.dataset(given.table).to_table(columns=[given.layer]).combine_chunks().column(0).chunk(0)
    vectors = normalize(column.flatten().to_numpy().reshape(len(column), -1))
    started = time.perf_counter()
    # On the unit sphere the nearest by Euclidean distance are those by cosine, and there is a faster path for it.
    nearest = NearestNeighbors(n_neighbors=given.k, algorithm="brute").fit(vectors)
    nearest.kneighbors(vectors[: given.queries or len(vectors)])
    given.figures.write_text(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
