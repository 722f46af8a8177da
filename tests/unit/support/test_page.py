"""What a page says is taken as it stands, and what cannot be taken is refused with its line."""

import pytest

from tests.support.page import ByHand, Command, PageError, difference, steps_of

PAGE = """\
# A page

Some words, and `code` in them.

```console
root@alpha:~# one --word
it says
  this
root@beta:~# two \\
    --more
root@beta:~# cat > /etc/file <<'END'
a = 1

root@alpha:~# no prompt
END
```

```hand
Pull the plug.
```
"""


def test_each_command_with_its_machine_its_lines_and_its_answer() -> None:
    one, two, written, hand = steps_of(PAGE)
    assert one == Command(6, "alpha", "one --word", ("it says", "  this"))
    assert two == Command(9, "beta", "two \\\n    --more", ())
    assert isinstance(written, Command) and written.written == ("/etc/file", "a = 1\n\nroot@alpha:~# no prompt\n")
    assert isinstance(one, Command) and one.written is None
    assert hand == ByHand(19, "Pull the plug.")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("```sh\nls\n```\n", "line 1: a block 'sh'"),
        ("```\nls\n```\n", "line 1: a block ''"),
        ("```console\nls\n```\n", "line 2: no prompt"),
        ("```console\nroot@alpha:/srv# ls\n```\n", "line 2: no prompt"),
        ("words\n\n    ls\n", "line 3: a block by its indentation"),
        ("```console\nroot@alpha:~# ls\n", "line 1: a block without an end"),
        ("```console\nroot@alpha:~# cat > x <<'END'\na\n```\n", "line 2: no line END"),
        ("```console\nroot@alpha:~# ls \\\n```\n", "line 2: a command without an end"),
        ("```console\nroot@alpha:~# cd /srv\n```\n", "line 2: 'cd /srv' would be forgotten"),
        ("```console\nroot@alpha:~# export A=1\n```\n", "would be forgotten"),
    ],
)
def test_what_nobody_would_run_is_refused(text: str, words: str) -> None:
    with pytest.raises(PageError, match=words):
        steps_of(text)


def test_a_file_that_is_written_among_other_things_is_none_that_can_be_compared() -> None:
    text = "```console\nroot@alpha:~# cat > x <<'END' && ls\na\nEND\n```\n"
    (step,) = steps_of(text)
    assert isinstance(step, Command) and step.written is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (("a b",), "a    b\n"),
        (("good until ...",), "good until 2028-11-25\n"),
        (("... of 3",), "2 of 3\n"),
        (("...", "last"), "first\nsecond\nlast\n"),
        (("...", "last"), "last\n"),
        (("first", "..."), "first\n"),
        (("a (b) [c].*",), "a (b) [c].*\n"),
        (("  x",), "x"),
        (("a",), "a\n\n"),
    ],
)
def test_what_is_as_shown(answer: tuple[str, ...], said: str) -> None:
    assert difference(answer, said) == ""


@pytest.mark.parametrize(
    ("answer", "said", "words"),
    [
        (("a",), "b\n", "the page's line 'a' was not"),
        (("a", "b"), "a\n", "the page's line 'b' was not"),
        (("a",), "a\nb\n", "nothing more is shown on the page"),
        (("good until ...",), "bad until 2028\n", "'good until ...'"),
        (("a ... b",), "a\nb\n", "'a ... b'"),
        (("...", "last"), "first\nlast\nmore\n", "nothing more"),
        (("a.b",), "axb\n", "'a.b'"),
        (("ab",), "a b\n", "'ab'"),
    ],
)
def test_what_is_not_as_shown_is_named(answer: tuple[str, ...], said: str, words: str) -> None:
    assert words in difference(answer, said)
