//! `regionwatch scan --html`: the page, as a browser understands it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::samples::events;

/// What somebody who makes calls may write into their records.
const PLANTED: [&str; 8] = [
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "</pre></details></title><iframe src=//x>",
    "<!-- ]]> --!>",
    "&lt;b&gt;&#60;script&#62;",
    "\u{202E}\u{2066}\u{200F}<a href=javascript:alert(1)>",
];

fn call(number: usize, role: &str) -> Value {
    json!({
        "eventVersion": "1.11", "eventID": format!("{number:08x}-0000-4000-8000-000000000000"),
        "eventTime": format!("2026-11-20T{:02}:{:02}:00Z", number / 60 % 24, number % 60),
        "awsRegion": "eu-west-3", "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances",
        "recipientAccountId": "111122223333", "sourceIPAddress": "203.0.113.7",
        "userAgent": "aws-cli/2", "errorCode": "Oops",
        "requestParameters": {"instanceId": "i-0", "bucketName": "b"},
        "resources": [{"ARN": "arn:aws:s3:::b"}],
        "userIdentity": {"type": "AssumedRole", "accessKeyId": "ASIAIOSFODNN7EXAMPLE",
            "arn": format!("arn:aws:sts::111122223333:assumed-role/{role}/session"),
            "sessionContext": {"sessionIssuer": {
                "arn": format!("arn:aws:iam::111122223333:role/{role}"), "userName": role}}},
    })
}

/// Writes something behind every text of a record but its time and its id.
fn plant(value: &mut Value, key: &str, text: &str) {
    match value {
        Value::String(word) if key != "eventTime" && key != "eventID" => word.push_str(text),
        Value::Array(list) => list.iter_mut().for_each(|one| plant(one, "", text)),
        Value::Object(members) => members.iter_mut().for_each(|(key, one)| plant(one, key, text)),
        _ => {}
    }
}

/// The page about these records, under a policy that calls the account something.
fn page(records: &[Value], account: &str, folder: &Path) -> String {
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    fs::write(folder.join("records.ndjson"), lines.join("\n")).unwrap();
    let policy = folder.join("policy.toml");
    fs::write(&policy, format!("[accounts.\"111122223333\"]\nname = {}\n", json!(account)))
        .unwrap();
    let out = folder.join("out.html");
    let mut command = Command::new(env!("CARGO_BIN_EXE_regionwatch"));
    command.arg("scan").arg("--html").arg(&out).arg("--policy").arg(policy).arg(folder);
    command.output().unwrap();
    fs::read_to_string(&out).unwrap()
}

/// Each tag with the names of its attributes, without what stands in the style sheet.
fn tags(page: &str) -> Vec<String> {
    let (before, behind) = page.split_once("<style>").unwrap();
    let (_, behind) = behind.split_once("</style>").unwrap();
    let mut tags = Vec::new();
    for tag in before.split('<').skip(1).chain(behind.split('<').skip(1)) {
        let (tag, _) = tag.split_once('>').unwrap_or((tag, ""));
        // Values stand in quotes: every second part is outside of them.
        let outside: Vec<&str> = tag.split('"').step_by(2).collect();
        tags.push(outside.join("").split_whitespace().collect::<Vec<_>>().join(" "));
    }
    tags
}

/// The page as a browser has it, where there is one.
fn in_a_browser(page: &Path) -> Option<String> {
    let run = |browser: &str| {
        let mut command = Command::new(browser);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]);
        command.arg("--dump-dom").arg(format!("file://{}", page.display()));
        command.output().ok()
    };
    let output = ["chromium", "google-chrome", "chromium-browser"].into_iter().find_map(run);
    let Some(output) = output else {
        eprintln!("skipped: there is no chromium");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("CONSOLE"), "the page is not as its own rules allow: {said}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn nothing_of_a_record_becomes_markup() {
    let folder = tempfile::tempdir().unwrap();
    let harmless: Vec<Value> =
        (0..PLANTED.len()).map(|at| call(at, &format!("role{at}"))).collect();
    let mut hostile = harmless.clone();
    for (record, text) in hostile.iter_mut().zip(PLANTED) {
        plant(record, "", text);
    }
    let account = PLANTED.concat();
    // A file may be named like anything, too.
    fs::write(folder.path().join("<img src=x onerror=alert(1)>.json.gz"), [0x1f, 0x8b]).unwrap();
    let page = page(&hostile, &account, folder.path());
    assert!(page.contains("RunInstances&lt;script&gt;alert(1)"), "{page}");
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;.json.gz"), "{page}");
    assert!(!page.contains(['\u{202E}', '\u{2066}', '\u{200F}']));
    only_ours(&tags(&page));
    if let Some(dom) = in_a_browser(&folder.path().join("out.html")) {
        only_ours(&tags(&dom));
        // What is shown is what stands in the record.
        assert!(dom.contains("RunInstances&lt;script&gt;alert(1)&lt;/script&gt;"));
        let text = |page: &str| page.matches("<details").count();
        assert_eq!(text(&dom), text(&page));
    }
}

/// Elements and attributes of the page itself.
fn only_ours(tags: &[String]) {
    const ELEMENTS: &str = "!DOCTYPE b body code details div footer h1 h2 head header html i li line \
        main meta p pre rect section span style summary svg table tbody td th thead title tr ul";
    const ATTRIBUTES: &str = "aria-hidden= aria-label= charset= class= content= height= http-equiv= lang= \
        name= preserveAspectRatio= preserveaspectratio= role= rx= scope= title= viewBox= viewbox= width= \
        x1= x2= y1= y2= html";
    assert!(tags.len() > 100, "only {} tags", tags.len());
    for tag in tags {
        let mut words = tag.split(' ');
        let element = words.next().unwrap().trim_start_matches('/');
        assert!(ELEMENTS.split_whitespace().any(|ours| ours == element), "<{tag}>");
        for attribute in words {
            assert!(ATTRIBUTES.split_whitespace().any(|ours| ours == attribute), "<{tag}>");
        }
    }
}

#[test]
fn a_tag_that_got_in_would_be_seen() {
    let page =
        "<p><style></style><p class=\"a b\">x &lt;y&gt; <IMG src=x onerror=\"alert(1)\"></p>";
    assert_eq!(tags(page), ["p", "p class=", "IMG src=x onerror=", "/p"]);
}

#[test]
fn the_page_stands_alone() {
    let folder = tempfile::tempdir().unwrap();
    let page = page(&[call(1, "ci")], "sandbox", folder.path());
    for loads in ["src=", "href=", "url(", "@import", "<script", "<link", "style=\""] {
        assert!(!page.contains(loads), "{loads}");
    }
    assert!(page.contains("content=\"default-src 'none'; style-src 'sha256-"), "{page}");
    // The mail, as it would have been sent, and the policy in force.
    assert!(
        page.contains("Subject: [low] ci failed to call ec2:RunInstances in eu-west-3"),
        "{page}"
    );
    assert!(page.contains("account 111122223333 (sandbox)"), "{page}");
    assert!(page.contains("name = &quot;sandbox&quot;"), "{page}");
}

#[test]
fn a_page_about_nothing_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let page = page(&[], "sandbox", folder.path());
    assert!(page.contains("Nothing would have been sent."));
    assert!(page.contains("No call tells where and when it was made."));
    let mut quiet = call(1, "ci");
    quiet["awsRegion"] = "us-east-1".into();
    let page = self::page(&[quiet], "sandbox", folder.path());
    assert!(page.contains("✓ </span>us-east-1"), "{page}");
    assert!(page.contains("Nothing would have been sent."));
}

#[test]
fn a_page_about_thousands_of_alerts_shows_the_gravest_and_counts_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let many: Vec<Value> = (0..1_400).map(|at| call(at, &format!("role{at}"))).collect();
    let page = page(&many, "sandbox", folder.path());
    // Those in full, and the policy.
    assert_eq!(page.matches("<pre>").count(), 201);
    assert!(page.contains("The next in short"), "{page}");
    assert!(page.contains("700 messages"), "{page}");
    assert!(page.contains("regionwatch scan --format json"), "{page}");
    assert!(page.contains("1,375 more incidents"), "{page}");
    assert!(page.len() < 1_500_000, "{}", page.len());
}

#[test]
fn an_incident_that_goes_on_for_weeks_is_told_as_often_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut weeks: Vec<Value> = (0..500).map(|at| call(at, "ci")).collect();
    for (at, record) in weeks.iter_mut().enumerate() {
        let (day, hour) = (at / 12 % 28 + 1, at % 12 * 2);
        let month = at / 336 + 9;
        record["eventTime"] = json!(format!("2026-{month:02}-{day:02}T{hour:02}:00:00Z"));
    }
    let page = page(&weeks, "sandbox", folder.path());
    assert!(page.contains("500 calls, 500 told"), "{page}");
    // Their marks reach from the first to the last.
    let ticks: Vec<&str> = page.split("class=\"tick ").skip(1).collect();
    assert!((100..=200).contains(&ticks.len()), "{}", ticks.len());
    assert!(
        ticks[0].contains("x1=\"4\"") && ticks[ticks.len() - 1].contains("x1=\"99"),
        "{ticks:?}"
    );
}

#[test]
fn calls_that_cannot_be_told_apart_are_counted_together() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["RunInstances", "RunInstances\u{200B}", "Run\u{202E}Instances"];
    let records = names.iter().enumerate().map(|(at, name)| {
        let mut record = call(at, "ci");
        record["eventName"] = json!(name);
        record
    });
    let page = page(&records.collect::<Vec<_>>(), "sandbox", folder.path());
    let what = page.split_once("The calls that would have alerted.").unwrap().1;
    let what = what.split("</section>").next().unwrap();
    assert!(what.contains("ec2:RunInstances</td><td class=\"n\">3</td>"), "{what}");
}

#[test]
fn of_what_an_exemption_hid_no_number_is_made_up() {
    let folder = tempfile::tempdir().unwrap();
    let records = (0..40).map(|at| {
        let mut record = call(at, "ci");
        record["eventName"] = json!(format!("Run{at}"));
        record
    });
    let lines: Vec<String> = records.map(|record| record.to_string()).collect();
    fs::write(folder.path().join("records.ndjson"), lines.join("\n")).unwrap();
    let (policy, out) = (folder.path().join("policy.toml"), folder.path().join("out.html"));
    let text = "[[exempt]]\nid = \"ci\"\nreason = \"r\"\nprincipals = [\"*role/ci\"]\n";
    fs::write(&policy, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_regionwatch"));
    command.arg("scan").arg("--html").arg(&out).arg("--policy").arg(policy).arg(folder.path());
    command.output().unwrap();
    let page = fs::read_to_string(out).unwrap();
    assert!(page.contains("and others") && !page.contains("and 15 more"), "{page}");
}

#[test]
fn a_page_that_cannot_be_written_is_an_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regionwatch"));
    command.args(["scan", "--html", "no/such/folder/out.html", "records/root.json"]);
    let output = command.current_dir(events()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no/such/folder/out.html: there is no folder no/such/folder"), "{said}");
}
