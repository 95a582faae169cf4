"""What is planted among pictures to be found again: near-copies."""

from pathlib import Path

from PIL import Image, ImageEnhance

KINDS_OF_COPY = 4


def save_copy(original: Path, kind: int, copy: Path) -> None:
    """Saves a picture recompressed, resized, cropped by 5 % or brightened."""
    picture = Image.open(original).convert("RGB")
    width, height = picture.size
    x, y = round(width * 0.025), round(height * 0.025)
    changed = (
        lambda: picture,
        lambda: picture.resize((round(width * 0.6), round(height * 0.6))),
        lambda: picture.crop((x, y, width - x, height - y)),
        lambda: ImageEnhance.Brightness(picture).enhance(1.2),
    )[kind]()
    changed.save(copy, quality=50 if kind == 0 else 90)
