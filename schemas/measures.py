"""What an extraction cost: measured where the work is done, added up where it is committed."""

import dataclasses
from collections import Counter
from collections.abc import Mapping

from schemas.serialisation import Serialisable


@dataclasses.dataclass(frozen=True)
class Measures(Serialisable):
    """Work that was done; sums with `+`. Times of threads that work at once add up.

    Attributes:
        bytes_read: Bytes of image files.
        reads: Reads of image files; members of an archive that lie together are one.
        retries: Reads that failed and were tried again.
        throttled: Of these, reads that failed because the storage asked for fewer.
        waited_milliseconds: Time of the pauses before they were tried again.
        decoded: Files that were decoded, or found to be no picture.
        decode_seconds: Time of decoding them, and of making augmented copies of pictures.
        batches: Batches that went through the conv base.
        infer_seconds: Time from the submission of each batch to its features, waiting for a free stream included.
        loads: How often the conv base was loaded, by process (`host/pid`).
        load_seconds: Time of loading it.
    """

    bytes_read: int = 0
    decoded: int = 0
    decode_seconds: float = 0.0
    batches: int = 0
    infer_seconds: float = 0.0
    loads: Mapping[str, int] = dataclasses.field(default_factory=dict)
    load_seconds: float = 0.0
    reads: int = 0
    retries: int = 0
    throttled: int = 0
    waited_milliseconds: float = 0.0

    def __add__(self, other: "Measures") -> "Measures":
        return Measures(
            self.bytes_read + other.bytes_read,
            self.decoded + other.decoded,
            self.decode_seconds + other.decode_seconds,
            self.batches + other.batches,
            self.infer_seconds + other.infer_seconds,
            dict(Counter(self.loads) + Counter(other.loads)),
            self.load_seconds + other.load_seconds,
            self.reads + other.reads,
            self.retries + other.retries,
            self.throttled + other.throttled,
            self.waited_milliseconds + other.waited_milliseconds,
        )

    @property
    def batch_decode_milliseconds(self) -> float:
        """Mean time of decoding a batch's pictures."""
        return 1000 * self.decode_seconds / max(1, self.batches)

    @property
    def batch_infer_milliseconds(self) -> float:
        """Mean time of a batch in the conv base."""
        return 1000 * self.infer_seconds / max(1, self.batches)
