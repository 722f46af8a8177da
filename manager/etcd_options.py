"""What each gRPC connection to etcd is made with, whoever asks by it. Pure."""

from typing import Final

OPTIONS: Final = (
    # A transaction is sent once: it is for the caller to know whether it may be sent again.
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    # Channels to one server do not share a connection: closing one closes its connection, and shows other certificates.
    ("grpc.use_local_subchannel_pool", 1),
    # A range over all modules' configurations is larger than gRPC's default of 4 MiB.
    ("grpc.max_receive_message_length", -1),
)
