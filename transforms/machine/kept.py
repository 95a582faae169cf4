"""Measurements that are kept with a store, the last one of each machine, so that plans of runs can tell their time."""

import json
import logging
from typing import Final

from schemas.errors import first_line
from schemas.serialisation import json_object
from schemas.storage import file_system, join, write_file
from schemas.store import FeatureStore
from transforms.conv_bases import EngineName
from transforms.machine.bases import BaseSpeed, measure_bases
from transforms.machine.limit import Measured, measured_base, this_processor
from transforms.runtime import available_cores

FILE: Final = "measured.json"
_SECONDS_PER_SETTING: Final = 1.5
_LOGGER: Final = logging.getLogger(__name__)


def keep_measured(store_uri: str, measured: Measured) -> None:
    """Writes a measurement into the folder of a store, in the place of that of the same machine.

    Raises:
        OSError: If it cannot be written.
    """
    kept = {**_kept(store_uri), _name(measured.machine, measured.cores): measured.to_dict()}
    write_file(join(store_uri, FILE), (json.dumps(kept, indent=2) + "\n").encode())


def find_measured(store_uri: str) -> Measured | None:
    """Returns what was measured of this machine for a store, or None; a file that is damaged counts for nothing."""
    found = _kept(store_uri).get(_name(this_processor(), available_cores()))
    if found is None:
        return None
    try:
        measured = Measured.from_dict(found if isinstance(found, dict) else {})
        measured.limit(measured.precision, measured.decode)
    except (ValueError, KeyError, ZeroDivisionError) as error:
        _LOGGER.warning("%s is damaged, and not used: %s", join(store_uri, FILE), first_line(error))
        return None
    return measured


def fastest_settings(store: FeatureStore, engine: EngineName) -> BaseSpeed:
    """Returns the fastest settings for a store on this machine: those that are kept, or else measured now, and kept.

    Raises:
        RunFailed: If this machine does not compute in the precision of the store.
    """
    measured, precision = find_measured(store.uri), store.spec.precision
    if measured is None or not measured.has(engine, precision):
        shape = store.spec.resolved_input_shape
        speeds = measure_bases(store.conv_base(), shape, engine, [precision], _SECONDS_PER_SETTING)
        measured = measured_base(store.spec, speeds)
        try:
            keep_measured(store.uri, measured)
        except OSError as error:
            _LOGGER.warning("What was measured cannot be kept in %s: %s", store.uri, first_line(error))
    return measured.best(precision)


def _kept(store_uri: str) -> dict[str, object]:
    fs, path = file_system(join(store_uri, FILE))
    try:
        return json_object(fs.cat_file(path))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        _LOGGER.warning("%s is damaged, and not used: %s", join(store_uri, FILE), first_line(error))
        return {}


def _name(machine: str, cores: int) -> str:
    return f"{machine}, {cores} cores"
