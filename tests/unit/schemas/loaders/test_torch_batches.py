"""Rows of a store as PyTorch takes them.

By themselves in a process: one that has imported TensorFlow (2.21) is aborted where PyTorch imports Triton (3.9).
"""

import itertools

import pytest

from schemas.delta import Scan
from tests.unit.schemas.loaders.conftest import ROWS, WIDTH


@pytest.fixture
def torch() -> object:
    return pytest.importorskip("torch", reason="needs PyTorch, which is not installed (make torch-test installs it)")


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
