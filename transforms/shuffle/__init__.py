"""What crosses a shuffle: record batches as compressed bytes, hash partitions, files that batches are spilled to."""

from transforms.shuffle.packing import pack, unpack
from transforms.shuffle.partitioning import PARTITIONS, by_partition, in_reading_order
from transforms.shuffle.spilling import Spilled, read_spilled

__all__ = ["PARTITIONS", "Spilled", "by_partition", "in_reading_order", "pack", "read_spilled", "unpack"]
