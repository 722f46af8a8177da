"""What of configuration, scripts, records and logs is taken out of a snapshot, and what is left to be read."""

import dataclasses
import importlib
import json
import pkgutil

import pytest

import manager.model
from manager.cli.snapshot.masking import MASK, masked, masked_json, masked_log, masked_plain
from manager.cli.snapshot.secret_names import is_secret_name

SECRET = "Xy7-zebra"

SECRET_NAMES = (
    "password", "PASSWORD", "PGPASSWORD", "MYSQL_PWD", "db.password", "db-passwd", "dbPassword", "dbpass", "DB_PASS",
    "passphrase", "secret", "CLIENT_SECRET", "apiKey", "API_KEY", "APIKEY", "AWS_SECRET_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID", "private-key", "PrivateKey", "token", "GITHUB_TOKEN", "accessToken", "Authorization",
    "X-Auth-Token", "Cookie", "SLACK_WEBHOOK", "SLACK_WEBHOOK_URL", "psk", "PresharedKey", "credentials", "requirepass",
    "IPMI_PIN", "LICENSE_KEY",
)  # fmt: skip
HARMLESS_NAMES = (
    "password_file", "PGPASSFILE", "key_file", "cert_file", "key", "keys", "public_key", "primary_key", "bypass",
    "passthrough", "passed", "author", "monkey", "call_timeout", "token_ttl", "compass", "spin", "mapping", "keepalive",
    "password_encryption", "user", "START_COMMAND",
)  # fmt: skip


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_of_a_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_a_harmless_name(name: str) -> None:
    assert not is_secret_name(name)


def test_nothing_of_our_own_records_calls_and_configuration_is_taken_for_a_secret_by_its_name() -> None:
    names = set()
    for found in pkgutil.walk_packages(manager.model.__path__, "manager.model."):
        for kind in vars(importlib.import_module(found.name)).values():
            if isinstance(kind, type) and dataclasses.is_dataclass(kind):
                names |= {field.name for field in dataclasses.fields(kind)}
    assert len(names) > 200
    assert {name for name in names if is_secret_name(name)} == set()


HIDDEN = (
    'password = "{}"',
    "password = '{}'  # of the database",
    'password = """\n{}\n"""',
    'db-password="{}"',
    '"db password" = 1\n"api-key" = "{}"',
    'tokens = ["a", "{}"]',
    'tokens = [\n  "a",\n  "{}",\n]',
    'env = {{ A = "1", PGPASSWORD = "{}", B = "2" }}',
    "export PGPASSWORD={}",
    "PGPASSWORD='{} with blanks' psql",
    'PGPASSWORD="{} \\" quoted" psql',
    "PASSWORD='first line\n{}\n'",
    'PASSWORD=a"b {}"c',
    "PASSWORD=$(printf '%s' {})",
    "PASSWORD=`echo {}`",
    "PASSWORD+={}",
    ": ${{PASSWORD:={}}}",
    ': "${{PASSWORD:-{}}}"',
    'if [ "$PASSWORD" = "{}" ]; then',
    "password: two words {}",
    "password : {}",
    "password => '{}',",
    "  client_secret: '{}'",
    'curl -H "Authorization: Bearer {}" https://host/',
    "Cookie: session={}; path=/",
    "curl -u admin:{} https://host/",
    "curl --user admin:{} https://host/",
    "curl --data 'password={}&user=a' https://host/",
    "tool --password {} --host h",
    "tool --password={} --host h",
    "tool -password '{} x'",
    "ipmitool -I lanplus -H bmc -U admin -P {} chassis power off",
    "ipmitool -I lanplus -H bmc \\\n  -U admin \\\n  -P '{};' \\\n  chassis power off",
    "/usr/sbin/fence_ipmilan -a bmc -l admin -p {} -o off",
    "sshpass -p{} ssh root@host",
    "mysql -uroot -p{} -h host",
    "redis-cli -a {} ping",
    "openssl rsa -passin pass:{} -in k.pem",
    "requirepass {}",
    "machine h login u password {}",
    "CREATE USER app WITH ENCRYPTED PASSWORD '{}';",
    "CREATE USER app IDENTIFIED BY '{}';",
    "host=db user=app password={} dbname=x",
    "postgresql://app:{}@10.0.0.1/db?sslmode=require",
    "redis://:{}@10.0.0.1:6379/0",
    "amqp://app:a@b{}@10.0.0.1",
    "url = https://{}@git.host/x.git",
    "jdbc:postgresql://h/db?user=a&password={}",
    '{{"password": "{}"}}',
    '{{\\"password\\": \\"{}\\"}}',
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0A\n\n{}=\n"
    "-----END RSA PRIVATE KEY-----",
    "KEY='-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----'",
    "{}AAAA\nBBBB==\n-----END PRIVATE KEY-----",
)


@pytest.mark.parametrize("form", HIDDEN)
def test_a_secret_is_taken_out(form: str) -> None:
    given = form.format("zebra" if "PRIVATE KEY" in form else SECRET)
    for text in (given, f"#!/bin/sh\n{given}\necho done\n", json.dumps({"detail": given}) + "\n"):
        told = masked_log(text)
        assert "zebra" not in told and MASK in told, told
    assert "zebra" not in json.dumps(masked_plain({"scripts": {"fence": given}}))
    assert "echo done" in masked(f"{given}\necho done\n"), "what follows is there to be read"


@pytest.mark.parametrize(
    "text",
    [
        'password_file = "/etc/mirrorfarm/etcd.password"\nkey_file = "/etc/mirrorfarm/pki/node.key"\n',
        "su postgres -c 'pg_ctl start -w'\nexec /srv/app/bin/start --key-file /srv/k --port 5432\n",
        "FATAL: password authentication failed for user app\n",
        "see https://mirrorfarm.example/a:b and ssh://root@host, at 10.0.0.1:2379\n",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        'name = "db"\nkind = "mirror"\nnodes = ["a", "b"]\n[env]\nSTART_COMMAND = "/srv/app/bin/start"\nTOKEN = ""\n',
        "bypass = 1\nif [ $# -gt 0 ]; then echo ok; fi\n",
    ],
)
def test_what_is_no_secret_is_left_as_it_is(text: str) -> None:
    assert masked(text) == text
    assert masked_log(text) == text


def test_the_rest_of_a_command_is_there_to_be_read() -> None:
    assert masked(f"PGPASSWORD={SECRET} psql -h db -c 'select 1'") == f"PGPASSWORD={MASK} psql -h db -c 'select 1'"
    assert masked(f'password = "{SECRET}" # why') == f"password = {MASK} # why"
    assert masked(f"pg://app:{SECRET}@10.0.0.1/db") == f"pg://app:{MASK}@10.0.0.1/db"


def test_tokens_are_known_by_their_looks() -> None:
    for token in ("eyJhbGciOiJI.eyJzdWIiOiIx.c2ln", "ghp_" + "a1" * 15, "AKIA" + "A1" * 8, "$6$salt$" + "h" * 40):
        assert token not in masked(f"said {token} there")


def test_in_a_record_all_that_a_secret_s_name_holds_is_taken_out() -> None:
    plain = {"password": {"old": [SECRET, None], "set": True}, "key": "/mirrorfarm/c/id", "n": 3, "token": 12}
    expected = {"password": {"old": [MASK, None], "set": True}, "key": "/mirrorfarm/c/id", "n": 3, "token": MASK}
    assert masked_plain(plain) == expected
    assert json.loads(masked_json(json.dumps(plain))) == expected
    assert masked_json("no JSON, token=abc") == f"no JSON, token={MASK}"


def test_an_entry_of_a_log_stays_one() -> None:
    lines = [
        {"event": "script.ended", "detail": f"PASSWORD={SECRET}\nexit 1", "duration_ms": 3},
        {"event": "x", "token": SECRET, "level": "info"},
    ]
    first, second = (json.dumps(line) + "\n" for line in lines)
    told = masked_log(f"{first}{second}Traceback\n  password: {SECRET}\n{first}").splitlines()
    assert json.loads(told[0]) == {"event": "script.ended", "detail": f"PASSWORD={MASK}\nexit 1", "duration_ms": 3}
    assert json.loads(told[1])["token"] == MASK
    assert told[2:4] == ["Traceback", f"  password: {MASK}"] and json.loads(told[4]) == json.loads(told[0])


def test_text_that_is_hard_to_look_through_takes_no_time_that_matters() -> None:
    units = ("-", "a-", "key", "'", '"', "a.b-", "password='", "token=$(", "x://", "a b ", "password:", "pin ", "key=[")
    for unit in units:
        masked(unit * (30_000 // len(unit)))
