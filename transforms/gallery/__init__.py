"""Pages of pictures: thumbnails on sheets, the page of an exploration, the hits of a search."""

from transforms.gallery.hits import hits_html
from transforms.gallery.page import FailedImage, page_html, shown_rows, wanted_thumbnails
from transforms.gallery.thumbnails import Thumbnails, draw_thumbnails, sheet_name

__all__ = [
    "FailedImage",
    "Thumbnails",
    "draw_thumbnails",
    "hits_html",
    "page_html",
    "sheet_name",
    "shown_rows",
    "wanted_thumbnails",
]
