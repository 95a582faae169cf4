"""Conv bases of Keras itself: every builder that `keras.applications` has, found rather than listed.

Keras is imported when a function here is called, never before: it takes seconds.
"""

import contextlib
import dataclasses
import hashlib
import inspect
import re
import sys
import urllib.error
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import numpy as np

from schemas.errors import InvalidSpec, WeightsUnavailable, first_line, nearest_names
from schemas.spec import IMAGENET, NO_WEIGHTS, ConvBaseArg, FeatureSpec
from transforms.origins.keras_bases import KerasNetwork
from transforms.origins.saved_files import read_saved_files, sha256_of_files
from transforms.runtime import import_openvino, temporary_folder

if TYPE_CHECKING:
    import keras

RANDOM_WEIGHTS_SEED: Final = 0

# Arguments of a builder that have a field of their own in the spec, or no meaning for features.
_SPEC_ARGUMENTS: Final = frozenset(
    {"include_top", "weights", "input_tensor", "input_shape", "pooling", "classifier_activation", "name"}
)
_SMALLEST_SIDE: Final = re.compile(r"at least (\d+)x\d+")
_DEFAULT_SHAPE: Final = re.compile(r"should be \((\d+), (\d+), 3\)")


@dataclasses.dataclass(frozen=True)
class ConvBaseBuilder:
    """A builder in `keras.applications`.

    Attributes:
        name: Its name, such as `"VGG16"`.
        build: The Keras function.
        preprocess_input: What its own module does to pixels in 0 to 255 before they reach the first layer.
    """

    name: str
    build: Callable[..., "keras.Model"]
    preprocess_input: Callable[[Any], Any]

    def smallest_side(self) -> int:
        """Returns the least height and width in pixels, from what Keras answers to a picture of one pixel."""
        return int(self._complaint(_SMALLEST_SIDE, include_top=False, weights=None)[1])

    def default_input_shape(self) -> tuple[int, int, int]:
        """Returns the input shape with which the base was trained, from what Keras answers to another one.

        Where Keras says nothing of it (MobileNetV3), it is 224 pixels a side.
        """
        try:
            found = self._complaint(_DEFAULT_SHAPE, include_top=True, weights=IMAGENET)
        except LookupError:
            return (224, 224, 3)
        return (int(found[1]), int(found[2]), 3)

    def _complaint(self, pattern: re.Pattern[str], *, include_top: bool, weights: str | None) -> re.Match[str]:
        try:
            self.build(input_shape=(1, 1, 3), include_top=include_top, weights=weights)
        except ValueError as error:
            found = pattern.search(str(error))
            if found:
                return found
        raise LookupError(f"Keras does not say what input shapes {self.name} takes.")

    def check_args(self, args: Mapping[str, ConvBaseArg]) -> None:
        """Refuses arguments that the builder does not take.

        Raises:
            InvalidSpec: If there is one.
        """
        known = [name for name in inspect.signature(self.build).parameters if name not in _SPEC_ARGUMENTS]
        for name in args:
            if name not in known:
                raise InvalidSpec(f"{self.name} takes no argument '{name}'{nearest_names(name, known)}")


def conv_base_builders() -> dict[str, ConvBaseBuilder]:
    """Returns every builder of `keras.applications` by name, with the `preprocess_input` of its own module."""
    import keras

    builders = {}
    for name, build in inspect.getmembers(keras.applications, inspect.isfunction):
        module = getattr(keras.applications, build.__module__.rpartition(".")[2])
        builders[name] = ConvBaseBuilder(name, build, module.preprocess_input)
    return builders


def find_builder(name: str) -> ConvBaseBuilder:
    """Returns a builder by its name.

    Raises:
        InvalidSpec: If `keras.applications` has none of that name.
    """
    builders = conv_base_builders()
    if name not in builders:
        raise InvalidSpec(f"Keras has no conv base '{name}'{nearest_names(name, builders)}")
    return builders[name]


def with_input_shape(spec: FeatureSpec) -> FeatureSpec:
    """Checks the conv base, its arguments and the input shape, and fills the latter in where it is open.

    Raises:
        InvalidSpec: If the conv base is unknown, takes no such argument, or cannot take pictures of that shape.
    """
    builder = find_builder(spec.conv_base)
    builder.check_args(spec.conv_base_args)
    default = builder.default_input_shape()
    if spec.input_shape is None:
        return dataclasses.replace(spec, input_shape=default)
    height, width, _ = spec.input_shape
    smallest = builder.smallest_side()
    if min(height, width) < smallest:
        raise InvalidSpec(f"{spec.conv_base} takes no side below {smallest} pixels; input_shape is {height},{width},3.")
    if spec.include_top and spec.input_shape != default:
        raise InvalidSpec(
            f"include_top needs the input shape that the classifier of {spec.conv_base} was trained with, "
            f"{','.join(map(str, default))}; leave --input_shape or --include_top out."
        )
    return spec


def load_built(spec: FeatureSpec) -> tuple[FeatureSpec, KerasNetwork]:
    """Builds the Keras application of a spec, and returns it with the spec, its input shape filled in.

    Raises:
        InvalidSpec: If Keras cannot build it.
        WeightsUnavailable: If the weights cannot be had or do not fit.
    """
    if spec.preprocess is not None:
        raise InvalidSpec(f"{spec.conv_base} has a preprocessing of its own; preprocess is for saved networks.")
    shaped = with_input_shape(spec)
    builder = find_builder(spec.conv_base)
    model, sha256 = load_application(shaped)
    limits = f"Smallest side: {builder.smallest_side()} pixels, three channels."
    return shaped, KerasNetwork(model, sha256, builder.preprocess_input, limits)


def load_application(spec: FeatureSpec) -> tuple["keras.Model", str]:
    """Builds the Keras application of a spec as Keras makes it, whole and without preprocessing, and loads its weights.

    Auto-numbered layers (`conv2d_93` in InceptionV3) are numbered from the start each time, so that a layer's name does
    not depend on what was built before; this resets Keras's global state (`keras.utils.clear_session`).

    Args:
        spec: A spec whose input shape is filled in.

    Returns:
        The model and the SHA-256 of its weights: of the file, or of the tensors where there is none.

    Raises:
        InvalidSpec: If Keras refuses the arguments.
        WeightsUnavailable: If the weights cannot be had, are not the ones of the spec, or do not fit.
    """
    import keras

    keras.utils.clear_session()
    keras.config.set_image_data_format("channels_last")
    builder = find_builder(spec.conv_base)

    def build(weights: str | None) -> "keras.Model":
        try:
            return builder.build(
                include_top=spec.include_top, weights=weights, input_shape=spec.input_shape, **spec.conv_base_args
            )
        except (ValueError, TypeError) as error:
            raise InvalidSpec(f"{spec.conv_base} cannot be built so: {first_line(error)}") from error

    if spec.weights == NO_WEIGHTS:
        keras.utils.set_random_seed(RANDOM_WEIGHTS_SEED)
        model = build(None)
        sha256 = _settle_random_weights(model)
    elif spec.weights == IMAGENET:
        with _recorded_downloads() as paths:
            model = build(IMAGENET)
        sha256 = hashlib.sha256(Path(paths[-1]).read_bytes()).hexdigest()
    else:
        model = build(None)
        sha256 = _load_weights_file(model, spec)
    if spec.weights_sha256 not in {None, sha256}:
        raise WeightsUnavailable(
            f"The weights {spec.weights} have the SHA-256 {sha256}, the spec says {spec.weights_sha256}."
        )
    return model, sha256


def _load_weights_file(model: "keras.Model", spec: FeatureSpec) -> str:
    files = read_saved_files(spec.weights)
    name, data = next(iter(files.items()))
    with temporary_folder() as folder:
        # Keras knows the kind of file by its name.
        path = Path(folder, name)
        path.write_bytes(data)
        try:
            model.load_weights(path)
        except (ValueError, OSError, KeyError) as error:
            raise WeightsUnavailable(
                f"The weights file {spec.weights} does not fit {spec.conv_base} "
                f"with include_top={spec.include_top}: {first_line(error)}"
            ) from error
    return sha256_of_files(files)


def _settle_random_weights(model: "keras.Model") -> str:
    """Makes the random tensors constants, and returns the SHA-256 of their names, shapes and values."""
    import keras

    if keras.config.backend() == "openvino":
        _evaluate_initial_values(model)
    digest = hashlib.sha256()
    for variable in model.variables:
        value = np.asarray(keras.ops.convert_to_numpy(variable))
        digest.update(f"{variable.path} {value.shape} {value.dtype}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _evaluate_initial_values(model: "keras.Model") -> None:
    """Makes constants of the initial values that Keras's OpenVINO backend (3.15) keeps as graphs, all in one graph.

    Most are ones and zeros. Keras itself would compile one graph a tensor: 20 ms each, half a minute for all of
    InceptionResNetV2.
    """
    openvino = import_openvino()
    waiting = [
        variable for variable in model.variables if variable.value.output.get_node().get_type_name() != "Constant"
    ]
    if not waiting:
        return
    network = openvino.Model([variable.value.output for variable in waiting], [])
    values = openvino.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({})
    for index, variable in enumerate(waiting):
        variable.assign(np.array(values[index]))


@contextlib.contextmanager
def _recorded_downloads() -> Iterator[list[str]]:
    """Records the files that Keras fetches while it builds; Keras itself checks the hashes that it publishes.

    How far a download is, Keras shows on a terminal alone.

    Raises:
        WeightsUnavailable: If a file cannot be fetched.
    """
    import keras
    from keras.src.utils import file_utils

    if not sys.stdout.isatty():
        keras.utils.disable_interactive_logging()
    paths: list[str] = []
    get_file = file_utils.get_file

    def recorded(*args: Any, **kwargs: Any) -> str:
        try:
            paths.append(str(get_file(*args, **kwargs)))
        except Exception as error:
            # Keras raises a bare Exception for a failed download, with the cause as its context.
            if not isinstance(error, OSError) and not isinstance(error.__context__, urllib.error.URLError):
                raise
            raise WeightsUnavailable(
                f"The imagenet weights cannot be downloaded ({first_line(error)}); "
                "download the file elsewhere and name it with --weights=FILE."
            ) from error
        return paths[-1]

    with mock.patch.object(file_utils, "get_file", recorded):
        yield paths
