//! The quick readers and the careful ones agree on every line that both can read.

use hb_core::time::Stamp;
use proptest::prelude::*;

use super::{Decoder, Format, FormatChoice, NoTime, TimeUnit};
use crate::items::Items;

/// What a decoder makes of lines: names, samples with the bits of their values, faults.
#[derive(Debug, PartialEq, Default)]
struct Made {
    names: Vec<String>,
    samples: Vec<(u32, u32, Stamp, u64)>,
    faults: Vec<String>,
    quick: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Quick,
    Careful,
}

fn make(lines: &[String], format: Format, way: Way) -> Made {
    let mut decoder = Decoder::new(format, 1000);
    let mut items = Items::default();
    let mut quick = 0;
    for (number, line) in lines.iter().enumerate() {
        let number = u32::try_from(number).unwrap();
        // What stands behind the line must not matter.
        let with_more = format!("{line}\n{{\"ts\":1,");
        match (way == Way::Quick).then(|| decoder.fast(with_more.as_bytes(), number, &mut items)).flatten() {
            Some(count) => {
                assert_eq!(count, line.len() + 1, "{line}");
                quick += 1;
            }
            None => decoder.line(line.strip_suffix('\r').unwrap_or(line).as_bytes(), number, &mut items).unwrap(),
        }
    }
    Made {
        names: items.names.iter().map(|name| format!("{name:?}")).collect(),
        samples: items.samples.iter().map(|s| (s.slot, s.offset, s.at, s.value.to_bits())).collect(),
        faults: items.faults.iter().map(|fault| format!("{fault:?}")).collect(),
        quick,
    }
}

fn agree(lines: &[String], format: Format) -> Result<usize, TestCaseError> {
    let quick = make(lines, format, Way::Quick);
    let careful = make(lines, format, Way::Careful);
    let count = quick.quick;
    prop_assert_eq!(Made { quick: 0, ..quick }, careful);
    Ok(count)
}

fn json_value() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,9})?",
        1 => "-?[0-9.eE+-]{0,12}",
        1 => "\"[ -~]{0,8}\"",
        1 => "\"(-?[0-9]{1,3}|[a-c\\\\\"\u{0}-\u{1f}é,]{0,4})\"",
        1 => Just("null".to_owned()),
        1 => Just("NaN".to_owned()),
        1 => Just("1e400".to_owned()),
    ]
}

fn json_line() -> impl Strategy<Value = String> {
    let time = prop_oneof![
        4 => "1[0-9]{9}(\\.[0-9]{1,9})?",
        2 => "\"20[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{1,10})?(Z|[+-]0[0-9]:[0-5]0)\"",
        1 => json_value(),
    ];
    let name = prop_oneof![4 => "\"[a-d]\"", 1 => "\"[a-b\\\\n\"u,{} é\t]{0,3}\"", 1 => json_value()];
    let pair = prop_oneof![
        3 => ("ts|time|timestamp|event_time", time).prop_map(|(key, value)| (key, value)),
        3 => ("metric|name", name).prop_map(|(key, value)| (key, value)),
        3 => (Just("value".to_owned()), json_value()),
        1 => (Just("unit".to_owned()), "\"[a-b%]{0,2}\"".prop_map(|unit| unit)),
        1 => ("[a-z]{1,4}", json_value()),
    ];
    let pairs = prop::collection::vec(pair, 0..5);
    let blank = || prop_oneof![5 => Just(""), 1 => Just(" "), 1 => Just("  ")];
    (
        pairs,
        blank(),
        blank(),
        prop_oneof![6 => Just("}"), 1 => Just("} "), 1 => Just("}\r"), 1 => Just(""), 1 => Just(",}")],
    )
        .prop_map(|(pairs, after_colon, after_comma, end)| {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("\"{key}\":{after_colon}{value}")).collect();
            format!("{{{}{end}", pairs.join(&format!(",{after_comma}"))).replace('\n', "")
        })
}

/// A line of the usual kind, so that guesses of names are tried.
fn usual_json() -> impl Strategy<Value = String> {
    (1_000_000_000_u32.., 0..4_u8, -1000..1000_i32)
        .prop_map(|(ts, name, value)| format!("{{\"ts\":{ts}.5,\"metric\":\"m{name}\",\"value\":{value}.25}}"))
}

fn csv_line(columns: usize) -> impl Strategy<Value = String> {
    let cell = prop_oneof![
        3 => "1[0-9]{9}(\\.[0-9]{1,9})?",
        2 => "[a-c]",
        2 => "-?[0-9]{1,4}(\\.[0-9]{1,3})?",
        1 => "[ -~]{0,5}",
        1 => Just(String::new()),
        1 => Just("\"a,b\"".to_owned()),
        1 => "2023-1[0-2]-[0-3][0-9]T0[0-9]:00:00Z",
    ];
    let row = prop::collection::vec(cell, columns - 1..columns + 2).prop_map(|cells| cells.join(","));
    let usual = (1_000_000_000_u32.., 0..4_u8, -99..99_i32).prop_map(move |(ts, name, value)| {
        if columns == 3 {
            format!("{ts},m{name},{value}.5")
        } else {
            format!("{ts}{}", format!(",{value}.5").repeat(columns - 1))
        }
    });
    (prop_oneof![row, usual], prop_oneof![4 => Just(""), 1 => Just("\r")]).prop_map(|(row, end)| format!("{row}{end}"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn on_json(lines in prop::collection::vec(prop_oneof![json_line(), usual_json()], 1..30), arrival in any::<bool>()) {
        let no_time = if arrival { NoTime::Arrival } else { NoTime::Fault };
        agree(&lines, Format { choice: FormatChoice::Jsonl, no_time, ..Format::default() })?;
        agree(&lines, Format { time_unit: TimeUnit::Millis, ..Format::default() })?;
    }

    #[test]
    fn on_csv_events(lines in prop::collection::vec(csv_line(3), 1..30), header in any::<bool>()) {
        let mut lines = lines;
        if header {
            lines.insert(0, "ts,metric,value".to_owned());
        }
        agree(&lines, Format { choice: FormatChoice::Csv, ..Format::default() })?;
        agree(&lines, Format::default())?;
    }

    #[test]
    fn on_wide_csv(lines in prop::collection::vec(csv_line(4), 1..30)) {
        let mut lines = lines;
        lines.insert(0, "time,a,b [s],c".to_owned());
        agree(&lines, Format::default())?;
    }
}

#[test]
fn the_quick_readers_read_what_is_usual() {
    let quick = |lines: &[&str]| {
        let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
        agree(&lines, Format::default()).unwrap()
    };
    let json = r#"{"timestamp": "2023-11-14T22:13:20.5Z", "name": "a", "value": -0.5, "unit": "ms"}"#;
    assert_eq!(quick(&[r#"{"ts":1,"metric":"a","value":1}"#, json, json, r#"{"value":1,"ts":1.5,"metric":"b"}"#]), 3);
    assert_eq!(quick(&["ts,metric,value", "1,a,2", "2,a,3", "2023-11-14T22:13:20Z,b,-4.5"]), 3);
    assert_eq!(quick(&["time,a,b", "1,2,3", "2,,4", "3,5,6"]), 2);
}
