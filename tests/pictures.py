"""Writes pictures of all kinds into a folder, and what they should become: called by tests/pictures.rs as

    python pictures.py FOLDER SIDE

FOLDER/set/train/all/*, and FOLDER/expected with SIDE * SIDE * 3 bytes a picture in the order of names: turned as EXIF says, in front
of white, resized and cropped as torchvision's Resize(SIDE) and CenterCrop(SIDE) do with Pillow.
"""

import os
import sys

from PIL import Image, ImageOps

folder, side = sys.argv[1], int(sys.argv[2])


def pattern(width, height, channels):
    """Waves and an edge, different in every channel."""
    data = bytearray()
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                data.append((x * (c + 2) * 3 + y * 5 + (90 if x > y else 0) + c * 60) % 256 // 2 + 60)
    return bytes(data)


def picture(mode, size):
    return Image.frombytes(mode, size, pattern(*size, len(mode)))


def prepared(image):
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    width, height = image.size
    fit = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    image = image.resize(fit, Image.BILINEAR)
    left, top = (int(round((length - side) / 2.0)) for length in fit)
    return image.crop((left, top, left + side, top + side))


os.makedirs(f"{folder}/set/train/all")
turned = Image.Exif()
turned[0x0112] = 6  # to be turned by a quarter
files = {
    "alpha.png": (picture("RGBA", (90, 61)), {}),
    "bitmap.bmp": (picture("RGB", (77, 130)), {}),
    "grey.jpg": (picture("L", (120, 80)), {"quality": 95}),
    "grey_alpha.png": (picture("LA", (50, 70)), {}),
    "large.png": (picture("RGB", (400, 301)), {}),
    "palette.png": (picture("RGB", (64, 48)).quantize(64), {}),
    "photo.jpg": (picture("RGB", (203, 151)), {"quality": 95, "subsampling": 0}),
    "small.png": (picture("RGB", (11, 9)), {}),
    "turned.jpg": (picture("RGB", (96, 64)), {"quality": 95, "subsampling": 0, "exif": turned}),
    "web.webp": (picture("RGB", (88, 99)), {"lossless": True}),
    "web_lossy.webp": (picture("RGB", (140, 60)), {"quality": 95}),
}
with open(f"{folder}/expected", "wb") as expected:
    for name in sorted(files):
        image, how = files[name]
        path = f"{folder}/set/train/all/{name}"
        image.save(path, **how)
        expected.write(prepared(Image.open(path)).tobytes())
print(" ".join(sorted(files)))
