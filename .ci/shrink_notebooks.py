"""Store the pictures of executed notebooks in 64 colours, a quarter of the size.

`make notebooks` does it: python .ci/shrink_notebooks.py NOTEBOOK...
"""

import base64
import io
import sys
from pathlib import Path

import nbformat
from PIL import Image

COLOURS = 64


def shrink(picture: str) -> str:
    """Palettise a base64-encoded PNG; one that does not get smaller stays as it is."""
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    flat = Image.new("RGB", image.size, "white")
    mask = image.getchannel("A") if image.mode == "RGBA" else None
    flat.paste(image, mask=mask)
    file = io.BytesIO()
    flat.quantize(COLOURS).save(file, "PNG", optimize=True)
    smaller = base64.b64encode(file.getvalue()).decode()
    return min(smaller, picture, key=len)


def shrink_notebook(path: Path) -> None:
    """Rewrite a notebook with smaller pictures."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = shrink(data["image/png"])
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        shrink_notebook(Path(name))
