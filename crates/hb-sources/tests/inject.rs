//! Injected faults: what is changed, what is not, and that the same seed does the same.
#![expect(clippy::unwrap_used, reason = "tests")]

use hb_sources::format::Format;
use hb_sources::inject::{InjectError, InjectReport, InjectedFault, Injection, Selection, inject};
use proptest::prelude::*;

fn plan(fault: InjectedFault) -> Injection {
    Injection { fault, selection: Selection::default(), seed: 7, format: Format::default() }
}

fn run(text: &str, plan: &Injection) -> (String, InjectReport) {
    let mut out = Vec::new();
    let report = inject(text.as_bytes(), &mut out, plan).unwrap();
    (String::from_utf8_lossy(&out).into_owned(), report)
}

const JSON: &str = "{\"ts\": 1.50, \"metric\":\"a\",\"value\":10}\n{\"value\":20,\"metric\":\"b\",\"ts\":\"2023-11-14T00:00:00Z\"}\r\n{\"ts\":3,\"metric\":\"a\",\"value\":30}";
const CSV: &str = "ts,metric,value\n1,a,10\n2, b ,20\n3,a,30\n";
const WIDE: &str = "time,a,b\n1,10,20\n2,,40\n";

#[test]
fn each_fault_does_what_it_says() {
    let only_a =
        |fault| Injection { selection: Selection { metric: Some("a".into()), ..Selection::default() }, ..plan(fault) };
    let cases = [
        (CSV, plan(InjectedFault::StuckAt { value: Some(7.5) }), "ts,metric,value\n1,a,7.5\n2, b ,7.5\n3,a,7.5\n"),
        (CSV, plan(InjectedFault::StuckAt { value: None }), "ts,metric,value\n1,a,10\n2, b ,20\n3,a,10\n"),
        (CSV, only_a(InjectedFault::Spike { scale: 3.0, every: None }), "ts,metric,value\n1,a,30\n2, b ,20\n3,a,30\n"),
        (CSV, plan(InjectedFault::Spike { scale: 3.0, every: Some(2) }), "ts,metric,value\n1,a,30\n2, b ,20\n3,a,90\n"),
        (CSV, plan(InjectedFault::SensorDrift { per_row: 0.5 }), "ts,metric,value\n1,a,10.5\n2, b ,21\n3,a,31.5\n"),
        (CSV, plan(InjectedFault::Nan), "ts,metric,value\n1,a,NaN\n2, b ,NaN\n3,a,NaN\n"),
        (
            CSV,
            plan(InjectedFault::UnitMixup { factor: 1000.0 }),
            "ts,metric,value\n1,a,10000\n2, b ,20000\n3,a,30000\n",
        ),
        (CSV, only_a(InjectedFault::Drop), "ts,metric,value\n2, b ,20\n"),
        (CSV, plan(InjectedFault::Gap { rows: 2 }), "ts,metric,value\n3,a,30\n"),
        (
            CSV,
            only_a(InjectedFault::Duplication { count: 2 }),
            "ts,metric,value\n1,a,10\n1,a,10\n2, b ,20\n3,a,30\n3,a,30\n",
        ),
        (CSV, only_a(InjectedFault::Reorder { lines: 1 }), "ts,metric,value\n2, b ,20\n1,a,10\n3,a,30\n"),
        (CSV, plan(InjectedFault::SchemaChange), "ts,metric,value\n1,a,10,0\n2, b ,20,0\n3,a,30,0\n"),
        (CSV, plan(InjectedFault::TimeSkew { seconds: 0.25 }), "ts,metric,value\n1.25,a,10\n2.25, b ,20\n3.25,a,30\n"),
        (
            CSV,
            plan(InjectedFault::ValueCorruption { noise_scale: 0.0, offset: 1.0 }),
            "ts,metric,value\n1,a,11\n2, b ,21\n3,a,31\n",
        ),
        (WIDE, plan(InjectedFault::UnitMixup { factor: 2.0 }), "time,a,b\n1,20,40\n2,,80\n"),
        (WIDE, only_a(InjectedFault::StuckAt { value: Some(0.0) }), "time,a,b\n1,0,20\n2,,40\n"),
        (
            JSON,
            plan(InjectedFault::TimeSkew { seconds: -60.0 }),
            "{\"ts\": -58.50, \"metric\":\"a\",\"value\":10}\n{\"value\":20,\"metric\":\"b\",\"ts\":\"2023-11-13T23:59:00Z\"}\r\n{\"ts\":-57,\"metric\":\"a\",\"value\":30}",
        ),
        (
            JSON,
            only_a(InjectedFault::SchemaChange),
            "{\"ts\": 1.50, \"metric\":\"a\",\"reading\":10}\n{\"value\":20,\"metric\":\"b\",\"ts\":\"2023-11-14T00:00:00Z\"}\r\n{\"ts\":3,\"metric\":\"a\",\"reading\":30}",
        ),
    ];
    for (text, plan, wanted) in cases {
        assert_eq!(run(text, &plan).0, wanted, "{plan:?}");
    }
}

#[test]
fn the_report_tells_what_was_done() {
    let (_, report) = run(CSV, &plan(InjectedFault::Nan));
    assert_eq!((report.lines, report.selected, report.changed, report.unreadable), (4, 3, 3, 0));
    assert_eq!((report.first[0].line, report.first[0].what, report.first[0].text.as_str()), (2, "changed", "1,a,NaN"));
    let (text, report) = run("garbage\n1,a,2\n\nx,y\n", &plan(InjectedFault::Drop));
    assert_eq!((text.as_str(), report.removed, report.unreadable), ("garbage\n\nx,y\n", 1, 2));
}

#[test]
fn a_seed_repeats_itself_and_another_does_not() {
    let text: String = (0..400).map(|n| format!("{n},a,100\n")).collect();
    let noisy = |seed| {
        let fault = InjectedFault::ValueCorruption { noise_scale: 0.1, offset: 0.0 };
        let selection = Selection { share: 0.5, skip: 10, rows: Some(300), ..Selection::default() };
        run(&text, &Injection { seed, selection, ..plan(fault) })
    };
    assert_eq!(noisy(1), noisy(1));
    assert_ne!(noisy(1).0, noisy(2).0);
    let changed = noisy(1).1.changed;
    assert!((110..190).contains(&changed), "{changed}");
    assert_eq!(noisy(1).1.first[0].line.max(10), noisy(1).1.first[0].line, "the first ten rows are left alone");
}

#[test]
fn plans_that_make_no_sense_are_refused() {
    for fault in [
        InjectedFault::Spike { scale: f64::NAN, every: None },
        InjectedFault::Spike { scale: 2.0, every: Some(0) },
        InjectedFault::Duplication { count: 0 },
        InjectedFault::Reorder { lines: 0 },
    ] {
        assert!(matches!(inject(&b""[..], Vec::new(), &plan(fault)), Err(InjectError::Plan(_))));
    }
}

#[test]
fn b1_a_huge_line_goes_through_as_it_is() {
    let text = format!("1,a,2\n{}\n3,a,4", "x".repeat(5 << 20));
    let (out, report) = run(&text, &plan(InjectedFault::Nan));
    assert_eq!(out, text.replace("1,a,2", "1,a,NaN").replace("3,a,4", "3,a,NaN"));
    assert_eq!(report.unreadable, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn lines_that_are_not_selected_keep_every_byte(
        lines in prop::collection::vec(prop_oneof![
            "\\PC{0,20}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..20),
            "1[0-9]{3},[ab],[0-9]{1,3}\r?".prop_map(String::into_bytes),
            "\\{\"ts\":1,\"metric\":\"[ab]\",\"value\":[0-9]\\}".prop_map(String::into_bytes),
        ], 0..20),
    ) {
        let text = lines.join(&b'\n');
        let mut out = Vec::new();
        let selection = Selection { metric: Some("absent".into()), ..Selection::default() };
        let report = inject(&text[..], &mut out, &Injection { selection, ..plan(InjectedFault::Drop) }).unwrap();
        prop_assert_eq!(out, text);
        prop_assert_eq!(report.first, vec![]);
    }
}
