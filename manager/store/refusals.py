"""What a refusal means for whoever has to mend it: which user, which keys, which certificate. Pure.

etcd and gRPC say neither; what they do say, and what it means for the outcome, is ``failures``' matter.
"""

from collections.abc import Iterator

from manager.store.credentials import Credentials
from manager.store.translate import Message

_PERMISSION_DENIED = "etcdserver: permission denied"
_NOT_CONNECTED = "failed to connect to all addresses"
_BY_TLS = ("TSI_", "andshake failed")
_CLOSED = ("Socket closed", "reset by peer")
"""gRPC's words where a connection had begun: so etcd ends one whose certificate was revoked, and who is killed any."""


def explanation(details: str, credentials: Credentials, request: Message) -> str:
    """What is to be added to the words of a failed call; empty: nothing.

    Args:
        details: gRPC's or etcd's words.
        credentials: what was shown.
        request: what was asked.
    """
    if details.startswith(_PERMISSION_DENIED):
        keys = next(_keys(request), "")
        where = f" with {keys}" if keys else ""
        return f": {_who(credentials)} may not do that{where}; mirrorfarm etcd secure gives a node its rights"
    if credentials.ca_file is None or not details.startswith(_NOT_CONNECTED):
        return ""
    refused = any(words in details for words in _BY_TLS)
    if not refused and not any(words in details for words in _CLOSED):
        return ""
    shown = credentials.cert_file or "no certificate, since etcd.cert_file names none"
    return (
        f" ({'' if refused else 'perhaps '}by TLS: what this client shows ({shown}) is another cluster's, over or "
        f"revoked; or {credentials.ca_file} has not signed what the server shows. mirrorfarm check tells which)"
    )


def _who(credentials: Credentials) -> str:
    if credentials.user:
        return f"etcd's user {credentials.user}"
    if credentials.cert_file:
        return f"etcd's user of the name in {credentials.cert_file}"
    return "a client without user and certificate"


def _keys(request: Message) -> Iterator[str]:
    """Of a range, or the first of a transaction's."""
    fields = {field.name for field in request.DESCRIPTOR.fields}
    if "key" in fields:
        yield request.key.decode(errors="replace")
    if "success" in fields:
        for operation in request.success:
            changed = operation.request_put.key or operation.request_delete_range.key
            yield changed.decode(errors="replace")
        for compare in request.compare:
            yield compare.key.decode(errors="replace")
