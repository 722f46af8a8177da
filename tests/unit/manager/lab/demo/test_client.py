import re

import pytest

from manager.lab.demo.client import ACCOUNTS, transfer


@pytest.mark.parametrize("number", range(1, 300))
def test_a_transfer_makes_no_money_and_takes_the_accounts_in_order(number: int) -> None:
    script = transfer(number)
    changes = re.findall(r"balance \+ (-?\d+) WHERE id = (\d+);", script)
    assert sum(int(change) for change, _ in changes) == 0
    accounts = [int(account) for _, account in changes]
    assert accounts == sorted(set(accounts))
    assert all(0 <= account < ACCOUNTS for account in accounts)


def test_it_is_said_to_be_done_only_after_its_commit() -> None:
    lines = transfer(7).splitlines()
    assert lines[0] == "BEGIN;"
    assert lines[-2:] == ["COMMIT;", "\\warn done 7"]
