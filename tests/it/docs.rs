//! `docs/policy.md` and the README: each policy compiles, and does what its examples say; each
//! command on these and on `docs/engines.md` is run, and prints what the page shows.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use regionwatch::policy::{ExampleRecords, Policy, PolicyFile, Verdict};
use regionwatch::record::Record;

use crate::samples::records;

/// A block on a page.
struct Fence {
    page: &'static str,
    /// The heading that it stands below.
    heading: String,
    kind: String,
    text: String,
}

const PAGES: [&str; 3] = ["docs/policy.md", "docs/scan.md", "README.md"];

/// Pages with commands, and how many each has at least.
const COMMANDS: [(&str, usize); 4] =
    [("docs/policy.md", 7), ("docs/scan.md", 2), ("README.md", 7), ("docs/engines.md", 3)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The policies.
fn fences() -> Vec<Fence> {
    PAGES.into_iter().flat_map(|page| policies_of(page, &read(page))).collect()
}

fn policies_of(page: &'static str, text: &str) -> Vec<Fence> {
    fences_of(page, text).into_iter().filter(|fence| fence.kind == "toml").collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn fences_of(page: &'static str, text: &str) -> Vec<Fence> {
    let (mut fences, mut heading, mut open) = (Vec::new(), "", None::<(&str, Vec<&str>)>);
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(""), Some(_)) => {
                let (kind, lines) = open.take().unwrap();
                let (heading, kind, text) = (heading.to_owned(), kind.to_owned(), lines.join("\n"));
                fences.push(Fence { page, heading, kind, text });
            }
            (Some(kind), None) => open = Some((kind, Vec::new())),
            (_, Some((_, lines))) => lines.push(line),
            (None, None) if line.starts_with('#') => heading = line.trim_start_matches(['#', ' ']),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: a block that does not end, below {heading}");
    fences
}

/// What is wrong with a block; nothing, it is hoped.
fn faults(fence: &Fence) -> Vec<String> {
    let Fence { page, heading, text, .. } = fence;
    match Policy::with_user_file(page, text) {
        Ok(policy) => misjudged(fence, &policy),
        Err(faults) => vec![format!("{page}, {heading}: {faults}")],
    }
}

/// The examples of a block that a policy judges otherwise.
fn misjudged(Fence { page, heading, text, .. }: &Fence, policy: &Policy) -> Vec<String> {
    let mut misjudged = Vec::new();
    for (_, example) in PolicyFile::parse(page, text).unwrap().examples() {
        let texts = match &example.records {
            ExampleRecords::Text(text) => vec![text.clone()],
            ExampleRecords::File(file) => records(&root().join(file)),
        };
        assert!(!texts.is_empty(), "{page}, {heading}: {}: no records", example.name);
        for text in texts {
            let verdict = Record::parse(&text).map(|record| policy.judge(&record, ""));
            let verdict = verdict.unwrap_or(Verdict::Reject);
            if !example.expects(&verdict) {
                let (name, expected) = (&example.name, example.expected());
                misjudged
                    .push(format!("{page}, {heading}: {name}: {expected} is judged {verdict}"));
            }
        }
    }
    misjudged
}

/// A list of keys, as the source has it.
fn keys_in(source: &str, list: &str) -> Vec<String> {
    let source = read(source);
    let (_, behind) = source.split_once(&format!("const {list}: &[&str] = &[")).unwrap();
    let (list, _) = behind.split_once("];").unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_policy_on_the_pages_compiles_and_does_what_it_says() {
    let fences = fences();
    assert!(fences.len() >= 12, "only {} policies found", fences.len());
    assert!(fences.iter().any(|fence| fence.page == "README.md"));
    let faults: Vec<String> = fences.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_recipe_shows_that_it_works() {
    let page = read("docs/policy.md");
    let (_, behind) = page.split_once("\n## Recipes\n").unwrap();
    let (recipes, _) = behind.split_once("\n## ").unwrap();
    let recipes = policies_of("docs/policy.md", recipes);
    assert!(recipes.len() >= 9, "only {} recipes found", recipes.len());
    for Fence { heading, text, .. } in &recipes {
        let file = PolicyFile::parse("docs/policy.md", text).unwrap();
        let verdicts: BTreeSet<_> = file.examples().map(|(_, example)| example.verdict).collect();
        assert!(verdicts.contains("alert") && verdicts.contains("ignore"), "{heading}: one side");
    }
}

/// Else its examples would show nothing.
#[test]
fn every_policy_on_the_page_makes_a_difference() {
    let default = Policy::embedded().unwrap();
    for fence in fences().iter().filter(|fence| fence.page == "docs/policy.md") {
        let says: toml::Table = toml::from_str(&fence.text).unwrap();
        let only_examples = says.keys().eq(["example"]);
        assert!(
            only_examples || !misjudged(fence, &default).is_empty(),
            "{}: the default policy judges its examples alike",
            fence.heading
        );
    }
}

#[test]
fn every_key_is_in_some_policy_on_the_pages() {
    let tables: Vec<toml::Table> =
        fences().iter().map(|fence| toml::from_str(&fence.text).unwrap()).collect();
    let keys: BTreeSet<&str> = tables.iter().flat_map(toml::Table::keys).map(|k| &**k).collect();
    let rules = ["watch", "exempt"].into_iter().flat_map(|kind| {
        let rules = tables.iter().filter_map(move |table| table.get(kind)?.as_array());
        rules.flatten().filter_map(toml::Value::as_table)
    });
    let matchers: BTreeSet<&str> = rules.flat_map(toml::Table::keys).map(|key| &**key).collect();
    let wanted = |list: &str, shown: &BTreeSet<&str>| {
        let room =
            if list == "POLICY_KEYS" { "src/policy/file.rs" } else { "src/policy/matchers.rs" };
        let known = keys_in(room, list);
        assert!(known.len() >= 8, "{list} was not read: {known:?}");
        for key in known {
            assert!(shown.contains(&*key), "no policy on the pages has `{key}`");
        }
    };
    wanted("POLICY_KEYS", &keys);
    wanted("MATCHER_KEYS", &matchers);
}

#[test]
fn a_policy_that_does_not_do_what_it_says_is_seen() {
    let text = "## One\n```toml\nsign_ins = \"maybe\"\n```\n## Two\n```text\nnonsense\n```\n\
                ```toml\n[[example]]\nname = \"n\"\nverdict = \"alert\"\nrecord = \"{}\"\n```\n";
    let fences = policies_of("page.md", text);
    let said: Vec<String> = fences.iter().flat_map(faults).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("page.md, One: page.md:1:12: `maybe`"), "{said:?}");
    assert_eq!(said[1], "page.md, Two: n: alert is judged reject unreadable");
}

/// What a page writes before a command of ours.
const PROMPTS: [&str; 2] = ["$ regionwatch ", "$ cargo run --quiet -- "];

/// The commands of a block, each with the lines that it is said to print.
fn commands(fence: &Fence) -> Vec<(&str, Vec<&str>)> {
    let mut commands = Vec::new();
    if PROMPTS.iter().any(|prompt| fence.text.starts_with(prompt)) {
        for line in fence.text.lines() {
            match PROMPTS.iter().find_map(|prompt| line.strip_prefix(prompt)) {
                Some(command) => commands.push((command, Vec::new())),
                None => commands.last_mut().unwrap().1.push(line),
            }
        }
    }
    for (_, lines) in &mut commands {
        let used = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
        lines.truncate(used);
    }
    commands
}

/// A folder with all that the commands of a page name: the samples, and each file that the page
/// shows with its name in the first line.
fn folder_for(fences: &[Fence]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("events"), &folder.path().join("events"));
    for Fence { text, .. } in fences {
        let name = text.lines().next().and_then(|line| line.strip_prefix("# "));
        if let Some(name) = name.filter(|name| name.ends_with(".toml") && !name.contains(' ')) {
            fs::write(folder.path().join(name), format!("{text}\n")).unwrap();
        }
    }
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => assert!(fs::copy(&from, &to).is_ok()),
        }
    }
}

/// What a command prints, in the order in which a terminal shows it.
fn printed(command: &str, folder: &Path) -> String {
    let path = folder.join("printed");
    let out = File::create(&path).unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_regionwatch"));
    run.args(command.split_whitespace()).current_dir(folder);
    run.stdout(out.try_clone().unwrap()).stderr(out).status().unwrap();
    fs::read_to_string(path).unwrap()
}

/// A line `...` stands for any number of lines.
fn fits(shown: &[&str], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([], _) => printed.is_empty(),
        ([line, shown @ ..], _) if is_gap(line) => {
            (0..=printed.len()).any(|n| fits(shown, &printed[n..]))
        }
        ([line, shown @ ..], [said, printed @ ..]) => line_fits(line, said) && fits(shown, printed),
        _ => false,
    }
}

fn is_gap(line: &str) -> bool {
    line.trim_start() == "..."
}

/// `...` in a line stands for any text.
fn line_fits(shown: &str, said: &str) -> bool {
    let Some((before, behind)) = shown.split_once("...") else { return shown == said };
    let Some(rest) = said.strip_prefix(before) else { return false };
    let mut rests = rest.char_indices().map(|(at, _)| &rest[at..]).chain([""]);
    rests.any(|rest| line_fits(behind, rest))
}

/// `-` is on the page alone, `+` is printed alone.
fn diff(shown: &[&str], mut printed: &[&str]) -> String {
    let (mut lines, mut elided) = (Vec::new(), false);
    for line in shown {
        if let Some(at) = printed.iter().position(|said| !is_gap(line) && line_fits(line, said)) {
            let unseen = printed[..at].iter().filter(|_| !elided);
            lines.extend(unseen.map(|said| format!("+ {said}")));
            lines.push(format!("  {line}"));
            (printed, elided) = (&printed[at + 1..], false);
        } else {
            elided = is_gap(line);
            lines.push(format!("{} {line}", if elided { ' ' } else { '-' }));
        }
    }
    lines.extend(printed.iter().filter(|_| !elided).map(|said| format!("+ {said}")));
    lines.join("\n")
}

/// How many commands a page has, and what is wrong with those that print something else.
fn run_all(page: &'static str, text: &str) -> (usize, Vec<String>) {
    let fences = fences_of(page, text);
    let folder = folder_for(&fences);
    let commands: Vec<_> = fences.iter().flat_map(commands).collect();
    let wrong = commands.iter().filter_map(|(command, shown)| {
        let printed = printed(command, folder.path());
        let printed: Vec<&str> = printed.trim_end().lines().map(str::trim_end).collect();
        let diff = || format!("{page}: $ regionwatch {command}\n{}\n", diff(shown, &printed));
        (!fits(shown, &printed)).then(diff)
    });
    (commands.len(), wrong.collect())
}

#[test]
fn every_command_on_the_pages_prints_what_they_show() {
    for (page, least) in COMMANDS {
        let (count, wrong) = run_all(page, &read(page));
        assert!(count >= least, "found only {count} commands on {page}");
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }
}

#[test]
fn a_command_that_prints_something_else_is_seen() {
    let text = "```text\n# my.toml\nsign_ins = \"maybe\"\n```\n\
                ```\n$ regionwatch policy check --policy my.toml\n...\nmy.toml:2:12: `...` is fine\n```\n\
                ```\n$ regionwatch policy check --policy my.toml\n...cannot...used:\n...\n```\n";
    let (count, wrong) = run_all("page.md", text);
    assert_eq!((count, wrong.len()), (2, 1), "{wrong:?}");
    let lines: Vec<&str> = wrong[0].lines().collect();
    assert_eq!(lines[0], "page.md: $ regionwatch policy check --policy my.toml");
    assert_eq!(
        lines[1..4],
        ["  ...", "- my.toml:2:12: `...` is fine", "+ regionwatch: the policy cannot be used:"]
    );
    assert!(lines[4].starts_with("+ my.toml:2:12: `maybe` is unknown"), "{lines:?}");
}
