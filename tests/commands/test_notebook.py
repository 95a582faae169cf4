"""In a notebook and in a script everything runs as on the command line, with nothing prepared and nothing in caches."""

import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from schemas.caches import CACHE_VARIABLE
from tests.conftest import REPOSITORY, write_pictures

NOTEBOOK = REPOSITORY / "docs" / "tutorial" / "notebook.ipynb"

SCRIPT = """
print("begins")
from pipelines import extract, train

done = extract(
    "photos", output="store", labels_from="parent", conv_base="MobileNet", conv_base_arg={"alpha": 0.25},
    weights="none", input_shape=(32, 32, 3),
)
print(done.counts["extracted"], train(features="store", output="model", test_fraction=0).uri)
"""


def test_the_notebook_of_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "the environment is not that of requirements-dev.lock"
    nbclient = pytest.importorskip("nbclient", reason=reason)
    pytest.importorskip("ipykernel", reason=reason)
    nbformat = pytest.importorskip("nbformat", reason=reason)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not [cell for cell in notebook.cells if cell.get("outputs")], "Outputs are not committed."
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pages = "".join(output.data.get("text/html", "") for output in outputs if "data" in output)
    for cells in ("<td>extracted</td><td>144</td>", "<td>predicted</td><td>30</td>", "<th>distance</th>"):
        assert cells in pages
    said = "".join(output.text for output in outputs if output.get("name") == "stderr")
    assert "extracting 100 %" in said
    assert not re.search("Traceback|[Ww]arning|Interactive Beam", said), said


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        for number, name in enumerate(("cats", "dogs")):
            write_pictures(tmp_path / "photos" / split / name, 3, seed=number)
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), CACHE_VARIABLE: str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("begins") == 1
    assert done.stdout.splitlines()[-1] == "12 model"


def test_pipelines_of_others_know_that_they_are_in_ipython(monkeypatch: pytest.MonkeyPatch) -> None:
    import apache_beam as beam
    from apache_beam.utils import interactive_utils

    from pipelines.runners import beam_options, new_pipeline

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: "a shell"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    with new_pipeline(beam_options([])) as root:
        within = interactive_utils.is_in_ipython()
        root | beam.Create([1])
    assert (within, interactive_utils.is_in_ipython()) == (False, True)
