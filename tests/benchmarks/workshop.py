"""The folder in which the benchmarks work: weights, stores with a published base, homes with and without caches."""

import dataclasses
import shutil
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from schemas.store import FeatureStore
from tests.benchmarks.cases import SIDES, Case, our_command
from tests.benchmarks.measuring import Measurement, measure
from tests.benchmarks.pictures import write_list

REPOSITORY: Final = Path(__file__).parents[2]


class Unmeasurable(Exception):
    """What was to be measured cannot be run; the message says why."""


@dataclasses.dataclass(frozen=True)
class Workshop:
    """Where the benchmarks work.

    Attributes:
        folder: What is worth keeping between runs is in its `kept`, the rest in its `scratch`.
        timeout: Seconds after which a process counts as failed.
    """

    folder: Path
    timeout: float

    def run(self, command: Sequence[str], *, cold: bool = False) -> Measurement:
        """Runs and measures a command in an empty folder; cold is with an empty home, so without any user's cache."""
        folder = self.scratch("run")
        folder.mkdir(parents=True)
        home = folder / "home" if cold else self.kept("home")
        home.mkdir(parents=True, exist_ok=True)
        environment = {
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "PYTHONPATH": str(REPOSITORY),
            "KERAS_BACKEND": "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        try:
            return measure(command, environment, self.timeout, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def kept(self, *names: str) -> Path:
        """Returns a path that is kept between runs."""
        return self.folder.joinpath("kept", *names).absolute()

    def scratch(self, name: str) -> Path:
        """Returns a path where nothing is."""
        return self.folder.joinpath("scratch", f"{name}-{uuid.uuid4().hex[:8]}").absolute()

    def weights(self, conv_base: str) -> str:
        """Returns the file of a base's weights, made if need be.

        Raises:
            Unmeasurable: If Keras cannot make it.
        """
        file = self.kept("weights", f"{conv_base}.weights.h5")
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "tests.benchmarks.weights", f"--conv_base={conv_base}"]
            made = self.run([*command, f"--side={SIDES[conv_base]}", f"--output={file}"])
            if made.exit_code:
                raise Unmeasurable(f"The weights of {conv_base} cannot be made: {made.message}")
        return str(file)

    def published(self, case: Case, *, scaled: bool = False) -> FeatureStore:
        """Returns a store in which the base of a case is published, made by an extraction of one picture.

        Raises:
            Unmeasurable: If that extraction fails.
        """
        uri = self.scratch(f"published-{case.conv_base}")
        one = write_list(case.paths[:1], self.scratch("one").with_suffix(".txt"))
        made = self.run(our_command(case, uri, one, scaled=scaled))
        if made.exit_code:
            raise Unmeasurable(made.message)
        return FeatureStore.open(str(uri))

    def warm_store(self, published: FeatureStore) -> Path:
        """Returns a new store without rows, in which the base of another is published."""
        folder = self.scratch("store")
        shutil.copytree(Path(local_path(published.uri), "conv_bases"), folder / "conv_bases")
        FeatureStore.create(str(folder), published.spec)
        return folder


def local_path(uri: str) -> str:
    """Returns the path of a local URI that needs no quoting."""
    return uri.removeprefix("file://")
