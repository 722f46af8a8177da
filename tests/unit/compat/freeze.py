"""Writes this release's forms into a directory of its name. Once for each minor release, when it is made:

    python -m tests.unit.compat.freeze

Until the release is made its directory may be written anew (``--again``); after that it is never changed: a test that
fails with it says that an installed release would not be spoken to.
"""

import argparse
import json
import shutil
from pathlib import Path

import manager
from tests.unit.compat.disks import write_all
from tests.unit.compat.forms import forms
from tests.unit.compat.samples import samples
from tests.unit.compat.shapes import shapes_of
from tests.unit.compat.stream import BODIES, frame

HERE = Path(__file__).parent
LINES, FRAMES, SHAPES, FILES = "lines.txt", "frames.txt", "shapes.json", "files"


def minor_release() -> str:
    """Of this code."""
    return ".".join(manager.__version__.split(".")[:2])


def freeze(directory: Path) -> None:
    """Write everything into ``directory``, which is there and empty."""
    known = forms()
    lines = [
        f"{name}\t{form.write(sample).decode().rstrip()}\n"
        for name, form in sorted(known.items())
        for sample in samples(name, form)
    ]
    (directory / LINES).write_text("".join(dict.fromkeys(lines)))
    (directory / FRAMES).write_text("".join(f"{name}\t{frame(name).hex()}\n" for name in BODIES))
    (directory / SHAPES).write_text(f"{json.dumps(shapes_of(known), indent=1, sort_keys=True)}\n")
    (directory / FILES).mkdir()
    write_all(directory / FILES)


def main() -> None:
    """Freeze this release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--again", action="store_true", help="the release is not made yet: write it anew")
    directory = HERE / minor_release()
    if parser.parse_args().again and directory.exists():
        shutil.rmtree(directory)
    directory.mkdir()
    freeze(directory)


if __name__ == "__main__":
    main()
