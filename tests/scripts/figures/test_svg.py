"""A drawing made smaller shows the same: each element, where it was and in its style."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from scripts.figures.style import axes, svg
from scripts.figures.svg import compact

NUMBER = re.compile(r"-?\d*\.?\d+")


@pytest.fixture(scope="module")
def picture():
    """A drawing with lines, bars, a band, an image, a legend and texts, as matplotlib writes it."""
    figure, [[left, right]] = axes(1, 2, 2.0, 2.0)
    left.errorbar([1, 10, 100], [0.1, 0.2, 1 / 3], yerr=0.05, marker="o", label="a < b & c")
    left.fill_between([1, 100], [0.1, 0.2], [0.2, 0.3], alpha=0.25)
    left.set(xscale="log", ylabel="L2")
    left.legend()
    right.imshow(np.eye(3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scripts.figures.style.compact", lambda written: written)
        return svg(figure)


def shown(picture):
    """Name, style, text and coordinates of what is drawn, in order."""
    root = ElementTree.fromstring(picture)
    styles = dict(re.findall(r"\.(c\d+) \{(.*?)\}", "".join(each.text for each in root.iter() if "style" in each.tag)))
    found = []
    for element in root.iter():
        name = element.tag.split("}")[1]
        if name in ("path", "use", "text", "tspan", "image", "rect"):
            style = element.get("style") or styles.get(element.get("class"))
            transform = element.get("transform", "")
            places = [element.get(key, "") for key in ("d", "x", "y", "width", "height")]
            places += [] if transform.startswith("rotate(-0 ") else [transform]
            words = re.findall("[a-zA-Z]", "".join(places)), (element.text or "").strip()
            found.append((name, style, *words, [float(number) for number in NUMBER.findall(" ".join(places))]))
    return found


def test_a_smaller_drawing_shows_the_same_elements_in_hundredths_of_a_point(picture):
    before, after = shown(picture), shown(compact(picture))
    assert [each[:-1] for each in after] == [each[:-1] for each in before]
    assert {each[0] for each in after} == {"path", "use", "text", "tspan", "image", "rect"}
    for ours, theirs in zip(after, before, strict=True):
        np.testing.assert_allclose(ours[-1], theirs[-1], atol=0.0051)
    assert len(compact(picture)) < 0.6 * len(picture)


def test_what_a_smaller_drawing_refers_to_is_in_it(picture):
    root = ElementTree.fromstring(compact(picture))
    values = [value for element in root.iter() for name, value in element.attrib.items() if name != "style"]
    named = {name for value in values for name in re.findall(r"(?:^#|url\(#)([\w-]+)", value)}
    assert named
    assert named == {element.get("id") for element in root.iter()} - {None}
