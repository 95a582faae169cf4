"""Pages of pictures: thumbnails on sheets, the page of an exploration, the hits of a search, unsure predictions."""

from transforms.gallery.hits import hits_html
from transforms.gallery.least_sure import least_sure_html
from transforms.gallery.page import page_html
from transforms.gallery.page_data import FailedImage
from transforms.gallery.page_rows import shown_rows, wanted_thumbnails
from transforms.gallery.thumbnails import Thumbnails, draw_thumbnails, sheet_name

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
