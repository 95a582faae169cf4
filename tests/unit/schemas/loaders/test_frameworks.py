"""Rows of a store as TensorFlow, JAX and Hugging Face's datasets take them."""

import itertools

import numpy as np
import pytest

from schemas.delta import Scan
from schemas.errors import UsageError
from schemas.store import FeatureStore
from tests.unit.schemas.loaders.conftest import IN_FIRST_FILE, ROWS, WIDTH


def test_tensorflow_has_another_order_in_each_iteration_and_goes_on(scan: Scan) -> None:
    dataset = scan.to_tf(512, shuffle=True)
    epochs = [[batch["number"].numpy().tolist() for batch in dataset] for _ in range(2)]
    assert sorted(itertools.chain(*epochs[0])) == sorted(itertools.chain(*epochs[1])) == list(range(ROWS))
    assert epochs[0] != epochs[1]
    resumed = scan.to_tf(512, shuffle=True, epoch=1, step=4)
    assert [batch["number"].numpy().tolist() for batch in resumed] == epochs[1][4:]
    first = next(iter(scan.to_tf(20)))
    assert first["features"].shape == (20, WIDTH)
    assert set(first["label"].numpy().tolist()) == {b"cat", b"dog", b""}


def test_what_is_no_tensor_is_refused_in_a_sentence(numbered: FeatureStore) -> None:
    with pytest.raises(UsageError, match=r"The column 'extracted_at' of timestamp.* becomes no tensor"):
        numbered.scan(["features", "extracted_at"]).to_tf(8)


def test_jax_has_the_rows_in_arrays_of_its_own(scan: Scan) -> None:
    jax = pytest.importorskip("jax", reason="needs JAX, which is not installed")
    batches = list(scan.to_jax(512, rank=1, ranks=2))
    assert isinstance(batches[0]["features"], jax.Array)
    found = [int(number) for batch in batches for number in batch["number"]]
    assert found == scan.to_numpy("number")[ROWS // 2 :].tolist()


def test_hugging_face_s_datasets_have_each_row_once_and_shuffle_by_themselves(scan: Scan) -> None:
    pytest.importorskip("datasets", reason="needs the package datasets, which is not installed")
    rows = scan.to_huggingface()
    assert rows.num_shards > 3
    first = next(iter(rows))
    assert (len(first["features"]), first["label"], first["number"]) == (WIDTH, "dog", IN_FIRST_FILE)
    shuffled = [row["number"] for row in rows.shuffle(seed=1, buffer_size=100)]
    assert sorted(shuffled) == list(range(ROWS))
    assert shuffled != sorted(shuffled)
    features = next(iter(rows.with_format("numpy")))["features"]
    np.testing.assert_array_equal(features, np.full(WIDTH, IN_FIRST_FILE, np.float32))
