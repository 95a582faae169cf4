"""Bad input: exit code 2 and one sentence, before any work."""

from pathlib import Path

import pytest

from tests.conftest import SMALL_BASE, Run, extract, write_pictures

OPTIONS = {
    "unknown base": (("--conv_base=VGG61",), "Keras has no conv base 'VGG61'; did you mean 'VGG19' or 'VGG16'?"),
    "unknown argument of a base": (("--conv_base_arg=alpha=1", "--conv_base=VGG16"), "VGG16 takes no argument 'alpha'"),
    "unknown layer": (
        ("--conv_base=VGG16", "--weights=none", "--input_shape=32,32,3", "--layers=block5_poll"),
        "VGG16 has no layer 'block5_poll'; did you mean 'block5_pool'",
    ),
    "side below the minimum": (
        ("--conv_base=Xception", "--input_shape=70,71,3"),
        "Xception takes no side below 71 pixels; input_shape is 70,71,3.",
    ),
    "not three channels": (("--input_shape=64,64,1",), "input_shape 64,64,1 must be height,width,3"),
    "not a shape": (("--input_shape=big",), "'big' is not height,width,3"),
    "include_top with another shape": (
        ("--conv_base=VGG16", "--include_top", "--input_shape=150,150,3"),
        "include_top needs the input shape that the classifier of VGG16 was trained with, 224,224,3",
    ),
    "imagenet weights unreachable": (
        ("--conv_base=MobileNet",),
        "The imagenet weights cannot be downloaded",
    ),
    "a weights file that is not there": (("--weights=nowhere.h5",), "nowhere.h5 cannot be read"),
    "unknown pooling": (("--pooling=mean",), "invalid choice: 'mean'"),
    "manifest without uri": (("--input=manifest.csv",), "has no column 'uri' (its columns: url, label)"),
    "no input": (("--input=nowhere",), "There is no input at nowhere."),
    "no image": (("--input=empty",), "There is no image in"),
    "unwritable output": (("--output=manifest.csv/store", *SMALL_BASE), "cannot be written"),
    "tf32 on a CPU": (
        ("--precision=tf32", "--engine=openvino", *SMALL_BASE),
        "tf32 is an arithmetic of NVIDIA's GPUs: take --engine=keras where there is one",
    ),
    "a summary that cannot be written": (
        ("--summary=manifest.csv/s.json", *SMALL_BASE),
        "--summary=manifest.csv/s.json cannot be written",
    ),
    "mistyped option": (("--shardsize=3",), "the argument '--shardsize=3'; did you mean --shard_size"),
    "shard size of nothing": (("--shard_size=0",), "'0' is not a whole number above 0"),
    "ratio above one": (("--max_failure_ratio=2",), "'2' is not between 0 and 1"),
    "a run's name with a slash": (("--run_id=a/b",), "'a/b' is not made of letters, digits"),
    "no time span": (("--time_budget=2 hours",), "'2 hours' is not a time span as 90s, 30m or 2h"),
    "no date": (("--ds=yesterday",), "'yesterday' is not a date"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "pictures", 2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "manifest.csv").write_text("url,label\na.jpg,cat\n")
    return tmp_path


@pytest.mark.parametrize("case", OPTIONS)
def test_bad_input_is_one_sentence(case: str, folder: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    options, sentence = OPTIONS[case]
    given = {option.partition("=")[0] for option in options}
    defaults = [option for option in ("--input=pictures", "--output=store") if option.partition("=")[0] not in given]
    before = sorted(folder.rglob("*"))
    nowhere = "http://127.0.0.1:9"
    done = run("extract", *defaults, *options, KERAS_HOME=str(tmp_path_factory.mktemp("keras")), https_proxy=nowhere)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(folder.rglob("*")) == before


def test_a_store_with_another_spec_is_refused(folder: Path, run: Run) -> None:
    extract(f"--input={folder}/pictures", f"--output={folder}/store", *SMALL_BASE)
    done = run("extract", "--input=pictures", "--output=store", "--pooling=max", "--conv_base=VGG16")
    assert done.returncode == 2
    assert "conv_base is MobileNet in the store, VGG16 was asked" in done.stderr
    assert "pooling is avg in the store, max was asked" in done.stderr
    # What is not given is read from the store, and what is given alike is no difference.
    extract(f"--input={folder}/pictures", f"--output={folder}/store", "--pooling=avg", "--weights=none")


def test_weights_that_do_not_fit(folder: Path, run: Run, mobilenet_weights: Path) -> None:
    done = run(
        "extract", "--input=pictures", "--output=store", "--conv_base=MobileNet", f"--weights={mobilenet_weights}"
    )
    assert done.returncode == 2
    assert "does not fit MobileNet with include_top=False" in done.stderr


def test_inspecting_nothing(run: Run) -> None:
    done = run("inspect", "nowhere")
    assert done.returncode == 2
    assert "There is no feature store at nowhere" in done.stderr
    assert run("inspect").returncode == 2


def test_help_names_every_option_and_its_default(run: Run) -> None:
    done = run("extract", "--help_all")
    assert done.returncode == 0
    for option in ("--input", "--labels_from", "--conv_base_arg", "--layers", "--max_pixels", "--dry_run", "--summary"):
        assert option in done.stdout
