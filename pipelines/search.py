"""python -m pipelines.search: the images of a store that are nearest to a picture.

    python -m pipelines.search feature-store --image=photo.jpg
    python -m pipelines.search feature-store --uri=photos/cats/1.jpg --k=50 --where="split = 'train'" --output=hits.html
    curl -s https://example.org/photo.jpg | python -m pipelines.search feature-store --image=-

A picture goes through the store's own conv base; distances are cosine distances, 0 to 2. All images are compared,
unless pipelines.index has made an index of the layer; with --where they always are.
Exit codes: 0 done; 1 the run failed; 2 the command cannot start as it was given.
"""

from collections.abc import Sequence
from typing import Final

from pipelines.console import hit_lines
from pipelines.functions import SearchResult, make_callable, printed
from pipelines.jobs import check_hits_file, find_hits, write_hits
from pipelines.options import Parser, add_decoding_options, add_search_options, add_table_options, run_main

_FIRST: Final = ("store", "image", "uri", "k", "where", "layer", "output", "table_version", "exact")


def parser() -> Parser:
    """Returns the command's parser."""
    command = Parser.of_command("pipelines.search", __doc__, first=_FIRST)
    add_table_options(command)
    add_search_options(command)
    add_decoding_options(command)
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command, prints what it has found, and returns its exit code.

    Raises:
        ConvbaseError: If it cannot start, or fails.
    """
    return printed(run(arguments))


def run(arguments: Sequence[str]) -> SearchResult:
    """Runs the command and returns what it has found.

    Raises:
        ConvbaseError: If it cannot start, or fails.
    """
    given = parser().begin(arguments)
    check_hits_file(given.output)
    hits = find_hits(given)
    lines = list(hit_lines(hits.table))
    if hits.how:
        lines.append(hits.how)
    if given.output:
        write_hits(given.output, given.uri or given.image, hits.table)
        lines.append(f"Written to {given.output}.")
    return SearchResult(text="\n".join(lines), hits=hits.table)


if __name__ == "__main__":
    run_main(main)
else:
    make_callable(__name__)
