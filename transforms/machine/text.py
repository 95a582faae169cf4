"""What is printed of a measurement."""

from collections.abc import Iterator
from typing import Final

from schemas.errors import printable
from transforms.machine.agreement import Agreement
from transforms.machine.limit import Measured

A_MILLION: Final = 1_000_000
# What is less than this much faster may be chance.
_FASTER: Final = 1.1
# Features that agree less than this are said to be other ones.
_SAME_COSINE: Final = 0.99
_SECONDS_PER_HOUR: Final = 3600


def measured_text(measured: Measured, command: str) -> str:
    """Returns what is printed: the base alone, pictures, what both allow, and the options that are recommended.

    Args:
        measured: What was measured.
        command: The command line of an extraction as far as the measurement does not decide it.
    """
    lines = [f"{printable(measured.machine)}, {measured.cores} cores; {measured.conv_base}.", ""]
    lines += [*_base_lines(measured), *_picture_lines(measured), *_limit_lines(measured)]
    return "\n".join([*lines, "", *_recommended(measured, command)])


def time_and_cost(images: int, images_per_second: float, price_per_hour: float | None) -> str:
    """Returns how long images take, and what that costs.

    >>> time_and_cost(1_000_000, 50.0, 0.1)
    '5.6 h, cost 0.56'
    """
    hours = images / images_per_second / _SECONDS_PER_HOUR
    time = f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
    return time if price_per_hour is None else f"{time}, cost {hours * price_per_hour:,.2f}"


def _base_lines(measured: Measured) -> Iterator[str]:
    yield "The base alone               batch  streams  images/s"
    best = measured.best(measured.precision)
    for base in measured.bases:
        mark = "  fastest" if base is best else ""
        name = f"{base.engine}, {base.precision}"
        yield f"  {name:<26} {base.batch_size:>5}  {base.streams:>7}  {base.images_per_second:>8.1f}{mark}"


def _picture_lines(measured: Measured) -> Iterator[str]:
    costs = measured.pictures
    yield ""
    if costs is None:
        yield "No pictures were named (--input), so nothing is known of reading and decoding them."
        return
    bad = f", {costs.unreadable} more cannot be read" if costs.unreadable else ""
    yield f"Your pictures                {costs.pictures} of {costs.mean_bytes / 1000:,.0f} kB each{bad}"
    yield f"  read from where they are   {costs.reads_per_second:,.0f} a second, 16 at once"
    for decode, seconds in costs.decode_seconds.items():
        yield f"  decoded, {decode:<17} {1000 * seconds:.1f} ms of a core"
    if measured.agreements:
        yield ""
        yield "Features beside float32, exact     cosine    least   largest difference"
        yield from (_agreement_line(each) for each in measured.agreements)


def _agreement_line(each: Agreement) -> str:
    return f"  {each.how:<30} {each.cosine:>8.5f} {each.least_cosine:>8.5f}   {each.largest_difference:.1%}"


def _limit_lines(measured: Measured) -> Iterator[str]:
    yield ""
    yield "What this machine allows           images/s   a million"
    for precision in measured.precisions:
        for decode in ("exact", "scaled") if measured.pictures else ("",):
            limit = measured.limit(precision, decode)
            name = f"{precision}, {decode}" if decode else precision
            yield f"  {name:<30} {limit:>10.1f}   {time_and_cost(A_MILLION, limit, measured.price_per_hour)}"


def _recommended(measured: Measured, command: str) -> Iterator[str]:
    best = measured.best(measured.precision)
    settings = f"--engine={best.engine} --batch_size={best.batch_size}"
    settings += f" --streams={best.streams}" if best.engine == "openvino" else ""
    yield f"Recommended: {command} {settings}"
    now = measured.limit(measured.precision, measured.decode)
    for how, option, limit in _other_ways(measured):
        agreement = measured.agreement(how)
        if limit >= _FASTER * now and agreement is not None:
            features = "nearly the same" if agreement.least_cosine >= _SAME_COSINE else "other"
            yield f"{limit / now:.1f} times as fast in another store, with {features} features: --{option}={how}"


def _other_ways(measured: Measured) -> Iterator[tuple[str, str, float]]:
    for precision in measured.precisions:
        if precision != measured.precision:
            yield precision, "precision", measured.limit(precision, measured.decode)
    if measured.pictures is not None and measured.decode == "exact":
        yield "scaled", "decode", measured.limit(measured.precision, "scaled")
