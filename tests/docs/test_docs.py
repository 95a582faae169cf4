"""The documentation says what is true: commands run, what they print is what it shows, the reference is complete."""

import importlib
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.generate import COMMANDS, generated
from pipelines.runners.selection import refuse_unknown
from schemas.errors import ConvbaseError, FailureCode
from schemas.store import PREDICTIONS
from schemas.tables import FAILURES, RUNS
from tests.conftest import REPOSITORY
from tests.support.pages import Block, blocks_of, commands_of, run_blocks

DOCS = REPOSITORY / "docs"
README = REPOSITORY / "README.md"
PROSE = (README, *(REPOSITORY / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")))
PAGES = sorted(path for path in DOCS.rglob("*.md"))
RUNBOOK = DOCS / "operations" / "runbook.md"  # Walked by `test_runbook.py`, an incident a section.
INFRA = (REPOSITORY / "infra" / "README.md",)

_HELP = {"-h", "--help", "--help_all"}


def blocks(page: Path) -> list[Block]:
    return blocks_of(page.read_text())


def run_pages() -> list[Path]:
    pages = [page for page in PAGES if page != RUNBOOK]
    return [page for page in pages if any(block.is_run for block in blocks(page))]


def shape_of(line: str) -> str:
    """A printed line without what differs from run to run: numbers, names of runs, places."""
    line = re.sub(r"\S*(file://|model/|[0-9a-f]{8,})\S*", "X", line)
    return re.sub(r"\s+", " ", re.sub(r"\d[\d.,]*( [kMG]?B\b)?", "N", line)).strip()


def assert_shown(page: Path, printed: str) -> None:
    """What a page shows as printed was printed by its commands."""
    lines = {shape_of(line) for line in printed.splitlines()}
    shown = [line for block in blocks(page) if block.kind == "text" for line in block.text.splitlines()]
    assert [line for line in shown if line.strip() not in {"", "…"} and shape_of(line) not in lines] == []


@pytest.fixture(scope="module")
def readme_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the README was followed, and what it printed; `photos` are the sample pictures."""
    from pipelines.jobs import draw_samples

    folder = tmp_path_factory.mktemp("readme")
    draw_samples(folder / "photos")
    shutil.copytree(folder / "photos" / "test", folder / "new-photos")
    return folder, run_blocks(blocks(README), folder)


def test_the_readme_runs_and_prints_what_it_shows(readme_folder: tuple[Path, str]) -> None:
    _, printed = readme_folder
    assert_shown(README, printed)


@pytest.mark.parametrize("page", run_pages(), ids=lambda page: page.relative_to(DOCS).as_posix())
def test_a_page_runs_and_prints_what_it_shows(page: Path, readme_folder: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = readme_folder
    for name in ("photos", "store", "model"):
        shutil.copytree(folder / name, tmp_path / name)
    assert_shown(page, run_blocks(blocks(page), tmp_path))


def parsed_commands() -> list[str]:
    """Every command of ours in any page, in the infrastructure's, and in the examples of `--help`."""
    texts = [block.text for page in (*PROSE, *PAGES, *INFRA) for block in blocks(page) if block.kind != "python"]
    texts += [
        block[1] for text in generated().values() for block in re.finditer(r"^```sh\n(.*?)^```$", text, re.M | re.S)
    ]
    return sorted({command for text in texts for command in commands_of(text)})


@pytest.mark.parametrize("command", parsed_commands())
def test_a_command_takes_its_options(command: str) -> None:
    module, *arguments = shlex.split(command.partition(" > ")[0], comments=True)[2:]
    parser = importlib.import_module(module).parser()
    refuse_unknown(parser.parse_known_args(arguments)[1], parser)


def test_python_blocks_that_are_not_run_can_be_compiled() -> None:
    for page in PAGES:
        for block in blocks(page):
            if block.kind == "python":
                compile(block.text, str(page), "exec")


@pytest.mark.parametrize("page", [*PROSE, *PAGES], ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), flags=re.M))
    code = "\n".join(re.findall(r"`make ([a-z -]+)", page.read_text()))
    lines = "\n".join(re.findall(r"^make ([a-z -]+)", page.read_text(), flags=re.M))
    assert set(f"{code}\n{lines}".split()) <= targets


@pytest.mark.parametrize("page", [*PROSE, *PAGES], ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_between_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_reference_has_every_option(name: str) -> None:
    page = (DOCS / "reference" / "commands" / f"{name}.md").read_text()
    assert f'--8<-- "{name}.md"' in page
    actions = COMMANDS[name].parser()._actions
    for action in actions:
        for option in action.option_strings:
            assert option in _HELP or re.search(rf"`[^`\n]*{option}\b[^`\n]*` \|", generated()[name])
    for subcommand in next((action.choices for action in actions if isinstance(action.choices, dict)), {}).values():
        for action in subcommand._actions:
            for option in action.option_strings:
                assert option in _HELP or re.search(rf"`[^`\n]*{option}\b[^`\n]*` \|", generated()[name])


def test_every_command_is_in_the_reference() -> None:
    modules = {path.stem for path in (REPOSITORY / "pipelines").glob("*.py") if "run_main(main)" in path.read_text()}
    assert modules == set(COMMANDS)


def test_the_reference_has_every_column_and_code() -> None:
    tables = generated()
    for name, schema in (("failures", FAILURES), ("runs", RUNS), ("predictions", PREDICTIONS)):
        for field in schema:
            assert f"| `{field.name}` | `" in tables[f"{name}_table"]
    assert "| `uri` | `string` |" in tables["features_table"]
    assert "| `block5_pool` | `list<element: float>` |" in tables["features_table"]
    for code in FailureCode:
        assert f"| `{code}` | {code.stage} |" in tables["failure_codes"]
    for error in ConvbaseError.__subclasses__():
        assert f"| {error.exit_code} | `{error.__name__}` |" in tables["exit_codes"]


def test_no_text_in_a_generated_table_is_read_as_a_tag() -> None:
    for text in generated().values():
        outside_code = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.S)
        assert set(re.findall(r"<.*", outside_code)) <= {'<div class="options" markdown>', "</div>"}


def test_every_generated_file_is_included_by_a_page() -> None:
    included = {name for page in PAGES for name in re.findall(r'^--8<-- "(.+)\.md"$', page.read_text(), flags=re.M)}
    assert set(generated()) <= included


def test_tests_that_pages_name_exist() -> None:
    named = {path for page in [*PROSE, *PAGES] for path in re.findall(r"`(tests/[\w/]+\.py)`", page.read_text())}
    assert "tests/runners/test_runners.py" in named
    assert [path for path in sorted(named) if not (REPOSITORY / path).exists()] == []


def test_every_page_is_in_the_navigation() -> None:
    def pages(entry: object) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        else:
            for inner in entry.values() if isinstance(entry, dict) else entry:
                yield from pages(inner)

    nav = tomllib.loads((REPOSITORY / "zensical.toml").read_text())["project"]["nav"]
    assert sorted(pages(nav)) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


def test_the_front_door_is_small() -> None:
    assert README.stat().st_size <= 5 * 1024
    assert (REPOSITORY / "ARCHITECTURE.md").stat().st_size <= 6 * 1024
