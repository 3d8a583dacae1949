"""A page is filled between its marks, and stays as it was where they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgrl.experiments.page import fill, link

PAGE = "top\n<!-- one -->\nold\n\n<!-- end one -->\nmiddle\n<!-- two -->\n<!-- end two -->\nend\n"


def test_between_the_marks_and_nowhere_else(tmp_path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    fill(page, {"two": "| a |\n", "one": "new", "three": "nowhere"})
    filled = "top\n<!-- one -->\nnew\n<!-- end one -->\nmiddle\n<!-- two -->\n| a |\n<!-- end two -->\nend\n"
    assert page.read_text() == filled
    fill(page, {"one": "new"})
    assert page.read_text() == filled


def test_a_mark_without_its_end_is_named(tmp_path) -> None:
    page = tmp_path / "page.md"
    page.write_text(broken := PAGE.replace("<!-- end two -->", ""))
    with pytest.raises(ValueError, match=r"page.md` must be <!-- end two --> behind <!-- two -->"):
        fill(page, {"one": "new", "two": "new"})
    assert page.read_text() == broken
    assert list(tmp_path.iterdir()) == [page]


def test_a_link_is_from_where_the_page_is(tmp_path, monkeypatch) -> None:
    assert link(tmp_path / "figures" / "a.png", tmp_path / "page.md") == "figures/a.png"
    assert link(tmp_path / "a.png", tmp_path / "page.md") == "a.png"
    monkeypatch.chdir(tmp_path)
    assert link(Path("a.png"), None) == "a.png"
    assert link(tmp_path.parent / "a.png", None) == "../a.png"
