"""Paths of what is set aside: every name can be shown, typed, and found again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.model.asides import path_bytes, path_text


@given(st.binary(max_size=60))
def test_every_path_comes_back_the_same(path: bytes) -> None:
    text = path_text(path)
    assert path_bytes(text) == path
    text.encode()  # it has no lone surrogate


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"/srv/mail/new", "/srv/mail/new"),
        ("/srv/Übersicht".encode(), "/srv/Übersicht"),
        (b"/srv/\xff\xfe", r"/srv/\xff\xfe"),
        (b"/srv/a\\xff", r"/srv/a\\xff"),
        (b"/srv/two\nlines\x1b[2J", r"/srv/two\x0alines\x1b[2J"),
    ],
)
def test_what_a_path_looks_like(path: bytes, text: str) -> None:
    assert path_text(path) == text


def test_what_a_shell_hands_over_is_taken_as_it_is() -> None:
    assert path_bytes("/srv/\udcff") == b"/srv/\xff"
