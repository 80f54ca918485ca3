"""What a Python program does with S3, with boto3's default settings: it adds and checks checksums by itself."""

import hashlib
import io
import os
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError, MissingDependencyException

s3 = boto3.client("s3")
bucket = os.environ["BUCKET"]


def refused(code, call, **kwargs):
    try:
        call(**kwargs)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
    else:
        raise AssertionError(f"{code} was expected")


s3.create_bucket(Bucket=bucket)
s3.get_waiter("bucket_exists").wait(Bucket=bucket)

body = os.urandom(300_000)
put = s3.put_object(Bucket=bucket, Key="key", Body=body, Metadata={"a": "b"})
assert put["ETag"] == '"%s"' % hashlib.md5(body).hexdigest()
assert any(name.startswith("Checksum") for name in put), put
got = s3.get_object(Bucket=bucket, Key="key")
assert got["Body"].read() == body
# A proxy may spell the names of headers in its own way.
assert {name.lower(): value for name, value in got["Metadata"].items()} == {"a": "b"}
assert any(name.startswith("ChecksumCRC") for name in got), got
for algorithm in "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256":
    try:
        s3.put_object(Bucket=bucket, Key="key", Body=body, ChecksumAlgorithm=algorithm)
    except MissingDependencyException:
        continue  # CRC32C and CRC64NVME need a library that is not installed here.
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == body

big = os.urandom(23 << 20)
s3.upload_fileobj(io.BytesIO(big), bucket, "big", Config=TransferConfig(multipart_chunksize=8 << 20))
back = io.BytesIO()
s3.download_fileobj(bucket, "big", back)
assert back.getvalue() == big
assert s3.head_object(Bucket=bucket, Key="big")["ETag"].endswith('-3"')
s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "copied", Config=TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20))
assert s3.get_object(Bucket=bucket, Key="copied")["Body"].read() == big

for i in range(25):
    s3.put_object(Bucket=bucket, Key=f"many/{i % 3}/{i:03}", Body=str(i).encode())
pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="many/", PaginationConfig={"PageSize": 10}))
assert [len(page["Contents"]) for page in pages] == [10, 10, 5]
grouped = s3.list_objects_v2(Bucket=bucket, Prefix="many/", Delimiter="/")
assert [p["Prefix"] for p in grouped["CommonPrefixes"]] == ["many/0/", "many/1/", "many/2/"]

refused("PreconditionFailed", s3.put_object, Bucket=bucket, Key="key", Body=b"x", IfNoneMatch="*")
refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="none")
refused("404", s3.head_object, Bucket=bucket, Key="none")
refused("NoSuchBucket", s3.list_objects_v2, Bucket=bucket + "-none")
refused("BucketNotEmpty", s3.delete_bucket, Bucket=bucket)

url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "key"}, ExpiresIn=60)
with urllib.request.urlopen(url) as answer:
    assert answer.read() == body
post = s3.generate_presigned_post(bucket, "posted", Conditions=[["content-length-range", 1, 100]], ExpiresIn=60)
boundary = "boundary"
form = b"".join(
    b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (boundary.encode(), name.encode(), value.encode())
    for name, value in post["fields"].items()
)
form += b'--boundary\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nfrom a form\r\n--boundary--\r\n'
request = urllib.request.Request(post["url"], form, {"Content-Type": "multipart/form-data; boundary=" + boundary})
with urllib.request.urlopen(request) as answer:
    assert answer.status in (200, 204)
assert s3.get_object(Bucket=bucket, Key="posted")["Body"].read() == b"from a form"

keys = [{"Key": o["Key"]} for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket) for o in page["Contents"]]
assert not s3.delete_objects(Bucket=bucket, Delete={"Objects": keys}).get("Errors")
s3.delete_bucket(Bucket=bucket)
print("all well")
