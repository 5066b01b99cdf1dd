//! Configurations as files: what runs runs, and what is wrong is told whole, with places. `UPDATE=1` rewrites what is
//! expected; look at the difference before believing it.

#![expect(clippy::unwrap_used, clippy::unwrap_in_result, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use hb::config::checked::{Approval, LeaseBackend, Said, SourceConfig};
use hb::config::fault::{Heading, render};
use hb::config::keys::{KEYS, Scope};
use hb::config::{Environment, Given, Loaded, load, reference};

fn given(file: &Path) -> Given {
    Given { file: Some(file.to_owned()), ..Given::default() }
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(!files.is_empty(), "{folder} has files");
    files
}

fn good(name: &str) -> Loaded {
    load(&given(&PathBuf::from(format!("tests/config/good/{name}.yaml")))).expect("a sound configuration")
}

/// A configuration of one text, in a file of its own.
fn of_text(text: &str) -> Result<Loaded, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hb.yaml");
    std::fs::write(&file, text).unwrap();
    load(&given(&file)).map_err(|findings| findings.faults.iter().map(|fault| fault.what.clone()).collect())
}

#[test]
fn every_fault_of_a_bad_file_is_told_at_its_place() {
    for file in yaml_files("tests/config/bad") {
        let findings = load(&given(&file)).expect_err(&format!("{} is refused", file.display()));
        let told: String = findings.faults.iter().map(|fault| render(fault, Heading::Error)).collect();
        let expected = file.with_extension("expected");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &told).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(told, expected, "{}", file.display());
    }
}

#[test]
fn every_good_file_holds() {
    for file in yaml_files("tests/config/good") {
        let loaded = load(&given(&file));
        assert!(loaded.is_ok(), "{}: {:?}", file.display(), loaded.err());
    }
}

#[test]
fn a_configuration_of_the_original_runs_as_it_is() {
    let loaded = good("flat_original");
    let config = &loaded.config;
    assert_eq!(config.approval, Approval::Required, "its policy file asks for approval");
    let watch = &config.watches[0];
    assert_eq!(watch.settings.name.as_str(), "default");
    assert_eq!(watch.settings.interval_ns, 300_000_000_000);
    assert!(matches!(&watch.source, SourceConfig::File { path, .. } if path == Path::new("telemetry.jsonl")));
    assert_eq!(watch.settings.alert.sinks, ["stdout", "file"]);
    assert_eq!(watch.settings.registry.metrics["latency"].unit_map["us"].to_bits(), 0.001_f64.to_bits());
    assert_eq!(watch.fields.len(), 2);
    let noticed: Vec<&str> = loaded.notices.iter().map(|notice| notice.key.as_str()).collect();
    assert!(noticed.contains(&"window_sec") && noticed.contains(&"evidence_pack_on_fail"), "{noticed:?}");
}

#[test]
fn watches_inherit_what_stands_at_the_top() {
    let config = good("nested_list").config;
    let [engine, host] = config.watches.as_slice() else { panic!("two watches") };
    assert_eq!((engine.settings.interval_ns, host.settings.interval_ns), (5_000_000_000, 30_000_000_000));
    assert_eq!((engine.settings.learn.cycles, host.settings.learn.cycles), (40, 40));
    assert!((engine.settings.drift.fdr_q - 0.01).abs() < 1e-12 && (host.settings.drift.fdr_q - 0.05).abs() < 1e-12);
    assert_eq!(engine.view_dir, Path::new("out/watches/engine"));
    let config = good("nested_map").config;
    assert_eq!((config.lease.backend, config.approval), (LeaseBackend::External, Approval::Required));
    let tags: Vec<&str> = config.watches.iter().map(|watch| watch.settings.baseline_tag.as_str()).collect();
    assert_eq!(tags, ["spring", "summer"]);
}

#[test]
fn defaults_of_the_table_are_those_of_the_core() {
    use hb_core::watch::settings::WatchSettings;
    let config = of_text("source: host\n").unwrap().config;
    let mut expected = WatchSettings::named("default", 300_000_000_000);
    expected.alert.sinks = vec!["stdout".into()];
    assert_eq!(config.watches[0].settings, expected);
}

#[test]
fn without_a_file_this_host_is_watched() {
    let config = load(&Given::default()).unwrap().config;
    assert!(matches!(config.watches[0].source, SourceConfig::Host { .. }));
    assert_eq!(config.listen.said, Said::Default);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hb.yaml");
    std::fs::write(&file, "source: host\nnode: f\nlisten: 127.0.0.1:1\ndb_path: f.db\n").unwrap();
    let environment = Environment::default().with("HB_DB_PATH", "e.db").with("HB_HEALTH_PORT", "2");
    let from_file = load(&given(&file)).unwrap().config;
    assert_eq!((from_file.node.as_str(), from_file.listen.said), ("f", Said::Explicit));
    let layered = Given { environment: environment.clone(), ..given(&file) };
    let config = load(&layered).unwrap().config;
    assert_eq!((config.db_path.as_path(), config.listen.address), (Path::new("e.db"), "127.0.0.1:2".parse().ok()));
    let flags = Given { node: Some("n".into()), listen: Some("127.0.0.1:3".into()), ..layered };
    let config = load(&flags).unwrap().config;
    assert_eq!((config.node.as_str(), config.listen.address), ("n", "127.0.0.1:3".parse().ok()));
    let wrong = Given { node: Some("a/b".into()), listen: Some("x".into()), environment, ..Given::default() };
    assert_eq!(load(&wrong).unwrap_err().faults.len(), 2);
}

#[test]
fn programs_and_modes_are_laid_over_key_by_key() {
    let text = "source: host\nmetric_registry: tests/config/parts/metric_registry.yaml\n\
                program: alpha\noperating_mode: burn_in\nmetrics: {latency: {min_effect: 1}}\n";
    let config = of_text(text).unwrap().config;
    let metrics = &config.watches[0].settings.registry.metrics;
    let latency = &metrics["latency"];
    assert_eq!(
        (latency.drift_percent, latency.drift_threshold, latency.min_effect),
        (Some(20.0), Some(5.0), Some(1.0))
    );
    assert_eq!(
        (metrics["temperature"].invariant_max, metrics["temperature"].invariant_min),
        (Some(125.0), Some(-40.0))
    );
    assert_eq!(latency.aliases, ["lat", "Latency (avg)", "latency_ms"]);
}

#[test]
fn one_wrong_byte_never_starts_half_a_configuration() {
    // Every byte of a sound file is struck in turn: what still loads must say the same or differ in a plain value.
    let text = std::fs::read("tests/config/good/flat.yaml").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hb.yaml");
    // A digit struck by a blank is another number, and that is all that can be said of it.
    let number = String::from_utf8_lossy(&text).find("10").unwrap();
    for at in (0..text.len()).filter(|at| !(number..number + 2).contains(at)) {
        for byte in [b'\0', 0xff, b'\t', b'{', b'\'', b'&'] {
            let mut struck = text.clone();
            struck[at] = byte;
            std::fs::write(&file, &struck).unwrap();
            if let Ok(loaded) = load(&given(&file)) {
                let watch = &loaded.config.watches[0];
                assert!(matches!(watch.source, SourceConfig::File { .. }), "byte {at}: {:?}", watch.source);
                assert_eq!(watch.settings.interval_ns, 10_000_000_000, "byte {at} as {byte:#x}");
            }
        }
    }
}

#[test]
fn every_key_of_the_table_is_read_by_the_parser() {
    // A value that no key takes is a fault at every key: a key that nobody reads would be silent.
    for key in KEYS.iter().filter(|key| key.scope != Scope::Legacy && key.path != "watches") {
        let line = match key.path.split_once('.') {
            Some((group, leaf)) => format!("{group}: {{{leaf}: [[1]]}}\n"),
            None => format!("{}: [[1]]\n", key.path),
        };
        let source = if key.path == "source" { "" } else { "source: replay\n" };
        let path = if key.path == "path" { "" } else { "path: x\n" };
        let faults = of_text(&format!("{source}{path}{line}")).err();
        assert!(faults.is_some_and(|faults| !faults.is_empty()), "{} takes [[1]]", key.path);
    }
}

#[test]
fn the_reference_lists_every_key_with_its_meaning() {
    let page = reference::markdown();
    for row in reference::rows() {
        assert!(page.contains(&format!("- `{}`:", row.key)), "{}", row.key);
        assert!(row.meaning.len() > 10, "{}", row.key);
    }
}

#[test]
fn every_yaml_example_of_the_documents_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut folders = vec![root.join("docs"), root.join("packaging")];
    let mut documents = vec![root.join("README.md")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { documents.push(entry.path()) }
        }
    }
    for document in documents.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let Ok(text) = std::fs::read_to_string(document) else { continue };
        for example in text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            // Manifests and registries have examples of their own.
            if example.contains("apiVersion:") || example.starts_with("metrics:") || example.contains("field_mapping:")
            {
                continue;
            }
            let told = of_text(example).err();
            assert_eq!(told, None, "{}:\n{example}", document.display());
        }
    }
}
