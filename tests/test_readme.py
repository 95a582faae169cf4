"""The README says what is true: its tables come from the code, and its examples run."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines import backfill, extract, finetune, predict, train
from pipelines.command_line import markdown_table
from pipelines.runners import refuse_unknown
from schemas.augmentation import AugmentedRows
from schemas.errors import FailureCode
from schemas.predictions import PREDICTIONS
from schemas.spec import FeatureSpec
from schemas.tables import FAILURES, features_schema
from tests.conftest import REPOSITORY, Run

README = REPOSITORY / "README.md"
SPEC = FeatureSpec(
    "VGG16", weights_sha256="0", input_shape=(150, 150, 3), layers=("block5_pool",), feature_shapes=((512,),),
    augmentation=AugmentedRows(),
)  # fmt: skip


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _columns(schema: pa.Schema) -> str:
    rows = [
        (f"`{field.name}`", str(field.type).replace(" not null", ""), field.metadata[b"comment"].decode())
        for field in schema
    ]
    return _table(("column", "type", "holds"), rows)


def expected_tables() -> dict[str, str]:
    codes = [(f"`{code}`", code.stage, "yes" if code.permanent else "no") for code in FailureCode]
    return {
        "columns": f"`features`:\n\n{_columns(features_schema(SPEC))}\n\n`failures`:\n\n{_columns(FAILURES)}",
        "codes": _table(("code", "stage", "permanent"), codes),
        "options": markdown_table(extract.parser()),
        "backfill": markdown_table(backfill.parser(), besides=extract.parser()),
        "train": markdown_table(train.parser()),
        "finetune": markdown_table(finetune.parser()),
        "predict": markdown_table(predict.parser()),
        "predictions": _columns(PREDICTIONS),
    }


def write_tables() -> None:
    """Brings the README's tables up to date: `python -m tests.test_readme`."""
    text = README.read_text()
    for name, table in expected_tables().items():
        end = f"<!-- end of {name} -->"
        block = f"<!-- {name} -->\n\n{table}\n\n{end}"
        pattern = rf"<!-- {name} -->(?:.*?{re.escape(end)})?"
        text = re.sub(pattern, lambda _, block=block: block, text, flags=re.S)
    README.write_text(text)


@pytest.mark.parametrize("name", expected_tables())
def test_the_tables_are_those_of_the_code(name: str) -> None:
    assert expected_tables()[name] in README.read_text(), "run `make readme`"


def test_the_examples_run(run: Run, tmp_path: Path) -> None:
    assert run("extract", "--runner=DirectRunner").returncode == 0
    examples = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.S)
    assert len(examples) >= 3
    for example in examples:
        done = subprocess.run(
            [sys.executable, "-c", example], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout


def commands() -> list[str]:
    """Every `python -m pipelines.…` in the shell examples of the README and of the infrastructure's."""
    texts = [path.read_text() for path in (README, REPOSITORY / "infra" / "README.md")]
    blocks = [found for text in texts for found in re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.M | re.S)]
    lines = [line for kind, block in blocks if kind != "python" for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("python -m pipelines.")]


@pytest.mark.parametrize("command", commands())
def test_a_command_takes_its_options(command: str) -> None:
    module, *arguments = shlex.split(command, comments=True)[2:]
    parser = importlib.import_module(module).parser()
    refuse_unknown(parser.parse_known_args(arguments)[1], parser)


if __name__ == "__main__":
    write_tables()
