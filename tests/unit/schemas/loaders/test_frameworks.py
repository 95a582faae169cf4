"""Rows of a store as PyTorch, TensorFlow, JAX and Hugging Face's datasets take them."""

import itertools

import numpy as np
import pytest

from schemas.delta import Scan
from schemas.errors import UsageError
from schemas.store import FeatureStore
from tests.unit.schemas.loaders.conftest import IN_FIRST_FILE, ROWS, WIDTH


@pytest.fixture
def torch() -> object:
    return pytest.importorskip("torch", reason="needs PyTorch, which is not installed (make bench installs it)")


@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (2, "spawn")])
def test_a_loader_of_pytorch_gives_each_row_once_with_any_workers(
    workers: int, context: str | None, torch: object, scan: Scan
) -> None:
    from torch.utils.data import DataLoader

    rows = scan.to_torch(256, shuffle=True, seed=1)
    loader = DataLoader(rows, batch_size=None, num_workers=workers, multiprocessing_context=context)
    batches = list(loader)
    assert len(batches) == rows.steps(workers)
    assert batches[0]["features"].shape == (256, WIDTH)
    assert isinstance(batches[0]["label"], list)
    numbers = [int(number) for batch in batches for number in batch["number"]]
    assert sorted(numbers) == list(range(ROWS))
    for step in (3,) if context == "spawn" else (1, 4, len(batches) - 1):
        rows.set_epoch(0, step)
        assert [batch["number"].tolist() for batch in loader] == [batch["number"].tolist() for batch in batches[step:]]
    rows.set_epoch(1)
    assert [int(number) for batch in loader for number in batch["number"]] != numbers


def test_ranks_of_torch_distributed_divide_the_rows(torch: object, scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    from schemas.loaders import torch_batches

    parts = []
    for rank in range(3):
        monkeypatch.setattr(torch_batches, "_rank", lambda rank=rank: (rank, 3))
        rows = scan.to_torch(100, shuffle=True)
        parts.append([int(number) for batch in rows for number in batch["number"]])
        assert rows.steps() == 17
    assert {len(part) for part in parts} == {ROWS // 3}
    assert len(set(itertools.chain(*parts))) == 3 * (ROWS // 3)


def test_a_head_of_pytorch_learns_from_a_store(torch: object, scan: Scan) -> None:
    head = torch.nn.Linear(WIDTH, 1)
    optimizer = torch.optim.SGD(head.parameters(), lr=1e-4)
    losses = []
    for batch in scan.to_torch(500, shuffle=True):
        loss = torch.nn.functional.mse_loss(head(batch["features"] / ROWS)[:, 0], batch["number"] / ROWS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


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
