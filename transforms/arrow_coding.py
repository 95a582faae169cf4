"""How Arrow record batches cross a shuffle: as Arrow IPC, which carries a slice and not the buffers behind it."""

import apache_beam as beam
import pyarrow as pa


class RecordBatchCoder(beam.coders.Coder):
    """Codes a `pa.RecordBatch` as one Arrow IPC stream."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        """Returns the batch with its schema as bytes."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as writer:
            writer.write_batch(value)
        return bytes(sink.getvalue())

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        """Reads what `encode` returned."""
        with pa.ipc.open_stream(encoded) as reader:
            return reader.read_next_batch()

    def estimate_size(self, value: pa.RecordBatch) -> int:
        """Returns the bytes of the batch's values, without encoding it."""
        return int(value.nbytes)

    def is_deterministic(self) -> bool:
        """Equal batches give equal bytes."""
        return True


beam.coders.registry.register_coder(pa.RecordBatch, RecordBatchCoder)
