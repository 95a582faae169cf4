"""A nightly run: everything is known, or one picture is new. Against `import apache_beam`, which every run pays."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.cases import Case, our_command
from tests.benchmarks.measuring import Measurement
from tests.benchmarks.pictures import with_comment, write_list
from tests.benchmarks.results import Figure, ratio
from tests.benchmarks.workshop import Unmeasurable, Workshop


def nothing_new(workshop: Workshop, case: Case, rounds: int) -> list[Figure]:
    """Measures extractions into a store that knows all pictures of a case.

    Raises:
        Unmeasurable: If the store cannot be filled.
    """
    store = workshop.warm_store(workshop.published(case))
    known = write_list(case.paths[: case.count], workshop.scratch("known").with_suffix(".txt"))
    filled = workshop.run(our_command(case, store, known))
    if filled.exit_code:
        raise Unmeasurable(filled.message)
    imports, nothing, one = [], [], []
    for _ in range(rounds):
        imports.append(workshop.run([sys.executable, "-c", "import apache_beam"]))
        nothing.append(workshop.run(our_command(case, store, known)))
        new = workshop.scratch("new").with_suffix(".jpg")
        new.write_bytes(with_comment(Path(case.paths[0]).read_bytes(), new.name))
        one.append(workshop.run(our_command(case, store, known, new)))
    importing = _figure("import apache_beam alone", imports)
    knowing = _figure(f"nothing new among {case.count} pictures", nothing)
    return [
        importing,
        knowing,
        ratio("nothing new ÷ import apache_beam", knowing, importing),
        _figure(f"one new picture beside {case.count} known ones", one),
    ]


def _figure(name: str, measured: Sequence[Measurement]) -> Figure:
    failure = next((one.message or f"exit code {one.exit_code}" for one in measured if one.exit_code), "")
    return Figure(name, tuple(one.seconds for one in measured), "s", failure)
