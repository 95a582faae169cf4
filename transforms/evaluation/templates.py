"""Templates: the HTML of reports by Jinja, everything that is put into it escaped."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Final

from transforms.evaluation.metrics import interval_text, score_text

if TYPE_CHECKING:
    import jinja2
    import markupsafe


_FOLDER: Final = Path(__file__).parent


def render(template: str, folder: Path = _FOLDER, **values: object) -> "markupsafe.Markup":
    """Returns HTML.

    Args:
        template: The name of a file.
        folder: Where it is; beside this module unless another is named.
        values: What the template names; HTML that was rendered before is put in as it is, all other text is escaped.
    """
    import markupsafe

    return markupsafe.Markup(_environment(folder).get_template(template).render(values))  # noqa: S704 - it is escaped


@functools.cache
def _environment(folder: Path) -> "jinja2.Environment":
    import jinja2  # Here, as only commands that write a report need it.

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _FOLDER]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(score=score_text, interval=interval_text)
    environment.filters.update(thousands="{:,}".format, tenths="{:.1f}".format, short="{:g}".format)
    return environment
