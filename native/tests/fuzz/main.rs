//! Random instructions, most of them right, the others damaged: whatever comes, the library answers with a code and
//! never with a crash or a panic. `TORO_FUZZ` says how many (default 50,000), `TORO_FUZZ_SEED` where to begin,
//! `TORO_FUZZ_ONLY` which op alone; `TORO_FUZZ_TRACE` prints each instruction before it runs, to find what crashed.
//! A row of the opcode table without a generator fails the test.

mod build;
mod damage;
mod random;
mod rows;

use build::{Bench, Instruction};
use random::Random;
use toro::ops;

/// What became of an opcode's instructions.
#[derive(Clone, Copy, Default)]
struct Count {
    sent: u64,
    /// Executed with code 0.
    valid: u64,
    /// Sent as generated, without damage.
    whole: u64,
    /// Of those, executed with code 0 or refused for an index in the data.
    accepted: u64,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.replace('_', "").parse().ok())
        .unwrap_or(default)
}

#[test]
fn every_row_has_a_generator() {
    let missing: Vec<&str> = ops::table()
        .iter()
        .filter(|row| rows::generator(row).is_none())
        .map(|row| row.name)
        .collect();
    assert!(
        missing.is_empty(),
        "rows without a generator in tests/fuzz/rows: {}",
        missing.join(", ")
    );
}

#[test]
fn random_instructions_end_in_a_code() {
    let total = number("TORO_FUZZ", 50_000);
    let seed = number("TORO_FUZZ_SEED", 1);
    let only = std::env::var("TORO_FUZZ_ONLY").unwrap_or_default();
    let table: Vec<usize> = (0..ops::table().len())
        .filter(|&i| only.is_empty() || ops::table()[i].name == only)
        .collect();
    let trace = std::env::var_os("TORO_FUZZ_TRACE").is_some();
    let mut random = Random::new(seed);
    let mut bench = Bench::new();
    let mut counts = vec![Count::default(); ops::table().len()];
    for turn in 0..total {
        let opcode = table[(turn % table.len() as u64) as usize];
        let row = &ops::table()[opcode];
        let Some(generate) = rows::generator(row) else {
            continue;
        };
        bench.begin();
        let mut made = generate(row, &mut random, &mut bench);
        let whole = !random.one_in(3);
        let reshaped = !whole && random.one_in(3);
        if reshaped {
            damage::reshape(&mut made, &mut random);
        }
        let mut words = made.words(opcode);
        if !whole && !reshaped {
            damage::damage(&mut words, &made, &mut random, &bench);
        }
        if trace {
            println!("{turn} {}: {words:?}", row.name);
        }
        let code = bench.execute(&words);
        let count = &mut counts[opcode];
        count.sent += 1;
        count.valid += u64::from(code == 0);
        if whole {
            count.whole += 1;
            count.accepted += u64::from(code == 0 || code == 3);
        }
        assert!(
            (0..=3).contains(&code),
            "{} gave code {code} ({}) in turn {turn} of seed {seed}: {words:?}",
            row.name,
            bench.text()
        );
        if whole && code != 0 && code != 3 && std::env::var_os("TORO_FUZZ_SHOW").is_some() {
            println!("{}: {}", row.name, bench.text());
        }
    }
    report(&table, &counts, total);
}

fn report(table: &[usize], counts: &[Count], total: u64) {
    let valid: u64 = counts.iter().map(|c| c.valid).sum();
    println!(
        "{:<28}{:>9}{:>9}{:>12}",
        "opcode", "sent", "valid", "accepted"
    );
    for &i in table {
        let c = counts[i];
        println!(
            "{:<28}{:>9}{:>9}{:>11.0}%",
            ops::table()[i].name,
            c.sent,
            c.valid,
            100.0 * c.accepted as f64 / c.whole.max(1) as f64
        );
    }
    println!(
        "{total} instructions, {valid} of them valid and executed ({:.0} %)",
        100.0 * valid as f64 / total as f64
    );
    let each = total / table.len().max(1) as u64;
    let rare: Vec<&str> = table
        .iter()
        .filter(|&&i| counts[i].valid < each / 5)
        .map(|&i| ops::table()[i].name)
        .collect();
    assert!(
        rare.is_empty(),
        "fewer than a fifth of the instructions were valid for: {}",
        rare.join(", ")
    );
    assert!(
        2 * valid >= total,
        "only {valid} of {total} instructions were valid"
    );
    if total >= 1_000_000 {
        let few: Vec<&str> = table
            .iter()
            .filter(|&&i| counts[i].valid < 1000)
            .map(|&i| ops::table()[i].name)
            .collect();
        assert!(
            few.is_empty(),
            "fewer than 1,000 valid instructions for: {}",
            few.join(", ")
        );
    }
}

/// Keeps the type in sight of the generators.
pub type Generate = fn(&toro::instruction::Row, &mut Random, &mut Bench) -> Instruction;
