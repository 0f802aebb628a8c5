//! Thousands of generated alerts: each fits what SNS takes, is as the schema says, and is harmless
//! in every text, whoever wrote what is in it.

use regionwatch::alert::message::LARGEST;
use regionwatch::alert::text::clean;
use regionwatch::alert::{Alert, Body, Context, FollowUp, Incident, IncidentKey, Message, Rejects};
use regionwatch::envelope::Reject;
use regionwatch::policy::{Reason, Severity};
use regionwatch::record::Record;
use serde_json::{Value, json};

use crate::alert::{AMAZON_Q, context, judge, texts};
use crate::schema;

/// What people and attackers write: words, markup, marks that hide or reorder, nothing.
const WORDS: &[&str] = &[
    "",
    "mateo",
    "eu-west-3",
    "arn:aws:iam::111122223333:user/ops/mateo",
    "AssumedRole",
    "Root",
    "2026-11-23T11:59:00Z",
    "-009999-01-02T01:59:59Z",
    "9999-12-30T22:00:00.5Z",
    "two\r\nlines\tand \u{7}bells\u{0}",
    "\u{202E}gnp.exe\u{2066}\u{200B}\u{FEFF}\u{E0041}",
    "m\u{034F}a\u{115F}t\u{1160}e\u{2800}o\u{3164}\u{FE0F}\u{FFA0}\u{E0100}",
    "m\u{0301}\u{0302}\u{0303}\u{0304}\u{0305}\u{0306}\u{20DD}\u{1AB0}\u{FE20}ateo",
    "<script>alert(1)</script> <!channel> <https://evil.example|here> <at>all</at>",
    "`code` ``` *bold* _it_ ~s~ **b** __u__ # h | t | &lt;!here&gt; @here \\`\\*",
    "[click](https://evil.example) ![i](http://evil.example/x) www.evil.example https://evil.example",
    "quote\" back\\slash {brace} [[exempt]] '''",
    "\u{1F600}日本語 ünï",
    "*",
];

/// Draws that are the same in every run, and fast: there are millions of them (`SplitMix64`).
struct Draws(u64);

impl Draws {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % end as u64).unwrap()
    }

    /// Yes, once in `so_many` draws.
    fn once_in(&mut self, so_many: usize) -> bool {
        self.below(so_many) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// One of the words, several of them, any characters, or far too much of one.
    fn text(&mut self) -> String {
        let word = self.of(WORDS);
        match self.below(50) {
            0 => word.repeat(10 + self.below(20)),
            1..5 => [word, self.of(WORDS), self.of(WORDS)].join(" "),
            5..8 => (0..20).filter_map(|_| char::from_u32(self.below(0x3000) as u32)).collect(),
            _ => word.to_owned(),
        }
    }

    /// A record with such a text in every field, now and then with a user agent of 100 KB.
    fn record(&mut self) -> String {
        let agent = if self.once_in(2000) { "A<`*".repeat(25_000) } else { self.text() };
        let mfa = self.of(&[json!(null), json!("true"), json!("false")]);
        json!({
            "eventSource": self.text(), "eventName": self.text(), "eventTime": self.text(),
            "awsRegion": self.text(), "eventID": self.text(), "eventCategory": self.text(),
            "errorCode": self.error_code(), "userAgent": agent, "sourceIPAddress": self.text(),
            "recipientAccountId": self.text(), "sessionCredentialFromConsole": mfa,
            "userIdentity": {
                "type": self.text(), "arn": self.text(), "userName": self.text(),
                "accessKeyId": self.text(),
                "sessionContext": {"attributes": {"mfaAuthenticated": mfa}},
            },
            "requestParameters": {"aId": self.text(), "bName": self.text()},
            "responseElements": {"cArn": format!("arn:{}", self.text())},
        })
        .to_string()
    }

    fn error_code(&mut self) -> String {
        const CODES: &[&str] =
            &["", "AccessDenied", "ThrottlingException", "Client.DryRunOperation", "Other"];
        if self.once_in(2) { self.text() } else { self.of(CODES).to_owned() }
    }

    /// What a few records make; all but the first count as the same principal's.
    fn incident(&mut self) -> Incident {
        let text = self.record();
        let first = Record::parse(&text).unwrap();
        let key = IncidentKey::of(&first, "111122223333");
        let mut incident = Incident::new(key, &first, self.reason(), self.of(SEVERITIES));
        let others = if self.once_in(400) { 45 } else { self.below(3) };
        for _ in 0..others {
            let (text, reason, severity) = (self.record(), self.reason(), self.of(SEVERITIES));
            incident.add(&Record::parse(&text).unwrap(), reason, severity);
        }
        incident
    }

    fn reason(&mut self) -> Reason {
        let watched = Reason::Watched(self.of(&["w-1", "w-2"]).into());
        self.of(&[Reason::MutatingCall, Reason::SensitiveRead, watched])
    }

    fn follow_up(&mut self) -> Option<FollowUp> {
        let causes = vec![clean(&self.text(), 256), "10 calls".to_owned()];
        let held = self.number() % 3;
        let held_calls =
            (0..self.number() % 150).map(|n| (clean(&format!("{n}:{}", self.text()), 256), n + 1));
        let held_calls = held_calls.collect();
        let follow_up = FollowUp::new(causes, held, &held_calls, 20);
        self.once_in(2).then_some(follow_up)
    }

    fn rejects(&mut self) -> Rejects {
        let mut rejects = Rejects::default();
        for _ in 0..=self.below(30) {
            let entry_id = self.text();
            rejects.add(0, &Reject { entry_id, fault: "the message is no JSON object" });
        }
        rejects
    }
}

const SEVERITIES: &[Severity] =
    &[Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

#[test]
fn alerts_of_10_000_incidents_fit_and_are_harmless() {
    std::thread::scope(|scope| {
        for quarter in 0..4 {
            scope.spawn(move || {
                for seed in (quarter..10_000).step_by(4) {
                    let mut draws = Draws(seed);
                    let incident = draws.incident();
                    check(seed, Alert::of_incident(&incident, draws.follow_up(), &context()));
                }
            });
        }
    });
}

#[test]
fn digests_fit_and_are_harmless() {
    for seed in 0..200 {
        let mut draws = Draws(seed);
        let incidents: Vec<Incident> = (0..=draws.below(12)).map(|_| draws.incident()).collect();
        let follow_ups: Vec<_> = incidents.iter().map(|_| draws.follow_up()).collect();
        let told: Vec<_> = incidents.iter().zip(follow_ups.iter().map(Option::as_ref)).collect();
        check(seed, Alert::digest(&told, "request", judge()));
    }
}

#[test]
fn alerts_of_unreadable_entries_fit_and_are_harmless() {
    for seed in 0..500 {
        let mut draws = Draws(seed);
        let (rejects, place, follow_up) = (draws.rejects(), draws.text(), draws.follow_up());
        let place = place.as_str();
        let context = Context { log_group: place, log_stream: place, owner: place, ..context() };
        check(seed, Alert::of_rejects(&rejects, follow_up, &context));
    }
}

/// Names of members whose values nobody may read in an alert.
const SECRETS: &[&str] = &[
    "password",
    "masterUserPassword",
    "MasterUserPassword",
    "db_password",
    "newPasswd",
    "secret",
    "clientSecret",
    "secretString",
    "SecretAccessKey",
    "authToken",
    "sessionToken",
    "x-auth-token",
    "userData",
    "UserData",
    "privateKey",
    "private_key",
    "preSharedKey",
    "privateKeyPassphrase",
    "keyMaterial",
    "credentials",
    "apiKey",
    "api-key",
    "x_api_key",
    "authorization",
    "DB_PWD",
    "AdminPwd",
    "DbPass",
    "WIFI_PSK",
    "sessionId",
    "tokenId",
    "authTokenId",
    "externalId",
];

/// Texts with a secret in them, for any name and any program. `@` stands for the secret.
const TELLTALES: &[&str] = &[
    "password=@",
    "db_pwd: @",
    "token=@",
    "Token = '@'",
    "Authorization: Bearer @",
    "authorization:Basic @",
    "bearer @",
    "--secret-key @",
    "api_key%3D@",
    "to\u{200B}ken=@",
    "postgres://mateo:@@db.example.com/prod",
    "https://mateo:x/y@z@@example.com",
    "https://@@example.com/",
    "https://b.s3.amazonaws.com/k?X-Amz-Credential=x&X-Amz-Signature=@",
    "k?X-Amz-Signature=@",
    r#"{"password": "@"}"#,
    "sk-@0123456789abcdef",
    "ghp_@0123456789abcdef",
];

/// The same for names, which are no JSON.
const JSON: &[&str] = &[r#"["@"]"#, r#"[["@"]"#, r#"{"Statement": ["@"]}"#, r#" {"a": "@"}"#];

impl Draws {
    /// Parameters, somewhere in which something secret stands.
    fn parameters(&mut self) -> Value {
        let mut value = json!({"vpcId": "vpc-1", self.of(SECRETS): self.secret()});
        if self.once_in(3) {
            let name = self.of(&["name", "key", "parameterKey"]);
            value[name] = json!(self.of(SECRETS));
            value["value"] = self.secret();
        }
        for _ in 0..self.below(6) {
            let inner = self.of(&["set", "items", "instanceId", "targetName", "resourceArn"]);
            value = if self.once_in(2) { json!({inner: value}) } else { json!([value, inner]) };
        }
        json!({"bucketName": "bucket", "inner": value})
    }

    /// In each of the shapes that would be taken for a resource.
    fn secret(&mut self) -> Value {
        let text = self.of(&["hunter2", "arn:aws:hunter2", "hunter-01234567", "hunter2 x"]);
        let inner = self.of(&["id", "name", "Arn", "groupName", "x"]);
        self.of(&[json!(text), json!([text]), json!({inner: text}), json!([{inner: [text]}])])
    }
}

#[test]
fn what_stands_under_a_secret_name_is_in_no_text() {
    for seed in 0..2000 {
        let _seed = Seed(seed);
        let mut draws = Draws(seed);
        let record = json!({
            "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances",
            "requestParameters": draws.parameters(), "responseElements": draws.parameters(),
        })
        .to_string();
        let record = Record::parse(&record).unwrap();
        let key = IncidentKey::of(&record, "");
        let incident = Incident::new(key, &record, Reason::MutatingCall, Severity::High);
        let message =
            Message::in_formats(Alert::of_incident(&incident, None, &context()), AMAZON_Q);
        for text in [&message.structure, &message.subject, &message.json()] {
            assert!(!text.contains("hunter"), "{text}");
        }
        assert!(message.json().contains(r#""vpc-1""#), "{}", message.json());
    }
}

#[test]
fn what_looks_secret_is_in_no_text_whatever_it_stands_under() {
    for seed in 0..2000 {
        let _seed = Seed(seed);
        let mut draws = Draws(seed);
        let names = [TELLTALES, JSON].concat();
        let [name, id, agent, last] = [&names, &names, TELLTALES, TELLTALES]
            .map(|choices: &[&str]| draws.of(choices).replacen('@', "hunter", 1));
        let record = json!({
            "eventSource": "lambda.amazonaws.com", "eventName": "CreateFunction20150331",
            "userAgent": format!("aws-cli/2.15.0 {agent} {last}"),
            "requestParameters": {"functionName": name, "vpcId": "vpc-1", "inner": [{"Name": id}]},
            "responseElements": {"projectId": id, "roleId": format!("x {last}")},
        })
        .to_string();
        let record = Record::parse(&record).unwrap();
        let key = IncidentKey::of(&record, "");
        let incident = Incident::new(key, &record, Reason::MutatingCall, Severity::High);
        let message =
            Message::in_formats(Alert::of_incident(&incident, None, &context()), AMAZON_Q);
        assert!(!message.structure.contains("hunter"), "{}", message.structure);
        assert!(message.json().contains(r#""vpc-1""#), "{}", message.json());
        assert!(message.json().contains("aws-cli/2.15.0"), "{}", message.json());
    }
}

/// Says which alert it was when a check fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was seed {}", self.0);
        }
    }
}

/// What holds of every message, in either format.
fn check(seed: u64, alert: Alert) {
    let _seed = Seed(seed);
    let message = Message::in_formats(alert, AMAZON_Q);
    assert!(message.size() <= LARGEST, "{} bytes", message.size());
    assert!((1..=99).contains(&message.subject.len()), "{}", message.subject);
    assert!(message.subject.bytes().all(|b| (b' '..=b'~').contains(&b)), "{}", message.subject);
    assert!(message.attributes.iter().all(|a| !a.value.is_empty()), "{:?}", message.attributes);
    let texts = texts(&message);
    for protocol in ["default", "sms", "sqs", "https"] {
        let text = texts[protocol].as_str().unwrap();
        assert!(!text.is_empty());
        assert!(!text.chars().any(is_hidden), "{text:?}");
        assert_few_marks(text);
    }
    let sms = texts["sms"].as_str().unwrap();
    assert!(sms.len() <= 160 && sms.chars().all(is_basic_gsm), "{sms}");
    assert_eq!(texts["default"], texts["email"]);
    for machine in ["lambda", "http", "firehose"] {
        assert_eq!(texts[machine], texts["sqs"]);
    }
    check_opening(&message.alert, texts["email"].as_str().unwrap());
    let json: Value = serde_json::from_str(texts["sqs"].as_str().unwrap()).unwrap();
    schema::assert_valid(&json);
    check_chat(&serde_json::from_str(texts["https"].as_str().unwrap()).unwrap());
}

/// Printable ASCII without what the basic GSM alphabet lacks, or has for two places.
fn is_basic_gsm(c: char) -> bool {
    matches!(c, ' '..='~') && !"[]\\^`{|}~".contains(c)
}

/// The first line of an incident's mail says who did what where, the second whether it worked.
fn check_opening(alert: &Alert, mail: &str) {
    let Body::Incident(body) = &alert.body else { return };
    let mut lines = mail.lines();
    let (first, second) = (lines.next().unwrap(), lines.next().unwrap());
    assert!(first.starts_with(&body.principal.name), "{first}");
    assert!(first.contains(&body.calls[0].name), "{first}");
    let place = if alert.region == "unknown" { "does not tell" } else { &alert.region };
    assert!(first.contains(place) && first.contains(&alert.account), "{first}");
    let worked = ["succeeded.", "failed.", "failed: denied.", "failed: throttled.", "a dry run."];
    assert!(worked.iter().any(|became| second.contains(became)), "{second}");
}

/// Control characters, and marks that reorder or hide text.
fn is_hidden(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
            | '\u{FEFF}' | '\u{E0000}'..='\u{E007F}')
        || "\u{034F}\u{115F}\u{1160}\u{2800}\u{3164}\u{FE0F}\u{FFA0}\u{E0100}".contains(c)
}

/// Not more than four of the marks that are among the words stand on one letter.
fn assert_few_marks(text: &str) {
    let is_mark = |c: char| matches!(c, '\u{0300}'..='\u{036F}' | '\u{1AB0}'..='\u{1ACE}' | '\u{20DD}' | '\u{FE20}');
    let longest = text.split(|c| !is_mark(c)).map(|marks| marks.chars().count()).max();
    assert!(longest <= Some(4), "{text:?}");
}

/// A custom notification, in which nothing but code spans, the rule's block and our own links means
/// anything to a chat.
fn check_chat(chat: &Value) {
    let content = &chat["content"];
    let title = content["title"].as_str().unwrap();
    let description = content["description"].as_str().unwrap();
    assert!((1..=150).contains(&title.chars().count()), "{title}");
    assert!((1..=3000).contains(&description.chars().count()), "{description}");
    assert!(!title.contains('\n'), "{title}");
    assert_harmless(&outside_of_code(description));
    let inside =
        [content["nextSteps"].as_array().unwrap(), content["keywords"].as_array().unwrap()];
    let context = chat["metadata"]["additionalContext"].as_object().unwrap().values();
    for text in inside.into_iter().flatten().chain(context).chain([&chat["metadata"]["summary"]]) {
        assert_harmless(text.as_str().unwrap());
    }
    assert_harmless(title);
}

/// What is left of a description without its code; code that holds anything active is left.
fn outside_of_code(description: &str) -> String {
    let blocks: Vec<&str> = description.split("\n```\n").collect();
    assert!(matches!(blocks.len(), 1 | 2), "{description}");
    let before = blocks[0].lines().map(|line| {
        let parts: Vec<&str> = line.split('`').collect();
        assert!(parts.len() % 2 == 1, "a code span has no end: {line}");
        let (outside, inside): (Vec<_>, Vec<_>) =
            parts.iter().enumerate().partition(|(at, _)| at % 2 == 0);
        assert!(inside.iter().all(|(_, code)| !code.contains(['<', '>'])), "{line}");
        let outside: String = outside.into_iter().map(|(_, text)| format!("{text} ")).collect();
        match outside.trim().strip_prefix("https://") {
            Some(link) if link.contains(".console.") => String::new(),
            _ => outside,
        }
    });
    let before: Vec<String> = before.collect();
    if let Some(rule) = blocks.get(1) {
        let rule = rule.strip_suffix("\n```").unwrap();
        assert!(!rule.contains(['`', '<', '>']), "{rule}");
    }
    before.join("\n")
}

/// Whether neither Slack nor Teams finds markup, a link or a mention.
fn assert_harmless(text: &str) {
    assert!(!text.contains(['*', '~', '`', '<', '>', '[', ']', '|', '\\', '&']), "{text}");
    assert!(!text.contains("://"), "{text}");
    let chars: Vec<char> = [' '].into_iter().chain(text.chars()).chain([' ']).collect();
    for around in chars.windows(3).filter(|around| matches!(around[1], '_' | '#' | '@')) {
        assert!(around[0].is_alphanumeric() && around[2].is_alphanumeric(), "{text}");
    }
}
