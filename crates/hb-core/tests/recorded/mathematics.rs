//! Figures that statistics stand on, over their whole range, to ten digits.

use std::fmt::Write as _;

use hb_core::time::{SECOND_NS, Span, Stamp};
use hb_core::watch::detect::{discovery, distribution, figure, finding, recent, season, solve, student, trend};

use super::ledger::assert_recorded;
use super::world::wobble;

#[test]
fn tails_and_quantiles_are_what_they_were() {
    let mut text = String::new();
    for df in [0.5, 1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 10.0, 29.0, 30.0, 100.0, 1e3, 1e6] {
        for t in [0.0, 1e-9, 0.1, 0.5, 1.0, 1.96, 2.5, 4.0, 8.0, 30.0, 1e3, -2.0] {
            writeln!(text, "two_sided({t}, {df}) = {:.9e}", student::two_sided(t, df)).unwrap();
        }
        for p in [0.5, 0.1, 0.05, 0.01, 1e-3, 1e-6, 1e-9, 0.999_9] {
            writeln!(text, "critical({p}, {df}) = {:.7e}", student::critical(p, df)).unwrap();
        }
    }
    assert_recorded("tails", include_str!("tails.txt"), &text);
}

#[test]
fn small_parts_of_the_tests_are_what_they_were() {
    let mut text = String::new();
    for (tests, share) in [(1, 0.05), (3, 0.05), (10, 0.05), (10, 0.5), (1_000, 0.05)] {
        for small in [vec![], vec![0.04], vec![0.001, 0.02, 0.03], vec![0.005, 0.01, 0.015, 0.9], vec![0.2, 0.3]] {
            let found = discovery::threshold(&mut small.clone(), tests, share);
            writeln!(text, "threshold({small:?}, {tests}, {share}) = {found:?}").unwrap();
        }
    }
    let samples: [&[f64]; 6] = [&[], &[1.0], &[1.0, 2.0, 3.0], &[1.0, 1.0, 2.0], &[2.0, 3.0, 4.0, 5.0], &[9.0, 9.0]];
    for a in samples {
        for b in samples {
            writeln!(text, "distance({a:?}, {b:?}) = {:?}", distribution::distance(a, b)).unwrap();
        }
    }
    for (current, expected) in [(1.0, 2.0), (2.0, 1.0), (1.0, 1.0), (-1.0, 0.0)] {
        let excess: Vec<f64> = [0.0, 0.5, 1.0, 4.0].iter().map(|limit| finding::excess(current, *limit)).collect();
        writeln!(text, "{current} {expected}: {:?} {excess:?}", finding::direction(current, expected)).unwrap();
    }
    for cycles in 0..9 {
        let effective: Vec<String> =
            [0.0, 0.3, 0.9, 1.0].iter().map(|memory| format!("{:.9e}", figure::effective(cycles, *memory))).collect();
        writeln!(text, "effective({cycles}) = {effective:?}").unwrap();
    }
    for votes in 0..9 {
        for before in [&[][..], &[0], &[8, 16], &[8, -128, 24, -8, 127]] {
            writeln!(text, "mean({before:?}, 2, {votes}) = {:?}", recent::mean(before, 2.0, votes)).unwrap();
        }
        writeln!(text, "width({votes}) = {}", recent::width(votes)).unwrap();
    }
    assert_recorded("tests", include_str!("tests.txt"), &text);
}

#[test]
fn slow_drift_adds_up_as_it_did() {
    let mut text = String::new();
    for push in [0.0, 0.3, 0.6, 1.0, -0.6, 5.0, f64::NAN] {
        let mut sums = trend::Sums::default();
        for cycle in 0..40 {
            let (next, found) = trend::step(sums, push + 0.2 * wobble(cycle));
            sums = next;
            let found = found.map(|found| format!("{:?} {:?}", found.rule, found.strength));
            writeln!(text, "{push} {cycle}: {sums:?} {found:?}").unwrap();
        }
    }
    assert_recorded("trend", include_str!("trend.txt"), &text);
}

#[test]
fn seasons_are_found_where_they_were() {
    let mut text = String::new();
    for count in [10_usize, 24, 60, 120, 400] {
        for period in [3.0, 7.0, 12.0, 12.5, 24.0, 100.0] {
            for noise in [0.0, 0.3, 2.0] {
                let value = |n: usize| {
                    let n = n as f64;
                    let wave = (n / period * std::f64::consts::TAU).sin()
                        + 0.4 * (2.0 * n / period * std::f64::consts::TAU).cos();
                    (wave + noise * wobble(n as u64)) as f32
                };
                let values: Vec<f32> = (0..count).map(value).collect();
                let first = Span { start: Stamp(0), end: Stamp(60 * SECOND_NS) };
                let found = season::find(&values, 100.0, first);
                write!(text, "{count} values, period {period}, noise {noise}:").unwrap();
                let Some(found) = found else {
                    writeln!(text, " none").unwrap();
                    continue;
                };
                for cycle in [0, 1, 5, 1_000] {
                    let start = Stamp(cycle * 60 * SECOND_NS);
                    let figure = found.at(Span { start, end: start.plus_ns(60 * SECOND_NS) });
                    let told = figure.map(|figure| format!("{:.6e}±{:.5e}", figure.mean, figure::wander(&figure)));
                    write!(text, " {told:?}").unwrap();
                }
                text.push('\n');
            }
        }
    }
    assert_recorded("seasons", include_str!("seasons.txt"), &text);
}

#[test]
fn equations_are_solved_as_they_were() {
    let mut text = String::new();
    for unknowns in 1..5_usize {
        for rows in [0, 1, unknowns, unknowns + 1, 30] {
            let mut system = solve::Normal::new(unknowns);
            for row in 0..rows {
                let place = (row * 10) as u64;
                let left: Vec<f64> =
                    (0..unknowns).map(|at| if at == 0 { 1.0 } else { wobble(place + at as u64) }).collect();
                let right =
                    left.iter().zip(1_u32..).map(|(x, n)| x * f64::from(n)).sum::<f64>() + 0.1 * wobble(place + 9);
                system.add(&left, right);
            }
            let solved = system.solve().map(|(all, rest)| {
                let all: Vec<String> = all.iter().map(|one| format!("{one:.7e}")).collect();
                format!("{} rest {rest:.6e}", all.join(" "))
            });
            writeln!(text, "{unknowns} unknowns, {rows} rows: {solved:?}").unwrap();
        }
    }
    assert_recorded("equations", include_str!("equations.txt"), &text);
}
