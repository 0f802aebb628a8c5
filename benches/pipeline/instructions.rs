//! Instructions, as valgrind counts them: hardly another number in another run.
//!
//! The bench runs itself under callgrind, once with one walk and once with two. The difference is
//! one walk, without anything that comes before it or after.

use std::hint::black_box;
use std::process::{Command, ExitCode};

use regionwatch::policy::Policy;

use crate::contenders::{OURS, WALKS, Walk};
use crate::{BUDGET, COUNTED, trail};

/// `--walk NAME TIMES`: what is run to be counted.
pub const WALK: &str = "--walk";

/// For each walk.
pub fn print() {
    println!("\n{:>24} {:>9}", "instructions a record", "x floor");
    let Some(floor) = per_record(&WALKS[0]) else { return };
    for walk in WALKS {
        let Some(own) = per_record(&walk) else { return };
        println!("{own:>24} {:>9.2}  {}: {}", own as f64 / floor as f64, walk.name, walk.what);
    }
}

/// Fails where ours is over the budget.
pub fn guard() -> ExitCode {
    let Some(own) = per_record(&WALKS[OURS]) else { return ExitCode::FAILURE };
    println!("{own} instructions a record, {BUDGET} allowed");
    if own > BUDGET { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn per_record(walk: &Walk) -> Option<u64> {
    let (one, two) = (count(walk, "1")?, count(walk, "2")?);
    Some((two - one) / COUNTED)
}

/// Instructions of this program with so many walks; `None`, said on stdout, without valgrind.
fn count(walk: &Walk, times: &str) -> Option<u64> {
    let valgrind = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args([WALK, walk.name, times])
        .output();
    let Ok(valgrind) = valgrind else {
        println!("instructions are not counted: there is no valgrind");
        return None;
    };
    let said = String::from_utf8_lossy(&valgrind.stderr).into_owned();
    let count = said.lines().find_map(|line| line.split_once("Collected : "));
    Some(count.expect(&said).1.trim().parse().unwrap())
}

/// Walks, and does nothing else.
pub fn walk(name: &str, times: &str) {
    let walk = WALKS.into_iter().find(|walk| walk.name == name).expect("the name of a walk");
    let policy = Policy::embedded().unwrap();
    let payload = trail::payload(COUNTED);
    for _ in 0..times.parse().unwrap() {
        black_box((walk.run)(&policy, black_box(&payload)));
    }
}
