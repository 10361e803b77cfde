"""Reads lines from standard input with the code that protoc made of sparkplug.proto.

`d HEX` answers with the payload as JSON, `e JSON` with the hex bytes of the payload that the JSON describes.
"""

import sys

from google.protobuf import json_format

sys.path.insert(0, sys.argv[1])

import sparkplug_pb2  # noqa: E402


def known(payload):
    """The bytes without what the definition has not."""
    copy = sparkplug_pb2.Payload.FromString(payload.SerializeToString())
    copy.DiscardUnknownFields()
    return copy.SerializeToString()


for line in sys.stdin:
    kind, _, rest = line.strip().partition(" ")
    payload = sparkplug_pb2.Payload()
    if kind == "d":
        payload.ParseFromString(bytes.fromhex(rest))
        if payload.ByteSize() != len(known(payload)):
            raise SystemExit("a field that the definition has not")
        print(json_format.MessageToJson(payload, preserving_proto_field_name=True, indent=None))
    else:
        json_format.Parse(rest, payload)
        print(payload.SerializeToString().hex())
