//! AWS on this machine: `moto_server`, spoken to in plain HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use ureq::typestate::WithBody;
use ureq::{Agent, RequestBuilder};

use super::tools::{Tethered, await_line, tool};

/// One server, which all tests of the process share: each has topics and queues of its own name.
pub struct Moto {
    endpoint: String,
    http: Agent,
    /// Held, for the server ends with it.
    _server: Tethered,
}

/// A topic, and the queue that is subscribed to it.
pub struct Topic<'m> {
    pub arn: String,
    queue: String,
    moto: &'m Moto,
}

/// How SNS hands a message to the queue.
#[derive(PartialEq, Eq)]
pub enum Delivery {
    /// As it is, with its attributes as the queue's own.
    Raw,
    /// Inside a notification.
    Wrapped,
}

/// A message of the queue.
#[derive(Debug)]
pub struct Received {
    pub body: Value,
    pub attributes: BTreeMap<String, String>,
}

impl Moto {
    /// The server; `None` where it was not installed.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Moto>> = OnceLock::new();
        SHARED.get_or_init(Moto::start).as_ref()
    }

    fn start() -> Option<Self> {
        let program = tool("moto_server")?;
        // Two keys on a page, so that a few objects fill several.
        let arguments = ["MOTO_S3_DEFAULT_MAX_KEYS=2", program.to_str().unwrap()];
        let arguments = [&arguments[..], &["-H", "127.0.0.1", "-p", "0"]].concat();
        let (server, output) = Tethered::start(Path::new("env"), &arguments);
        let place = |line: &str| Some(line.split_once("Running on ")?.1.to_owned());
        let endpoint = await_line(&output, place);
        let endpoint = endpoint.expect("moto_server does not start");
        let config = Agent::config_builder().proxy(None).http_status_as_error(false).build();
        Some(Moto { endpoint, http: config.new_agent(), _server: server })
    }

    /// The settings of a function that publishes to the topic.
    pub fn settings<'s>(&'s self, topic_arn: &'s str) -> [(&'s str, &'s str); 2] {
        [("TOPIC_ARN", topic_arn), ("AWS_ENDPOINT_URL", &self.endpoint)]
    }

    pub fn topic(&self, name: &str, delivery: Delivery) -> Topic<'_> {
        let created = self.sns(&[("Action", "CreateTopic"), ("Name", name)]);
        let (_, arn) = created.split_once("<TopicArn>").expect("an ARN");
        let arn = arn.split('<').next().unwrap().to_owned();
        let queue = self.queue(name);
        let raw = if delivery == Delivery::Raw { "true" } else { "false" };
        self.subscribe(&arn, "sqs", &arn.replace(":sns:", ":sqs:"), ("RawMessageDelivery", raw));
        Topic { arn, queue, moto: self }
    }

    /// A queue that hears what is published to a topic that somebody else made.
    pub fn listen(&self, topic_arn: &str, name: &str) -> Topic<'_> {
        let queue = self.queue(name);
        let endpoint = format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{name}");
        self.subscribe(topic_arn, "sqs", &endpoint, ("RawMessageDelivery", "true"));
        Topic { arn: topic_arn.to_owned(), queue, moto: self }
    }

    /// Subscribes somebody to a topic, with one attribute.
    fn subscribe(&self, topic: &str, protocol: &str, endpoint: &str, attribute: (&str, &str)) {
        self.sns(&[
            ("Action", "Subscribe"),
            ("TopicArn", topic),
            ("Protocol", protocol),
            ("Endpoint", endpoint),
            ("Attributes.entry.1.key", attribute.0),
            ("Attributes.entry.1.value", attribute.1),
        ]);
    }

    /// The URL of a new queue.
    pub fn queue(&self, name: &str) -> String {
        let created = self.json("sqs", "AmazonSQS.CreateQueue", &json!({"QueueName": name}));
        created["QueueUrl"].as_str().unwrap().to_owned()
    }

    pub fn send(&self, queue: &str, body: &str) {
        let message = json!({"QueueUrl": queue, "MessageBody": body});
        self.json("sqs", "AmazonSQS.SendMessage", &message);
    }

    /// Receives one message, which hides it.
    pub fn hide_one(&self, queue: &str) {
        let receive = json!({"QueueUrl": queue, "VisibilityTimeout": 43200});
        let received = self.json("sqs", "AmazonSQS.ReceiveMessage", &receive);
        assert_eq!(received["Messages"].as_array().unwrap().len(), 1);
    }

    /// How many messages a queue has in sight, and how many are hidden.
    pub fn in_queue(&self, queue: &str) -> (String, String) {
        let ask = json!({"QueueUrl": queue, "AttributeNames": ["All"]});
        let found = self.json("sqs", "AmazonSQS.GetQueueAttributes", &ask);
        let count = |name: &str| found["Attributes"][name].as_str().unwrap().to_owned();
        (count("ApproximateNumberOfMessages"), count("ApproximateNumberOfMessagesNotVisible"))
    }

    pub fn bucket(&self, name: &str) {
        self.s3(self.http.put(format!("{}/{name}", self.endpoint)), b"");
    }

    pub fn put_object(&self, bucket: &str, key: &str, content: &[u8]) {
        self.s3(self.http.put(format!("{}/{bucket}/{key}", self.endpoint)), content);
    }

    /// The keys in a bucket.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let list = format!("{}/{bucket}?list-type=2&max-keys=1000", self.endpoint);
        let request = self.http.get(list).header("Authorization", authorization("s3"));
        let listed = request.call().unwrap().into_body().read_to_string().unwrap();
        let keys = listed.split("<Key>").skip(1);
        keys.map(|key| key.split("</Key>").next().unwrap().to_owned()).collect()
    }

    /// What a service answers that is asked by a path, as text.
    pub fn read(&self, service: &str, path: &str) -> String {
        String::from_utf8(self.read_bytes(service, path)).unwrap()
    }

    pub fn read_bytes(&self, service: &str, path: &str) -> Vec<u8> {
        let request = self.http.get(format!("{}/{path}", self.endpoint));
        let answer = request.header("Authorization", authorization(service)).call().unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        answer.into_body().with_config().limit(1 << 26).read_to_vec().unwrap()
    }

    /// Where it listens.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn s3(&self, request: RequestBuilder<WithBody>, content: &[u8]) {
        let answer = request.header("Authorization", authorization("s3")).send(content).unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Writes a parameter, and gives the version that it then has.
    pub fn put_parameter(&self, name: &str, kind: &str, text: &str) -> i64 {
        let parameter = json!({"Name": name, "Type": kind, "Value": text, "Overwrite": true});
        let put = self.json("ssm", "AmazonSSM.PutParameter", &parameter);
        put["Version"].as_i64().unwrap()
    }

    /// Creates a table as the template does.
    pub fn table(&self, name: &str) {
        let table = json!({
            "TableName": name, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        });
        self.json("dynamodb", "DynamoDB_20120810.CreateTable", &table);
    }

    /// All items of a table.
    pub fn items(&self, table: &str) -> Vec<Value> {
        let scan = json!({"TableName": table, "ConsistentRead": true});
        let found = self.json("dynamodb", "DynamoDB_20120810.Scan", &scan);
        found["Items"].as_array().unwrap().clone()
    }

    pub fn put_item(&self, table: &str, item: &Value) {
        let put = json!({"TableName": table, "Item": item});
        self.json("dynamodb", PUT_ITEM, &put);
    }

    pub fn delete_item(&self, table: &str, id: &Value) {
        let delete = json!({"TableName": table, "Key": {"id": id}});
        self.json("dynamodb", "DynamoDB_20120810.DeleteItem", &delete);
    }

    /// Puts an item as somebody else asked for it: the status and the text of the answer.
    pub fn forward_put_item(&self, request: &[u8]) -> (bool, String) {
        self.answer("dynamodb", PUT_ITEM, request)
    }

    /// A subscription payload that is not of our making: the messages are put into a log group
    /// whose subscription filter feeds a stream, and the payload is read from that.
    pub fn subscription_payload(&self, name: &str, messages: &[String]) -> Vec<u8> {
        let kinesis = |action: &str, body: Value| {
            self.json("kinesis", &format!("Kinesis_20131202.{action}"), &body)
        };
        let logs = |action: &str, body: Value| {
            self.json("logs", &format!("Logs_20140328.{action}"), &body)
        };
        let at = milliseconds_since_1970();
        let entry = |message: &String| json!({"timestamp": at, "message": message});
        let entries: Vec<Value> = messages.iter().map(entry).collect();

        kinesis("CreateStream", json!({"StreamName": name, "ShardCount": 1}));
        logs("CreateLogGroup", json!({"logGroupName": name}));
        logs("CreateLogStream", json!({"logGroupName": name, "logStreamName": name}));
        logs(
            "PutSubscriptionFilter",
            json!({
                "logGroupName": name, "filterName": name, "filterPattern": "",
                "destinationArn": format!("arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{name}"),
                "roleArn": format!("arn:aws:iam::{ACCOUNT}:role/{name}"),
            }),
        );
        logs(
            "PutLogEvents",
            json!({"logGroupName": name, "logStreamName": name, "logEvents": entries}),
        );
        let shard = json!({
            "StreamName": name, "ShardId": "shardId-000000000000",
            "ShardIteratorType": "TRIM_HORIZON",
        });
        let iterator = &kinesis("GetShardIterator", shard)["ShardIterator"];
        let records = &kinesis("GetRecords", json!({"ShardIterator": iterator}))["Records"];
        assert_eq!(records.as_array().unwrap().len(), 1);
        json!({"awslogs": {"data": records[0]["Data"]}}).to_string().into_bytes()
    }

    fn sns(&self, parameters: &[(&str, &str)]) -> String {
        self.query("sns", parameters)
    }

    /// A call in the query protocol; the answer is XML.
    pub fn query(&self, service: &str, parameters: &[(&str, &str)]) -> String {
        let request = self.http.post(&self.endpoint);
        let request = request.header("Authorization", authorization(service));
        let answer = request.send_form(parameters.iter().copied()).unwrap();
        let status = answer.status();
        let text = answer.into_body().read_to_string().unwrap();
        assert!(status.is_success(), "{parameters:?}: {text}");
        text
    }

    /// A call in the JSON protocol.
    pub fn json(&self, service: &str, target: &str, body: &Value) -> Value {
        let (succeeded, text) = self.answer(service, target, body.to_string().as_bytes());
        assert!(succeeded, "{target}: {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    /// The same, whether or not it succeeds.
    fn answer(&self, service: &str, target: &str, body: &[u8]) -> (bool, String) {
        let request = self
            .http
            .post(&self.endpoint)
            .header("Authorization", authorization(service))
            .header("Content-Type", "application/x-amz-json-1.1")
            .header("X-Amz-Target", target);
        let answer = request.send(body).unwrap();
        let succeeded = answer.status().is_success();
        (succeeded, answer.into_body().read_to_string().unwrap())
    }
}

const PUT_ITEM: &str = "DynamoDB_20120810.PutItem";

/// The account that moto acts in.
const ACCOUNT: &str = "123456789012";

impl<'m> Topic<'m> {
    /// Subscribes a server of ours. SNS as it is here speaks plain HTTP to it whatever the protocol.
    pub fn subscribe_server(&self, protocol: &str, address: SocketAddr) {
        let endpoint = format!("http://{address}/");
        self.moto.subscribe(&self.arn, protocol, &endpoint, ("DeliveryPolicy", "{}"));
    }

    /// Another queue, which gets what the filter policy selects.
    pub fn filtered(&self, name: &str, policy: &Value) -> Topic<'m> {
        let Topic { moto, .. } = *self;
        let created = moto.json("sqs", "AmazonSQS.CreateQueue", &json!({"QueueName": name}));
        let queue = created["QueueUrl"].as_str().unwrap().to_owned();
        let endpoint = format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{name}");
        moto.subscribe(&self.arn, "sqs", &endpoint, ("FilterPolicy", &policy.to_string()));
        Topic { arn: self.arn.clone(), queue, moto }
    }

    /// Takes everything out of the queue. SNS as it is here has filled the queue before it answers
    /// the publisher, so an empty queue is empty.
    pub fn take(&self) -> Vec<Received> {
        let receive = json!({
            "QueueUrl": self.queue, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"],
            "VisibilityTimeout": 43200,
        });
        let mut received = Vec::new();
        loop {
            let answer = self.moto.json("sqs", "AmazonSQS.ReceiveMessage", &receive);
            match answer["Messages"].as_array() {
                Some(some) if !some.is_empty() => received.extend(some.iter().map(Received::of)),
                _ => return received,
            }
        }
    }
}

impl Received {
    fn of(message: &Value) -> Self {
        let attributes = message["MessageAttributes"].as_object().cloned().unwrap_or_default();
        let text = |value: &Value| value["StringValue"].as_str().unwrap().to_owned();
        Received {
            body: serde_json::from_str(message["Body"].as_str().unwrap()).unwrap(),
            attributes: attributes
                .iter()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
        }
    }
}

/// Nobody checks the signature, but it is by the scope that the server knows the service.
fn authorization(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, \
         SignedHeaders=host, Signature=x"
    )
}

#[expect(clippy::disallowed_methods, reason = "CloudWatch Logs refuses entries of another time")]
fn milliseconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}
