//! How soon another node goes on, on every engine, beside what an operator would put together without hb. Everything of an engine is
//! measured in one run, its peers included.
//!
//! | question | file |
//! |---|---|
//! | Which engines are there, and how are nodes told of them? | `engines/` |
//! | What stands in the journal since when, and is it whole? | `witness.rs` |
//! | Which nodes work on what? | `site.rs` |
//! | How soon after a death, a machine gone, a switchover? | `faults.rs` |
//! | What does a machine of its own mean here? | `host.rs` |
//! | What does a standby cost that has nothing to do? | `idle.rs`, its requests `gate.rs` |
//! | How soon are others? | `peers.rs` |
//! | And with a thousand watches on three nodes? | `many.rs`, whose journals `shelf.rs` reads |

mod engines;
mod faults;
mod gate;
mod host;
mod idle;
pub(crate) mod many;
mod peers;
mod shelf;
mod site;
mod witness;

use serde_json::{Map, Value, json};

use crate::supervise::{load, quantile};
use crate::{Bench, Found};
use engines::{Engine, Kind};
use host::Host;
use peers::Peer;

/// Names of these measurements.
pub(crate) const NAMES: [&str; 6] = [
    "takeover-file",
    "takeover-postgres",
    "takeover-etcd",
    "takeover-object",
    "takeover-kubernetes",
    "takeover-address",
];

/// The TTL that holds where nothing is said, and the shortest one measured; in seconds.
const TTLS: [f64; 2] = [3.0, 1.0];

/// How long things took, in milliseconds.
#[derive(Debug, Clone, Default)]
struct Spread(Vec<f64>);

impl Spread {
    fn figures(&self) -> Value {
        let Self(took) = self;
        let all: Vec<f64> = took.iter().map(|one| (one * 10.0).round() / 10.0).collect();
        json!({"median_ms": self.median(), "p99_ms": quantile(took, 0.99), "worst_ms": quantile(took, 1.0), "all_ms": all})
    }

    fn median(&self) -> f64 {
        quantile(&self.0, 0.5)
    }

    fn told(&self) -> String {
        let Self(took) = self;
        let (middle, most, all) = (quantile(took, 0.99), quantile(took, 1.0), took.len());
        format!("{:.1} / {middle:.1} / {most:.1} ms ({all})", self.median())
    }
}

/// What was found, line by line.
#[derive(Debug, Default)]
struct Sheet {
    figures: Map<String, Value>,
    lines: Vec<String>,
}

impl Sheet {
    fn put(&mut self, name: &str, figures: Value, told: &str) {
        self.figures.insert(name.into(), figures);
        let line = format!("  {name:<42} {told}");
        // All of it takes a quarter of an hour: what is known is shown.
        eprintln!("{line}");
        self.lines.push(line);
    }

    fn spread(&mut self, name: &str, spread: &Spread) {
        self.put(name, spread.figures(), &spread.told());
    }

    fn missing(&mut self, name: &str, why: &str) {
        self.put(name, json!({"not_measured": why}), &format!("not measured: {why}"));
    }
}

/// Nodes that share a folder.
pub(crate) fn file(bench: &Bench) -> Result<Found, String> {
    measure(bench, Kind::File)
}

/// Nodes that share a database.
pub(crate) fn postgres(bench: &Bench) -> Result<Found, String> {
    measure(bench, Kind::Postgres)
}

/// Nodes that share a folder, with the lease in etcd.
pub(crate) fn etcd(bench: &Bench) -> Result<Found, String> {
    measure(bench, Kind::Etcd)
}

/// Nodes that share a bucket.
pub(crate) fn object(bench: &Bench) -> Result<Found, String> {
    measure(bench, Kind::Object)
}

/// Nodes that share a folder, with the lease in Kubernetes.
pub(crate) fn kubernetes(bench: &Bench) -> Result<Found, String> {
    measure(bench, Kind::Kubernetes)
}

/// What moves an address, and knows nothing of what works behind it.
pub(crate) fn address(bench: &Bench) -> Result<Found, String> {
    let mut sheet = Sheet::default();
    let name = "keepalived, advert 1 s, kill -9";
    match peers::keepalived(bench, bench.size.pick(1, 10)) {
        Ok(spread) => sheet.spread(name, &spread),
        Err(why) => sheet.missing(name, &why),
    }
    Ok(found("what moves an address", sheet, load()))
}

fn measure(bench: &Bench, kind: Kind) -> Result<Found, String> {
    let before = load();
    let mut sheet = Sheet::default();
    // The engine listens there too, so it comes first. Where there can be none, what needs it is told to be missing.
    let host = Host::new();
    let engine = match engines::start(kind, host.as_ref().ok().map(|host| host.near)) {
        Ok(engine) => engine,
        Err(why) => {
            sheet.missing("all of it", &why);
            return Ok(found(kind.title(), sheet, before));
        }
    };
    let ttls = if bench.size == crate::Size::Small { &TTLS[..1] } else { &TTLS[..] };
    for ttl in ttls {
        // The end of a process is seen at once here, whatever the TTL.
        if *ttl < TTLS[0] && !kind.waits_for_ttl() {
            continue;
        }
        if bench.wants(&format!("kill-{ttl}")) {
            kills(bench, &*engine, *ttl, &mut sheet)?;
        }
    }
    if kind.by_network() {
        match &host {
            Ok(host) => {
                for ttl in ttls.iter().filter(|ttl| bench.wants(&format!("gone-{ttl}"))) {
                    gone(bench, &*engine, host, *ttl, &mut sheet)?;
                }
            }
            Err(why) => sheet.missing("machine gone", why),
        }
    }
    if bench.wants("planned") {
        planned(bench, &*engine, &mut sheet)?;
    }
    if bench.wants("idle") {
        idle::measure(bench, &*engine, &mut sheet)?;
    }
    if bench.wants("peers") {
        compare(bench, &*engine, &mut sheet);
    }
    Ok(found(kind.title(), sheet, before))
}

fn kills(bench: &Bench, engine: &dyn Engine, ttl: f64, sheet: &mut Sheet) -> Result<(), String> {
    let found = faults::kills(bench, engine, ttl)?;
    let name = |what: &str| format!("kill -9, ttl {ttl} s, to the first {what}");
    sheet.spread(&name("record"), &found.record);
    sheet.spread(&name("cycle"), &found.cycle);
    sheet.put(&format!("journal after it, ttl {ttl} s"), found.whole.figures(), &found.whole.told());
    Ok(())
}

fn gone(bench: &Bench, engine: &dyn Engine, host: &Host, ttl: f64, sheet: &mut Sheet) -> Result<(), String> {
    let found = faults::gone(bench, engine, host, ttl)?;
    let name = |what: &str| format!("machine gone, ttl {ttl} s, to the first {what}");
    sheet.spread(&name("record"), &found.record);
    sheet.spread(&name("cycle"), &found.cycle);
    sheet.put(&format!("journal after them, ttl {ttl} s"), found.whole.figures(), &found.whole.told());
    Ok(())
}

fn planned(bench: &Bench, engine: &dyn Engine, sheet: &mut Sheet) -> Result<(), String> {
    let found = faults::planned(bench, engine)?;
    sheet.spread("switchover: between the nodes' records", &found.gap);
    sheet.spread("switchover: cycle's end until it stands", &found.delay);
    let (late, cycles) = (found.late, found.delay.0.len());
    sheet.put("switchover: cycles late by 100 ms", json!(late), &format!("{late} of {cycles}"));
    sheet.put("journal after switchovers", found.whole.figures(), &found.whole.told());
    Ok(())
}

fn compare(bench: &Bench, engine: &dyn Engine, sheet: &mut Sheet) {
    let ours = sheet
        .figures
        .get(&format!("kill -9, ttl {} s, to the first record", TTLS[0]))
        .and_then(|figures| figures.get("median_ms")?.as_f64());
    for peer in engine.peers() {
        let Peer { name, .. } = &peer;
        match peers::kills(bench, &peer) {
            Ok(spread) => {
                sheet.spread(&format!("{name}, kill -9"), &spread);
                if let Some(ours) = ours {
                    let ratio = spread.median() / ours;
                    sheet.put(&format!("{name}, to hb's median"), json!(ratio), &format!("{ratio:.2} x"));
                }
            }
            Err(why) => sheet.missing(&format!("{name}, kill -9"), &why),
        }
    }
}

fn found(title: &str, mut sheet: Sheet, before: f64) -> Found {
    let after = load();
    sheet.figures.insert("load".into(), json!([before, after]));
    let head = format!(
        "{title}; median / p99 / worst (how many); load {before:.1} before, {after:.1} after, this measurement's own included"
    );
    Found { figures: Value::Object(sheet.figures), told: format!("{head}\n{}", sheet.lines.join("\n")) }
}
