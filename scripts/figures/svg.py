"""A drawing of matplotlib's in about half the bytes: it looks the same, and each style is stated once."""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

_SVG = "{http://www.w3.org/2000/svg}"
_PLACED = ("d", "x", "y", "width", "height", "transform")
"""Attributes with coordinates."""


def compact(picture: bytes) -> bytes:
    """The drawing with coordinates in hundredths of a point, which the eye does not see, and styles as classes.

    Metadata, comments, identifiers that nothing refers to and groups without attributes are left out; what is drawn,
    and its order, stay.
    """
    ElementTree.register_namespace("", _SVG.strip("{}"))
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(_numbered(picture))
    values = [value for element in root.iter() for value in element.attrib.values()]
    _tidy(root, {name for value in values for name in re.findall(r"#([\w-]+)", value)})
    _share_styles(root)
    return ElementTree.tostring(root, encoding="utf-8") + b"\n"


def _numbered(picture: bytes) -> bytes:
    """The picture with its identifiers numbered: matplotlib's depend on the last bits of computed positions."""
    names = dict.fromkeys(re.findall(rb'(?<=id=")[mp][0-9a-f]{10}(?=")', picture))
    for number, name in enumerate(names):
        picture = picture.replace(name, b"%c%d" % (name[:1], number))
    return picture


def _tidy(element: Element, used: set[str]) -> None:
    """Round the coordinates of an element and of those in it; drop identifiers but the `used`, and bare groups."""
    if element.get("id") not in used:
        element.attrib.pop("id", None)
    if element.get("transform", "").startswith("rotate(-0 "):  # every text that is not turned
        del element.attrib["transform"]
    for name in _PLACED:
        if name in element.attrib:
            element.set(name, _rounded(element.attrib[name]))
    for child in element:
        _tidy(child, used)
    if element.tag not in (f"{_SVG}text", f"{_SVG}tspan"):  # there blanks may count
        kept = [each for child in element for each in (child if _is_bare(child) else [child])]
        element[:] = [child for child in kept if child.tag != f"{_SVG}metadata"]
        element.text = element.text and element.text.strip()
        for child in element:
            child.tail = "\n"


def _is_bare(element: Element) -> bool:
    return element.tag == f"{_SVG}g" and not element.attrib


def _rounded(coordinates: str) -> str:
    """Hundredths, and no blanks around the letters of a path."""
    hundredths = re.sub(r"-?\d+\.\d+", lambda number: f"{round(float(number[0]), 2) + 0:g}", coordinates)
    return re.sub(r"\s*\b([A-Za-z])\b\s*", r"\1", hundredths).strip()


def _share_styles(root: Element) -> None:
    """Move the styles that several elements have into classes."""
    counts = Counter(style for element in root.iter() if (style := element.get("style")))
    shared = {style: f"c{number}" for number, style in enumerate(style for style, n in counts.items() if n > 1)}
    for element in root.iter():
        if element.get("style") in shared:
            element.set("class", shared[element.attrib.pop("style")])
    sheet = root.find(f".//{_SVG}style")
    if sheet is not None:
        sheet.text = "\n".join([sheet.text or "", *(f".{name} {{{style}}}" for style, name in shared.items())])
