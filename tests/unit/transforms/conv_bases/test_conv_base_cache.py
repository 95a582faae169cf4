"""A conv base is built once a user, and what the cache holds is what was built."""

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.caches import CACHE_VARIABLE, cache_folder
from schemas.errors import InvalidSpec
from schemas.spec import FeatureSpec
from transforms.conv_bases import cache as cache_module
from transforms.conv_bases import cached_conv_base
from transforms.conv_bases.cache import cache_key
from transforms.conv_bases.publishing import PreparedConvBase, prepare_conv_base
from transforms.origins import CONV_BASE_FILES

SPEC = FeatureSpec("MobileNet", {"alpha": 0.25}, weights="none", input_shape=(32, 32, 3), layers=("conv_pw_1_relu",))

Prepare = Callable[[FeatureSpec], PreparedConvBase]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> PreparedConvBase:
    """The conv base of `SPEC`, as Keras builds it."""
    return prepare_conv_base(SPEC, tmp_path_factory.mktemp("real"))


@pytest.fixture
def built(real: PreparedConvBase, monkeypatch: pytest.MonkeyPatch) -> list[FeatureSpec]:
    """The specs whose conv bases have been built since; only the first of all takes the time that it takes."""
    specs: list[FeatureSpec] = []

    def build(spec: FeatureSpec, folder: Path) -> PreparedConvBase:
        specs.append(spec)
        shutil.copytree(real.folder, folder, dirs_exist_ok=True)
        resolved = {name: getattr(real.spec, name) for name in ("weights_sha256", "feature_shapes")}
        return PreparedConvBase(dataclasses.replace(spec, **resolved), folder)

    monkeypatch.setattr(cache_module, "prepare_conv_base", build)
    return specs


@pytest.fixture
def prepare(tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    """Prepares a conv base in a folder of its own."""
    return lambda spec: cached_conv_base(spec, tmp_path_factory.mktemp("base"))


def contents(prepared: PreparedConvBase) -> dict[str, bytes]:
    return {name: (prepared.folder / name).read_bytes() for name in CONV_BASE_FILES}


def test_a_base_from_the_cache_is_the_one_that_keras_builds(
    cache: Path, real: PreparedConvBase, prepare: Prepare
) -> None:
    first, second = prepare(SPEC), prepare(SPEC)
    assert first.spec == second.spec == real.spec
    assert contents(first) == contents(second)
    assert contents(second)["base.bin"] == contents(real)["base.bin"]


def test_a_base_is_built_once(cache: Path, built: list[FeatureSpec], prepare: Prepare) -> None:
    first, second = prepare(SPEC), prepare(SPEC)
    assert built == [SPEC]
    assert second.spec == first.spec
    assert second.spec.is_resolved
    assert contents(second) == contents(first)
    assert [entry.name for entry in cache.iterdir()] == [cache_key(SPEC)]


def test_how_pictures_become_pixels_makes_no_other_base(
    cache: Path, built: list[FeatureSpec], prepare: Prepare
) -> None:
    fingerprint = prepare(SPEC).spec.fingerprint
    ways = {"interpolation": "nearest", "exif_orientation": "ignore", "decode": "scaled", "truncated": "keep"}
    for change in ({name: value} for name, value in ways.items()):
        other = prepare(dataclasses.replace(SPEC, **change)).spec
        assert other.fingerprint != fingerprint
        assert dataclasses.replace(other, **{name: getattr(SPEC, name) for name in change}).fingerprint == fingerprint
    assert built == [SPEC]


@pytest.mark.parametrize(
    "change",
    [
        {"conv_base": "MobileNetV2"}, {"conv_base_args": {"alpha": 0.5}}, {"weights": "imagenet"},
        {"weights_sha256": "ab" * 32}, {"include_top": True}, {"input_shape": (64, 32, 3)}, {"layers": ()},
        {"pooling": "max"},
    ],
)  # fmt: skip
def test_what_a_base_is_built_from_is_in_its_key(change: dict[str, object]) -> None:
    assert cache_key(dataclasses.replace(SPEC, **change)) != cache_key(SPEC)


def test_a_weights_file_counts_by_its_bytes(tmp_path: Path) -> None:
    keys = []
    for name, data in (("a.h5", b"1"), ("b.h5", b"1"), ("c.h5", b"2")):
        (tmp_path / name).write_bytes(data)
        keys.append(cache_key(dataclasses.replace(SPEC, weights=str(tmp_path / name))))
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("file", [*CONV_BASE_FILES, "published.json"])
@pytest.mark.parametrize("damage", ["cut off", "gone"])
def test_a_damaged_entry_is_built_anew(
    file: str, damage: str, cache: Path, built: list[FeatureSpec], prepare: Prepare
) -> None:
    whole = contents(prepare(SPEC))
    path = cache / cache_key(SPEC) / file
    path.write_bytes(path.read_bytes()[:-9]) if damage == "cut off" else path.unlink()
    again = contents(prepare(SPEC))
    assert (again["base.xml"], again["base.bin"]) == (whole["base.xml"], whole["base.bin"])
    assert built == [SPEC, SPEC]
    prepare(SPEC)
    assert built == [SPEC, SPEC]


def test_what_cannot_be_built_is_not_kept(cache: Path, prepare: Prepare) -> None:
    with pytest.raises(InvalidSpec):
        prepare(dataclasses.replace(SPEC, layers=("no such layer",)))
    assert not cache.exists()


def test_without_a_cache_every_base_is_built(
    built: list[FeatureSpec], prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for folder in ("", f"{tmp_path}/file/cache"):
        monkeypatch.setenv(CACHE_VARIABLE, folder)
        prepare(SPEC)
        prepare(SPEC)
    assert built == [SPEC] * 4


def test_the_base_that_was_not_used_for_longest_goes_first(
    cache: Path, built: list[FeatureSpec], prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [dataclasses.replace(SPEC, pooling=pooling) for pooling in ("none", "avg", "max")]
    for age, spec in enumerate(specs[:2]):
        prepare(spec)
        os.utime(cache / cache_key(spec), (1000 + age, 1000 + age))
    prepare(specs[0])
    size = sum(path.stat().st_size for path in (cache / cache_key(SPEC)).iterdir())
    monkeypatch.setattr(cache_module, "MOST_BYTES", 2.5 * size)
    prepare(specs[2])
    assert {entry.name for entry in cache.iterdir()} == {cache_key(specs[0]), cache_key(specs[2])}


def test_two_may_put_the_same_base_there_at_once(
    cache: Path, built: list[FeatureSpec], prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prepare(SPEC)
    cache.rename(tmp_path / "other")
    build = cache_module.prepare_conv_base

    def build_slowly(spec: FeatureSpec, folder: Path) -> PreparedConvBase:
        shutil.copytree(tmp_path / "other", cache)  # Meanwhile somebody else is done.
        return build(spec, folder)

    monkeypatch.setattr(cache_module, "prepare_conv_base", build_slowly)
    assert prepare(SPEC).spec.is_resolved
    assert [entry.name for entry in cache.iterdir()] == [cache_key(SPEC)]


def test_the_cache_is_where_such_files_belong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", variable)
        assert cache_folder() == tmp_path / ".cache" / "convbase" / "conv_bases"
    monkeypatch.setenv("XDG_CACHE_HOME", f"{tmp_path}/xdg")
    assert cache_folder() == tmp_path / "xdg" / "convbase" / "conv_bases"


def test_the_cache_is_for_its_user_alone(cache: Path, built: list[FeatureSpec], prepare: Prepare) -> None:
    umask = os.umask(0)
    try:
        prepare(SPEC)
    finally:
        os.umask(umask)
    assert [path.stat().st_mode & 0o777 for path in (cache, cache / cache_key(SPEC))] == [0o700, 0o700]


def give_away(folder: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(folder, 12345, -1)


@pytest.mark.parametrize("spoil", [lambda folder: folder.chmod(0o770), give_away], ids=["writable", "another user's"])
@pytest.mark.parametrize("which", [".", cache_key(SPEC)], ids=["the cache", "the entry"])
def test_what_others_can_write_is_not_taken(
    which: str, spoil: Callable[[Path], None], cache: Path, built: list[FeatureSpec], prepare: Prepare
) -> None:
    prepare(SPEC)
    spoil(cache / which)
    assert (cache_folder() is None) == (which == ".")
    prepare(SPEC)
    assert built == [SPEC, SPEC]


def test_an_entry_of_another_base_is_not_taken(cache: Path, built: list[FeatureSpec], prepare: Prepare) -> None:
    other = dataclasses.replace(SPEC, pooling="max")
    prepare(other)
    (cache / cache_key(other)).rename(cache / cache_key(SPEC))
    assert prepare(SPEC).spec.pooling == SPEC.pooling
    assert built == [other, SPEC]
