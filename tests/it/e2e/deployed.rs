//! The stack, deployed: packaged by SAM, translated by SAM's library, made by CloudFormation as moto
//! knows it, read back by the services' own APIs, and then worked with.
//!
//! Moto leaves some resources out without a word, and refuses a stack that asks them for anything; each
//! test says which. It also forgets properties (a bucket's lifecycle, a log group's key). Those are
//! compared in `template`, whose evaluator is compared here with what SAM's library makes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::deliver::run_instances;
use super::function::Function;
use super::moto::{Delivery, Moto};
use super::tools::{bootstrap, tool};
use crate::handler::pack;
use crate::schema::assert_valid;
use crate::template::Stack;

/// A stack in moto.
pub struct Deployed<'m> {
    moto: &'m Moto,
    name: String,
    outputs: BTreeMap<String, String>,
    /// What moto did not make, since it does not know it.
    left_out: BTreeSet<String>,
}

/// The template, packaged once: its code lies in a bucket.
struct Package {
    template: PathBuf,
    folder: TempDir,
}

impl Package {
    /// `None` where something was not built or installed.
    fn shared(moto: &Moto) -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Package>> = OnceLock::new();
        SHARED.get_or_init(|| Package::make(moto)).as_ref()
    }

    fn make(moto: &Moto) -> Option<Self> {
        let (sam, built) = (tool("sam")?, bootstrap()?);
        let folder = tempfile::tempdir().unwrap();
        let source = fs::read_to_string(root().join("template.yaml")).unwrap();
        let code = format!("CodeUri: {}", built.parent().unwrap().display());
        assert_eq!(source.matches("CodeUri: .\n").count(), 1);
        let built = folder.path().join("built.yaml");
        fs::write(&built, source.replace("CodeUri: .\n", &format!("{code}\n"))).unwrap();
        moto.bucket("deployed-code");
        let template = folder.path().join("packaged.yaml");
        let package = Command::new(sam)
            .args(["package", "--s3-bucket", "deployed-code", "--template-file"])
            .arg(&built)
            .arg("--output-template-file")
            .arg(&template)
            .current_dir(folder.path())
            .env("SAM_CLI_TELEMETRY", "0")
            .env("AWS_ENDPOINT_URL", moto.endpoint())
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .output()
            .unwrap();
        assert!(package.status.success(), "{}", String::from_utf8_lossy(&package.stderr));
        Some(Package { template, folder })
    }

    /// As plain CloudFormation, with conditions settled.
    fn translated(&self, parameters: &[(&str, &str)]) -> Value {
        let given = parameters.iter().map(|(name, value)| format!("{name}={value}"));
        let translated = Command::new(tool("python").unwrap())
            .arg(root().join("tests/translate.py"))
            .arg(&self.template)
            .args(given)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .output()
            .unwrap();
        assert!(translated.status.success(), "{}", String::from_utf8_lossy(&translated.stderr));
        serde_json::from_slice(&translated.stdout).unwrap()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Of what moto does not know, what others ask something of.
const UNKNOWN_TO_MOTO: [&str; 7] = [
    "AWS::CloudTrail::Trail",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::Glue::Database",
    "AWS::KinesisFirehose::DeliveryStream",
    "AWS::Logs::Destination",
    "AWS::Logs::MetricFilter",
];

/// Takes out what moto does not know, and then what refers to that.
fn without_the_unknown(template: &mut Value) -> BTreeSet<String> {
    let mut left_out = BTreeSet::new();
    loop {
        let resources = template["Resources"].as_object().unwrap().iter();
        let refers = |text: &str| left_out.iter().any(|id: &String| names(text, id));
        let unknown = |resource: &Value| {
            UNKNOWN_TO_MOTO.contains(&resource["Type"].as_str().unwrap())
                || refers(&resource.to_string())
        };
        let found: Vec<String> =
            resources.filter(|(_, one)| unknown(one)).map(|(id, _)| id.clone()).collect();
        let outputs = template["Outputs"].as_object().unwrap().iter();
        let lost: Vec<String> = outputs
            .filter(|(_, output)| refers(&output.to_string()))
            .map(|(id, _)| id.clone())
            .collect();
        if found.is_empty() && lost.is_empty() {
            return left_out;
        }
        for output in lost {
            template["Outputs"].as_object_mut().unwrap().remove(&output);
        }
        for id in found {
            template["Resources"].as_object_mut().unwrap().remove(&id);
            left_out.insert(id);
        }
    }
}

fn names(text: &str, id: &str) -> bool {
    let forms = [
        format!("{{\"Ref\":\"{id}\"}}"),
        format!("\"Fn::GetAtt\":[\"{id}\""),
        format!("${{{id}}}"),
        format!("${{{id}."),
    ];
    forms.iter().any(|form| text.contains(form))
}

impl<'m> Deployed<'m> {
    pub fn new(moto: &'m Moto, name: &str, parameters: &[(&str, &str)]) -> Option<Self> {
        let mut template = Package::shared(moto)?.translated(parameters);
        is_what_the_evaluator_makes(&template, parameters);
        let mut left_out = without_the_unknown(&mut template);
        let body = template.to_string();
        let mut form = vec![
            ("Action".to_owned(), "CreateStack"),
            ("StackName".to_owned(), name),
            ("Capabilities.member.1".to_owned(), "CAPABILITY_IAM"),
            ("TemplateBody".to_owned(), &body),
        ];
        for (number, (name, value)) in (1..).zip(parameters) {
            form.push((format!("Parameters.member.{number}.ParameterKey"), name));
            form.push((format!("Parameters.member.{number}.ParameterValue"), value));
        }
        let form: Vec<(&str, &str)> = form.iter().map(|(key, value)| (&**key, *value)).collect();
        moto.query("cloudformation", &form);
        let asked = [("Action", "DescribeStacks"), ("StackName", name)];
        let described = moto.query("cloudformation", &asked);
        assert!(described.contains("<StackStatus>CREATE_COMPLETE</StackStatus>"), "{described}");
        let outputs = described.split("<OutputKey>").skip(1).map(|output| {
            let (key, rest) = output.split_once("</OutputKey>").unwrap();
            let (_, value) = rest.split_once("<OutputValue>").unwrap();
            (key.to_owned(), value.split('<').next().unwrap().to_owned())
        });
        let asked = [("Action", "DescribeStackResources"), ("StackName", name)];
        let made = moto.query("cloudformation", &asked);
        let ids = template["Resources"].as_object().unwrap().keys();
        let is_made =
            |id: &&String| !made.contains(&format!("<LogicalResourceId>{id}</LogicalResourceId>"));
        left_out.extend(ids.filter(is_made).cloned());
        Some(Deployed { moto, name: name.to_owned(), outputs: outputs.collect(), left_out })
    }

    pub fn endpoint(&self) -> &str {
        self.moto.endpoint()
    }

    pub fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("no output {name}"))
    }

    fn function(&self) -> Value {
        let path = format!("2015-03-31/functions/{}/configuration", self.output("FunctionName"));
        serde_json::from_str(&self.moto.read("lambda", &path)).unwrap()
    }

    /// The function's environment, as Lambda has it.
    fn environment(&self) -> BTreeMap<String, String> {
        let configuration = self.function();
        let variables = configuration["Environment"]["Variables"].as_object().unwrap().iter();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        variables.map(|(name, value)| (name.clone(), text(value))).collect()
    }

    /// The function's binary, with the environment that was deployed.
    fn start(&self) -> Function {
        let environment = self.environment();
        let mut settings = vec![("AWS_ENDPOINT_URL", self.moto.endpoint())];
        settings.extend(environment.iter().map(|(name, value)| (&**name, &**value)));
        Function::start(&settings).unwrap()
    }

    /// Each policy of the function's role, with its statements.
    fn granted(&self) -> BTreeMap<String, Value> {
        let role = self.output("FunctionRoleArn").rsplit('/').next().unwrap();
        let ask = |action: &str, policy: &str| {
            let form = [("Action", action), ("RoleName", role), ("PolicyName", policy)];
            self.moto.query("iam", &form)
        };
        let listed = ask("ListRolePolicies", "");
        let names = listed.split("<member>").skip(1).map(|one| one.split('<').next().unwrap());
        let granted = names.map(|name| {
            let answer = ask("GetRolePolicy", name);
            let (_, document) = answer.split_once("<PolicyDocument>").unwrap();
            // Moto writes it as Python does.
            let document = plain(document.split('<').next().unwrap()).replace('\'', "\"");
            let document: Value = serde_json::from_str(&document).unwrap();
            (name.to_owned(), document["Statement"].clone())
        });
        granted.collect()
    }

    fn topic(&self) -> BTreeMap<String, String> {
        let arn = self.output("TopicArn");
        let form = [("Action", "GetTopicAttributes"), ("TopicArn", arn)];
        let answer = self.moto.query("sns", &form);
        let entries = answer.split("<key>").skip(1).map(|entry| {
            let (key, rest) = entry.split_once("</key>").unwrap();
            let value = rest.split_once("<value>").map_or("", |(_, value)| value);
            (key.to_owned(), plain(value.split('<').next().unwrap()))
        });
        entries.collect()
    }

    /// What S3 answers when it is asked for a property of a bucket.
    fn bucket(&self, output: &str, property: &str) -> String {
        self.moto.read("s3", &format!("{}?{property}", self.output(output)))
    }

    fn table(&self) -> Value {
        let ask = json!({"TableName": self.output("LedgerTable")});
        self.moto.json("dynamodb", "DynamoDB_20120810.DescribeTable", &ask)["Table"].clone()
    }

    fn log_group(&self, name: &str) -> Value {
        let ask = json!({"logGroupNamePrefix": name});
        let found = self.moto.json("logs", "Logs_20140328.DescribeLogGroups", &ask);
        found["logGroups"][0].clone()
    }

    fn policy(&self) -> String {
        let ask = json!({"Name": self.output("PolicyParameter"), "WithDecryption": true});
        let found = self.moto.json("ssm", "AmazonSSM.GetParameter", &ask);
        found["Parameter"]["Value"].as_str().unwrap().to_owned()
    }
}

/// SAM's library and the evaluator of `template` make the same resources of the same types; the
/// former makes of a function's configuration for failures a resource of its own.
fn is_what_the_evaluator_makes(template: &Value, parameters: &[(&str, &str)]) {
    let types = |resources: Vec<(&String, &Value)>| -> BTreeMap<String, String> {
        let of =
            |(id, one): (&String, &Value)| (id.clone(), one["Type"].as_str().unwrap().to_owned());
        resources.into_iter().map(of).collect()
    };
    let mut made = types(template["Resources"].as_object().unwrap().iter().collect());
    let invoked = made.remove("FunctionEventInvokeConfig");
    assert_eq!(invoked.as_deref(), Some("AWS::Lambda::EventInvokeConfig"));
    let stack = Stack::of(parameters).unwrap();
    let mut evaluated = types(stack.resources.iter().collect());
    evaluated.insert("Function".to_owned(), "AWS::Lambda::Function".to_owned());
    assert_eq!(made, evaluated);
    let failures = &template["Resources"]["FunctionEventInvokeConfig"]["Properties"];
    assert_eq!(failures["MaximumRetryAttempts"], 2);
    assert_eq!(failures["MaximumEventAgeInSeconds"], 21600);
    let kept = json!({"Destination": {"Fn::GetAtt": ["UndeliveredBucket", "Arn"]}});
    assert_eq!(failures["DestinationConfig"]["OnFailure"], kept);
}

/// Text of an XML answer, also where it is a document with `%22` for `"`.
fn plain(text: &str) -> String {
    let text = text
        .replace("&quot;", "\"")
        .replace("&#x27;", "'")
        .replace("&#39;", "'")
        .replace("&apos;", "'")
        .replace("&amp;", "&");
    let mut pieces = text.split('%');
    let mut plain = pieces.next().unwrap().to_owned();
    for piece in pieces {
        let (code, rest) = piece.split_at(2);
        plain.push(u8::from_str_radix(code, 16).unwrap().into());
        plain += rest;
    }
    plain
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// What moto leaves out of every stack.
const LEFT_OUT: [&str; 13] = [
    "DelayAlarm",
    "ErrorsAlarm",
    "FunctionEventInvokeConfig",
    "LedgerAlarm",
    "LostAlarm",
    "PolicyAlarm",
    "PublishAlarm",
    "RejectedAlarm",
    "SilenceAlarm",
    "SubscriptionFilter",
    "ThrottlesAlarm",
    "UndeliveredAlarm",
    "UndeliveredBucketPolicy",
];

#[test]
fn three_answers_make_a_stack_that_tells() {
    let Some(moto) = Moto::shared() else { return };
    let given = [
        ("LogGroupName", "aws/trail"),
        ("ApprovedRegions", "ap-southeast-1,eu-*"),
        ("AlertEmail", "you@example.com"),
    ];
    let Some(stack) = Deployed::new(moto, "newcomer", &given) else { return };
    assert_eq!(
        stack.left_out,
        &set(&LEFT_OUT) | &set(&["AlertTopicPolicy", "DashboardPage", "EmailSubscription"])
    );

    let function = stack.function();
    let settings = ["Runtime", "Handler", "MemorySize", "Timeout", "Architectures"];
    let settings: Vec<Value> = settings.iter().map(|name| function[*name].clone()).collect();
    assert_eq!(json!(settings), json!(["provided.al2023", "bootstrap", 256, 60, ["x86_64"]]));
    assert_eq!(function["Role"], stack.output("FunctionRoleArn"));
    let expected = [
        ("HTTPS_FORMAT", "json"),
        ("LEDGER_TABLE", stack.output("LedgerTable")),
        ("MAX_MESSAGES", "25"),
        ("POLICY_PARAMETER", "/regionwatch/newcomer/policy"),
        ("POLICY_TTL_SECONDS", "300"),
        ("SHADOW", "false"),
        ("TOPIC_ARN", stack.output("TopicArn")),
        ("WINDOW_MINUTES", "60"),
    ];
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    assert_eq!(stack.environment(), expected.map(own).into());

    let granted = json!(stack.granted());
    assert_eq!(granted["publish-alerts"][0]["Resource"], stack.output("TopicArn"));
    let bucket = format!("arn:aws:s3:::{}", stack.output("UndeliveredBucket"));
    assert_eq!(granted["keep-undelivered-payloads"][0]["Resource"], format!("{bucket}/*"));
    assert_eq!(granted["remember-what-was-told"][0]["Resource"], stack.table()["TableArn"]);
    assert!(granted.get("use-key").is_none() && granted.as_object().unwrap().len() == 5);

    assert!(!stack.topic().contains_key("KmsMasterKeyId"), "{:?}", stack.topic());
    assert!(stack.bucket("UndeliveredBucket", "encryption").contains("AES256"));
    assert_eq!(
        stack.log_group("/aws/lambda/newcomer")["retentionInDays"].to_string().trim_matches('"'),
        "30"
    );
    let may = format!("2015-03-31/functions/{}/policy", stack.output("FunctionName"));
    let may = moto.read("lambda", &may);
    assert!(may.contains("logs.amazonaws.com") && may.contains("log-group:aws/trail:*"), "{may}");

    tells(&stack, "ap-southeast-1", "ca-central-1");
}

#[test]
fn a_stack_with_everything_encrypts_it_and_tells() {
    let Some(moto) = Moto::shared() else { return };
    let given = [
        ("CreateTrail", "true"),
        ("KmsKey", "create"),
        ("MetricFilterAlarm", "true"),
        ("ArchiveAlerts", "true"),
        ("ReservedConcurrency", "5"),
        ("Dashboard", "false"),
    ];
    let Some(stack) = Deployed::new(moto, "everything", &given) else { return };
    let unknown = [
        "AlertTopicPolicy",
        "ArchiveAlarm",
        "ArchiveBucketPolicy",
        "ArchiveDatabase",
        "ArchiveStream",
        "ArchiveSubscription",
        "ArchiveSubscriptionRole",
        "ArchiveTable",
        "Trail",
        "TrailBucketPolicy",
        "UnapprovedCallsAlarm",
        "UnapprovedCallsFilter",
    ];
    assert_eq!(stack.left_out, &set(&LEFT_OUT) | &set(&unknown));

    let key = stack.output("KeyArn");
    assert_eq!(stack.topic()["KmsMasterKeyId"], key);
    for bucket in ["UndeliveredBucket", "TrailBucket", "ArchiveBucket"] {
        let encryption = stack.bucket(bucket, "encryption");
        assert!(encryption.contains("aws:kms") && encryption.contains(key), "{encryption}");
    }
    assert!(stack.log_group("/regionwatch/everything/trail").is_object());
    assert_eq!(stack.output("TrailLogGroup"), "/regionwatch/everything/trail");
    assert!(stack.policy().contains("logGroupName = \"/regionwatch/everything/trail\""));
    let ask = json!({"KeyId": key, "PolicyName": "default"});
    let policy = moto.json("kms", "TrentService.GetKeyPolicy", &ask)["Policy"].to_string();
    for service in ["cloudwatch", "s3", "sns", "cloudtrail", "logs.us-east-1"] {
        assert!(policy.contains(&format!("{service}.amazonaws.com")), "{service}: {policy}");
    }
    assert_eq!(json!(stack.granted())["use-key"][0]["Resource"], key);

    tells(&stack, "us-east-1", "eu-west-3");
}

#[test]
fn a_stack_fits_into_what_there_is() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("existing", Delivery::Raw);
    moto.put_parameter("/security/regions", "SecureString", "approved_regions = [\"sa-east-1\"]");
    let given = [
        ("LogGroupName", "org/trail"),
        ("TopicArn", &topic.arn),
        ("PolicyParameter", "/security/regions"),
        ("Ledger", "memory"),
        ("Dashboard", "false"),
        ("HttpsFormat", "amazon-q"),
        ("MaxMessages", "2"),
    ];
    let Some(stack) = Deployed::new(moto, "existing", &given) else { return };
    let environment = stack.environment();
    assert_eq!(environment["TOPIC_ARN"], topic.arn);
    assert_eq!(environment["POLICY_PARAMETER"], "/security/regions");
    assert_eq!((&*environment["HTTPS_FORMAT"], &*environment["MAX_MESSAGES"]), ("amazon-q", "2"));
    assert_eq!(environment["LEDGER_TABLE"], "");
    assert!(!stack.outputs.contains_key("LedgerTable") && !stack.outputs.contains_key("KeyArn"));
    let granted = stack.granted();
    assert!(!granted.contains_key("remember-what-was-told"));
    assert_eq!(granted["publish-alerts"][0]["Resource"], topic.arn);
    assert_eq!(granted["read-policy"][1]["Action"], "kms:Decrypt");

    let mut function = stack.start();
    let records = ["sa-east-1", "us-east-1"].map(|region| run_instances("mateo", region));
    let line = function.invoke(&pack(&records)).line;
    assert_eq!((&line["alerts"], &line["messages"]), (&json!(1), &json!(1)));
    assert_eq!(topic.take()[0].body["region"], "us-east-1");
}

#[test]
fn a_stack_for_an_organisation_reads_its_stream_and_tells() {
    let Some(moto) = Moto::shared() else { return };
    let given = [("OrganizationId", "o-a1b2c3d4e5"), ("Dashboard", "false")];
    let Some(stack) = Deployed::new(moto, "organisation", &given) else { return };
    let of_group = set(&["SubscriptionFilter"]);
    let unknown =
        set(&["AlertTopicPolicy", "Destination", "StreamAlarm", "StreamUndeliveredAlarm"]);
    assert_eq!(stack.left_out, &(&set(&LEFT_OUT) - &of_group) | &unknown);

    let arn = stack.output("StreamArn");
    let granted = json!(stack.granted());
    assert_eq!(granted["read-stream"][0]["Resource"], arn);
    let mappings = moto.read("lambda", "2015-03-31/event-source-mappings/");
    let mappings: Value = serde_json::from_str(&mappings).unwrap();
    let mappings = mappings["EventSourceMappings"].as_array().unwrap();
    let mapping = mappings.iter().find(|one| one["EventSourceArn"] == arn).unwrap();
    assert_eq!(
        (&mapping["BatchSize"], &mapping["StartingPosition"]),
        (&json!(64), &json!("TRIM_HORIZON"))
    );
    assert_eq!(mapping["FunctionArn"], stack.output("FunctionArn"));

    let subscriber = moto.listen(stack.output("TopicArn"), "organisation-alerts");
    let payload = crate::samples::payload("kinesis");
    let answer = stack.start().invoke(&payload).outcome.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    assert_eq!(subscriber.take().len(), 4);
    let line = stack.start().invoke(&payload).line;
    assert_eq!((&line["told"], &line["held"]), (&json!(0), &json!(4)));
    assert!(subscriber.take().is_empty());
}

#[test]
fn what_is_packaged_is_what_was_built() {
    let Some(moto) = Moto::shared() else { return };
    let Some(package) = Package::shared(moto) else { return };
    let template = fs::read_to_string(&package.template).unwrap();
    let (_, uri) = template.split_once("CodeUri: s3://").unwrap();
    let code = moto.read_bytes("s3", uri.lines().next().unwrap());
    let archive = package.folder.path().join("function.zip");
    fs::write(&archive, code).unwrap();
    let unpacked = package.folder.path().join("function");
    let unpack = Command::new(tool("python").unwrap())
        .args(["-m", "zipfile", "-e"])
        .args([&archive, &unpacked])
        .status();
    assert!(unpack.unwrap().success());
    let files: Vec<_> = fs::read_dir(&unpacked).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files, [unpacked.join("bootstrap")]);
    assert!(fs::read(&files[0]).unwrap() == fs::read(bootstrap().unwrap()).unwrap());
}

/// The function tells the deployed topic's subscriber, once, by the deployed policy and with the
/// deployed table.
fn tells(stack: &Deployed<'_>, approved: &str, other: &str) {
    let subscriber = stack.moto.listen(stack.output("TopicArn"), &format!("{}-alerts", stack.name));
    let records = [approved, other].map(|region| run_instances("mateo", region));
    let payload = pack(&records);
    let line = stack.start().invoke(&payload).line;
    assert_eq!(line["ignored_by"], json!({"approved-region": 1}));
    assert_eq!((&line["told"], &line["ledger_errors"]), (&json!(1), &json!(0)));
    let received = subscriber.take();
    assert_eq!(received.len(), 1, "{received:?}");
    assert_valid(&received[0].body);
    assert_eq!(received[0].body["region"], other);
    assert_eq!(received[0].attributes["severity"], "high");

    // Another container finds in the table that it was told.
    let line = stack.start().invoke(&payload).line;
    assert_eq!((&line["told"], &line["held"]), (&json!(0), &json!(1)));
    assert!(subscriber.take().is_empty());
    let items = stack.moto.items(stack.output("LedgerTable"));
    assert_eq!(items.len(), 1);

    // Whoever deletes the log group that this stack reads is told of, wherever it happens.
    let group = stack.output("TrailLogGroup");
    let deleted = json!({
        "eventSource": "logs.amazonaws.com", "eventName": "DeleteLogGroup", "awsRegion": approved,
        "eventTime": "2026-11-23T11:59:00Z", "recipientAccountId": "111122223333",
        "userIdentity": {"type": "Root", "arn": "arn:aws:iam::111122223333:root"},
        "requestParameters": {"logGroupName": group},
    });
    let line = stack.start().invoke(&pack(&[deleted.to_string()])).line;
    assert_eq!(line["alerts_by"], json!({"watched:own-log-group": 1}));
}
