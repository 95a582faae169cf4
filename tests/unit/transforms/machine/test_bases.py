"""A conv base is measured beside itself, so that what else the machine does meanwhile slows down both."""

import openvino
import pytest

from schemas.spec import FeatureSpec
from schemas.storage import PublishedBase
from transforms.conv_bases.publishing import prepare_conv_base
from transforms.machine import speed_against_float32

SHAPE = (64, 64, 3)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> PublishedBase:
    folder = tmp_path_factory.mktemp("base")
    spec = FeatureSpec("MobileNet", {"alpha": 0.25}, weights="none", input_shape=SHAPE)
    return prepare_conv_base(spec, folder).publish(str(folder / "store"))


def test_the_speed_of_float32_against_itself_is_its_own(published: PublishedBase) -> None:
    assert 0.3 < speed_against_float32(published, "float32", SHAPE) < 3
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert 0.05 < speed_against_float32(published, "bfloat16", SHAPE) < 20
