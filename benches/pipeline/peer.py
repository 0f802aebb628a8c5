"""The peer: what a handler in plain Python does with a payload.

The first line of the input is the payload. Each further one says how many times to handle it;
the answer is how many nanoseconds of a processor that took.
"""

import base64
import gzip
import json
import sys
import time

APPROVED = {"us-east-1", "us-west-2"}
READS = ("Describe", "List", "Get")


def handle(event):
    batch = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    alerts = 0
    for entry in batch["logEvents"]:
        record = json.loads(entry["message"])
        reads = record.get("eventName", "").startswith(READS)
        if record.get("awsRegion") not in APPROVED and not reads:
            alerts += 1
    return alerts


payload = sys.stdin.readline()
for times in sys.stdin:
    start = time.process_time_ns()
    for _ in range(int(times)):
        handle(json.loads(payload))
    print(time.process_time_ns() - start, flush=True)
