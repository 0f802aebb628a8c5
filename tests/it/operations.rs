//! `docs/operations.md` against what the function writes and what the template rings for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regionwatch::metrics::Summary;
use serde_json::Value;

use crate::metrics::{full, lines, units};
use crate::template::alarms;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn page() -> String {
    read("docs/operations.md")
}

/// What stands below a heading, up to the next one.
fn section<'p>(page: &'p str, heading: &str) -> &'p str {
    let (_, behind) = page.split_once(&format!("\n{heading}\n")).unwrap();
    let ends = ["\n## ", "\n### "].iter().filter_map(|next| behind.find(next)).min();
    &behind[..ends.unwrap_or(behind.len())]
}

/// The cells of a section's table, row by row.
fn table(section: &str) -> Vec<Vec<&str>> {
    let rows = section.lines().map(str::trim).filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// What a cell names.
fn name(cell: &str) -> &str {
    cell.trim_matches('`')
}

fn names<'p>(rows: &[Vec<&'p str>]) -> BTreeSet<&'p str> {
    rows.iter().map(|row| name(row[0])).collect()
}

/// Those of which the last cell says when they are absent.
fn at_times_absent<'p>(rows: &[Vec<&'p str>]) -> BTreeSet<&'p str> {
    rows.iter().filter(|row| !row.last().unwrap().is_empty()).map(|row| name(row[0])).collect()
}

fn keys(line: &Value) -> BTreeSet<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn every_field_of_the_line_is_described_and_no_other() {
    let (page, (all, _), (least, _)) = (page(), lines(&full()), lines(&Summary::default()));
    let rows = table(section(&page, "### The line of an invocation"));
    assert_eq!(names(&rows), keys(&all));
    let absent: BTreeSet<&str> = keys(&all).difference(&keys(&least)).copied().collect();
    assert_eq!(at_times_absent(&rows), absent);
}

#[test]
fn every_metric_is_described_and_no_other() {
    let (page, (line, all), (_, least)) = (page(), lines(&full()), lines(&Summary::default()));
    let (metrics, _) = section(&page, "### The metrics").split_once("stand properties").unwrap();
    let rows = table(metrics);
    let written = units(&all);
    assert_eq!(names(&rows), written.keys().copied().collect());
    for row in &rows {
        let (metric, unit, field) = (name(row[0]), row[1], name(row[2]));
        assert_eq!(written[metric], unit, "{metric}");
        assert_eq!(all[metric], line[field], "{metric} is not {field}");
    }
    let always = units(&least);
    let absent = written.keys().filter(|name| !always.contains_key(*name)).copied().collect();
    assert_eq!(at_times_absent(&rows), absent);
}

#[test]
fn every_property_beside_the_metrics_is_described_and_no_other() {
    let (page, (line, all)) = (page(), lines(&full()));
    let (_, behind) = section(&page, "### The metrics").split_once("stand properties").unwrap();
    let rows = table(behind);
    let metrics = units(&all);
    let no_property =
        |key: &str| key == "_aws" || key == "FunctionName" || metrics.contains_key(key);
    let written: BTreeSet<&str> = keys(&all).into_iter().filter(|key| !no_property(key)).collect();
    assert_eq!(names(&rows), written);
    for row in &rows {
        let (property, field) = (name(row[0]), name(row[1]));
        assert_eq!(all[property], line[field], "{property} is not {field}");
    }
}

#[test]
fn what_the_metrics_cost_is_what_is_said() {
    let (_, line) = lines(&full());
    assert_eq!(units(&line).len(), 10, "see what they cost in docs/operations.md and the README");
    assert!(page().contains("**What they cost**: ten custom metrics"));
    assert!(read("README.md").contains("ten custom metrics"));
    assert!(line.to_string().len() < 1100, "{} bytes", line.to_string().len());
}

#[test]
fn every_line_that_is_described_is_one_that_the_function_writes() {
    let (page, mut code) = (page(), String::new());
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/lambda")).unwrap()
    {
        code += &fs::read_to_string(file.unwrap().path()).unwrap();
    }
    let rows = table(section(&page, "### The other lines"));
    assert!(rows.len() >= 6, "{rows:?}");
    for message in names(&rows) {
        assert!(code.contains(&format!("\"{message}\"")), "{message}");
    }
}

#[test]
fn every_type_of_error_has_a_cause_and_a_remedy() {
    let (page, code) = (page(), read("src/handler.rs"));
    let (_, kinds) = code.split_once("pub fn kind(&self) -> &'static str {").unwrap();
    let (kinds, _) = kinds.split_once("\n    }\n").unwrap();
    let kinds: BTreeSet<&str> = kinds.split('"').skip(1).step_by(2).collect();
    assert!(kinds.len() >= 5, "{kinds:?}");
    let rows = table(section(&page, "### Alarm errors"));
    let described = names(&rows).into_iter().filter(|name| !name.starts_with("none: ")).collect();
    assert_eq!(kinds, described);
}

#[test]
fn every_alarm_has_a_runbook_and_says_where() {
    let page = page();
    let headings = page.lines().filter_map(|line| line.strip_prefix("### Alarm "));
    let alarms = alarms();
    let rung: BTreeSet<&str> = alarms.iter().map(|alarm| alarm.name.as_str()).collect();
    assert_eq!(rung, headings.collect());
    assert_eq!(rung, names(&table(section(&page, "## Runbooks"))));
    for alarm in &alarms {
        let end = format!("Runbook: docs/operations.md#alarm-{}", alarm.name);
        assert!(alarm.description.ends_with(&end), "{}", alarm.description);
        let runbook = section(&page, &format!("### Alarm {}", alarm.name));
        let metric = format!("\n`{}` `{}`.", alarm.namespace, alarm.metric);
        assert!(runbook.starts_with(&metric), "{metric}");
        for part in ["\n1. ", "\n2. ", "\n3. ", "\nIt resolves by itself", "**"] {
            assert!(runbook.contains(part), "the runbook of {} has no {part:?}", alarm.name);
        }
    }
}

/// Words of the query language, as far as the page uses it.
const LANGUAGE: [&str; 11] =
    ["fields", "filter", "stats", "sort", "by", "as", "asc", "desc", "and", "or", "not"];

/// What a query asks for, without what it calls by a name of its own.
fn asked(query: &str) -> BTreeSet<String> {
    let texts_out: String = query.split('"').step_by(2).collect();
    let word = |c: char| c.is_ascii_alphanumeric() || "_.@:-`".contains(c);
    let (mut asked, mut own, mut words) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for piece in texts_out.split_inclusive(|c: char| !word(c)) {
        let is_function = piece.ends_with('(');
        let found = piece.trim_end_matches(|c: char| !word(c));
        let is_number = found.starts_with(|c: char| c.is_ascii_digit());
        if !found.is_empty() && !is_function && !is_number {
            words.push(found);
        }
    }
    for (at, found) in words.iter().enumerate() {
        if at > 0 && words[at - 1] == "as" {
            own.insert(*found);
        } else if !LANGUAGE.contains(found) && !own.contains(found) {
            asked.insert(found.trim_matches('`').to_owned());
        }
    }
    asked
}

#[test]
fn queries_ask_for_fields_that_there_are() {
    let (page, (line, _)) = (page(), lines(&full()));
    let known = keys(&line);
    let queries: Vec<&str> = page
        .split("```insights\n")
        .skip(1)
        .map(|behind| behind.split("```").next().unwrap())
        .collect();
    assert!(queries.len() >= 8, "only {} queries found", queries.len());
    for query in queries {
        let asked = asked(query);
        assert!(!asked.is_empty(), "{query}");
        for field in asked {
            let root = field.split('.').next().unwrap();
            // Lambda's own line, the log's own fields, and those of other lines of the function.
            let others = ["type", "record", "attributes", "subject", "fault", "parameter"];
            let elsewhere =
                field.starts_with('@') || others.contains(&root) || field == "parameter_version";
            assert!(
                known.contains(root) || elsewhere,
                "nothing has {field}, asked for in\n{query}"
            );
        }
    }
    let asked = asked("stats sum(`a.x:y-z`) as b, max(@t) by c, bin(1h) | sort b desc");
    assert_eq!(asked.into_iter().collect::<Vec<_>>(), ["@t", "a.x:y-z", "c"]);
}
