"""Pages of pictures: thumbnails on sheets, the page of an exploration, the hits of a search, unsure predictions.

Names are imported when they are first used, so that a command imports what it needs and no more.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transforms.gallery.hits import hits_html
    from transforms.gallery.least_sure import least_sure_html
    from transforms.gallery.page import page_html
    from transforms.gallery.page_data import FailedImage
    from transforms.gallery.page_rows import shown_rows, wanted_thumbnails
    from transforms.gallery.thumbnails import Thumbnails, draw_thumbnails, sheet_name
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "transforms.gallery.hits": ["hits_html"],
            "transforms.gallery.least_sure": ["least_sure_html"],
            "transforms.gallery.page": ["page_html"],
            "transforms.gallery.page_data": ["FailedImage"],
            "transforms.gallery.page_rows": ["shown_rows", "wanted_thumbnails"],
            "transforms.gallery.thumbnails": ["Thumbnails", "draw_thumbnails", "sheet_name"],
        },
    )

__all__ = [
    "FailedImage",
    "Thumbnails",
    "draw_thumbnails",
    "hits_html",
    "least_sure_html",
    "page_html",
    "sheet_name",
    "shown_rows",
    "wanted_thumbnails",
]
