"""How Arrow record batches cross a shuffle: packed."""

import apache_beam as beam
import pyarrow as pa

from transforms.shuffle.packing import pack, unpack


class RecordBatchCoder(beam.coders.Coder):
    """Codes a `pa.RecordBatch` as one compressed Arrow IPC stream."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        """Returns the batch with its schema as bytes."""
        return pack(value)

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        """Reads what `encode` returned."""
        return unpack(encoded)

    def estimate_size(self, value: pa.RecordBatch) -> int:
        """Returns the bytes of the batch's values, without encoding it."""
        return int(value.nbytes)

    def is_deterministic(self) -> bool:
        """Equal batches give equal bytes."""
        return True


beam.coders.registry.register_coder(pa.RecordBatch, RecordBatchCoder)
