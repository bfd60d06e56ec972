"""A private bucket on this machine, with two adapters in it: moto's S3 server, which checks keys as Amazon's does.

    python bucket.py serve                  # prints the Secret with the first keys, then serves until Ctrl-C
    python bucket.py rotate                 # prints the Secret with new keys; the old ones are void

Needs `pip install 'moto[server,s3]'`, which brings boto3. Nothing here is part of the product.
"""

import json
import struct
import sys
import threading
import urllib.request
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

HOST, USER = "127.0.0.1", "reader"


def main(command: str, port: int) -> None:
    """`serve` or `rotate`."""
    url = f"http://{HOST}:{port}"
    if command == "serve":
        ThreadedMotoServer(ip_address=HOST, port=port, verbose=False).start()
        fill(url)
    print(secret(url, new_keys(url)), flush=True)
    if command == "serve":
        threading.Event().wait()


def fill(url: str) -> None:
    """Two adapters, and a user that may read them."""
    s3, iam = client("s3", url), client("iam", url)
    s3.create_bucket(Bucket="adapters")
    for name in ("sql", "rust"):
        for file, content in adapter().items():
            s3.put_object(Bucket="adapters", Key=f"{name}/{file}", Body=content)
    allow = {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject"], "Resource": "*"}
    iam.create_user(UserName=USER)
    iam.put_user_policy(
        UserName=USER, PolicyName="read", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    )


def new_keys(url: str) -> dict[str, str]:
    """Keys of the user, who has no others from now on."""
    checks_keys(url, False)
    iam = client("iam", url)
    for old in iam.list_access_keys(UserName=USER)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=USER, AccessKeyId=old["AccessKeyId"])
    key = iam.create_access_key(UserName=USER)["AccessKey"]
    checks_keys(url, True)
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


def secret(url: str, keys: dict[str, str]) -> str:
    """As a manifest; JSON is YAML."""
    meta = {"name": "bucket-keys", "namespace": "default"}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {**keys, "endpoint": url}})


def adapter() -> dict[str, bytes]:
    """Return a small adapter: a rank-8 configuration and the two tensors of one module of Qwen2.5 1.5B."""
    module, size = "base_model.model.model.layers.0.self_attn.q_proj", 2 * 8 * 1536
    tensors = {
        f"{module}.lora_A.weight": {"dtype": "F16", "shape": [8, 1536], "data_offsets": [0, size]},
        f"{module}.lora_B.weight": {"dtype": "F16", "shape": [1536, 8], "data_offsets": [size, 2 * size]},
    }
    header = json.dumps(tensors).encode()
    weights = struct.pack("<Q", len(header)) + header + bytes(2 * size)
    config = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}
    return {"adapter_config.json": json.dumps(config).encode(), "adapter_model.safetensors": weights}


def client(service: str, url: str) -> Any:
    """Return a client of moto with administrator credentials."""
    anybody = {"aws_access_key_id": "setup", "aws_secret_access_key": "setup", "region_name": "us-east-1"}
    return boto3.client(service, endpoint_url=url, **anybody)  # type: ignore[call-overload]


def checks_keys(url: str, on: bool) -> None:
    """From now on moto asks for valid keys, or for none."""
    said = {"content-type": "text/plain"}
    asked = urllib.request.Request(f"{url}/moto-api/reset-auth", b"0" if on else b"inf", said, method="POST")
    urllib.request.urlopen(asked).close()


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] else "serve", int(sys.argv[2]) if sys.argv[2:] else 9000)
