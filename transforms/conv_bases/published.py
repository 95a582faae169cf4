"""Published conv bases: reading their files, each compared with what it has to be.

What a file has to be stands in the table of the store, which is written in another place and by commits alone. Where
that says nothing, as in stores of older versions and in folders of no store, `published.json` beside the files is
believed.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from schemas.errors import InvalidSpec, RunFailed
from schemas.spec import FeatureSpec
from schemas.storage import PublishedBase, PublishedFile, PublishedList, file_system, join, read_json_file
from schemas.store import FeatureStore

LIST_FILE: Final = "published.json"


def published_list(uri: str) -> PublishedList:
    """Returns the list beside the files of a published conv base.

    Raises:
        FileNotFoundError: If there is none.
        RunFailed: If it is damaged.
    """
    try:
        listed = PublishedList.from_json(read_json_file(join(uri, LIST_FILE)))
        _ = [*listed.files()]
    except (ValueError, InvalidSpec) as error:
        raise _damaged(join(uri, LIST_FILE), "it is no list of published files") from error
    return listed


def files_of_base(base: PublishedBase) -> tuple[PublishedFile, ...]:
    """Returns what is known of the files of a base.

    Raises:
        FileNotFoundError: If nothing is.
        RunFailed: If the list beside them, where it is asked, is damaged.
    """
    return base.files or tuple(published_list(base.uri).files())


def is_published(base: PublishedBase) -> bool:
    """Whether a base is there: each of its files, with its size."""
    fs, root = file_system(base.uri)
    try:
        files = files_of_base(base)
        fs.invalidate_cache(root)
        size_by_path = {info["name"].rpartition("/")[2]: info["size"] for info in fs.ls(root, detail=True)}
    except (FileNotFoundError, RunFailed):
        return False
    return LIST_FILE in size_by_path and all(
        file.path in size_by_path and file.size in {0, size_by_path[file.path]} for file in files
    )


def damaged_files(base: PublishedBase) -> list[str]:
    """Returns the names of published files that are missing or altered, of all of them the SHA-256 compared.

    The list beside the files is one of them where it does not say what the table says.
    """
    fs, root = file_system(base.uri)
    try:
        listed = published_list(base.uri)
        is_right = listed.spec.fingerprint == root.rpartition("/")[2]
        is_right = is_right and (not base.files or {*listed.files()} == {*base.files})
    except (FileNotFoundError, RunFailed, ValueError):
        is_right = False
    if not (is_right or base.files):
        return [LIST_FILE]
    damaged = [
        file.path
        for file in files_of_base(base)
        if not fs.exists(f"{root}/{file.path}") or file.difference(fs.cat_file(f"{root}/{file.path}"))
    ]
    return damaged if is_right else [*damaged, LIST_FILE]


def unpublish(base: PublishedBase, names: Iterable[str]) -> None:
    """Removes damaged files, so that the conv base counts as missing and is published again."""
    fs, root = file_system(base.uri)
    for name in names:
        if fs.exists(f"{root}/{name}"):
            fs.rm_file(f"{root}/{name}")


def published_spec(uri: str) -> FeatureSpec:
    """Returns the spec of a published conv base, by the list beside its files.

    Raises:
        FileNotFoundError: If there is none.
        RunFailed: If the list is damaged.
    """
    return published_list(uri).spec


def fetch_published(base: PublishedBase, names: tuple[str, ...], folder: Path) -> None:
    """Copies files of a published conv base into a local folder.

    Raises:
        RunFailed: If a file is missing, or not the one that was published.
    """
    try:
        _fetch(base, names, folder)
    except FileNotFoundError:
        # Other files may have taken their place: those that the table, or the list, names now are there.
        newest = FeatureStore.open(base.store_uri).conv_base() if base.store_uri else base
        try:
            _fetch(newest, names, folder)
        except FileNotFoundError as error:
            raise _damaged(base.uri, "a file is missing") from error


def _fetch(base: PublishedBase, names: tuple[str, ...], folder: Path) -> None:
    fs, root = file_system(base.uri)
    by_name = {file.name: file for file in files_of_base(base)}
    for name in names:
        file = by_name.get(name)
        if file is None:
            raise _damaged(base.uri, f"{name} is none of its files")
        content = fs.cat_file(f"{root}/{file.path}")
        difference = file.difference(content)
        if difference:
            raise _damaged(join(base.uri, file.path), difference)
        Path(folder, name).write_bytes(content)


def _damaged(file_uri: str, how: str) -> RunFailed:
    return RunFailed(
        f"{file_uri} is not the file that was published: {how}. A run of pipelines.extract publishes again what is "
        "missing or cut off; `pipelines.maintain STORE republish` replaces the networks."
    )
