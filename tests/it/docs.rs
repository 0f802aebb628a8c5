//! The policies in `docs/policy.md` and the README: each compiles, and does what its examples say.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regionwatch::policy::{ExampleRecords, Policy, PolicyFile, Verdict};
use regionwatch::record::Record;

use crate::samples::records;

/// A block of policy on a page.
struct Fence {
    page: &'static str,
    /// The heading that it stands below.
    heading: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn fences() -> Vec<Fence> {
    let pages = ["docs/policy.md", "README.md"];
    pages.into_iter().flat_map(|page| fences_of(page, &read(page))).collect()
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
                if kind == "toml" {
                    let text = lines.join("\n");
                    fences.push(Fence { page, heading: heading.to_owned(), text });
                }
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
    let Fence { page, heading, text } = fence;
    match Policy::with_user_file(page, text) {
        Ok(policy) => misjudged(fence, &policy),
        Err(faults) => vec![format!("{page}, {heading}: {faults}")],
    }
}

/// The examples of a block that a policy judges otherwise.
fn misjudged(Fence { page, heading, text }: &Fence, policy: &Policy) -> Vec<String> {
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
    let recipes = fences_of("docs/policy.md", recipes);
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
    let fences = fences_of("page.md", text);
    let said: Vec<String> = fences.iter().flat_map(faults).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("page.md, One: page.md:1:12: `maybe`"), "{said:?}");
    assert_eq!(said[1], "page.md, Two: n: alert is judged reject unreadable");
}
