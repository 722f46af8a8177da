import pytest

from manager.cli.main import build_parser


@pytest.mark.parametrize(("words", "module"), [(["state"], ""), (["state", "db"], "db")])
def test_state_is_of_all_modules_or_of_one(words: list[str], module: str) -> None:
    assert build_parser(with_lab=False).parse_args(words).module == module


def test_state_refuses_what_is_no_name() -> None:
    with pytest.raises(SystemExit):
        build_parser(with_lab=False).parse_args(["state", "9 lives"])
