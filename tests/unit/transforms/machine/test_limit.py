"""What a machine allows follows from what was measured; what is kept of it with a store comes back."""

from pathlib import Path

import pytest

from transforms.machine import (
    Agreement,
    BaseSpeed,
    Measured,
    PictureCosts,
    composite_limit,
    find_measured,
    keep_measured,
    measured_text,
    this_processor,
    time_and_cost,
)
from transforms.machine.kept import FILE
from transforms.runtime import available_cores

MEASURED = Measured(
    machine="Some CPU",
    cores=2,
    measured_at="2026-01-31T12:00:00+00:00",
    conv_base="MobileNet at 224 × 224 pixels",
    precision="float32",
    decode="exact",
    bases=(
        BaseSpeed("openvino", "float32", 1, 2, 80.0),
        BaseSpeed("openvino", "float32", 2, 2, 100.0),
        BaseSpeed("openvino", "float32", 2, 1, 70.0),
        BaseSpeed("openvino", "bfloat16", 2, 2, 200.0),
    ),
    pictures=PictureCosts(48, 1, 110_000.0, 900.0, {"exact": 0.01, "scaled": 0.002}),
    agreements=(Agreement("bfloat16", 48, 0.995, 0.991, 0.02), Agreement("scaled", 48, 0.9999, 0.97, 0.01)),
    price_per_hour=0.1,
)


def test_base_and_decoding_share_the_cores() -> None:
    assert composite_limit(100.0, 0.01, 2) == pytest.approx(1 / (0.01 + 0.005))
    assert MEASURED.limit("float32", "exact") == pytest.approx(66.67, abs=0.01)
    assert MEASURED.limit("bfloat16", "scaled") == pytest.approx(1 / (0.005 + 0.001))
    assert MEASURED.best("float32").batch_size == 2


def test_no_more_images_than_are_read() -> None:
    slow = PictureCosts(48, 0, 110_000.0, 20.0, {"exact": 0.01, "scaled": 0.002})
    by_storage = Measured.from_dict({**MEASURED.to_dict(), "pictures": slow.to_dict()})
    assert by_storage.limit("float32", "exact") == 20.0
    assert Measured.from_dict({**MEASURED.to_dict(), "pictures": None}).limit("float32", "exact") == 100.0


def test_hours_and_what_they_cost() -> None:
    assert time_and_cost(1_000_000, 50.0, 0.1) == "5.6 h, cost 0.56"
    assert time_and_cost(3000, 50.0, None) == "1.0 min"


def test_the_text_names_the_fastest_settings_and_other_ways() -> None:
    text = measured_text(MEASURED, "python -m pipelines.extract --input=IMAGES --output=STORE")
    assert (
        "Recommended: python -m pipelines.extract --input=IMAGES --output=STORE --engine=openvino --batch_size=2 "
        "--streams=2\n"
    ) in text
    assert "1.5 times as fast in another store, with nearly the same features: --precision=bfloat16" in text
    assert "1.4 times as fast in another store, with other features: --decode=scaled" in text
    assert "4.2 h, cost 0.42" in text
    assert [line.split()[-1] for line in text.splitlines() if line.endswith("fastest")] == ["fastest"]
    assert "(--input)" in measured_text(Measured.from_dict({**MEASURED.to_dict(), "pictures": None}), "extract")


def test_the_measurement_of_each_machine_is_kept(tmp_path: Path) -> None:
    here = Measured.from_dict({**MEASURED.to_dict(), "machine": this_processor(), "cores": available_cores()})
    assert find_measured(str(tmp_path)) is None
    keep_measured(str(tmp_path), MEASURED)
    assert find_measured(str(tmp_path)) is None
    keep_measured(str(tmp_path), here)
    keep_measured(str(tmp_path), MEASURED)
    assert find_measured(str(tmp_path)) == here


@pytest.mark.parametrize(
    "damaged", ["", "[]", "{", '{"MACHINE": 1}', '{"MACHINE": {"cores": 2}}', '{"MACHINE": EMPTY}']
)
def test_a_damaged_file_counts_for_nothing(damaged: str, tmp_path: Path) -> None:
    empty = Measured.from_dict({**MEASURED.to_dict(), "bases": []}).to_json()
    name = f"{this_processor()}, {available_cores()} cores"
    (tmp_path / FILE).write_text(damaged.replace("MACHINE", name).replace("EMPTY", empty))
    assert find_measured(str(tmp_path)) is None
    keep_measured(str(tmp_path), MEASURED)
