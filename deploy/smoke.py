"""Does the deployed stack tell? Invokes the function with one call that nobody made, and waits for its alert.

The call is of `regionwatch-smoke-test` in `zz-nowhere-1`, which no policy approves: whoever is subscribed gets the
alert, too, and can see what it is. A queue is subscribed to the topic for as long as this runs.
"""

import argparse
import base64
import gzip
import json
import subprocess
import sys
import time
import uuid
from datetime import datetime, timezone

import boto3

PATIENCE_SECONDS = 60


def payload(name):
    """One call, as CloudWatch Logs would send it."""
    record = {
        "eventVersion": "1.11",
        "eventID": str(uuid.uuid4()),
        "eventTime": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "ec2.amazonaws.com",
        "eventName": "RunInstances",
        "awsRegion": "zz-nowhere-1",
        "readOnly": False,
        "sourceIPAddress": "192.0.2.1",
        "userAgent": "make smoke",
        "recipientAccountId": "111122223333",
        "userIdentity": {"type": "IAMUser", "userName": name, "arn": f"arn:aws:iam::111122223333:user/{name}"},
    }
    batch = {
        "messageType": "DATA_MESSAGE",
        "owner": "111122223333",
        "logGroup": "smoke-test",
        "logStream": "smoke-test",
        "subscriptionFilters": ["smoke-test"],
        "logEvents": [{"id": "0", "timestamp": int(time.time() * 1000), "message": json.dumps(record)}],
    }
    return json.dumps({"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(batch).encode())).decode()}})


def outputs(stack):
    (described,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}


class Listener:
    """A queue on the topic, while this is entered."""

    def __init__(self, topic):
        self.topic, self.region = topic, topic.split(":")[3]

    def __enter__(self):
        self.sqs = boto3.client("sqs", region_name=self.region)
        self.sns = boto3.client("sns", region_name=self.region)
        self.queue = self.sqs.create_queue(QueueName=f"regionwatch-smoke-{uuid.uuid4()}")["QueueUrl"]
        named = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        arn = named["Attributes"]["QueueArn"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": self.topic}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"Policy": policy})
        subscribed = self.sns.subscribe(
            TopicArn=self.topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}, ReturnSubscriptionArn=True
        )
        self.subscription = subscribed["SubscriptionArn"]
        return self

    def __exit__(self, *_):
        self.sns.unsubscribe(SubscriptionArn=self.subscription)
        self.sqs.delete_queue(QueueUrl=self.queue)

    def alert_about(self, name):
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            received = self.sqs.receive_message(QueueUrl=self.queue, WaitTimeSeconds=5)
            for message in received.get("Messages", []):
                if name in message["Body"]:
                    return json.loads(message["Body"])
        return None

    def people(self):
        pages = self.sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=self.topic)
        everybody = [one for page in pages for one in page["Subscriptions"]]
        return [one for one in everybody if one["SubscriptionArn"] != self.subscription]


def invoke(function, body):
    invoked = subprocess.run(
        ["sam", "remote", "invoke", function, "--event-file", "-"], input=body, stdout=subprocess.PIPE, text=True, check=False
    )
    answer = invoked.stdout.strip()
    if invoked.returncode != 0 or not answer.startswith("{"):
        sys.exit(f"smoke: the function failed: {answer or 'see above'}")
    return json.loads(answer)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--stack-name", default="regionwatch")
    stack = outputs(arguments.parse_args().stack_name)
    name = f"regionwatch-smoke-test-{uuid.uuid4().hex[:8]}"
    with Listener(stack["TopicArn"]) as listener:
        summary = invoke(stack["FunctionName"], payload(name))
        print(f"smoke: the function judged {summary.get('entries')} call, {summary.get('alerts')} of them an alert")
        if summary.get("shadow"):
            sys.exit(f"smoke: Shadow=true: the alert is in log group {stack['FunctionLogGroup']}, and nobody was told")
        alert = listener.alert_about(name)
        people = listener.people()
    if alert is None:
        sys.exit(f"smoke: no alert came through {stack['TopicArn']} within {PATIENCE_SECONDS} s: {json.dumps(summary)}")
    print(f"smoke: its alert came through {stack['TopicArn']}: [{alert['severity']}] {alert['title']}")
    for one in people:
        if one["SubscriptionArn"] == "PendingConfirmation":
            print(f"smoke: WARNING: {one['Endpoint']} ({one['Protocol']}) has not confirmed, and gets nothing", file=sys.stderr)
    if not people:
        print("smoke: WARNING: nobody is subscribed to that topic", file=sys.stderr)


if __name__ == "__main__":
    main()
